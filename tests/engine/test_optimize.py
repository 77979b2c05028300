"""Every optimising pass: what passes, what fails with numbers, and what does not run here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from megdump_ci.commands.pack import UNVERIFIED_SUFFIX
from megdump_ci.errors import ExitStatus
from megdump_ci.options import LAYOUTS, SWITCHES
from megdump_ci.report import Report
from tests.engine import support
from tests.engine.planting import plant

PASSES = (*SWITCHES, *LAYOUTS)
DATA = "#rand(-1,1)"
DIES = """
    def take(self, message):
        {how}
    checking.StreamCheck.take = take
"""
ENDS = {
    "hung": "print('terminate called', flush=True); time.sleep(100)",
    "refused": "raise graph.GraphRefused('running it', RuntimeError('no such kernel'))",
}


@pytest.fixture(scope="module")
def packed(models: support.Models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A convolutional network packed with each pass alone, two side by side."""
    folder = tmp_path_factory.mktemp("passes")

    def pack(name: str) -> Report:
        options = {"optimize_for_inference": True, f"enable_{name}": True, "timeout": 60}
        return support.pack(models.path("net"), [DATA, DATA], folder / f"{name}.mge", **options)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PASSES, pool.map(pack, PASSES), strict=True))


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_ends_with_a_verdict_or_says_why_not(
    packed: dict[str, Report], name: str
) -> None:
    report = packed[name]
    assert report.exit_status in (ExitStatus.PASSED, ExitStatus.FAILED, ExitStatus.ENGINE)
    if report.exit_status == ExitStatus.ENGINE:
        assert report.problems
        assert all(problem.message and problem.hint for problem in report.problems)
        return
    assert report.packed is not None
    assert Path(report.packed.path).exists()
    assert report.kernels in ("fast", "naive")
    # Naive kernels only where the fast ones said why not.
    assert [item.kernels for item in report.kernel_failures] == (
        ["fast"] if report.kernels == "naive" else []
    )
    assert len(report.testcases) == 2
    assert report.max_error is not None
    passes = float(report.max_error) <= 1e-4
    assert (report.exit_status == ExitStatus.PASSED) == passes
    assert report.change is not None
    assert report.change.passes == [f"enable_{name}"]


def test_layouts_and_fusions_change_values_by_rounding_only(packed: dict[str, Report]) -> None:
    for name in ("fuse_conv_bias_nonlinearity", "nchw4", "nchw44", "nchw88"):
        assert packed[name].verdict == "passed", support.said(packed[name])
        assert float(packed[name].max_error or 0) < 1e-5


def test_a_layout_that_hangs_the_engine_costs_seconds(packed: dict[str, Report]) -> None:
    """``nchw88`` runs on some processors, and on others ends in Xbyak and a hang at exit."""
    report = packed["nchw88"]
    assert report.seconds < 40
    if report.kernels == "naive":
        assert report.kernel_failures[0].how in ("hung", "crashed", "refused")
        assert "naive kernels" in report.headline
        assert any("naive kernels" in text for text in report.warnings)


def test_float16_passes_say_what_they_cost(packed: dict[str, Report]) -> None:
    for name in ("io16xc32", "ioc16"):
        change = packed[name].change
        assert change is not None
        assert change.added["TypeCvt"] > 0
        assert change.dtypes_after["float16"] > 0
        assert "float16" not in change.dtypes_before
        # The name of each var is in the file too.
        assert change.size_after < change.size_before
        assert float(packed[name].max_error or 0) > 1e-6


def test_the_change_counts_what_was_fused(packed: dict[str, Report]) -> None:
    change = packed["fuse_conv_bias_nonlinearity"].change
    assert change is not None
    assert change.fused == {"ConvBiasForward": change.removed["ConvolutionForward"]}
    assert change.operators_after < change.operators_before
    assert "AssertEqual" not in change.added


