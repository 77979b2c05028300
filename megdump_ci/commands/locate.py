"""Where a packed graph first goes wrong, once the verdict is known. It is not changed by that."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from megdump_ci import protocol, report, target
from megdump_ci.commands.usercode import Exported, traced_path
from megdump_ci.errors import EngineError, ExitStatus, Interrupted, MegdumpError
from megdump_ci.options import ExportOptions, Options, PackOptions, VerifyOptions
from megdump_ci.session import InternalError, Session, WorkerFailed
from megdump_ci.state import State

MOST_SECONDS = 300.0
"""What it may take, where a phase may take longer: a verdict is not kept waiting for long."""

NAIVE_SECONDS = 60.0
"""What naive kernels may take, to tell whether they do better."""

_PHASES: dict[report.Kernels, str] = {
    "fast": "locating",
    "naive": "locating with naive kernels",
}


def execute(options: PackOptions | VerifyOptions, state: State, session: Session) -> None:
    """Look for the first operator that goes wrong, if a comparison failed or it was asked for.

    What goes wrong with the looking is a warning.
    """
    failed = state.exit_status == ExitStatus.FAILED
    verdict = failed or state.exit_status == ExitStatus.PASSED
    if not options.model or state.kernels is None or not verdict or not (failed or options.locate):
        return
    others = _others(state.testcases)
    if others and not options.locate:
        state.warnings.append(
            "no operator was looked for: the packed graph computes what the model does, and what"
            f" differs is {' and '.join(others)}"
        )
        return
    state.location = _located(_job(options, state, session), options, state, session)


def after_export(
    options: ExportOptions, exported: Exported, state: State, session: Session
) -> None:
    """Look for what the written model computes otherwise than the one that was traced."""
    if state.exit_status != ExitStatus.FAILED or state.kernels is None or state.exported is None:
        return
    worst = worst_testcase(state.testcases)
    compared = [output.against_model for output in worst.outputs if output.against_model]
    if all(comparison.passed for comparison in compared):
        # What differs is the Python code, which has no operators to look at.
        return
    job = protocol.LocateJob(
        packed=state.exported.path,
        sample=exported.samples[worst.index],
        model=exported.path,
        shown=str(exported.target),
        testcase=worst.index,
        error=report.number(_error(worst)),
        failed=_failed(worst),
        kernels=state.kernels,
    )
    state.location = _located(job, options, state, session)


def _located(
    job: protocol.LocateJob, options: Options, state: State, session: Session
) -> report.Location | None:
    session.observer.phase("locate")
    location = _found(job, options, state, session)
    # What is altered in the file is wrong on any kernels.
    open_question = location is not None and any(not item.altered for item in location.wrong)
    if location is not None and location.kernels == "fast" and open_question:
        return _with_naive(location, job, options, state, session)
    return location


_OTHERS = {
    "against_expected": "the expected values in the file",
    "model_against_python": "the Python code",
    "against_python": "the Python code",
    "against_lite": "MegEngine Lite",
}


def _others(testcases: Sequence[report.Testcase]) -> list[str]:
    """What the outputs that failed differ from, where none of them differs from the model."""
    failed = [output for testcase in testcases for output in testcase.outputs if not output.passed]
    found: dict[str, None] = {}
    for output in failed:
        comparisons = {name: getattr(output, name) for name in ("against_model", *_OTHERS)}
        wrong = [name for name, item in comparisons.items() if item and not item.passed]
        if not wrong or output.against_model is None or "against_model" in wrong:
            return []
        found.update(dict.fromkeys(_OTHERS[name] for name in wrong))
    return list(found)


def _found(
    job: protocol.LocateJob, options: Options, state: State, session: Session
) -> report.Location | None:
    """What was found, with kernels that can run both graphs one operator at a time."""
    tried: Sequence[report.Kernels] = ("fast", "naive") if job.kernels == "fast" else ("naive",)
    location, reasons = None, []
    for kernels in tried:
        try:
            own = msgspec.structs.replace(job, kernels=kernels)
            location = _looked(own, options, state, session, MOST_SECONDS)
            break
        except WorkerFailed as error:
            reasons.append(f"{kernels} kernels: {error.problems[0].message.splitlines()[0]}")
        except Interrupted:
            raise
        except MegdumpError as error:
            reasons.append(error.problems[0].message)
            break
        except InternalError as error:
            # An exception of the engine brings its native backtrace.
            last = str(error).split("\nbacktrace:")[0].strip().splitlines()[-1]
            reasons.append(f"{last} (a fault of megdump-ci: please report it)")
            break
    if reasons:
        end = "looked for with naive kernels" if location else "not found"
        state.warnings.append(
            f"the operator where it first goes wrong was {end}: {'; '.join(reasons)}"
        )
    return location


def _with_naive(
    location: report.Location,
    job: protocol.LocateJob,
    options: Options,
    state: State,
    session: Session,
) -> report.Location:
    """The location, its operators with how they do on naive kernels: graph or kernel to blame."""
    try:
        own = msgspec.structs.replace(job, kernels="naive")
        naive = _looked(own, options, state, session, NAIVE_SECONDS)
    except Interrupted:
        raise
    except (MegdumpError, InternalError) as error:
        lines = str(error).strip().splitlines()
        note = f"whether naive kernels do better was not found out: {lines[0]}"
        return msgspec.structs.replace(location, notes=[*location.notes, note])
    statuses = {step.name: step.status for step in naive.operators}
    wrong = [
        msgspec.structs.replace(item, naive=_judged(statuses.get(item.name)))
        for item in location.wrong
    ]
    return msgspec.structs.replace(location, wrong=wrong)


def _judged(status: report.OperatorStatus | None) -> Literal["right", "wrong"] | None:
    if status == "source":
        return "wrong"
    return "right" if status in ("ok", "follows") else None


def _looked(
    job: protocol.LocateJob,
    options: Options,
    state: State,
    parent: Session,
    seconds: float,
) -> report.Location:
    """What an engine process of its own finds within so many seconds."""
    limited = dataclasses.replace(options, timeout=min(options.timeout, seconds))
    session = parent.child(parent.folder, limited)
    found = None
    try:
        worker = session.start(_PHASES[job.kernels], job.kernels)
        worker.send(job)
        worker.busy(True)
        for _, event in session.events():
            if isinstance(event, protocol.Located):
                found = event.location
    finally:
        state.processes += session.processes()
        session.close()
    if found is None:
        raise EngineError("nothing was said", "this is a fault of megdump-ci: please report it")
    return found


def _job(
    options: PackOptions | VerifyOptions, state: State, session: Session
) -> protocol.LocateJob:
    assert state.packed is not None
    assert state.kernels is not None
    worst = worst_testcase(state.testcases)
    code = target.is_code(options.model)
    return protocol.LocateJob(
        packed=state.packed.path,
        model=traced_path(session) if code else options.model,
        shown=options.model,
        testcase=worst.index,
        error=report.number(_error(worst)),
        failed=_failed(worst),
        kernels=state.kernels,
    )


def _failed(testcase: report.Testcase) -> list[str]:
    return [output.name for output in testcase.outputs if not output.passed]


def worst_testcase(testcases: Sequence[report.Testcase]) -> report.Testcase:
    """The testcase with the largest error of those that failed, or of all if none did."""
    failed = [testcase for testcase in testcases if not testcase.passed]
    # max() takes the first of equals; what is no number is worse than any.
    return max(failed or testcases, key=lambda case: _rank(_error(case)))


def _rank(error: float) -> float:
    return math.inf if math.isnan(error) else error


def _error(testcase: report.Testcase) -> float:
    """The largest error against the model's results; 0 where there is none."""
    found = [item.against_model.error for item in testcase.outputs if item.against_model]
    return max((float(value) for value in found if value is not None), key=_rank, default=0.0)
