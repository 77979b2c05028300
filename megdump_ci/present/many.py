"""What the commands for many models print; :mod:`megdump_ci.present.project` draws the rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from megdump_ci.errors import ExitStatus, MegdumpError
from megdump_ci.merged import Entry, Merged
from megdump_ci.present import terminal
from megdump_ci.present.streams import say, show_notes, show_problems
from megdump_ci.present.text import one_line
from megdump_ci.project import commands, matrix
from megdump_ci.project.commands import Plan
from megdump_ci.project.options import MergeOptions, PlanOptions, ProjectOptions
from megdump_ci.session import Observer

if TYPE_CHECKING:
    from megdump_ci.present.project import Rows


def run(options: ProjectOptions) -> int:
    """Do what the options ask for, print what came of it, return the exit status."""
    try:
        status, tell = _done(options)
    # The last line of defence: a fault of our own is answered with where to report it.
    except Exception:
        return terminal.told(terminal.show_fault) or ExitStatus.INTERNAL
    end = terminal.told(tell)
    # What the run came to, if that is no pass, is the more important of the two.
    return status or end


def _done(options: ProjectOptions) -> tuple[int, Callable[[], None]]:
    """The exit status, and what tells of it."""
    if isinstance(options, PlanOptions):
        try:
            plan = commands.plan(options)
        except MegdumpError as error:
            found = error.problems
            return error.exit_status, lambda: show_problems(found, sys.stderr)
        return ExitStatus.PASSED, lambda: _show_plan(plan)
    if isinstance(options, MergeOptions):
        merged = commands.merge(options)
        return merged.exit_status, lambda: _show(merged, rows=True)
    with terminal.progress() as observer:
        merged = commands.run(options, _Rows(observer))
    return merged.exit_status, lambda: _show(merged, rows=False)


class _Rows:
    """The rows of a run. What draws them is loaded for the first: a wrong file has none."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._rows: Rows | None = None

    def chosen(self, names: Sequence[str]) -> None:
        """Print the head."""
        from megdump_ci.present import console, project

        self._rows = project.Rows(console.stdout(), self._observer)
        self._rows.chosen(names)

    def began(self, name: str) -> None:
        """Name what is going on."""
        assert self._rows is not None
        self._rows.began(name)

    def ended(self, entry: Entry) -> None:
        """Print its row."""
        assert self._rows is not None
        self._rows.ended(entry)


def _show(merged: Merged, *, rows: bool) -> None:
    """Print a merged report, with or without the rows, which a run has printed by then."""
    if not merged.entries and merged.problems:
        show_problems(merged.problems, sys.stderr)
        return
    # As for the rows.
    from megdump_ci.present import console, project

    show = project.show if rows else project.show_rest
    show(merged, console.stdout(), console.stderr())


def _show_plan(plan: Plan) -> None:
    """Print the matrix on stdout, for programs, and what selected the entries on stderr."""
    say([matrix.to_json(plan.matrix)], sys.stdout)
    show_notes(map(one_line, plan_lines(plan)), sys.stderr)


def plan_lines(plan: Plan) -> list[str]:
    """How a plan came about."""
    changes = plan.changes
    lines = [f"{name}: {reason}" for name, reason in changes.reasons.items()]
    lines += [changes.note] if changes.note else []
    jobs = len(plan.matrix.include)
    noun = "job" if jobs == 1 else "jobs"
    return [*lines, f"{len(changes.entries)} of {plan.total} entries, {jobs} {noun}"]
