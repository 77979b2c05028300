"""How many testcases run beside each other, and in which order they end."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.engine import lanes
from megdump_ci.engine.lanes import Lanes

MIB, GIB = 1 << 20, 1 << 30


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
    ("cores", "processes", "testcases", "most"),
    [
        (1, 1, 99, 1),
        (2, 2, 99, 1),
        (4, 2, 99, 2),
        (4, 1, 99, 4),
        (64, 2, 99, 4),
        # One more has to be worth it.
        (4, 2, 0, 1),
        (4, 2, 7, 1),
        (4, 2, 8, 2),
    ],
)
def test_lanes_are_at_most_as_many_as_there_are_cores_and_enough_testcases_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, testcases: int, most: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert lanes.most(testcases, processes=processes) == most


@pytest.mark.parametrize(
    ("memory", "peak", "lanes_of", "fits"),
    [
        (16 * GIB, 160 * MIB, (1, 2), True),
        # ResNet-50, in a process that packs.
        (16 * GIB, 660 * MIB, (1, 2), True),
        (8 * GIB, 660 * MIB, (1, 2), False),
        (8 * GIB, 660 * MIB, (1, 1), True),
        (16 * GIB, 1160 * MIB, (2, 2), False),
        # A small model with large values inside.
        (16 * GIB, 2 * GIB, (1, 2), False),
        (160 * MIB, 150 * MIB, (1, 1), False),
    ],
)
def test_one_lane_more_has_room_if_it_takes_what_the_others_do(
    monkeypatch: pytest.MonkeyPatch, memory: int, peak: int, lanes_of: tuple[int, int], fits: bool
) -> None:
    opened, processes = lanes_of
    usage = SimpleNamespace(ru_maxrss=peak // 1024)
    monkeypatch.setattr(resource, "getrusage", lambda _: usage)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (memory, memory))
    assert lanes.room(opened, processes=processes) is fits
    # Without a limit, it is that of the machine.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr(lanes.limits, "machine_memory", lambda: memory)
    assert lanes.room(opened, processes=processes) is fits
