"""Verifying with the kernels that run: the engine's fast ones, or else its naive ones.

A layout or a fusion may be made for another processor than this one, and then the engine crashes,
hangs or refuses. Its naive kernels compute every layout, and tell whether the graph is right.
"""

from __future__ import annotations

from collections.abc import Callable

from megdump_ci.report import KernelFailure, Kernels
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State
from megdump_ci.worker import Worker

NOT_RUN = "this machine cannot run the packed graph"
HINT = (
    "leave out the layout or pass that it cannot run; --allow-unverified takes the file as it is,"
    " for another device"
)

_PHASES: dict[Kernels, str] = {
    "fast": "verifying",
    "naive": "verifying with naive kernels",
}


def start(session: Session, kernels: Kernels) -> Worker:
    """Start a process that verifies with ``kernels``."""
    return session.start(_PHASES[kernels], kernels)


def verify(
    attempt: Callable[[Kernels], None],
    state: State,
    session: Session,
    what: str = "the packed graph",
) -> bool:
    """Attempt to verify ``what`` with each kernels in turn; whether one of them could run it.

    Raises what ``attempt`` raises, where it does not tell of kernels that cannot.
    """
    for kernels in _PHASES:
        try:
            attempt(kernels)
        except WorkerFailed as error:
            if not _tells_of_kernels(error, state):
                raise
            session.give_up()
            state.testcases.clear()
            # The lines below the first are the end of a log.
            reason = error.problems[0].message.splitlines()[0]
            state.kernel_failures.append(
                KernelFailure(kernels=kernels, how=error.how, reason=reason)
            )
        else:
            state.kernels = kernels
            if state.kernel_failures:
                state.warnings.append(
                    "verified with MegEngine's naive kernels, since the fast ones do not run"
                    f" {what} on this machine: {reasons(state)}"
                )
            return True
    return False


def reasons(state: State) -> str:
    """Why the kernels that were tried could not run the graph."""
    return "; ".join(f"{item.kernels} kernels: {item.reason}" for item in state.kernel_failures)


def _tells_of_kernels(error: WorkerFailed, state: State) -> bool:
    """Whether the packed graph did not run, and not something else went wrong."""
    if error.worker.kernels is None or error.how == "failed":
        return False
    # A comparison that failed is a verdict; other kernels must not overrule it.
    if not all(testcase.passed for testcase in state.testcases):
        return False
    # What gets on and is not done in time is large, and naive kernels would take longer yet.
    return error.how != "timed out" or not state.testcases
