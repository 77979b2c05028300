"""What is wrong with one testcase is told after what became of the one before.

The engine runs a testcase while the next one is read, and what it gave is looked at after that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine import support
from tests.engine.planting import plant

SAMPLES = support.HERE.parents[1] / "samples"
BROKEN = """
    feeds, judge = checking.PackedGraph.feeds, checking.judge
    def broken(self, content, what):
        if what == "testcase 2":
            raise EngineError("testcase 2 is broken")
        return feeds(self, content, what)
    def wrong(packed_graph, index, feeds, truth, result):
        if index == 1:
            result.outputs = [value + 1 for value in result.outputs]
        return judge(packed_graph, index, feeds, truth, result)
    checking.PackedGraph.feeds, checking.judge = broken, wrong
"""


def test_what_the_engine_refuses_comes_before_what_is_wrong_with_the_next(tmp_path: Path) -> None:
    np.save(tmp_path / "refused.npy", np.full((1, 16), 100_000, np.int32))
    np.save(tmp_path / "far.npy", np.full((1, 16), 3_000_000_000, np.int64))
    report = support.pack(
        SAMPLES / "tokens.mge",
        ["#rand(0,63)", str(tmp_path / "refused.npy"), str(tmp_path / "far.npy"), "#rand(0,63)"],
        tmp_path / "out.mge",
    )
    assert report.exit_status == 3
    assert "refused.npy" in support.said(report)
    assert "far.npy" not in support.said(report)


def test_a_verdict_is_not_lost_with_the_next_testcase(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, tmp_path, BROKEN)
    report = support.pack(models.path("net"), ["#rand(0,1)"] * 4, tmp_path / "out.mge")
    assert "testcase 2 is broken" in support.said(report)
    assert [(case.index, case.passed) for case in report.testcases] == [(0, True), (1, False)]
    assert report.max_error == pytest.approx(1)


def test_the_first_testcase_may_have_another_shape_than_the_model_declares(
    models: support.Models, tmp_path: Path
) -> None:
    """The expected value is declared as the output is."""
    report = support.pack(
        models.path("large"), ["#rand(0,1,3,...)", "#rand(0,1)"], tmp_path / "out.mge"
    )
    assert report.exit_status == 0, support.said(report)
