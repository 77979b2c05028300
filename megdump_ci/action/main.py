"""The door of the container action: environment in, log, outputs, summary and exit status out."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from megdump_ci import __version__, stopping
from megdump_ci.action import files, inputs, paths
from megdump_ci.action.commands import Log
from megdump_ci.action.options import ActionOptions
from megdump_ci.action.outcome import Outcome
from megdump_ci.action.ownership import Handover
from megdump_ci.action.progress import Phases
from megdump_ci.errors import ExitStatus, Interrupted, MegdumpError, Problem
from megdump_ci.options import PackOptions
from megdump_ci.present.text import one_line, plain

if TYPE_CHECKING:
    pass

_STYLES = {"passed": "green", "failed": "red", "error": "red", "not verified": "yellow"}


def main(environ: Mapping[str, str], stream: TextIO | None = None) -> int:
    """Do what the inputs in ``environ`` ask for; the exit status. ``stream`` is the log."""
    # A cancelled job gets SIGINT and then SIGTERM, for which the first process of a container has
    # no default. Where nothing below answers, nothing has been begun, or all is told.
    with stopping.at_once():
        return _main(environ, stream)


def _main(environ: Mapping[str, str], stream: TextIO | None) -> int:
    log = Log(stream or _stdout())
    log.line(f"megdump-ci {__version__}")
    root = paths.workspace(environ)
    os.chdir(root)
    _annotate_unknown(environ, root, log)
    with stopping.answering(_stop), paths.confined(environ):
        outcome = _attempt(environ, root, log)
    # From here it takes a moment, and the next steps (if: always()) want to know the verdict.
    with stopping.answering(signal.SIG_IGN):
        status = _tell(outcome, environ, root, log)
    # This takes as long as it takes, and whatever becomes of it, the verdict is told by now.
    with stopping.answering(_stop):
        end = _upload(outcome, status, environ, root, log)
    _say_verdict(outcome, end, log)
    return end


def _attempt(environ: Mapping[str, str], root: Path, log: Log) -> Outcome:
    try:
        given, options = _read(environ, log)
        if given.action.of_config:
            from megdump_ci.action import modes

            return modes.run(replace(given, pack=options), environ, root, log)
        handover = Handover(
            root,
            (options.output, options.deploy_output, options.profile),
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
            stream.write(plain(traceback.format_exc()))
        return _fault(error)


def _read(environ: Mapping[str, str], log: Log) -> tuple[inputs.Inputs, PackOptions]:
    with log.phase("Check the inputs"):
        given = inputs.read(environ)
        for text in inputs.texts(given):
            log.line(text)
        return given, paths.localised(given.pack, environ)


def _run(options: PackOptions, job: ActionOptions, root: Path, log: Log) -> Outcome:
    # Not before the inputs are right: these take longer to load than the answer to a wrong one.
    from megdump_ci.action import bundle, showing
    from megdump_ci.pipeline import run

    before = bundle.marks(options.report, options.profile)
    with Phases(log) as phases:
        result = run(options, phases)
    showing.show_report(result, log, silent=options.silent)
    return Outcome(
        verdict=result.verdict,
        exit_status=result.exit_status,
        headline=result.headline,
        problems=result.problems,
        options=options,
        result=result,
        job=job,
        written=bundle.entries(result, options.report, before, root, options.profile),
    )


def _stopped(error: MegdumpError) -> Outcome:
    count = len(error.problems)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return Outcome(
        verdict="error",
        exit_status=error.exit_status,
        # The lines below the first are an excerpt.
        headline=f"ERROR: {error.problems[0].message.splitlines()[0]}{more}",
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


def _tell(outcome: Outcome, environ: Mapping[str, str], root: Path, log: Log) -> int:
    """Annotations, summary and outputs; the exit status. A fault in one leaves the others alone."""
    status = outcome.exit_status
    for tell in (
        partial(_annotate, outcome, environ, root, log),
        partial(_write_summary, outcome, environ, log),
    ):
        try:
            tell()
        except Exception as error:
            with log.untrusted() as stream:
                stream.write(plain(traceback.format_exc()))
            (problem,) = _fault(error).problems
            log.error(f"{problem.message}\n{problem.hint}", title="a fault of megdump-ci")
            status = status or ExitStatus.INTERNAL
    return _write_outputs(outcome, status, environ, root, log)


def _annotate(outcome: Outcome, environ: Mapping[str, str], root: Path, log: Log) -> None:
    from megdump_ci.action import annotations
    from megdump_ci.action.places import Places

    places = Places(environ, root, outcome.options.model if outcome.options else "")
    found = [*annotations.of_problems(outcome.problems, outcome.exit_status, places)]
    if outcome.result is not None:
        found += annotations.of_report(outcome.result, places)
    annotations.tell([*found, *outcome.annotations], log)


def _annotate_unknown(environ: Mapping[str, str], root: Path, log: Log) -> None:
    texts = inputs.unknown(environ)
    if not texts:
        return
    from megdump_ci.action.places import Places

    places = Places(environ, root)
    for text in texts:
        place = places.problem(Problem(text), ExitStatus.INPUT)
        log.warning(text, title="no such input", file=place.file, line=place.line)


def _say_verdict(outcome: Outcome, exit_status: int, log: Log) -> None:
    """The last line, outside of any group."""
    seconds = f" ({outcome.result.seconds:.1f} s)" if outcome.result else ""
    log.line(f"{one_line(outcome.headline, 400)}{seconds}", _STYLES[outcome.verdict])
    if exit_status != outcome.exit_status:
        log.line(f"the step ends with exit status {exit_status} for what came after", "red")


def _write_summary(outcome: Outcome, environ: Mapping[str, str], log: Log) -> None:
    from megdump_ci.action.summary import RESERVED, markdown

    path = environ.get("GITHUB_STEP_SUMMARY", "")
    text = markdown(
        outcome.verdict,
        outcome.headline,
        outcome.problems,
        result=outcome.result,
        room=files.summary_room(path) - RESERVED,
        folder=outcome.options.report if outcome.options and outcome.job else "",
        page=outcome.page,
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


def _write_outputs(
    outcome: Outcome, status: int, environ: Mapping[str, str], root: Path, log: Log
) -> int:
    from megdump_ci.action import outputs

    values = outputs.of_run(
        outcome.verdict,
        outcome.headline,
        outcome.result,
        outcome.options.report if outcome.options else "",
        root,
    )
    return _append_outputs({**values, **outcome.outputs}, status, environ, log)


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


def _upload(outcome: Outcome, status: int, environ: Mapping[str, str], root: Path, log: Log) -> int:
    """Upload what the run wrote, if that is asked for; the exit status.

    Where an artifact was asked for by ``true``, there is no success without it.
    """
    from megdump_ci.action import upload

    job, options = outcome.job, outcome.options
    if job is None or options is None or not upload.due(job, outcome.exit_status):
        return status
    name = upload.name_of(job, outcome.artifact or options.model, root)
    try:
        artifact = upload.upload(outcome.written, name, job.artifact_retention_days, environ, log)
    except MegdumpError as error:
        failed = _stopped(error)
    except Exception as error:
        with log.untrusted() as stream:
            stream.write(plain(traceback.format_exc()))
        failed = _fault(error)
    else:
        _append_summary(upload.summary(artifact, environ), environ, log)
        return _append_outputs(upload.outputs(artifact), status, environ, log)
    problem = failed.problems[0]
    _append_summary(upload.failure(problem), environ, log)
    if job.upload != "true":
        log.warning(f"no artifact: {problem.message}\n{problem.hint}", title="no artifact")
        return status
    log.error(f"no artifact: {problem.message}\n{problem.hint}", title="no artifact")
    return status or failed.exit_status


def _stop(number: int, _frame: object) -> NoReturn:
    raise Interrupted(f"stopped by {signal.Signals(number).name}", "run the job again")


def _stdout() -> TextIO:
    if sys.stdout is None:
        # It was closed: the outputs and the summary still tell the verdict.
        return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name of the workspace need not be text.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout
