"""``megdump-ci export``: run Python code, trace it, dump it, and verify what was written.

One engine process runs the user's code; another one, which the code has never been in, reads the
files back and compares.
"""

from __future__ import annotations

import contextlib

import msgspec

from megdump_ci import difference, inputs, output, protocol, report, stopping, target
from megdump_ci.commands import fallback, locate
from megdump_ci.commands.pack import FAILED_SUFFIX
from megdump_ci.commands.usercode import Exported, run_code
from megdump_ci.errors import EngineError, ExitStatus
from megdump_ci.options import ExportOptions
from megdump_ci.session import Session
from megdump_ci.state import State
from megdump_ci.testcase.spec import TestcaseSpec
from megdump_ci.worker import Event


def execute(options: ExportOptions, state: State, session: Session) -> None:
    """Export, verify what was written, and put the file in place."""
    specs = inputs.read(options)
    # The processes end before the file is removed: one that still writes would make it anew.
    with output.StagedFile(options.output) as file, contextlib.closing(session):
        found = run_code(
            options,
            target.parse(options.target),
            specs,
            state=state,
            session=session,
            exported=str(file.temporary),
        )
        job = _check_job(options, specs, found, str(file.temporary))
        _verify(options, specs, job, state, session)
        stopping.check()
        session.step("put the files in place")
        suffix = "" if state.exit_status == ExitStatus.PASSED else FAILED_SUFFIX
        path = file.commit(suffix)
        assert state.exported is not None
        state.exported = msgspec.structs.replace(state.exported, path=path)
        state.concluded = True
        locate.after_export(options, found, state, session)


def _verify(
    options: ExportOptions,
    specs: list[TestcaseSpec],
    job: protocol.ExportCheckJob,
    state: State,
    session: Session,
) -> None:
    """Compare; the state then holds the verdict."""
    session.observer.phase("verify")

    def attempt(kernels: report.Kernels) -> None:
        worker = fallback.start(session, kernels)
        worker.send(job)
        worker.busy(True)
        try:
            for _, event in session.events():
                _take(event, options, specs, state, session)
        finally:
            state.processes = session.processes()
        state.conclude(len(specs), options.gates)

    if not fallback.verify(attempt, state, session):
        raise EngineError(
            f"this machine cannot run the exported model: {fallback.reasons(state)}",
            "leave out the layout or pass that it cannot run",
        )


def _check_job(
    options: ExportOptions, specs: list[TestcaseSpec], found: Exported, exported: str
) -> protocol.ExportCheckJob:
    return protocol.ExportCheckJob(
        shown=str(found.target),
        dumped=found.path,
        exported=exported,
        outputs=found.outputs if options.keep_var_name else [],
        specs=[spec.text for spec in specs],
        samples=found.samples,
        gates=options.gates,
    )


def _take(
    event: Event,
    options: ExportOptions,
    specs: list[TestcaseSpec],
    state: State,
    session: Session,
) -> None:
    if isinstance(event, protocol.Ready):
        session.step("load the model")
    elif isinstance(event, protocol.ModelsRead):
        session.step()
        state.model, state.exported = event.model, event.exported
        if options.optimize_for_inference:
            state.change = difference.between(event.model, event.exported, options.optimizations)
        state.warnings += [text for text in event.warnings if text not in state.warnings]
    elif isinstance(event, protocol.Checked):
        state.add(event.testcase, specs[event.testcase.index])
        session.observer.advanced(len(state.testcases), len(specs))
    elif isinstance(event, protocol.FileDigested) and state.exported is not None:
        state.exported = msgspec.structs.replace(
            state.exported, size=event.size, digest=event.digest
        )
