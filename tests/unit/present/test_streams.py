"""Lines that are printed without rich look as those that rich prints."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from megdump_ci.errors import Problem
from megdump_ci.present import console, streams
from megdump_ci.present.text import hanging

PROBLEMS = [
    Problem("cannot read a.mge", "give another\nor none", "list.txt", 3),
    Problem("no hint"),
    Problem("two\n  lines\n\nand a \x1b[31mcolour", "[bold]hint[/bold]"),
]
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TERM", "COLORTERM")


class Stream(io.StringIO):
    """A terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def by_rich(problems: list[Problem], target: Console) -> None:
    for problem in problems:
        message = Text.assemble(("error: ", "bold red"), hanging(problem.located))
        target.print(message, soft_wrap=True)
        if problem.hint:
            target.print(Text(hanging(f"  {problem.hint}"), "dim"), soft_wrap=True)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        dict(pair)
        for count in (0, 1, 2)
        for pair in itertools.combinations(
            [
                ("NO_COLOR", "1"),
                ("NO_COLOR", ""),
                ("FORCE_COLOR", "1"),
                ("FORCE_COLOR", ""),
                ("TTY_COMPATIBLE", "0"),
                ("TTY_COMPATIBLE", "1"),
                ("TERM", "dumb"),
                ("TERM", "xterm-256color"),
                ("COLORTERM", "truecolor"),
            ],
            count,
        )
    ],
    ids=str,
)
def test_the_environment_is_taken_as_rich_takes_it(
    values: dict[str, str], terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    own, theirs, through = Stream(terminal), Stream(terminal), Stream(terminal)
    streams.show_problems(PROBLEMS, own)
    by_rich(PROBLEMS, Console(file=theirs, highlight=False))
    console.show_problems(PROBLEMS, Console(file=through, highlight=False))
    assert own.getvalue() == theirs.getvalue() == through.getvalue()
    assert streams.is_terminal(own) == Console(file=theirs).is_terminal


@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_any_text_is_printed_as_rich_prints_it(message: str, hint: str, styled: bool) -> None:
    own, theirs = io.StringIO(), io.StringIO()
    system = "standard" if styled else None
    target = Console(file=theirs, force_terminal=styled, color_system=system, highlight=False)
    streams.show_problems([Problem(message, hint)], own, styled=styled)
    by_rich([Problem(message, hint)], target)
    assert own.getvalue() == theirs.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_notes_are_dim_in_a_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    stream = Stream(terminal)
    streams.show_notes(["a", ""], stream)
    assert stream.getvalue() == ("\x1b[2ma\x1b[0m\n\n" if terminal else "a\n\n")
