"""How the run goes on, in a log: a group for each phase, and a sign of life from a long one."""

from __future__ import annotations

import contextlib
import threading
import time

from megdump_ci.action.commands import Log

EVERY = 15.0
"""Seconds between two lines of a phase; a log has no place for a bar."""


class Phases:
    """The observer of a run. Use it as a context manager: that ends the last group."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._group = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._began = 0.0
        self._state = ""
        # Where a phase is one long step, nothing else comes by to look at the clock.
        self._clock = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Phases:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._clock.join()
        self._group.close()

    def phase(self, name: str) -> None:
        """The next phase begins."""
        with self._lock:
            self._group.close()
            self._group.enter_context(self._log.phase(name[:1].upper() + name[1:]))
            self._began, self._state = time.monotonic(), ""

    def advanced(self, done: int, total: int) -> None:
        """Keep how far it is, for the next line."""
        self._state = f", {done} of {total} done"

    def told(self, text: str) -> None:
        """Say something in the phase that is going on."""
        with self._lock:
            self._log.line(text)

    def _beat(self) -> None:
        while not self._ended.wait(EVERY):
            with self._lock:
                if self._began:
                    self._log.line(f"{time.monotonic() - self._began:.0f} s{self._state}")
