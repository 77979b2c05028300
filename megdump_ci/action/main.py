"""The door of the container action: environment in, log, outputs, summary and exit status out."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from megdump_ci import __version__
from megdump_ci.action import files, inputs, paths
from megdump_ci.action.commands import ANNOTATION_LIMIT, Log
from megdump_ci.action.options import ActionOptions
from megdump_ci.action.ownership import Handover
from megdump_ci.errors import ExitStatus, Interrupted, MegdumpError, Problem
from megdump_ci.options import PackOptions

if TYPE_CHECKING:
    from megdump_ci.action.bundle import Entry
    from megdump_ci.report import Report, Verdict

_WIDTH = 120
_EVERY = 10.0
"""Seconds between two lines that say how far the run is."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the action ended; ``result`` is ``None`` if the run did not come to a report."""

    verdict: Verdict
    exit_status: int
    headline: str
    problems: Sequence[Problem] = ()
    options: PackOptions | None = None
    result: Report | None = None
    job: ActionOptions | None = None
    written: Sequence[Entry] = ()
    """What goes into an artifact."""


def main(environ: Mapping[str, str], stream: TextIO | None = None) -> int:
    """Do what the inputs in ``environ`` ask for; the exit status. ``stream`` is the log."""
    log = Log(stream or _stdout())
    log.line(f"megdump-ci {__version__}")
    root = paths.workspace(environ)
    os.chdir(root)
    for text in inputs.unknown(environ):
        log.warning(text)
    with _on_stop(_stop):
        outcome = _attempt(environ, root, log)
    # From here it takes a moment, and the next steps (if: always()) want to know the verdict.
    with _on_stop(signal.SIG_IGN):
        _annotate(outcome, root, log)
        _write_summary(outcome, environ, log)
        status = _write_outputs(outcome, environ, root, log)
    # This takes as long as it takes, and whatever becomes of it, the verdict is told by now.
    with _on_stop(_stop):
        return _upload(outcome, status, environ, root, log)


def _attempt(environ: Mapping[str, str], root: Path, log: Log) -> Outcome:
    try:
        given = inputs.read(environ)
        options = paths.localised(given.pack, environ)
        handover = Handover(
            root,
            (options.output, options.deploy_output),
            (options.report,) if options.report else (),
        )
        try:
            return _run(options, given.action, root, log)
        finally:
            for text in handover.give():
                log.warning(f"cannot give a file to the owner of the workspace: {text}")
    except MegdumpError as error:
        return _stopped(error)
    # The last line of defence: whatever happens, the next steps are told the verdict.
    except Exception as error:
        with log.untrusted() as stream:
            stream.write(traceback.format_exc())
        return _fault(error)


def _run(options: PackOptions, job: ActionOptions, root: Path, log: Log) -> Outcome:
    # Not before the inputs are right: these take longer to load than the answer to a wrong one.
    from rich.console import Console

    from megdump_ci.action import bundle
    from megdump_ci.pipeline import run
    from megdump_ci.present.console import show

    before = bundle.marks(options.report)
    with log.group(f"Pack and verify {options.model}"), log.untrusted() as stream:
        result = run(options, _Progress(stream))
    with log.untrusted() as stream:
        console = Console(
            file=stream, force_terminal=True, color_system="standard", width=_WIDTH, highlight=False
        )
        show(result, console, console, silent=options.silent)
    return Outcome(
        verdict=result.verdict,
        exit_status=result.exit_status,
        headline=result.headline,
        problems=result.problems,
        options=options,
        result=result,
        job=job,
        written=bundle.entries(result, options.report, before, root),
    )


class _Progress:
    """Says in the log how the run goes on; a log has no place for a bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = time.monotonic() + _EVERY

    def phase(self, name: str) -> None:
        """Name what is going on."""
        self._say(name)

    def advanced(self, done: int, total: int) -> None:
        """Say how far it is, now and then."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._say(f"{done} of {total} testcases checked")

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _stopped(error: MegdumpError) -> Outcome:
    count = len(error.problems)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return Outcome(
        verdict="error",
        exit_status=error.exit_status,
        headline=f"ERROR: {error.problems[0].message}{more}",
        problems=error.problems,
    )


def _fault(error: Exception) -> Outcome:
    what = "".join(traceback.format_exception_only(type(error), error)).strip()
    return Outcome(
        verdict="error",
        exit_status=ExitStatus.INTERNAL,
        headline="ERROR: megdump-ci has a fault",
        problems=[
            Problem(
                f"megdump-ci has a fault: {what}", "please report it with the traceback in the log"
            )
        ],
    )


def _annotate(outcome: Outcome, root: Path, log: Log) -> None:
    for problem in outcome.problems:
        message = f"{problem.message}\n{problem.hint}" if problem.hint else problem.message
        file = paths.shown(problem.file, root) if problem.file and problem.line else ""
        log.error(message, file=file, line=problem.line)
    if outcome.result is None:
        return
    for text in outcome.result.warnings:
        log.warning(text)
    if outcome.verdict == "failed":
        log.error(outcome.headline)
        _annotate_testcases(outcome.result, root, log)
    elif outcome.verdict == "not verified":
        log.warning(outcome.headline)


