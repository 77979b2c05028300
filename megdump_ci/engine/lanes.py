"""What runs beside each other: the same graph on several devices of the engine."""

from __future__ import annotations

import itertools
import os
import resource
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from megdump_ci.sandbox import limits

Lane = TypeVar("Lane")
Work = TypeVar("Work")

LARGE = 8_000_000
"""Bytes of a testcase that runs alone: reading and judging it is little beside running it, and much
to keep in memory."""
_MOST = 4
"""More of them wait for the one interpreter that feeds them."""
_WORTH = 4
"""Testcases for each: to open one takes as long as some runs."""
_LEAST = 32 << 20
"""Bytes that one takes at least: the stacks of its threads, and what they keep of memory."""
_SHARE = 8
"""Part of the memory that lanes may take: there are other things in it, and other runs."""


def most(testcases: int, *, processes: int) -> int:
    """How many lanes there may be for so many testcases.

    One of so many engine ``processes`` asks that share the cores and the memory which it may use.
    """
    cores = len(os.sched_getaffinity(0)) // processes
    return max(1, min(cores, testcases // _WORTH, _MOST))


def room(opened: int, *, processes: int) -> bool:
    """Whether memory has room for one more lane than are ``opened`` and have run by now.

    Only a run tells what it takes: the largest memory of this process is theirs, and the engine's.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    memory = limits.machine_memory() if limit == resource.RLIM_INFINITY else limit
    # ru_maxrss is in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    each = max((peak - limits.LEAST_MEMORY) // opened, _LEAST)
    return (opened + 1) * each <= memory // processes // _SHARE


class Lanes(Generic[Lane, Work]):
    """Lanes that have one thing to do at a time; what was begun first is ended first.

    ``closed`` are opened when there is something for them to do.
    """

    def __init__(self, closed: Iterable[Lane]) -> None:
        self._closed = iter(closed)
        self._free: list[Lane] = []
        self._running: deque[tuple[Lane, Work, Exception | None]] = deque()

    @property
    def full(self) -> bool:
        """Whether all have something to do: one has to end before the next can begin."""
        if not self._free:
            self._free += itertools.islice(self._closed, 1)
        return not self._free

    @property
    def empty(self) -> bool:
        """Whether none has."""
        return not self._running

    def begin(self, work: Work, start: Callable[[Lane], None]) -> None:
        """Let a free one ``start`` something; what goes wrong with that is raised by :meth:`end`.

        It is to be told after what became of those that began before.
        """
        assert not self.full
        lane, fault = self._free.pop(), None
        try:
            start(lane)
        except Exception as error:
            fault = error
        self._running.append((lane, work, fault))

    def end(self) -> tuple[Lane, Work]:
        """The one that has run for longest and what it does; from here on it is free."""
        lane, work, fault = self._running.popleft()
        self._free.append(lane)
        if fault is not None:
            raise fault
        return lane, work
