"""The time of a run is in one stage at any time, whatever the order in which they are entered."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.spans import Mark
from megdump_ci.stages import Stages, process_began

NAMES = st.sampled_from(["check", "load", "run", "write"])
SECONDS = st.floats(0, 0.01) | st.floats(0, 1e4)
STEPS = st.lists(
    st.tuples(NAMES, st.just(False), SECONDS)  # a stage
    | st.tuples(NAMES | st.just(""), st.just(True), SECONDS),  # a step of it
    max_size=30,
)


class Clock:
    """A clock that is put on by hand."""

    def __init__(self) -> None:
        self.now = 17.0

    def __call__(self) -> float:
        return self.now


def expected(steps: list[tuple[str, bool, float]]) -> dict[str, float]:
    """The seconds of each stage, if none was too short to be one."""
    found = {"start": 15.0}
    main = "start"
    for name, is_step, seconds in steps:
        main = main if is_step else name
        on = name or main
        found[on] = found.get(on, 0.0) + seconds
    return found


@given(steps=STEPS)
def test_phases_add_up_to_the_time_that_went_by(steps: list[tuple[str, bool, float]]) -> None:
    clock = Clock()
    stages = Stages("start", began=2.0, now=clock)
    for name, is_step, seconds in steps:
        stages.step(name) if is_step else stages.enter(name)
        clock.now += seconds
    phases, whole = stages.phases()
    rounding = 6e-4 * len(phases)
    assert whole == pytest.approx(sum(phase.seconds for phase in phases), abs=1e-9)
    assert whole == pytest.approx(clock.now - 2.0, abs=rounding)
    wanted = expected(steps)
    found = {phase.name: phase.seconds for phase in phases}
    assert len(found) == len(phases)
    for name in {*wanted, *found}:
        # What is too short to be a stage went to another one.
        short = 1e-3 * len(steps) + rounding
        assert found.get(name, 0.0) == pytest.approx(wanted.get(name, 0.0), abs=short)


def test_stages_stand_in_the_order_in_which_they_took_time() -> None:
    clock = Clock()
    stages = Stages("start", now=clock)
    stages.enter("pack")
    for name, seconds in (("load", 1.0), ("", 2.0), ("load", 3.0), ("", 0.0)):
        stages.step(name)
        clock.now += seconds
    stages.phases()
    clock.now += 4
    stages.enter("report")
    assert [(p.name, p.seconds) for p in stages.phases()[0]] == [
        ("load", 4),
        ("pack", 6),
        ("report", 0),
    ]


def test_a_listener_hears_of_each() -> None:
    clock = Clock()
    stages = Stages("start", now=clock)
    heard: list[Mark] = []
    stages.listen(heard.append)
    clock.now += 1
    stages.enter("load")
    stages.step("load")
    assert heard == [Mark("start", 17.0), Mark("", 18.0), Mark("load", 18.0)]


def test_the_process_began_before_now_and_after_its_parent() -> None:
    assert process_began() <= time.monotonic()
    # Within a tick of the kernel's clock, it is the same each time.
    assert process_began() == pytest.approx(process_began(), abs=0.05)
