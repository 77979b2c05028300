"""Lines for a terminal, a pipe or a log, by this program alone.

Rich, which draws all the rest, takes longer to load than it takes to say what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO

from megdump_ci.errors import Problem
from megdump_ci.present.text import hanging

DIM = "2"
"""A style, by its number (ECMA-48, "select graphic rendition")."""
_BOLD = "1"
_RED = "31"


def is_terminal(stream: IO[str]) -> bool:
    """Whether ``stream`` leads to a terminal; who set the environment may know better.

    Of its variables, those that rich looks at, so that all is drawn alike.
    """
    compatible = os.environ.get("TTY_COMPATIBLE")
    if compatible in ("0", "1"):
        return compatible == "1"
    forced = os.environ.get("FORCE_COLOR")
    return stream.isatty() if forced is None else bool(forced)


def show_problems(
    problems: Iterable[Problem], stream: IO[str], *, styled: bool | None = None
) -> None:
    """Print what is wrong, and what to do about it.

    It is ``styled`` in a terminal, if nobody says whether it is.
    """
    if styled is None:
        styled = _takes_styles(stream)
    lines = []
    for problem in problems:
        lines.append(_paint("error: ", _loud(), styled) + hanging(problem.located))
        if problem.hint:
            lines += _painted(hanging(f"  {problem.hint}"), DIM, styled)
    say(lines, stream)


def show_notes(lines: Iterable[str], stream: IO[str]) -> None:
    """Print what is less than a problem."""
    styled = _takes_styles(stream)
    say([_paint(line, DIM, styled) for line in lines], stream)


def say(lines: Iterable[str], stream: IO[str]) -> None:
    """Print at once; nothing if nobody listens."""
    try:
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()
    except BrokenPipeError:
        drop(stream)


def drop(*streams: IO[str]) -> None:
    """Let what is left for them go nowhere: Python would try again at its end, and exit by 120."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _takes_styles(stream: IO[str]) -> bool:
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return not dumb and is_terminal(stream)


def _loud() -> str:
    return _BOLD if os.environ.get("NO_COLOR") else f"{_BOLD};{_RED}"


def _painted(text: str, style: str, styled: bool) -> list[str]:
    # Each for itself: what else writes to a log may come between two.
    return [_paint(line, style, styled) for line in text.split("\n")]


def _paint(text: str, style: str, styled: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if styled and text else text
