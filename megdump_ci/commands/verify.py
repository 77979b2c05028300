"""``megdump-ci verify``: check every testcase of a packed file that anyone made."""

from __future__ import annotations

import msgspec

from megdump_ci import inputs, protocol, report
from megdump_ci.commands import crosscheck, fallback
from megdump_ci.errors import EngineError
from megdump_ci.options import VerifyOptions
from megdump_ci.session import Session
from megdump_ci.state import State


def execute(options: VerifyOptions, state: State, session: Session) -> None:
    """Run every testcase in the file and compare."""
    inputs.read(options)
    session.observer.phase("verify")
    if not fallback.verify(
        lambda kernels: _attempt(options, state, session, kernels), state, session
    ):
        raise EngineError(
            f"{fallback.NOT_RUN}: {fallback.reasons(state)}",
            "verify the file on the device that it is for, or pack it without the layout or pass"
            " that does not run here",
        )
    if options.cross_check:
        job = protocol.LiteJob(
            packed=options.packed, deploy="", model=options.model, gates=options.gates
        )
        crosscheck.run(job, state, session)


def _attempt(
    options: VerifyOptions, state: State, session: Session, kernels: report.Kernels
) -> None:
    worker = fallback.start(session, kernels)
    worker.send(
        protocol.FileCheckJob(packed=options.packed, model=options.model, gates=options.gates)
    )
    worker.busy(True)
    count = 0
    try:
        for _, event in session.events():
            if isinstance(event, protocol.Ready):
                state.engine = event.engine
                session.step("load the model")
            elif isinstance(event, protocol.LayoutRead):
                session.step()
                state.packed, state.model, count = event.packed, event.model, event.count
                if options.cross_check:
                    crosscheck.check_dtypes(event.packed)
            elif isinstance(event, protocol.Checked):
                state.testcases.append(event.testcase)
                session.observer.advanced(len(state.testcases), count)
            elif isinstance(event, protocol.FileDigested) and state.packed is not None:
                state.packed = msgspec.structs.replace(
                    state.packed, size=event.size, digest=event.digest
                )
    finally:
        state.processes = session.processes()
    state.conclude(count, options.gates)
