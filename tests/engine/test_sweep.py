"""``sweep``: every row stands for itself, and the whole run ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from megdump_ci import pipeline
from megdump_ci.errors import ExitStatus
from megdump_ci.gates import Limits
from megdump_ci.options import SweepOptions
from megdump_ci.report import Report, from_json
from tests.engine import support
from tests.engine.test_optimize import DATA, DIES, plant


def sweep(model: Path, *only: str, **options: object) -> Report:
    """Run ``sweep`` on some configurations."""
    given = {"model": str(model), "data": (DATA,), "only": only, **options}
    return pipeline.run(SweepOptions(**given))  # type: ignore[arg-type]


def test_each_configuration_has_a_row(models: support.Models, tmp_path: Path) -> None:
    names = ["none", "ioc16", "fuse-nonlinearity", "fuse-z", "nchw88"]
    report = sweep(models.path("net"), *names[::-1], report=str(tmp_path), maxerr=Limits(1e-5))
    assert (report.verdict, report.exit_status) == ("passed", ExitStatus.PASSED)
    assert report.sweep is not None
    assert from_json((tmp_path / "report.json").read_bytes()).sweep == report.sweep
    rows = {trial.name: trial for trial in report.sweep.trials}
    # In the order of the configurations, whichever was done first.
    assert list(rows) == names
    assert rows["none"].max_error == 0
    assert rows["none"].change is None
    assert rows["ioc16"].status == "failed"
    assert rows["ioc16"].reason
    assert rows["ioc16"].latency is not None
    assert rows["nchw88"].kernels in ("fast", "naive")
    for name in ("none", "fuse-nonlinearity"):
        row = rows[name]
        assert (row.status, row.kernels) == ("passed", "fast")
        assert row.size
        assert row.operators
        assert row.latency is not None
        assert 0 < (row.latency_best or 0) <= row.latency
        assert row.runs >= 10
    fused = rows["fuse-nonlinearity"]
    # The same graph, though the metadata names another pass: timed once, and the first is named.
    assert fused.digest == rows["fuse-z"].digest != rows["none"].digest
    assert fused.latency == rows["fuse-z"].latency
    assert fused.change is not None
    assert fused.change.fused["ConvBiasForward"] > 0
    assert fused.operators == fused.change.operators_after
    passed = [row for row in rows.values() if row.status == "passed"]
    assert report.sweep.smallest == min(passed, key=lambda row: row.size or 0).name
    least = min(row.latency for row in passed if row.latency)
    assert (rows[report.sweep.fastest].latency or 0) <= least * 1.1


def test_a_timing_that_dies_costs_its_own_row(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(
        monkeypatch,
        tmp_path,
        """
    from megdump_ci.engine import timing
    times = timing._times
    timing._times = lambda path: os.abort() if "configuration-0" in path else times(path)
""",
    )
    report = sweep(models.path("net"), "plain")
    assert report.exit_status == ExitStatus.PASSED
    assert report.sweep is not None
    assert [trial.latency is None for trial in report.sweep.trials] == [True, False]
    assert [trial.status for trial in report.sweep.trials] == ["passed"] * 2


def test_wrong_input_is_said_once(tmp_path: Path, models: support.Models) -> None:
    report = sweep(models.path("net"), data=(str(tmp_path / "missing.npy"),))
    assert report.exit_status == ExitStatus.INPUT
    assert len(report.problems) == 1
    report = sweep(models.path("net"), "nchw89")
    assert report.exit_status == ExitStatus.INPUT
    assert "nchw89" in support.said(report)


def test_a_model_that_does_not_run_at_all_ends_the_sweep(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, tmp_path, DIES.format(how="os.abort()"))
    report = sweep(models.path("net"), "plain")
    assert report.exit_status == ExitStatus.ENGINE
    assert report.sweep is None


def test_a_signal_ends_everything(models: support.Models, scratch: Path) -> None:
    process = subprocess.Popen(
        support.command("sweep", models.path("net"), "-d", DATA),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    deadline = time.monotonic() + 60
    # Two configurations are at work, beside each other.
    while len(list(scratch.glob("*/configuration-[1-9]*/*.log"))) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == ExitStatus.INPUT
    assert "stopped by SIGINT" in errors
    assert list(support.engine_processes(scratch)) == []
    assert list(scratch.iterdir()) == []
