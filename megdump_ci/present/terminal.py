"""What the command does and prints; how a report looks is :mod:`megdump_ci.present.console`'s.

Wrong input is answered before all that a run needs is loaded, and what shows the report is loaded
while the engine works.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from megdump_ci import inputs
from megdump_ci.errors import ExitStatus, MegdumpError, Problem
from megdump_ci.options import Options, checked
from megdump_ci.present.streams import drop, is_terminal, say, show_problems

if TYPE_CHECKING:
    from types import ModuleType

    from megdump_ci.report import Report
    from megdump_ci.session import Observer


def run(options: Options, *, own: bool = False) -> int:
    """Run with a progress bar, print the report, return the exit status.

    ``own``: the process is there for this run, whose time then begins with it.
    """
    try:
        error = _wrong(options)
        if error is not None:
            told(partial(_show_wrong, error, options))
            return error.exit_status
        report = _report(options, own)
    # The last line of defence: a fault of our own is answered with where to report it.
    except Exception:
        told(show_fault)
        return ExitStatus.INTERNAL
    end = told(partial(_show, report, options))
    # What the run came to, if that is no pass, is the more important of the two.
    return report.exit_status or end


def _wrong(options: Options) -> MegdumpError | None:
    """What is wrong with the input, if a message is all that is wanted of a run.

    A run looks by itself: what it goes by is what it finds then.
    """
    if options.report or options.profile:
        return None
    try:
        checked(options)
        inputs.read(options)
    except MegdumpError as error:
        return error
    return None


def _show_wrong(error: MegdumpError, options: Options) -> None:
    show_problems(error.problems, sys.stderr)
    if options.silent:
        # There is no maximum error.
        say(["-"], sys.stdout)


def _report(options: Options, own: bool) -> Report:
    # Not before the input is right: it takes as long to load as all that comes before.
    from megdump_ci import pipeline, stages

    began = stages.process_began() if own else None
    with progress(quiet=options.silent) as observer:
        return pipeline.run(options, observer, began, aside=_console)


def _show(report: Report, options: Options) -> None:
    console = _console()
    console.show(report, console.stdout(), console.stderr(), silent=options.silent)


def _console() -> ModuleType:
    # Nobody needs it before there is a report, and it takes its time to load.
    from megdump_ci.present import console

    return console


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Observer]:
    """A progress bar, where there is a terminal to draw it on."""
    if quiet or not is_terminal(sys.stderr):
        from megdump_ci.session import Silent

        yield Silent()
        return
    from megdump_ci.present.bar import Bar

    with Bar() as bar:
        yield bar


def told(tell: Callable[[], None]) -> int:
    """Say what there is to say; 0 if that was done, or nobody listens, or else the exit status."""
    try:
        tell()
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        drop(sys.stdout, sys.stderr)
    except OSError as error:
        drop(sys.stdout)
        why = f"cannot write what was found: {error.strerror}"
        try:
            show_problems([Problem(why, "make room for what the output goes to")], sys.stderr)
        except OSError:
            drop(sys.stderr)
        return ExitStatus.INPUT
    # The last line of defence: a fault of our own is answered with where to report it.
    except Exception:
        with contextlib.suppress(OSError):
            show_fault()
        return ExitStatus.INTERNAL
    return ExitStatus.PASSED


def show_fault() -> None:
    """Print the exception that is being handled."""
    _console().show_fault()
