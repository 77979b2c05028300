"""Where in ``megdump.toml`` a key stands, which its parser does not tell."""

from __future__ import annotations

import re

Table = int | str
"""The ``[[model]]`` table of that number (from 0), or the table of that name."""

_HEADER = re.compile(r"\s*(\[{1,2})\s*([\w-]+)\s*\]{1,2}\s*(?:#.*)?")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*=""")
_LONG = re.compile(r"\"{3}|'{3}")


class Lines:
    """The places of the tables and keys of a file that is written in the usual way.

    What is written in another way (inline tables, dotted keys) has the place of what it is in.
    """

    def __init__(self, text: str) -> None:
        self._tables: dict[Table, int] = {}
        self._keys: dict[tuple[Table, str], int] = {}
        table: Table = ""
        models = 0
        inside = ""
        for number, line in enumerate(text.splitlines(), 1):
            if not inside:
                header, key = _HEADER.fullmatch(line), _KEY.match(line)
                if header and header[1] == "[[" and header[2] == "model":
                    table, models = models, models + 1
                elif header:
                    table = header[2]
                if header:
                    self._tables.setdefault(table, number)
                elif key:
                    name = next(group for group in key.groups() if group is not None)
                    self._keys.setdefault((table, name), number)
            inside = _inside(line, inside)

    def of(self, table: Table, *keys: str) -> int:
        """The line (from 1) of the first of ``keys`` that the table has, or else of the table."""
        found = [self._keys[table, key] for key in keys if (table, key) in self._keys]
        return found[0] if found else self._tables.get(table, self._keys.get(("", str(table)), 1))


def _inside(line: str, mark: str) -> str:
    """The mark of the multi-line string that goes on behind ``line``; empty if none does."""
    for found in _LONG.findall(line):
        if not mark:
            mark = found
        elif found == mark:
            mark = ""
    return mark
