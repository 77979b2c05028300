"""Spans: their parts add up to all the time there was, and they are nested whatever is told."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.spans import OTHER, Mark, Recorder, nested

SECONDS = st.floats(0, 1e4)
STEPS = st.lists(st.tuples(st.sampled_from(["load", "run", "end"]), SECONDS), max_size=40)


class Clock:
    """A clock that is put on by hand."""

    def __init__(self) -> None:
        self.now = 3.0

    def __call__(self) -> float:
        return self.now


def play(steps: list[tuple[str, float]], recorder: Recorder, clock: Clock) -> dict[str, float]:
    """Do the steps; the seconds that each name should have."""
    expected: dict[str, float] = {}
    on: list[str] = []
    for step, seconds in steps:
        if step == "end" and on:
            recorder.end()
            on.pop()
        elif step != "end":
            recorder.begin(step, "with a label")
            on.append(step)
        name = on[-1] if on else OTHER
        expected[name] = expected.get(name, 0.0) + seconds
        clock.now += seconds
    return expected


@given(steps=STEPS)
def test_parts_are_what_each_span_took_without_those_inside(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    recorder = Recorder(clock)
    expected = play(steps, recorder, clock)
    found = recorder.finish()
    assert found == {name: pytest.approx(expected.get(name, 0.0), abs=6e-4) for name in found}
    assert expected.keys() <= found.keys()
    assert sum(found.values()) == pytest.approx(clock.now - 3.0, abs=6e-4 * len(found))


@given(steps=STEPS, late=st.integers(0, 40))
def test_a_listener_hears_all_however_late_it_comes(
    steps: list[tuple[str, float]], late: int
) -> None:
    clock = Clock()
    heard: list[Mark] = []
    recorder = Recorder(clock)
    play(steps[:late], recorder, clock)
    recorder.listen(heard.append)
    before = len(heard)
    recorder.begin("load", "x.mge")
    assert heard[before:] == [Mark("load x.mge", clock.now)]
    names = [mark.name for mark in heard[1:before]]
    assert names == [*names_of(steps[:late])]


def names_of(steps: list[tuple[str, float]]) -> list[str]:
    """What is told of the steps: an end that ends nothing is none."""
    found, on = [], 0
    for step, _ in steps:
        if step == "end" and not on:
            continue
        on += -1 if step == "end" else 1
        found.append("" if step == "end" else f"{step} with a label")
    return found


def test_the_work_ends_when_it_is_finished() -> None:
    clock = Clock()
    heard: list[Mark] = []
    recorder = Recorder(clock)
    recorder.listen(heard.append)
    clock.now += 4
    assert recorder.finish() == {OTHER: 4.0}
    assert nested(heard, 99.0) == [("work", 3.0, 7.0)]


def test_nothing_is_kept_for_nobody() -> None:
    recorder = Recorder(Clock())
    recorder.listen(None)
    recorder.begin("load")
    heard: list[Mark] = []
    recorder.listen(heard.append)
    assert heard == []


def test_spans_of_other_threads_are_left_out() -> None:
    recorder = Recorder(Clock())
    thread = threading.Thread(target=recorder.begin, args=("load",))
    thread.start()
    thread.join()
    assert recorder.finish() == {OTHER: 0.0}


ANYTHING = st.lists(
    st.builds(Mark, st.sampled_from(["", "load", "run"]), st.floats() | st.floats(0, 100)),
    max_size=40,
)


@given(marks=ANYTHING, end=st.floats(0, 100))
def test_what_is_told_becomes_spans_that_are_nested(marks: list[Mark], end: float) -> None:
    found = nested(marks, end)
    assert [name for name, _, _ in found] == [mark.name for mark in marks if mark.name]
    begins = [begin for _, begin, _ in found]
    assert begins == sorted(begins)
    for place, (_, begin, until) in enumerate(found):
        assert math.isfinite(begin)
        assert 0 <= begin <= until <= end
        for _, other, its_end in found[place + 1 :]:
            assert other >= until or its_end <= until


def test_what_was_on_when_the_process_ended_ends_then() -> None:
    marks = [Mark("work", 1.0), Mark("load", 2.0), Mark("", 3.0), Mark("run", 4.0)]
    assert nested(marks, 9.0) == [("work", 1.0, 9.0), ("load", 2.0, 3.0), ("run", 4.0, 9.0)]
