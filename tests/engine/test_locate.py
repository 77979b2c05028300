"""Faults planted in graphs: the operator that goes wrong has to be named, and no other."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from megdump_ci import pipeline, worker
from megdump_ci.gates import Limits
from megdump_ci.options import ExportOptions, PackOptions
from megdump_ci.report import Location, Report
from tests.engine import support

ROOT = Path(__file__).parents[2]
DATA = "#rand(-1,1)"
ENTRY = """
import sys
sys.path[:0] = sys.argv[1:]
from megdump_ci.engine import process

work = process._work

def planted(channel):
    from megdump_ci.engine import locating
    {fault}
    work(channel)

process._work = planted
process.main()
"""


FAILING = """
    def run(self, given):
        raise RuntimeError("planted")
    locating.Parts.run = run
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models that go wrong."""
    path = tmp_path_factory.mktemp("located")
    support.script("located_models.py", path)
    return path


@pytest.fixture(scope="module")
def blocked(models: support.Models, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A network in the NCHW44 layout, packed, verified, and looked into."""
    out = tmp_path_factory.mktemp("blocked") / "out.mge"
    options = {"optimize_for_inference": True, "enable_nchw44": True, "locate": True}
    return support.passed(models.path("net"), DATA, out, **options)


def location(report: Report) -> Location:
    """What was found, without a warning."""
    assert report.location is not None, report.warnings
    assert not any("wrong" in text for text in report.warnings)
    return report.location


def statuses(found: Location) -> dict[str, str]:
    """The status of each operator."""
    return {step.name: step.status for step in found.operators}


def altered(report: Report, out: Path) -> Path:
    """A packed file with a constant of its fused convolution altered."""
    assert report.packed is not None
    support.script("altering.py", report.packed.path, out, "ConvBiasForward")
    return out


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str) -> None:
    """Let ``fault`` befall the engine process that looks."""
    entry = folder / "entry.py"
    entry.write_text(ENTRY.replace("{fault}", fault))
    monkeypatch.setattr(worker, "_ENTRY", entry)


def test_a_clean_graph_in_a_blocked_layout_has_no_wrong_operator(blocked: Report) -> None:
    found = location(blocked)
    assert (found.wrong, found.altered, found.notes) == ([], [], [])
    assert (found.graph, found.names, found.kernels) == ("file", "file", "fast")
    status = statuses(found)
    # Convolution, bias and nonlinearity are one operator; of the normalisation, the bias is part.
    assert status.pop("second.Convolution") == status.pop("second.ADD") == "fused"
    assert status.pop("first.conv.ADD") == "unmatched"
    assert set(status.values()) == {"ok"}
    assert status.keys() >= {"first.conv.Convolution", "RELU[1]", "logits", "probability"}
    for step in found.operators:
        if step.status == "ok":
            assert float(step.error or 0) < 1e-6
        else:
            assert step.error is None
            assert status[step.within] == "ok"
    assert found.nearest is not None


def test_values_in_the_memory_of_images_are_read(models: support.Models, tmp_path: Path) -> None:
    """By naive kernels, which alone run them on a processor."""
    options = {"optimize_for_inference": True, "enable_hwcd4": True, "locate": True}
    found = location(support.passed(models.path("net"), DATA, tmp_path / "out.mge", **options))
    assert (found.wrong, found.kernels) == ([], "naive")
    status = statuses(found)
    assert status["RELU[0]"] == status["RELU[1]"] == status["logits"] == "ok"


