"""The grammar of a testcase spec.

::

    testcase  =  item *( ";" item ) [ ";" ]
    item      =  [ name ":" ] value
    value     =  "#rand(" min "," max [ "," shape ] ")"  |  path
    shape     =  "..."  |  dim *( "," dim ) [ "," "..." ]

Blanks around items, names, values and numbers do not count. A path cannot hold ``;``, and one that
begins with ``#`` is written ``./#...``. Which part of an item is its name can only be told with the
model's names at hand, so :func:`check_syntax` looks at what is wrong with any model, and
:func:`megdump_ci.testcase.spec.bind` does the rest.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from megdump_ci.testcase.faults import SyntaxFault, shortened

REST = "..."
FORM = "write #rand(min,max), #rand(min,max,...) or #rand(min,max,N,C,H,W)"

_RANDOM = re.compile(r"#rand\s*\(", re.IGNORECASE)
_NAMED_RANDOM = re.compile(r":\s*(?=#rand\s*\()", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_DIMENSION = re.compile(r"\d{1,18}", re.ASCII)


class RandomSpec(NamedTuple):
    """``#rand(low,high,*dims[,...])``; ``dims`` is None where no shape is given."""

    text: str
    low: float
    high: float
    dims: tuple[int, ...] | None = None
    rest: bool = False
    """Whether ``...`` keeps the rest of the model's shape."""


class FileSpec(NamedTuple):
    """An image or an ``.npy`` file; which of them its content tells."""

    text: str

    @property
    def path(self) -> str:
        """The path as given."""
        return self.text


ValueSpec = RandomSpec | FileSpec


class Item(NamedTuple):
    """One item of a testcase and where it begins in the testcase's text (from 0)."""

    text: str
    start: int


def is_random(text: str) -> bool:
    """Whether ``text`` is meant as ``#rand(...)``, be it well formed or not."""
    return _RANDOM.match(text) is not None


def split_items(text: str) -> list[Item]:
    """The items between the semicolons. :class:`SyntaxFault` if one is empty (not the last)."""
    items, start = [], 0
    parts = text.split(";")
    for index, part in enumerate(parts):
        stripped = part.strip()
        if stripped:
            items.append(Item(stripped, start + part.index(stripped)))
        elif len(parts) == 1:
            raise SyntaxFault("the data spec is empty", 0, f"{FORM}, or the path of a file")
        elif index < len(parts) - 1 or not items:
            raise SyntaxFault(
                "nothing stands before this ';'" if index < len(parts) - 1 else "no item here",
                min(start + len(part), len(text) - 1),
                "write one item for each input: name0:value;name1:value",
            )
        start += len(part) + 1
    return items


def check_syntax(text: str) -> None:
    """:class:`SyntaxFault` if ``text`` is a bad spec whatever the model's names are."""
    for item in split_items(text):
        named = _NAMED_RANDOM.search(item.text)
        if is_random(item.text) or (item.text[0] == "#" and ":" not in item.text):
            parse_value(item.text, item.start)
        elif named:
            parse_value(item.text[named.end() :], item.start + named.end())


def parse_value(text: str, start: int = 0) -> ValueSpec:
    """The value spec ``text``, which begins at ``start`` of the testcase's text."""
    if not text:
        raise SyntaxFault("a value is missing", start, f"{FORM}, or the path of a file")
    if text[0] != "#":
        return FileSpec(text)
    if not is_random(text):
        raise SyntaxFault(
            f"'{shortened(text)}' is not a data spec",
            start,
            f"{FORM}; a file whose name begins with '#' is given as ./#name",
        )
    return _parse_random(text, start)


def _parse_random(text: str, start: int) -> RandomSpec:
    opening = _RANDOM.match(text)
    if opening is None or not text.startswith("#rand"):
        raise SyntaxFault("#rand is written in small letters", start, FORM)
    close = text.find(")")
    if close < 0:
        raise SyntaxFault("')' is missing", start + len(text), FORM)
    behind = text[close + 1 :]
    if behind.strip():
        at = start + len(text) - len(behind.lstrip())
        raise SyntaxFault("nothing can follow ')'", at, f"{FORM}; ';' separates items")
    fields = _fields(text[opening.end() : close], start + opening.end())
    if len(fields) < 2:
        raise SyntaxFault("a minimum and a maximum are needed", start + close, FORM)
    low, high = _number(fields[0], "minimum"), _number(fields[1], "maximum")
    if low > high:
        raise SyntaxFault(
            f"the minimum {low:g} is above the maximum {high:g}",
            fields[0].start,
            f"swap them: #rand({high:g},{low:g})",
        )
    if len(fields) == 2:
        return RandomSpec(text, low, high)
    dims, rest = _shape(fields[2:])
    return RandomSpec(text, low, high, dims, rest)


def _fields(body: str, start: int) -> list[Item]:
    fields = []
    for part in body.split(","):
        stripped = part.strip()
        fields.append(Item(stripped, start + (part.index(stripped) if stripped else 0)))
        start += len(part) + 1
    return fields


def _number(field: Item, what: str) -> float:
    if _NUMBER.fullmatch(field.text) is None:
        raise SyntaxFault(
            f"the {what} '{shortened(field.text)}' is not a finite decimal number",
            field.start,
            f"{FORM} with numbers such as -1, 0.5, 1e-3",
        )
    value = float(field.text)
    if not math.isfinite(value):
        raise SyntaxFault(
            f"the {what} '{shortened(field.text)}' is too large for a number", field.start, FORM
        )
    return value


def _shape(fields: list[Item]) -> tuple[tuple[int, ...], bool]:
    dims: list[int] = []
    for index, field in enumerate(fields):
        if field.text == REST:
            if index < len(fields) - 1:
                raise SyntaxFault("'...' can only be the last part of the shape", field.start, FORM)
            return tuple(dims), True
        if _DIMENSION.fullmatch(field.text) is None or int(field.text) == 0:
            raise SyntaxFault(
                f"the dimension '{shortened(field.text)}' is not a positive integer"
                " of at most 18 digits",
                field.start,
                FORM,
            )
        dims.append(int(field.text))
    return tuple(dims), False
