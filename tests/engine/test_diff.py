"""``diff`` and ``pack --baseline`` on the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megdump_ci import pipeline
from megdump_ci.gates import Limits
from megdump_ci.options import DiffOptions
from megdump_ci.report import Baseline, Report
from tests.engine import support

DATA = ("#rand(-1,1)", "#rand(-3,3)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models."""
    made = tmp_path_factory.mktemp("diff")
    support.script("diff_models.py", made)
    return made


def diff(folder: Path, name: str, base: str = "base", **options: Any) -> tuple[Report, Baseline]:
    """Run ``diff`` of two of the models."""
    paths = {"base": str(folder / f"{base}.mge"), "new": str(folder / f"{name}.mge")}
    report = pipeline.run(DiffOptions(**paths, data=DATA, **options))
    assert report.baseline is not None, support.said(report)
    return report, report.baseline


def changed(found: Baseline) -> list[tuple[str, str, list[str]]]:
    """How each operator changed, its name, and what of it."""
    return [(item.how, item.name, [e.what for e in item.edits]) for item in found.operators]


def parameters(found: Baseline) -> list[tuple[str, str]]:
    return [(item.how, item.name) for item in found.parameters]


def test_the_same_file_is_identical(folder: Path) -> None:
    report, found = diff(folder, "base")
    assert (report.verdict, report.exit_status) == ("passed", 0)
    assert report.headline == "DIFF: identical files, max error 0 on 2 testcases"
    assert (found.change, found.headline) == ("identical", "identical: the same bytes")
    assert found.operator_totals.alike == 10
    assert found.parameter_totals.alike == 6
    assert [drift.errors for drift in found.drift] == [[0.0, 0.0], [0.0, 0.0]]


def test_the_same_model_in_another_format_is_not_changed(folder: Path) -> None:
    report, found = diff(folder, "format", maxerr=Limits(0.0))
    assert report.headline.startswith("PASS: same operators and parameters, other bytes")
    assert found.change == "equivalent"
    assert found.headline.endswith("other bytes: format fbs, was fbs_v2")
    assert (found.operators, found.parameters, found.inputs, found.outputs) == ([], [], [], [])


def test_a_weight_that_changed_is_named_with_the_amount(folder: Path) -> None:
    report, found = diff(folder, "weight")
    assert (found.change, report.exit_status) == ("weights", 0)
    assert "1 of 6 parameters changed (largest: head.weight, relative change" in found.headline
    assert found.operators == []
    (change,) = found.parameters
    assert change.used_by == "MatrixMul head.matmul, input 1"
    assert change.metrics is not None
    assert change.metrics.differing == 16
    # One row of five was made larger by a thousandth.
    assert change.metrics.max_rel_error == pytest.approx(0.001, rel=0.01)
    assert 60 < float(change.metrics.sqnr) < 75
    for drift in found.drift:
        assert 0 < float(drift.max_error or 0) < 0.02
        assert float(drift.sqnr or 0) > 50
    # A limit that it exceeds fails it, and with the one that is offered it passes.
    failed, _ = diff(folder, "weight", maxerr=Limits(1e-5))
    assert (failed.verdict, failed.exit_status) == ("failed", 1)
    assert failed.passing[0] == "--maxerr"
    again, _ = diff(folder, "weight", maxerr=Limits.parse(failed.passing[1:]))
    assert (again.verdict, again.headline[:19]) == ("passed", "PASS: other weights")


def test_without_names_operators_and_parameters_are_matched_by_structure(folder: Path) -> None:
    for base, change, names in (("nameless", "weights", []), ("base", "weights", ["head.weight"])):
        _, found = diff(folder, "nameless_weight", base)
        assert (found.change, found.operators) == (change, [])
        (parameter,) = found.parameters
        assert parameter.metrics is not None
        assert parameter.metrics.differing == 16
        assert [name for name in (parameter.base_name,) if name] == names
        assert [drift.compared for drift in found.drift] == [2, 2]


def test_an_operator_replaced_and_an_output_renamed_fail_the_limit_that_is_asked_for(
    folder: Path,
) -> None:
    report, found = diff(folder, "replaced", maxerr=Limits(None, {"scores": 0.01}))
    assert found.change == "structure"
    assert changed(found) == [("changed", "stem.TANH", ["mode"])]
    assert found.operators[0].base_name == "stem.RELU"
    assert found.parameters == []
    (output,) = found.outputs
    assert [(edit.what, edit.after, edit.before) for edit in output.edits] == [
        ("name", "scores", "logits")
    ]
    assert any("scores" in text and "not compatible" in text for text in report.warnings)
    assert (report.verdict, report.exit_status) == ("failed", 1)
    assert [gate.output for gate in report.gates if not gate.passed] == ["scores"]


