"""The time of a run is in one stage at any time, whatever the order in which they are entered."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.stages import Stages, process_began

STEPS = st.lists(
    st.tuples(st.sampled_from(["check", "load", "run", "write"]), st.floats(0, 1e4)), max_size=30
)


class Clock:
    """A clock that is put on by hand."""

    def __init__(self) -> None:
        self.now = 17.0

    def __call__(self) -> float:
        return self.now


@given(steps=STEPS, last=st.floats(0, 1e4))
def test_phases_add_up_to_the_time_that_went_by(
    steps: list[tuple[str, float]], last: float
) -> None:
    clock = Clock()
    stages = Stages("start", began=2.0, now=clock)
    expected = {"start": 15.0}
    on = "start"
    for name, seconds in steps:
        clock.now += seconds
        expected[on] += seconds
        stages.enter(name)
        on = name
        expected.setdefault(on, 0.0)
    clock.now += last
    expected[on] += last
    phases, whole = stages.phases()
    assert [phase.name for phase in phases] == list(expected)
    assert [phase.seconds for phase in phases] == pytest.approx(list(expected.values()), abs=6e-4)
    assert whole == pytest.approx(sum(phase.seconds for phase in phases), abs=1e-9)
    assert whole == pytest.approx(clock.now - 2.0, abs=6e-4 * len(phases))


def test_the_stage_that_is_on_goes_on_after_it_was_looked_at() -> None:
    clock = Clock()
    stages = Stages("start", now=clock)
    clock.now += 1
    stages.phases()
    clock.now += 2
    stages.enter("end")
    assert [phase.seconds for phase in stages.phases()[0]] == [3, 0]


def test_the_process_began_before_now_and_after_its_parent() -> None:
    assert process_began() <= time.monotonic()
    # Within a tick of the kernel's clock, it is the same each time.
    assert process_began() == pytest.approx(process_began(), abs=0.05)