def test_a_wrong_constant_is_named(
    blocked: Report, models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = altered(blocked, tmp_path / "wrong.mge")
    report = support.verify(file, models.path("net"))
    assert report.verdict == "failed"
    found = location(report)
    (wrong,) = found.wrong
    assert (wrong.name, wrong.type) == ("RELU[1]", "Elemwise")
    assert (wrong.optimized_type, wrong.layout) == ("ConvBiasForward", "NCHW4")
    assert (wrong.fused, wrong.covers) == (True, ["second.Convolution", "second.ADD"])
    assert (wrong.output.shape, wrong.optimized.shape) == ([1, 8, 8, 8], [1, 2, 8, 8, 4])
    assert [item.name for item in wrong.inputs] == ["RELU[0]"]
    assert wrong.inputs_agree
    assert (wrong.chain[0], wrong.chain[-3:]) == ("data", [*wrong.covers, "RELU[1]"])
    assert wrong.outputs == ["logits", "probability"]
    assert "second.weight" in wrong.parameters
    assert float(wrong.beyond_rounding or 0) > 1
    assert wrong.comparison.metrics is not None
    (constant,) = wrong.altered
    assert (constant.kind, constant.differing, constant.operator) == ("constant", 1, "RELU[1]")
    assert float(constant.found) == pytest.approx(float(constant.expected) * 1.01)
    status = statuses(found)
    assert [name for name, text in status.items() if text == "source"] == ["RELU[1]"]
    assert (status["RELU[0]"], status["logits"]) == ("ok", "follows")

    # The same, some operators at a time.
    plant(monkeypatch, tmp_path, "locating._MOST_PARTS = 2")
    again = location(support.verify(file, models.path("net")))
    assert again.operators == found.operators
    assert again.wrong == found.wrong

    # And where no operator can be run by itself.
    plant(monkeypatch, tmp_path, FAILING)
    again = location(support.verify(file, models.path("net")))
    assert [item.name for item in again.wrong] == [wrong.name]
    assert again.wrong[0].beyond_rounding is None
    assert any("by whether their inputs agree: planted" in note for note in again.notes)


def test_without_names_in_the_file_the_model_has_them(
    models: support.Models, tmp_path: Path
) -> None:
    packed = support.passed(
        models.path("net"),
        DATA,
        tmp_path / "out.mge",
        optimize_for_inference=True,
        enable_fuse_conv_bias_nonlinearity=True,
        discard_var_name=True,
    )
    file = altered(packed, tmp_path / "wrong.mge")
    found = location(support.verify(file, models.path("net")))
    assert (found.graph, found.names) == ("file", "anew")
    assert "no names" in found.notes[0]
    (wrong,) = found.wrong
    assert (wrong.name, wrong.optimized_type) == ("RELU[1]", "ConvBiasForward")
    assert [(item.operator, item.differing) for item in wrong.altered] == [("RELU[1]", 1)]


def test_a_value_beyond_float16_is_named(folder: Path, tmp_path: Path) -> None:
    report = support.pack(
        folder / "large.mge",
        str(folder / "large.npy"),
        tmp_path / "out.mge",
        optimize_for_inference=True,
        enable_io16xc32=True,
        maxerr=Limits(0.1),
    )
    assert report.verdict == "failed"
    found = location(report)
    (wrong,) = found.wrong
    assert (wrong.name, wrong.optimized.dtype) == ("squared", "float16")
    assert wrong.comparison.computed_non_finite is not None
    assert wrong.comparison.computed_non_finite.inf > 0
    assert wrong.error == "inf"
    assert statuses(found)["y"] == "follows"
    assert "float16" in found.criterion


def test_another_parameter_of_an_operator_is_named(folder: Path, tmp_path: Path) -> None:
    """As a wrong kernel is: the operator computes something else of the same inputs."""
    out = tmp_path / "out.mge"
    support.passed(folder / "mean.mge", str(folder / "mean.npy"), out)
    report = support.verify(out, folder / "max.mge")
    assert report.verdict == "failed"
    (wrong,) = location(report).wrong
    assert (wrong.name, wrong.type, wrong.match) == ("pooled", "PoolingForward", "name")
    assert [(item.kind, item.name) for item in wrong.altered] == [("parameter", "mode")]
    assert (wrong.altered[0].expected, wrong.altered[0].found[:7]) == ("MAX", "AVERAGE")
    assert wrong.covers == []


def test_an_operator_that_the_engine_writes_wrongly_is_named(folder: Path, tmp_path: Path) -> None:
    """A fault of MegEngine 1.13.0 itself: nothing is planted."""
    out = tmp_path / "out.mge"
    report = support.pack(folder / "clip.mge", "#rand(-3,3)", out, format="fbs_v2")
    assert report.verdict == "failed"
    (wrong,) = location(report).wrong
    assert (wrong.name, wrong.type, wrong.chain) == ("CLIP", "Elemwise", ["x", "CLIP"])
    assert (wrong.covers, wrong.altered) == ([], [])


@pytest.mark.parametrize("command", ["pack", "export"])
def test_rounding_alone_accuses_nobody(tmp_path: Path, command: str) -> None:
    """Of Python code too: the model is what was traced of it."""
    code = f"{ROOT / 'samples/classifier.py'}:classifier"
    options = {
        "data": (str(ROOT / "samples/images/china.png"),),
        "output": str(tmp_path / "out.mge"),
        "optimize_for_inference": True,
        "enable_io16xc32": True,
    }
    report = pipeline.run(
        PackOptions(model=code, **options)
        if command == "pack"
        else ExportOptions(target=code, **options)
    )
    assert report.verdict == "failed"
    found = location(report)
    assert found.wrong == []
    assert found.nearest is not None
    assert all(float(step.error or 0) < 1e-2 for step in found.operators)
    assert found.operators[-1].status == "follows"


def test_a_file_of_the_old_tool(models: support.Models) -> None:
    """Assertions before the passes, which the model optimised anew has not."""
    own = models.folder / "own_half.mge"
    found = location(support.verify(own, models.folder / "own_model.mge", locate=True))
    assert found.wrong == []
    assert {step.status for step in found.operators} <= {"ok", "fused", "unmatched", "follows"}


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (ROOT / "docs/locating.md").read_text()
    command, shown = re.findall(r"```console\n\$ (.*?)\n(.*?)```", page, re.DOTALL)[0]
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    argv = [sys.executable, "-m", *shlex.split(command.replace("megdump-ci", "megdump_ci", 1))]
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    lines = [line for line in shown.splitlines() if line != "…"]
    assert [line for line in lines if line not in ran.stdout] == []