def _annotate_testcases(result: Report, root: Path, log: Log) -> None:
    from megdump_ci.action.summary import reason

    failed = [testcase for testcase in result.testcases if not testcase.passed]
    # One annotation is the headline.
    for testcase in failed[: ANNOTATION_LIMIT - 1]:
        source = testcase.source
        file = paths.shown(source.file, root) if source and source.file and source.line else ""
        spec = f" ({source.spec})" if source else ""
        log.error(
            f"testcase {testcase.index}{spec}: {reason(testcase)}",
            file=file,
            line=source.line if source else 0,
        )


def _write_summary(outcome: Outcome, environ: Mapping[str, str], log: Log) -> None:
    from megdump_ci.action.summary import markdown

    path = environ.get("GITHUB_STEP_SUMMARY", "")
    text = markdown(
        outcome.verdict,
        outcome.headline,
        outcome.problems,
        outcome.result,
        files.summary_room(path),
    )
    _append_summary(text, environ, log)


def _append_summary(text: str, environ: Mapping[str, str], log: Log) -> None:
    path = environ.get("GITHUB_STEP_SUMMARY", "")
    if len(text.encode()) > files.summary_room(path):
        return
    try:
        files.append_summary(path, text)
    except OSError as error:
        log.warning(f"cannot write the job summary: {error}")


def _write_outputs(outcome: Outcome, environ: Mapping[str, str], root: Path, log: Log) -> int:
    return _append_outputs(_outputs(outcome, root), outcome.exit_status, environ, log)


def _append_outputs(
    values: dict[str, str], status: int, environ: Mapping[str, str], log: Log
) -> int:
    """The exit status, which is ``status`` unless the outputs cannot be written."""
    try:
        files.append_outputs(environ.get("GITHUB_OUTPUT", ""), values)
    except OSError as error:
        log.error(
            f"cannot write the outputs {', '.join(values)}, so the next steps do not know them:"
            f" {error}"
        )
        return status or ExitStatus.INPUT
    return status


def _outputs(outcome: Outcome, root: Path) -> dict[str, str]:
    """The outputs by name; a path only if this run wrote the file."""
    result = outcome.result
    # After an error, a file of that name is an earlier run's.
    packed = result.packed if result and outcome.verdict != "error" else None
    infos = result.strip_info if result else []
    error = result.max_error if result else None
    return {
        "verdict": outcome.verdict,
        "output": _written(packed.path, root) if packed else "",
        "strip-info": "\n".join(filter(None, (_written(info.path, root) for info in infos))),
        "report": _report(outcome, root),
        "max-error": "" if error is None else str(error),
    }


def _written(path: str, root: Path) -> str:
    return paths.shown(path, root) if os.path.isfile(path) else ""


def _report(outcome: Outcome, root: Path) -> str:
    if outcome.result is None or outcome.options is None or not outcome.options.report:
        return ""
    from megdump_ci.report import to_json

    path = os.path.join(outcome.options.report, "report.json")
    try:
        written = Path(path).read_bytes()
    except OSError:
        return ""
    return paths.shown(path, root) if written == to_json(outcome.result) else ""


def _upload(outcome: Outcome, status: int, environ: Mapping[str, str], root: Path, log: Log) -> int:
    """Upload what the run wrote, if that is asked for; the exit status.

    Where an artifact was asked for by ``true``, there is no success without it.
    """
    from megdump_ci.action import upload

    job, options = outcome.job, outcome.options
    if job is None or options is None or not upload.due(job, outcome.exit_status):
        return status
    name = upload.name_of(job, options.model, root)
    try:
        artifact = upload.upload(outcome.written, name, job.artifact_retention_days, environ, log)
    except MegdumpError as error:
        failed = _stopped(error)
    except Exception as error:
        with log.untrusted() as stream:
            stream.write(traceback.format_exc())
        failed = _fault(error)
    else:
        _append_summary(upload.summary(artifact, environ), environ, log)
        return _append_outputs(upload.outputs(artifact), status, environ, log)
    problem = failed.problems[0]
    _append_summary(upload.failure(problem), environ, log)
    if job.upload != "true":
        log.warning(f"no artifact: {problem.message}\n{problem.hint}")
        return status
    log.error(f"no artifact: {problem.message}\n{problem.hint}")
    return status or failed.exit_status


@contextlib.contextmanager
def _on_stop(action: Callable[[int, Any], None] | signal.Handlers) -> Iterator[None]:
    """Answer SIGTERM and SIGINT (a cancelled job) with ``action``.

    The first process of a container has no default for SIGTERM. The run itself puts its own
    handlers in their place.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)
    earlier = [signal.signal(number, action) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)


def _stop(number: int, _frame: object) -> NoReturn:
    raise Interrupted(f"stopped by {signal.Signals(number).name}", "run the job again")


def _stdout() -> TextIO:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name of the workspace need not be text.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout
