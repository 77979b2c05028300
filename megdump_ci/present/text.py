"""Making text from models, files and exceptions safe to print."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megdump_ci.report import Number

_BREAK = re.compile(r"\n(?=\S)")


def plain(text: str) -> str:
    """``text`` in which nothing steers a terminal.

    Control and direction characters are shown as escapes; newlines stay.
    """
    # Nearly all text is, and a report has megabytes of it.
    if text.replace("\n", "").isprintable():
        return text
    return "".join(char if _harmless(char) else _escape(char) for char in text)


def hanging(text: str) -> str:
    """``text`` as harmless lines of which no further one begins as a line of its own would."""
    return _BREAK.sub("\n  ", plain(text))


def one_line(text: str, limit: int = 200) -> str:
    """``text`` as one harmless line of at most ``limit`` characters."""
    # What is shown is never shorter than what it shows, so the rest need not be looked at.
    line = plain(text[: limit + 1]).replace("\n", "\\n")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _harmless(char: str) -> bool:
    # Cc: control, Cf: direction marks and the like, Cs: lone surrogates, Zl/Zp: line breaks.
    return char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def number_text(value: Number | None) -> str:
    """A number to three digits; a dash for none."""
    return "-" if value is None else f"{float(value):.3g}"


def size_text(size: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
