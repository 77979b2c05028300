"""How many testcases run beside each other, and in which order they end."""

from __future__ import annotations

import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.engine import lanes
from megdump_ci.engine.lanes import Lanes

MIB = 1 << 20


@given(st.integers(1, 4), st.lists(st.booleans(), max_size=20))
def test_what_was_begun_first_ends_first_and_a_lane_does_one_thing_at_a_time(
    count: int, sound: list[bool]
) -> None:
    opened: list[int] = []

    def closed() -> object:
        for number in range(count):
            opened.append(number)
            yield number

    running: Lanes[int, int] = Lanes(closed())
    started: dict[int, int] = {}
    ended: list[int] = []

    def end() -> None:
        oldest = len(ended)
        if sound[oldest]:
            lane, work = running.end()
            assert (started[lane], work) == (oldest, oldest)
        else:
            with pytest.raises(ValueError, match=f"^{oldest}$"):
                running.end()
        ended.append(oldest)

    for work, fine in enumerate(sound):
        assert len(opened) <= work
        if running.full:
            assert work - len(ended) == count
            end()

        def start(lane: int, work: int = work, fine: bool = fine) -> None:
            started[lane] = work
            if not fine:
                raise ValueError(work)

        running.begin(work, start)
        assert not running.empty
    while not running.empty:
        end()
    assert ended == list(range(len(sound)))


@pytest.mark.parametrize(
    ("machine", "work", "count"),
    [
        ((1, 8 << 30), (1000, MIB, 1), 1),
        ((2, 8 << 30), (1000, MIB, 2), 1),
        ((4, 8 << 30), (1000, MIB, 2), 2),
        ((4, 8 << 30), (1000, MIB, 1), 4),
        ((64, 8 << 30), (1000, MIB, 2), 4),
        # One lane more has to be worth it, and to have room.
        ((4, 8 << 30), (7, MIB, 2), 1),
        ((4, 8 << 30), (8, MIB, 2), 2),
        ((4, 8 << 30), (0, MIB, 2), 1),
        ((4, 16 << 30), (1000, 100 * MIB, 2), 2),
        ((8, 16 << 30), (1000, 100 * MIB, 2), 2),
        ((4, 16 << 30), (1000, 200 * MIB, 2), 1),
        ((4, 512 * MIB), (1000, 5 * MIB, 2), 1),
        ((8, 200 * MIB), (1000, 1, 1), 1),
    ],
)
def test_lanes_are_as_many_as_cores_testcases_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch,
    machine: tuple[int, int],
    work: tuple[int, int, int],
    count: int,
) -> None:
    (cores, memory), (testcases, size, processes) = machine, work
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (memory, memory))
    assert lanes.count(testcases, size, processes=processes) == count


def test_without_a_limit_the_memory_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    for memory, count in ((1 << 30, 1), (64 << 30, 4)):
        monkeypatch.setattr(lanes.limits, "machine_memory", lambda memory=memory: memory)
        assert lanes.count(100, 40 * MIB, processes=1) == count
