"""Where the time of a run goes: it is in one stage at any time, so they add up to the whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from megdump_ci import report
from megdump_ci.spans import Mark

_LEAST = 1e-3
"""Seconds that a stage takes at least, to be one."""


def process_began() -> float:
    """When this process began, in seconds of :func:`time.monotonic`; now, where none can tell."""
    try:
        # proc(5): the name, in brackets, may hold anything; the start is the 22nd field, in ticks.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        age = 0.0
    return time.monotonic() - max(age, 0.0)


class Stages:
    """The stages of a run, timed.

    ``began`` is when the first one began, in seconds of ``now``. One that is entered again goes on;
    one that has just begun when the next one does is taken for a part of that.
    """

    def __init__(
        self, first: str, began: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._name = self._main = first
        self.began = self._since = now() if began is None else began
        self._spent: dict[str, float] = {}
        self._listener: Callable[[Mark], None] | None = None

    def listen(self, listener: Callable[[Mark], None]) -> None:
        """Tell ``listener`` of this stage, and of those that come."""
        self._listener = listener
        listener(Mark(self._name, self._since))

    def enter(self, name: str) -> None:
        """The stage ``name`` begins, and the one before it ends."""
        self._main = name
        self.step(name)

    def step(self, name: str = "") -> None:
        """A step in the stage that was entered last begins: a stage of its own.

        Without a name, the stage that was entered last goes on.
        """
        name = name or self._main
        now = self._now()
        if name == self._name:
            return
        if self._name in self._spent or now - self._since >= _LEAST:
            self._settle(now)
        self._name = name
        if self._listener is not None:
            self._listener(Mark("", now))
            self._listener(Mark(name, now))

    def phases(self) -> tuple[list[report.Phase], float]:
        """The stages so far and the seconds since the first began, which is their sum."""
        self._settle(self._now())
        phases = [
            report.Phase(name=name, seconds=round(seconds, 3))
            for name, seconds in self._spent.items()
        ]
        # The sum of what is shown, so that rounding leaves no gap.
        return phases, round(sum(phase.seconds for phase in phases), 3)

    def _settle(self, now: float) -> None:
        """Put down what the stage that is on has taken so far."""
        self._spent[self._name] = self._spent.get(self._name, 0.0) + now - self._since
        self._since = now
