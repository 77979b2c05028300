"""``megdump-ci diff``: what changed from a base model to a new one, and how far outputs drift.

One engine process reads both and runs them on the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from megdump_ci import baseline, inputs, protocol, report
from megdump_ci.commands import fallback
from megdump_ci.errors import EngineError
from megdump_ci.options import DiffOptions
from megdump_ci.session import Session
from megdump_ci.state import State
from megdump_ci.testcase.spec import TestcaseSpec

PHASE = "compare with the base model"
GRAPHS = "both models"
"""What the kernels have to run."""

_PHASES: dict[report.Kernels, str] = {
    "fast": "comparing",
    "naive": "comparing with naive kernels",
}


def execute(options: DiffOptions, state: State, session: Session) -> None:
    """Compare the two models; the state then holds what was found, and the verdict."""
    specs = inputs.read(options)
    session.observer.phase(PHASE)

    def attempt(kernels: report.Kernels) -> None:
        compare(_job(options, specs), specs, state, session, kernels)
        state.conclude(len(specs), options.gates)

    if not fallback.verify(attempt, state, session, GRAPHS):
        raise EngineError(
            f"this machine cannot run {GRAPHS}: {fallback.reasons(state)}",
            "compare models without the layout or pass that does not run here",
        )


def compare(
    job: protocol.DiffJob,
    specs: Sequence[TestcaseSpec],
    state: State,
    session: Session,
    kernels: report.Kernels,
) -> None:
    """Do the job in an engine process of its own, and add what it finds to the state."""
    worker = session.start(_PHASES[kernels], kernels)
    worker.send(job)
    worker.busy(True)
    try:
        for _, event in session.events():
            if isinstance(event, protocol.Ready):
                state.engine = event.engine
            elif isinstance(event, protocol.Diffed):
                state.baseline, state.model = event.baseline, event.baseline.model
            elif isinstance(event, protocol.Checked):
                state.add(event.testcase, specs[event.testcase.index])
                session.observer.advanced(len(state.testcases), len(specs))
    finally:
        state.processes = session.processes()
    state.baseline = with_drift(state.baseline, state.testcases)
    state.warnings += baseline.warnings(state.baseline)


def with_drift(
    found: report.Baseline | None, testcases: Sequence[report.Testcase]
) -> report.Baseline:
    """``found`` with what the testcases say of the outputs."""
    assert found is not None
    none = not any(testcase.outputs for testcase in testcases)
    return msgspec.structs.replace(
        found,
        testcases=len(testcases),
        drift=baseline.drifted(found.drift, testcases),
        reason=next((testcase.reason for testcase in testcases if none), ""),
    )


def _job(options: DiffOptions, specs: Sequence[TestcaseSpec]) -> protocol.DiffJob:
    return protocol.DiffJob(
        base=options.base,
        model=options.new,
        shown=options.new,
        gates=options.gates,
        specs=list(specs),
        settings=options.settings,
    )
