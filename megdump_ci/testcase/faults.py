"""How this room words what is wrong: a place in a text, and many problems in one answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from megdump_ci.errors import Problem

PROBLEM_LIMIT = 20
"""As many problems are listed; the others are counted."""

NAME_LIMIT = 10
_WINDOW = 60


class SyntaxFault(Exception):
    """A text breaks its grammar at ``position`` (from 0)."""

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.hint = hint

    def problem(self, text: str, file: str = "", line: int = 0) -> Problem:
        """The fault in ``text``, with a caret under the place."""
        message = f"{self.message} (column {self.position + 1})\n{marked(text, self.position)}"
        return Problem(message, self.hint, file, line)


def marked(text: str, position: int) -> str:
    """Two lines: ``text`` and a caret under its character ``position``; long texts are cut."""
    begin, end = max(0, position - _WINDOW), position + _WINDOW
    before, after = shown(text[begin:position]), shown(text[position:end])
    before = ("..." if begin else "") + before
    after += "..." if end < len(text) else ""
    return f"    {before}{after}\n    {' ' * len(before)}^"


def shown(text: str) -> str:
    """``text`` with what does not print written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, limit: int = 100) -> str:
    """``text`` for the middle of a sentence: printable, and cut behind ``limit`` characters."""
    return shown(text[:limit]) + ("..." if len(text) > limit else "")


def listed(names: Sequence[str]) -> str:
    """``'a', 'b' and 3 more``."""
    named = ", ".join(f"'{shortened(name)}'" for name in names[:NAME_LIMIT])
    more = len(names) - NAME_LIMIT
    return f"{named} and {more} more" if more > 0 else named


def capped(problems: Iterable[Problem]) -> list[Problem]:
    """The first :data:`PROBLEM_LIMIT` problems, and one that counts the others."""
    kept: list[Problem] = []
    more = 0
    for problem in problems:
        if len(kept) < PROBLEM_LIMIT:
            kept.append(problem)
        else:
            more += 1
    if more:
        kept.append(Problem(f"and {more} more problems like these"))
    return kept