def test_fast_kernels_that_die_leave_the_verdict_to_the_naive_ones(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(
        monkeypatch,
        tmp_path,
        DIES.format(how="return check(self, message) if NAIVE else os.abort()"),
    )
    report = support.pack(models.path("net"), [DATA] * 6, tmp_path / "out.mge")
    assert (report.verdict, report.kernels) == ("passed", "naive")
    assert [(item.kernels, item.how) for item in report.kernel_failures] == [("fast", "crashed")]
    assert [testcase.index for testcase in report.testcases] == list(range(6))
    (content,) = support.read(tmp_path / "out.mge")
    assert [case["failure"] for case in content["testcases"]] == [""] * 6


def test_a_wrong_result_fails_on_naive_kernels_too(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(
        monkeypatch,
        tmp_path,
        """
    finish = checking.PackedGraph.finish
    def altered(self):
        if not NAIVE:
            os.abort()
        result = finish(self)
        result.outputs = [value + 1 for value in result.outputs]
        return result
    checking.PackedGraph.finish = altered
""",
    )
    out = tmp_path / "out.mge"
    report = support.pack(models.path("net"), DATA, out, allow_unverified=True)
    assert (report.verdict, report.exit_status) == ("failed", ExitStatus.FAILED)
    assert report.kernels == "naive"
    assert not out.exists()


@pytest.mark.parametrize("is_called", ENDS)
def test_what_no_kernels_run_is_kept_aside(
    models: support.Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scratch: Path,
    is_called: str,
) -> None:
    plant(monkeypatch, tmp_path, DIES.format(how=ENDS[is_called]))
    out = tmp_path / "out.mge"
    out.write_bytes(b"an earlier good file")
    start = time.monotonic()
    report = support.pack(models.path("net"), [DATA] * 6, out)
    assert time.monotonic() - start < 45
    assert report.exit_status == ExitStatus.ENGINE
    assert [item.how for item in report.kernel_failures] == [is_called, is_called]
    assert out.read_bytes() == b"an earlier good file"
    aside = Path(f"{out}{UNVERIFIED_SUFFIX}")
    assert str(aside) in support.said(report)
    assert "fast kernels" in support.said(report)
    assert "naive kernels" in support.said(report)
    assert report.packed is not None
    assert report.packed.path == str(aside)
    assert report.packed.size == aside.stat().st_size
    assert report.testcases == []
    # It is whole: what could not be verified here holds every testcase.
    (content,) = support.read(aside)
    assert [case["failure"] for case in content["testcases"]] == [""] * 6
    assert list(support.engine_processes(scratch)) == []


def test_an_unverified_file_is_taken_where_that_is_allowed(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, tmp_path, DIES.format(how="os.abort()"))
    out, deploy = tmp_path / "out.mge", tmp_path / "deploy.mge"
    report = support.pack(
        models.path("net"), DATA, out, deploy_output=str(deploy), allow_unverified=True
    )
    assert (report.verdict, report.exit_status) == ("not verified", ExitStatus.PASSED)
    assert any("not verified" in text for text in report.warnings)
    assert report.headline.startswith("NOT VERIFIED")
    assert report.kernels is None
    assert deploy.exists()
    monkeypatch.undo()
    assert support.verify(out, models.path("net")).verdict == "passed"


def test_only_a_graph_that_does_not_run_is_unverified(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a file that is wrong, and not a comparison that failed before the engine died."""
    faults = {
        "wrong": DIES.format(how="raise EngineError('the file is wrong', 'pack it again')"),
        "failed": """
    def altered(packed_graph, index, feeds, truth, result):
        if index:
            os.abort()
        outputs = [value + 1 for value in truth.outputs]
        wrong = checking.Truth(truth.inputs, outputs, truth.names)
        return judge(packed_graph, index, feeds, wrong, result)
    checking.judge = altered
""",
    }
    for name, fault in faults.items():
        plant(monkeypatch, tmp_path, fault)
        out = tmp_path / f"{name}.mge"
        report = support.pack(models.path("net"), [DATA] * 3, out, allow_unverified=True)
        assert report.exit_status == ExitStatus.ENGINE
        assert report.kernel_failures == []
        assert list(tmp_path.glob(f"{name}.mge*")) == []


def test_verify_falls_back_too(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mge"
    support.passed(models.path("net"), str(models.data("batch1")), out)
    plant(
        monkeypatch,
        tmp_path,
        """
    def judged(*arguments):
        return judge(*arguments) if NAIVE else os.abort()
    checking.judge = judged
""",
    )
    report = support.verify(out, models.path("net"))
    assert (report.verdict, report.kernels) == ("passed", "naive")
    plant(monkeypatch, tmp_path, "    checking.judge = lambda *arguments: os.abort()\n")
    report = support.verify(out)
    assert (report.verdict, report.exit_status) == ("error", ExitStatus.ENGINE)
    assert "naive kernels" in support.said(report)
