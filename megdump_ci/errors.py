"""The errors a run can end with, each class with its exit status.

An error says what happened, with which value, and what to do next. It carries one or more
:class:`Problem`, so that several wrong inputs are reported in one go. Anything that is not a
:class:`MegdumpError` is a fault of this program and leaves with :attr:`ExitStatus.INTERNAL`.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing fails with where there is no room for it."""


class ExitStatus(enum.IntEnum):
    """What the process's exit status means; the same for the command and the action."""

    PASSED = 0
    """Every testcase passed (or verification was switched off, and the report says so)."""
    FAILED = 1
    """A comparison failed."""
    INPUT = 2
    """An option, file or data spec is wrong, or the user stopped the run."""
    ENGINE = 3
    """The engine crashed, hung, ran out of a limit or refused the model."""
    INTERNAL = 4
    """A fault of megdump-ci itself."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``message`` names what happened and the value it happened with; ``hint`` says what to do
    about it. ``file`` and ``line`` (from 1) point at the place that has to be changed.
    """

    message: str
    hint: str = ""
    file: str = ""
    line: int = 0

    @property
    def located(self) -> str:
        """The message, behind the place if there is one."""
        where = f"{self.file}:{self.line}: " if self.file and self.line else ""
        return where + self.message

    def __str__(self) -> str:
        return self.located + (f"\n  {self.hint}" if self.hint else "")


class MegdumpError(Exception):
    """Base of the errors that are answered with a message and not with a traceback."""

    exit_status = ExitStatus.INTERNAL

    def __init__(self, problems: str | Problem | Sequence[Problem], hint: str = "") -> None:
        if isinstance(problems, str):
            problems = Problem(problems, hint)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(MegdumpError):
    """The user's input is wrong: an option, a file, a data spec, a name."""

    exit_status = ExitStatus.INPUT


class Interrupted(MegdumpError):
    """The user or the system asked the run to stop (SIGINT, SIGTERM)."""

    exit_status = ExitStatus.INPUT


class EngineError(MegdumpError):
    """MegEngine crashed, hung, met a limit, or cannot run what it was given."""

    exit_status = ExitStatus.ENGINE


def no_room(error: OSError) -> Problem:
    """The problem that one of :data:`NO_ROOM` is."""
    hint = "make room for the output and for temporary files (TMPDIR)"
    return Problem(f"cannot write: {error.strerror}", hint)


def check_all(checks: Iterable[Callable[[], object]]) -> None:
    """Make all checks, then raise one :class:`InputError` with what any of them found."""
    problems: list[Problem] = []
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
