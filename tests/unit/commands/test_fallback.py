"""When the naive kernels are asked, and when they are not."""

from collections.abc import Callable
from typing import cast

import pytest

from megdump_ci import report
from megdump_ci.commands import fallback
from megdump_ci.errors import InputError, Problem
from megdump_ci.report import How, Kernels
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State
from megdump_ci.worker import Worker


class Played:
    """A worker, and a session that is told to end it."""

    def __init__(self, kernels: Kernels | None) -> None:
        self.kernels = kernels
        self.ended = 0

    def give_up(self) -> None:
        self.ended += 1


def fails(kernels: Kernels | None, how: How) -> WorkerFailed:
    problem = Problem(f"it {how}\n  a line of the log", "what to do")
    return WorkerFailed(cast(Worker, Played(kernels)), how, [problem])


def verify(attempt: Callable[[Kernels], None], state: State) -> tuple[bool, int]:
    session = Played(None)
    return fallback.verify(attempt, state, cast(Session, session)), session.ended


def case(*, passed: bool) -> report.Testcase:
    return report.Testcase(index=0, source=None, inputs=[], passed=passed, outputs=[])


def test_kernels_that_run_are_enough() -> None:
    state = State()
    asked: list[Kernels] = []
    assert verify(asked.append, state) == (True, 0)
    assert asked == ["fast"]
    assert (state.kernels, state.kernel_failures, state.warnings) == ("fast", [], [])


@pytest.mark.parametrize("how", ["crashed", "hung", "timed out", "refused"])
def test_naive_kernels_are_asked_where_the_fast_ones_do_not_run(how: How) -> None:
    state = State()

    def attempt(kernels: Kernels) -> None:
        # What the first attempt found is not counted twice.
        assert state.testcases == []
        if kernels == "fast":
            if how != "timed out":
                state.testcases.append(case(passed=True))
            raise fails(kernels, how)

    assert verify(attempt, state) == (True, 1)
    assert state.kernels == "naive"
    (failure,) = state.kernel_failures
    assert (failure.kernels, failure.how, failure.reason) == ("fast", how, f"it {how}")
    assert len(state.warnings) == 1


def test_what_neither_runs_is_told_with_both_reasons() -> None:
    state = State()

    def attempt(kernels: Kernels) -> None:
        raise fails(kernels, "crashed" if kernels == "fast" else "refused")

    assert verify(attempt, state) == (False, 2)
    assert state.kernels is None
    assert fallback.reasons(state) == "fast kernels: it crashed; naive kernels: it refused"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        # The packing process, and a process that found the file wrong.
        (fails(None, "crashed"), []),
        (fails("fast", "failed"), []),
        (InputError("wrong"), []),
        # A verdict there is stands.
        (fails("fast", "crashed"), [False]),
        (fails("fast", "hung"), [True, False]),
        # It gets on: it is slow, and naive kernels are slower.
        (fails("fast", "timed out"), [True]),
    ],
)
def test_other_failures_are_not_overruled(error: Exception, found: list[bool]) -> None:
    state = State()

    def attempt(kernels: Kernels) -> None:
        state.testcases += [case(passed=passed) for passed in found]
        raise error

    with pytest.raises(type(error)) as caught:
        verify(attempt, state)
    assert caught.value is error
    assert (state.kernels, state.kernel_failures) == (None, [])
    assert [item.passed for item in state.testcases] == found
