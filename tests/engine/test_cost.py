"""What a run takes does not grow with the number of its testcases."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from megdump_ci.report import Report
from tests.engine import support

TESTCASE = 600_000
"""Bytes of one input; the packed testcase holds as much again as expected value."""
MARGIN = 64_000_000
"""Bytes by which two runs may differ. 195 testcases held would be 230 MB."""


def folder_size(folder: Path) -> int:
    """Bytes of all files."""
    total = 0
    # It passes over folders that are gone by the time it comes to them.
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


class ScratchWatch(threading.Thread):
    """Measures a folder again and again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._end = threading.Event()
        self.largest = 0

    def run(self) -> None:
        """Until the end."""
        while not self._end.wait(0.02):
            self.largest = max(self.largest, folder_size(self._folder))

    def stop(self) -> None:
        """Measure no more."""
        self._end.set()
        self.join()


def peaks(report: Report) -> dict[str, int]:
    """The largest memory of each process, in bytes."""
    return {process.name: process.peak_memory for process in report.processes}


def test_memory_and_scratch_do_not_grow_with_testcases(
    models: support.Models, tmp_path: Path, scratch: Path
) -> None:
    few = support.passed(models.path("large"), ["#rand(0,1)"] * 5, tmp_path / "few.mge")
    watch = ScratchWatch(scratch)
    watch.start()
    out = tmp_path / "many.mge"
    many = support.passed(models.path("large"), ["#rand(0,1)"] * 200, out)
    watch.stop()
    assert out.stat().st_size > 200 * 2 * TESTCASE
    assert set(peaks(few)) == set(peaks(many)) != set()
    for phase, peak in peaks(few).items():
        assert peaks(many)[phase] - peak < MARGIN, phase
    # Inputs and outputs of those that packing may be ahead, and one on each side.
    assert TESTCASE < watch.largest < 8 * 2 * TESTCASE
    assert list(scratch.iterdir()) == []

    again = support.verify(out, models.path("large"))
    assert again.verdict == "passed"
    assert len(again.testcases) == 200
    (largest,) = peaks(again).values()
    assert largest - max(peaks(few).values()) < MARGIN
