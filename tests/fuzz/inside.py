"""Tries one target in this process: ``python -m tests.fuzz.inside NAME SEED COUNT SECONDS``.

Cases come in batches of :data:`BATCH`, each with the next seed, so that any of them can be tried
again. Before a case is tried it is written to the file ``FUZZ_CURRENT``, for it may be the last
thing that this process does; the numbers are then in the file beside it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from megdump_ci.testcase import growth, inputs
from tests.fuzz import targets
from tests.fuzz.target import Target

SECONDS = 10
"""What a case may take; a machine under load is slow."""
ARRAY = 4 << 20
"""What arrays are limited to while fuzzing, in bytes. What grows without a limit then shows."""
MEMORY = 16 * ARRAY
"""What a case may add to the process's memory, in bytes."""
BATCH = 200
PIXELS = ARRAY // 4
"""What images are limited to while fuzzing; the process is started with it."""


class Excess(Exception):
    """A case took too much memory."""


class Run:
    """The cases of one target, counted."""

    def __init__(self, target: Target, current: Path) -> None:
        self.target = target
        self.tried = self.accepted = 0
        self.slowest = 0.0
        self.largest = 0
        self.findings: dict[str, str] = {}
        self._current = current
        self._last = ""

    def one(self, case: Any) -> None:
        """Try a case; raises what is a finding, once for each place."""
        self._last = repr(case)
        self._current.write_text(self._last, errors="backslashreplace")
        self.tried += 1
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        before = memory_reset()
        began = time.perf_counter()
        try:
            self.accepted += self.target.check(case)
            added = memory_peak() - before
            self.largest = max(self.largest, added)
            if added > MEMORY:
                raise Excess(f"the case took {added >> 20} MiB")
        except (Exception, SystemExit) as error:
            if place(error) not in self.findings:
                raise
        finally:
            faulthandler.cancel_dump_traceback_later()
            self.slowest = max(self.slowest, time.perf_counter() - began)

    def batch(self, seed: int, count: int) -> None:
        """Try ``count`` cases; a finding is made as small as can be, and kept."""
        try:
            self.function(seed, count)()
        except (Exception, SystemExit) as error:
            text = "".join(traceback.format_exception_only(type(error), error)).strip()
            self.findings[place(error)] = f"{text[:600]}\n    of {self._last[:2000]} (seed {seed})"

    def tell(self) -> None:
        """Write down the numbers, for the process that started this one."""
        numbers = {
            "tried": self.tried,
            "accepted": self.accepted,
            "findings": list(self.findings.values()),
            "slowest": round(self.slowest, 3),
            "largest": self.largest,
        }
        self._current.with_suffix(".json").write_text(json.dumps(numbers))

    def function(self, seed: int, count: int) -> Callable[[], None]:
        """What tries ``count`` cases."""

        @hypothesis.seed(seed)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(self.target.cases)
        def function(case: Any) -> None:
            self.one(case)

        return function


def place(error: BaseException) -> str:
    """Where an exception was raised, in the program if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/megdump_ci/" in frame.filename] or frames
    return f"{type(error).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"


def memory_reset() -> int:
    """Forget the peak, and return what is in memory now, in bytes."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def memory_peak() -> int:
    """The most that was in memory since the peak was forgotten, in bytes."""
    return _status("VmHWM")


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


def limit() -> None:
    """Make arrays of this process small, so that what knows no limit stands out."""
    inputs.BYTE_LIMIT = ARRAY
    inputs.ELEMENT_LIMIT = ARRAY
    growth.LIMIT = ARRAY // 8
    growth.HELD_LIMIT = 4 * ARRAY


def main(name: str, seed: int, count: int, seconds: float) -> None:
    """Try ``count`` cases, or for ``seconds``; whichever is reached first, if it is not 0."""
    limit()
    run = Run(targets.BY_NAME[name], Path(os.environ["FUZZ_CURRENT"]))
    began = time.monotonic()
    while not (count and run.tried >= count) and not (
        seconds and time.monotonic() - began >= seconds
    ):
        run.batch(seed, min(BATCH, count - run.tried) if count else BATCH)
        seed += 1
    run.tell()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