def test_an_operator_added_and_an_output_dropped(folder: Path) -> None:
    report, found = diff(folder, "added")
    assert report.exit_status == 0
    assert changed(found) == [
        ("added", "clip", []),
        ("removed", "probability", []),
        ("changed", "head.matmul", ["input 0"]),
    ]
    edit = found.operators[2].edits[0]
    assert (edit.before, edit.after) == ("body.RELU", "clip")
    assert [(item.how, item.compatible) for item in found.outputs] == [("removed", False)]
    assert [drift.output for drift in found.drift] == ["logits"]
    # A limit for all outputs cannot be kept by one that is gone.
    failed, _ = diff(folder, "added", min_cosine=Limits(-1.0))
    assert failed.exit_status == 1
    assert "probability has a limit and is not in both models" in support.said(failed)


def test_nothing_compared_is_a_failure(folder: Path) -> None:
    report, found = diff(folder, "classes")
    assert (report.verdict, report.exit_status) == ("failed", 1)
    assert "nothing was compared: shape is (1, 7), expected (1, 5)" in support.said(report)
    assert parameters(found) == [("changed", "head.weight"), ("changed", "head.bias")]
    assert [item.metrics for item in found.parameters] == [None, None]
    assert [drift.compared for drift in found.drift] == [0, 0]


def test_an_input_of_another_shape_is_told_and_the_outputs_compared_if_the_base_takes_it(
    folder: Path,
) -> None:
    report, found = diff(folder, "batch")
    (change,) = found.inputs
    assert [(edit.what, edit.before, edit.after) for edit in change.edits] == [
        ("shape", "(1, 8)", "(2, 8)")
    ]
    assert not change.compatible
    assert report.exit_status == 0
    assert [drift.max_error for drift in found.drift] == [0.0, 0.0]


def test_an_input_of_another_name_is_fed_what_the_new_one_is(folder: Path) -> None:
    report, found = diff(folder, "input")
    assert found.change == "equivalent"
    assert [item.edits[0].what for item in found.inputs] == ["name"]
    assert report.exit_status == 0
    assert [drift.max_error for drift in found.drift] == [0.0, 0.0]


def test_data_of_another_dtype_is_not_what_the_base_model_takes(folder: Path) -> None:
    report, found = diff(folder, "dtype")
    assert (report.verdict, report.exit_status) == ("failed", 1)
    reason = "nothing was compared: input data is int8, and float32 in the base model"
    assert found.reason == reason
    assert [testcase.reason for testcase in report.testcases] == [reason, reason]
    assert ("added", "cast") in [(item.how, item.name) for item in found.operators]


def test_values_that_are_no_longer_finite_fail_without_a_limit(folder: Path) -> None:
    report, found = diff(folder, "nan")
    assert (report.verdict, report.exit_status) == ("failed", 1)
    assert "1 of 5 values are NaN or infinite that were not" in support.said(report)
    assert "largest: head.bias, 1 NaN and 0 infinite" in found.headline
    # The other way round they are mended.
    mended, _ = diff(folder, "base", "nan")
    assert mended.exit_status == 0


def test_pack_says_what_changed_from_an_earlier_packed_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mge"
    support.passed(folder / "base.mge", list(DATA), out)
    # The earlier file is read before the new one takes its place.
    report = support.passed(folder / "replaced.mge", list(DATA), out, baseline=str(out))
    found = report.baseline
    assert found is not None
    assert found.base.path == str(out)
    assert changed(found) == [("changed", "stem.TANH", ["mode"])]
    assert found.parameter_totals.alike == 6
    assert [drift.base_output for drift in found.drift] == ["logits", ""]
    assert all(drift.compared == 2 and float(drift.max_error or 0) > 0.01 for drift in found.drift)
    assert report.headline.startswith("PASS: 2 of 2 testcases, max error 0")
    assert any("scores" in text and "not compatible" in text for text in report.warnings)
    assert "comparing" in [process.name for process in report.processes]


def test_a_baseline_that_the_engine_refuses_is_a_warning(folder: Path, tmp_path: Path) -> None:
    content = (folder / "base.mge").read_bytes()
    broken = tmp_path / "broken.mge"
    # Its frame is right, its content is not.
    broken.write_bytes(content[:64] + b"\xff" * (len(content) - 64))
    out = tmp_path / "out.mge"
    report = support.passed(folder / "base.mge", DATA[0], out, baseline=str(broken))
    assert report.baseline is None
    assert [text for text in report.warnings if "not compared with the base model" in text]
    assert out.exists()


def test_pack_of_python_code_compares_what_was_exported_as_far_as_that_goes(
    folder: Path, tmp_path: Path
) -> None:
    code = Path(__file__).parents[2] / "samples" / "classifier.py:classifier"
    data = str(code.parent / "images" / "china.png")
    base = str(folder / "base.mge")
    report = support.passed(code, data, tmp_path / "out.mge", baseline=base)
    found = report.baseline
    assert found is not None
    assert found.model.path == str(code)
    assert found.change == "structure"
    assert {item.how for item in found.inputs} == {"added", "removed"}
    assert found.reason == "nothing was compared: only the base model has input data"
    assert [drift.compared for drift in found.drift] == [0, 0]
