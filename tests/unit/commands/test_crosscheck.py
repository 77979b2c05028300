"""What comes of a cross-check, told by what its engine process says."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from megdump_ci import protocol, report
from megdump_ci.commands import crosscheck
from megdump_ci.errors import EngineError, ExitStatus, InputError, Problem
from megdump_ci.gates import Gates, Limits
from megdump_ci.report import Comparison, Kernels, Tensor
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State
from megdump_ci.worker import Event, Worker
from tests.unit import reports

JOB = protocol.LiteJob(
    packed="packed.mge", deploy="", model="", gates=Gates(maxerr=Limits(default=1e-4))
)
SAME = Comparison(passed=True, error=0.0, metrics=reports.metrics(0.0))
WRONG = Comparison(passed=False, reason="MegEngine Lite: wrong", error=0.25)


class Played:
    """A session whose one process says what it is given, then fails if it is to."""

    def __init__(self, events: list[Event], error: WorkerFailed | None = None) -> None:
        self._events, self._error = events, error
        self.observer = SimpleNamespace(phase=lambda name: None, advanced=lambda *_: None)
        self.started: list[Kernels | None] = []
        self.sent: list[protocol.Job] = []
        self.ended = 0

    def start(self, phase: str, kernels: Kernels | None) -> "Played":
        self.started.append(kernels)
        return self

    def send(self, job: protocol.Job) -> None:
        self.sent.append(job)

    def busy(self, busy: bool) -> None:
        assert busy

    def events(self) -> Iterator[tuple[None, Event]]:
        yield from ((None, event) for event in self._events)
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        self.ended += 1

    def processes(self) -> list[report.Process]:
        return [report.Process(name="cross-checking", seconds=1.0, peak_memory=1)]


def state(kernels: Kernels | None = "fast", errors: Sequence[float] = (0.0, 0.0)) -> State:
    cases = []
    for index, error in enumerate(errors):
        case = reports.case(index, error)
        outputs = [msgspec.structs.replace(item, maxerr=1e-4) for item in case.outputs]
        cases.append(msgspec.structs.replace(case, outputs=outputs))
    return State(testcases=cases, kernels=kernels, exit_status=ExitStatus.PASSED)


def ran(found: State, *comparisons: Comparison, error: WorkerFailed | None = None) -> Played:
    events: list[Event] = [protocol.LiteReady(reports.LITE)]
    events += [protocol.LiteChecked(index, [item]) for index, item in enumerate(comparisons)]
    session = Played(events, error)
    crosscheck.run(JOB, found, cast(Session, session))
    return session


def crashed() -> WorkerFailed:
    problem = Problem("the engine was killed by SIGSEGV while cross-checking\n  a line", "")
    return WorkerFailed(cast(Worker, None), "crashed", [problem])


@pytest.mark.parametrize("kernels", ["fast", "naive"])
def test_it_runs_with_the_kernels_that_ran_the_packed_graph(kernels: Kernels) -> None:
    found = state(kernels)
    session = ran(found, SAME, SAME)
    assert session.started == [kernels]
    assert session.sent == [JOB]
    assert found.lite == reports.LITE
    assert found.exit_status == ExitStatus.PASSED
    assert [case.outputs[0].against_lite for case in found.testcases] == [SAME, SAME]
    assert found.processes == session.processes()


def test_a_difference_fails_the_run() -> None:
    found = state()
    ran(found, SAME, WRONG)
    assert found.exit_status == ExitStatus.FAILED
    assert [case.passed for case in found.testcases] == [True, False]
    assert found.testcases[1].outputs[0].reason == WRONG.reason
    assert found.largest_error() == 0.25
    (gate,) = found.gates
    assert (gate.name, gate.passed, gate.testcase) == ("maxerr", False, 1)


def test_a_warning_is_given_once() -> None:
    found = state(errors=[5e-5])
    found.conclude(1, JOB.gates)
    (before,) = found.warnings
    worse = msgspec.structs.replace(reports.metrics(6e-5), sqnr=3.0)
    ran(found, msgspec.structs.replace(SAME, metrics=worse))
    (after,) = found.warnings
    assert "SQNR 12.5 dB" in before
    assert "SQNR 3 dB" in after


def test_the_reason_that_an_output_failed_for_stays() -> None:
    found = state(errors=[0.25])
    ran(found, WRONG)
    assert found.testcases[0].outputs[0].reason == reports.REASON


@pytest.mark.parametrize("comparisons", [[], [SAME], [SAME, SAME, SAME]])
def test_testcases_that_were_not_run_are_no_pass(comparisons: list[Comparison]) -> None:
    with pytest.raises(EngineError, match=f"{len(comparisons)} of 2 testcases were cross-checked"):
        ran(state(), *comparisons)


def test_an_output_that_was_not_compared_is_no_pass() -> None:
    found = state(errors=[0.0])
    session = Played([protocol.LiteReady(reports.LITE), protocol.LiteChecked(0, [])])
    with pytest.raises(ValueError, match="zip"):
        crosscheck.run(JOB, found, cast(Session, session))


def test_an_engine_that_cannot_run_it_is_an_error() -> None:
    found = state()
    session = ran(found, SAME, error=crashed())
    assert session.ended == 1
    assert found.exit_status == ExitStatus.ENGINE
    (problem,) = found.problems
    assert "SIGSEGV while cross-checking" in problem.message
    assert "--cross-check" in problem.hint
    assert found.processes == session.processes()


def test_a_comparison_that_has_failed_stays_the_verdict() -> None:
    found = state()
    found.exit_status = ExitStatus.FAILED
    ran(found, error=crashed())
    assert found.exit_status == ExitStatus.FAILED
    assert found.problems == []
    (warning,) = found.warnings
    assert warning == (
        "nothing was cross-checked: the engine was killed by SIGSEGV while cross-checking"
    )


def test_what_does_not_run_here_is_not_tried() -> None:
    found = state(kernels=None)
    session = ran(found)
    assert session.started == []
    assert len(found.warnings) == 1


def test_dtypes_that_lite_does_not_take_are_told_together() -> None:
    graph = reports.graph("model.mge", 3)
    crosscheck.check_dtypes(graph)
    wrong = msgspec.structs.replace(
        graph,
        inputs=[*graph.inputs, Tensor(name="flag", dtype="bool", shape=[1])],
        outputs=[Tensor(name="q", dtype="QuantizedS4", shape=[1])],
    )
    with pytest.raises(InputError) as caught:
        crosscheck.check_dtypes(wrong)
    assert [problem.message for problem in caught.value.problems] == [
        "input flag of model.mge has dtype bool, which MegEngine Lite does not take",
        "output q of model.mge has dtype QuantizedS4, which MegEngine Lite does not take",
    ]
