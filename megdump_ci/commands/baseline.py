"""``pack --baseline``: what changed from a base model, once the verdict is known.

It informs, and does not change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from megdump_ci import protocol, report
from megdump_ci.commands import diff, fallback
from megdump_ci.errors import Interrupted, MegdumpError
from megdump_ci.session import InternalError, Session
from megdump_ci.state import State
from megdump_ci.testcase.spec import TestcaseSpec


def run(
    job: protocol.DiffJob, specs: Sequence[TestcaseSpec], state: State, session: Session
) -> None:
    """Compare the model with its base model on the packed testcases.

    What goes wrong is a warning.
    """
    session.observer.phase(diff.PHASE)
    own = State()

    def attempt(kernels: report.Kernels) -> None:
        diff.compare(job, specs, own, session, kernels)

    reason = ""
    try:
        if not fallback.verify(attempt, own, session, diff.GRAPHS):
            reason = f"this machine cannot run {diff.GRAPHS}: {fallback.reasons(own)}"
    except Interrupted:
        raise
    except MegdumpError as error:
        session.give_up()
        reason = error.problems[0].message.splitlines()[0]
    except InternalError as error:
        session.give_up()
        last = str(error).strip().splitlines()[-1]
        reason = f"{last} (a fault of megdump-ci: please report it)"
    state.processes = session.processes()
    state.baseline = own.baseline
    state.warnings += own.warnings
    if reason:
        state.warnings.append(f"not compared with the base model {job.base}: {reason}")
        if own.baseline is not None:
            # What was found before it went wrong is right.
            state.baseline = msgspec.structs.replace(own.baseline, reason=reason)
