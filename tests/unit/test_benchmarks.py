"""What benchmarks are made of: their inputs, the limits these meet, the fits and the pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.growth.curves import chart, growth
from benchmarks.load import inputs
from benchmarks.measuring import measured
from megdump_ci import packed
from megdump_ci.errors import InputError
from megdump_ci.testcase import spec
from megdump_ci.testcase.faults import PROBLEM_LIMIT

AMOUNTS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_line_has_its_slope_and_grows_linearly(fixed: float, slope: float) -> None:
    found = growth([(amount, fixed + slope * amount) for amount in AMOUNTS])
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.fixed == pytest.approx(fixed, rel=1e-4, abs=1e-6 * slope)
    rising = sum(slope * (amount - 1) > 0.2 * (fixed + slope) for amount in AMOUNTS)
    if rising > 1:
        assert found.exponent == pytest.approx(1, abs=1e-6)
    else:
        assert np.isnan(found.exponent)


@given(st.floats(1.1, 3))
def test_what_grows_faster_is_told(power: float) -> None:
    found = growth([(amount, 1 + 0.01 * amount**power) for amount in AMOUNTS])
    assert found.exponent == pytest.approx(power, abs=0.15)


def test_a_picture_stands_alone() -> None:
    points = [(amount, 1 + amount / 100) for amount in AMOUNTS]

    def draw() -> bytes:
        return chart("<Time>", {"all & more": points}, amount=str, taken="{:g} s".format)

    root = ElementTree.fromstring(draw())
    tags = {str(element.tag).rpartition("}")[2] for element in root.iter()}
    assert "script" not in tags
    assert "circle" in tags
    assert {"<Time>", "all & more", "100 s"} <= {element.text for element in root.iter()}
    assert draw() == draw()
    assert len(draw()) < 20_000


@pytest.mark.parametrize("count", [PROBLEM_LIMIT, 10_000])
def test_every_line_of_a_wrong_list_counts_and_few_are_shown(tmp_path: Path, count: int) -> None:
    path = inputs.wrong(tmp_path, count, ["#rand(1,0.{})"])
    with pytest.raises(InputError) as caught:
        spec.read_specs([f"@{path}"])
    *shown, last = caught.value.problems
    assert [problem.line for problem in shown[:3]] == [1, 2, 3]
    if count > PROBLEM_LIMIT:
        assert last.message == f"and {count - PROBLEM_LIMIT} more problems like these"
    assert len(shown) <= PROBLEM_LIMIT


def test_a_mixed_list_has_its_testcases(tmp_path: Path) -> None:
    found = spec.read_specs([f"@{inputs.mixed(tmp_path, (1, 3), 6)}"])
    assert [item.text for item in found[:3]] == ["0.npy", "#rand(0,1)", "2.npy"]
    assert np.load(tmp_path / "2.npy").tolist() == [[0.5] * 3]


def test_an_oversized_model_is_one_by_its_size_alone(tmp_path: Path) -> None:
    packed.check_model(str(inputs.oversized(tmp_path / "fits.mge", 2**31 - 1)))
    with pytest.raises(InputError, match="2147483647"):
        packed.check_model(str(inputs.oversized(tmp_path / "beyond.mge", 2**31)))


def test_memory_of_each_process_is_seen() -> None:
    inner = "x = bytearray(120_000_000); import time; time.sleep(0.3)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    run = measured([sys.executable, "-c", outer]).checked()
    assert len(run.processes) == 2
    assert run.own_peak < 100_000_000 < run.processes[1].peak
    assert run.peak > 120_000_000


def test_a_run_beyond_its_memory_is_ended() -> None:
    hog = "x = bytearray(300_000_000); import time; time.sleep(60)"
    run = measured([sys.executable, "-c", hog], memory_limit=100_000_000)
    assert run.stopped.startswith("it took ")
    assert run.status < 0
