"""``--cross-check lite``: the deploy graph on MegEngine Lite, beside the verdict of MegEngine.

Lite is the runtime that devices use. It loads, plans and runs a graph by code of its own, with the
kernels that MegEngine has: what it finds is a graph that the one runs and the other does not, or
runs otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from megdump_ci import protocol, report, scrutiny
from megdump_ci.errors import EngineError, ExitStatus, InputError, Problem
from megdump_ci.gates import Gates
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State

DTYPES = ("float32", "float16", "int32", "int16", "int8", "uint8", "uint16")
"""What inputs and outputs can be in MegEngine Lite 1.13.0."""

_PHASE = "cross-checking"
_HINT = (
    "MegEngine itself runs the graph: leave out --cross-check if no device runs it with MegEngine"
    " Lite"
)


def check_dtypes(graph: report.Graph) -> None:
    """:class:`InputError` for inputs and outputs that MegEngine Lite does not take."""
    tensors = [("input", item) for item in graph.inputs]
    tensors += [("output", item) for item in graph.outputs]
    problems = [
        Problem(
            f"{kind} {item.name} of {graph.path} has dtype {item.dtype}, which MegEngine Lite does"
            " not take",
            f"leave out --cross-check, or convert inside the model: {', '.join(DTYPES)} will do",
        )
        for kind, item in tensors
        if item.dtype not in DTYPES
    ]
    if problems:
        raise InputError(problems)


def run(job: protocol.LiteJob, state: State, session: Session) -> None:
    """Run all testcases on Lite and add what it computed to the state, with a new verdict."""
    if state.kernels is None:
        state.warnings.append("nothing was cross-checked: the packed graph does not run here")
        return
    session.observer.phase("cross-check on MegEngine Lite")
    # With the kernels that could run the packed graph: Lite shares them.
    worker = session.start(_PHASE, state.kernels)
    worker.send(job)
    worker.busy(True)
    try:
        checked = _checked(state, session)
    except WorkerFailed as error:
        session.give_up()
        _not_run(error, state)
        return
    finally:
        state.processes = session.processes()
    _conclude(checked, job.gates, state)


def _checked(state: State, session: Session) -> list[protocol.LiteChecked]:
    found = []
    for _, event in session.events():
        if isinstance(event, protocol.LiteReady):
            state.lite = event.engine
        elif isinstance(event, protocol.LiteChecked):
            found.append(event)
            session.observer.advanced(len(found), len(state.testcases))
    return found


def _not_run(error: WorkerFailed, state: State) -> None:
    first = error.problems[0]
    if state.exit_status == ExitStatus.FAILED:
        # The comparison with MegEngine has failed as it is; this does not make it an error.
        state.warnings.append(f"nothing was cross-checked: {first.message.splitlines()[0]}")
        return
    state.problems.append(Problem(first.message, _HINT))
    state.exit_status = ExitStatus.ENGINE


def _conclude(checked: Sequence[protocol.LiteChecked], gates: Gates, state: State) -> None:
    """The verdict, to which every output of every testcase has to have been compared."""
    places = [event.index for event in checked]
    if places != [testcase.index for testcase in state.testcases]:
        raise EngineError(
            f"{len(places)} of {len(state.testcases)} testcases were cross-checked",
            "this is a fault of megdump-ci: please report it",
        )
    # What is said of all comparisons together is said anew.
    said = scrutiny.warnings(state.testcases, gates)
    state.warnings = [text for text in state.warnings if text not in said]
    state.testcases = [
        _joined(testcase, event.outputs)
        for testcase, event in zip(state.testcases, checked, strict=True)
    ]
    state.conclude(len(state.testcases), gates)


def _joined(testcase: report.Testcase, found: Sequence[report.Comparison]) -> report.Testcase:
    outputs = [_with(output, item) for output, item in zip(testcase.outputs, found, strict=True)]
    passed = testcase.passed and all(output.passed for output in outputs)
    return msgspec.structs.replace(testcase, outputs=outputs, passed=passed)


def _with(output: report.Output, found: report.Comparison) -> report.Output:
    reason = output.reason or found.reason
    return msgspec.structs.replace(
        output, against_lite=found, passed=output.passed and found.passed, reason=reason
    )
