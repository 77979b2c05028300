"""``FILE.py:NAME``: Python code to export. Nothing of it is run here."""

from __future__ import annotations

import re
from typing import NamedTuple

from megdump_ci import packed
from megdump_ci.errors import InputError

_CODE = re.compile(r"(?P<file>.*\.py)(?::(?P<name>.*))?", re.DOTALL)
_FORM = "give FILE.py:NAME, with the name of a function, Module or jit.trace object in that file"


class Target(NamedTuple):
    """A name at the top of a Python file."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


def is_code(text: str) -> bool:
    """Whether ``text`` is of the form ``FILE.py`` or ``FILE.py:NAME``, and so no dumped model."""
    return _CODE.fullmatch(text) is not None


def parse(text: str) -> Target:
    """The target that ``text`` names; :class:`InputError` if it has another form."""
    found = _CODE.fullmatch(text)
    if found is None:
        raise InputError(f"'{text}' is not of the form FILE.py:NAME", _FORM)
    name = found["name"]
    if not name:
        raise InputError(f"'{text}' does not say what in the file to export", _FORM)
    if not name.isidentifier():
        raise InputError(f"'{name}' in '{text}' is no Python name", _FORM)
    return Target(found["file"], name)


def check(text: str) -> Target:
    """:func:`parse`, and :class:`InputError` if the file cannot be read."""
    target = parse(text)
    with packed.opened(target.file, "a Python file"):
        return target
