"""What a run looks like in the log: the same as in a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from megdump_ci.action.commands import Log

if TYPE_CHECKING:
    from rich.console import Console

    from megdump_ci.merged import Merged
    from megdump_ci.report import Report

_WIDTH = 120


def show_report(report: Report, log: Log, *, silent: bool) -> None:
    """Show a run; folded up if all is well, else it is what somebody opens the log for."""
    from rich.text import Text

    from megdump_ci.present.console import document, show

    fold = log.group("Report") if report.verdict == "passed" else contextlib.nullcontext()
    with fold, _console(log) as console:
        if silent:
            show(report, console, console, silent=True)
            return
        for part in document(report):
            console.print(part, soft_wrap=isinstance(part, Text))


def show_merged(merged: Merged, log: Log) -> None:
    """Show a row for each entry, and all of those that failed."""
    from megdump_ci.present.project import show_entries

    with _console(log) as console:
        show_entries(merged, console, console)


@contextlib.contextmanager
def _console(log: Log) -> Iterator[Console]:
    from rich.console import Console

    with log.untrusted() as stream:
        yield Console(
            file=stream, force_terminal=True, color_system="standard", width=_WIDTH, highlight=False
        )
