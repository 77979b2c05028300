"""Running the user's Python code in a process of its own: ``export``, and ``pack FILE.py:NAME``."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from megdump_ci import protocol
from megdump_ci.errors import EngineError, Problem
from megdump_ci.options import ExportOptions, ModelOptions, names_in
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State
from megdump_ci.target import Target
from megdump_ci.testcase.spec import TestcaseSpec


@dataclass
class Exported:
    """What the process that ran the user's code has left behind."""

    target: Target
    path: str
    """The model as it was traced, not optimised, in the scratch folder."""
    samples: list[protocol.Sample] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    """The names that the outputs should have; empty if the engine names them."""


def run_code(
    options: ModelOptions,
    code: Target,
    specs: list[TestcaseSpec],
    *,
    state: State,
    session: Session,
    exported: str = "",
) -> Exported:
    """Run the user's code on all testcases, in a process of its own, and dump it.

    The model goes to the scratch folder; optimised by the options, it also goes to ``exported``.
    """
    session.observer.phase("export")
    found = Exported(code, traced_path(session))
    worker = session.start("exporting", writes=[exported] if exported else [])
    job = _job(options, code, specs)
    worker.send(
        msgspec.structs.replace(
            job, dumped=found.path, exported=exported, scratch=str(session.scratch)
        )
    )
    worker.busy(True)
    try:
        for _, event in session.events():
            if isinstance(event, protocol.Ready):
                state.engine = event.engine
            elif isinstance(event, protocol.ModelDumped):
                found.outputs = event.outputs
                state.warnings += event.warnings
            elif isinstance(event, protocol.Sample):
                found.samples.append(event)
    except WorkerFailed as error:
        raise _explained(error, code) from None
    finally:
        state.processes = session.processes()
    # Done with: the processes that come next are the only ones to be waited for.
    session.give_up()
    return found


def traced_path(session: Session) -> str:
    """Where the model is dumped to as it was traced."""
    return str(session.scratch / "exported.mge")


def _explained(error: WorkerFailed, code: Target) -> EngineError:
    """The error, which may be the doing of the user's code."""
    if error.how in ("refused", "failed"):
        return error
    message = error.problems[0].message.splitlines()[0]
    hint = f"what {code} does, or MegEngine with it, ends or holds up the process that runs it"
    if "SIGSEGV" in message:
        # A reduction, read while it is traced symbolically, is a null pointer in 1.13.0.
        hint += (
            ". If it reads a value that it has computed (.numpy(), float(), if), decorate it with"
            " @jit.trace(capture_as_const=True)"
        )
    # Not before: most runs do not need it, and it takes its time to load.
    from megdump_ci.engine.usercode import own_crash_line

    file, line = own_crash_line(error.worker.tail())
    return EngineError(Problem(message, hint, file, line))


def _job(
    options: ModelOptions,
    code: Target,
    specs: list[TestcaseSpec],
) -> protocol.ExportJob:
    """The job, without the files to write."""
    own = options if isinstance(options, ExportOptions) else None
    return protocol.ExportJob(
        file=code.file,
        name=code.name,
        seconds=options.timeout,
        specs=specs,
        settings=options.settings,
        arg_names=list(names_in(own.arg_names)) if own else [],
        output_names=list(names_in(own.output_names)) if own else [],
        format=options.format,
        optimize=options.optimize_for_inference,
        optimizations=list(options.optimizations),
        keep_var_name=own.keep_var_name if own else 1,
        keep_param_name=own.keep_param_name if own else False,
    )
