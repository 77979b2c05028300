"""Gates beside maxerr, and passes that are worth a warning, on the real engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from megdump_ci.gates import Limits
from tests.engine import support

FLOAT16 = {"optimize_for_inference": True, "enable_ioc16": True}


def test_a_limit_for_one_output_stands_in_the_file_and_is_held(
    models: support.Models, tmp_path: Path
) -> None:
    data = str(models.data("batch3"))
    out = tmp_path / "half.mge"
    limits = Limits(1e-7, {"logits": 0.5})
    report = support.pack(models.path("net"), data, out, maxerr=limits, **FLOAT16)
    assert report.exit_status == 1
    gates = {gate.output: gate for gate in report.gates}
    assert (gates["logits"].passed, gates["logits"].limit, gates["logits"].own) == (True, 0.5, True)
    assert (gates["probability"].passed, gates["probability"].limit) == (False, 1e-7)
    # What is offered passes, and is the file's own from then on.
    assert report.passing[0] == "--maxerr"
    enough = Limits(float(report.passing[1]), {"logits": 0.5})
    support.passed(models.path("net"), data, out, maxerr=enough, **FLOAT16)
    found = support.verify(out)
    assert found.verdict == "passed"
    limits_read = {output.name: output.maxerr for output in found.testcases[0].outputs}
    assert limits_read["logits"] == 0.5
    assert abs((limits_read["probability"] or 0) / enough.values[0] - 1) < 1e-6


def test_an_output_that_is_not_there_can_have_no_limit(
    models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "out.mge"
    limits = {"maxerr": Limits(1.0, {"logit": 1.0}), "min_sqnr": Limits(None, {"x": 1.0})}
    report = support.pack(models.path("net"), "#rand(0,1)", out, **limits)
    assert report.exit_status == 2
    assert [problem.message for problem in report.problems] == [
        "maxerr has a limit for output 'logit', which the model does not have",
        "min-sqnr has a limit for output 'x', which the model does not have",
    ]


def test_cosine_sqnr_and_agreement_can_fail_what_maxerr_passes(
    models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "faint.mge"
    # Small as they are, the turned signs are no error that AssertEqual could see.
    support.passed(models.path("faint1"), ["#rand(1,2)", "#rand(1,2)"], out)
    report = support.verify(out, models.path("faint2"))
    assert report.verdict == "passed"
    (warning,) = [text for text in report.warnings if "cosine similarity is -1" in text]
    assert "score passes maxerr" in warning
    for gate, word in (
        ({"min_cosine": Limits(0.99)}, "cosine -1 is below min-cosine 0.99"),
        ({"min_sqnr": Limits(20.0)}, "SQNR -6.021 dB is below min-sqnr 20"),
        ({"top_k_agreement": Limits(0.5)}, ""),
    ):
        report = support.verify(out, models.path("faint2"), **gate)
        assert report.exit_status == 1
        assert word in support.said(report)
        (missed,) = [item for item in report.gates if not item.passed]
        assert missed.output == "score"
    # All testcases passed one by one: it takes the rows of all of them to miss this one.
    assert missed.name == "top-k-agreement"
    assert report.headline.startswith("FAIL: 2 of 2 testcases, top-k-agreement missed")


def test_whole_numbers_that_no_float32_tells_apart_are_told_apart(
    models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "count.mge"
    support.passed(models.path("count1"), "#rand(0,0)", out)
    report = support.verify(out, models.path("count2"))
    assert report.verdict == "passed"
    assert "but 6 of its 6 whole numbers differ in testcase 0" in report.warnings[0]
    # The file's own assertion cannot see it.
    report = support.verify(out, models.path("count2"), maxerr=Limits(0.0))
    assert report.exit_status == 1
    assert "expected 16777217, computed 16777216" in support.said(report)
    (output,) = report.testcases[0].outputs
    assert output.assertion is not None
    assert output.assertion.passed


def test_a_model_whose_input_has_another_dtype_is_not_fed(
    models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "count.mge"
    support.passed(models.path("count1"), "#rand(0,9)", out)
    report = support.verify(out, models.path("count3"))
    assert report.exit_status == 2
    assert "in the packed file input x is int32, float16 in" in support.said(report)


def test_what_is_offered_for_a_file_is_what_it_passes_with(
    models: support.Models, tmp_path: Path
) -> None:
    data = str(models.data("batch3"))
    out = tmp_path / "half.mge"
    wide = Limits(1e-2, {"logits": 0.5})
    support.passed(models.path("net"), data, out, maxerr=wide, **FLOAT16)
    report = support.verify(out, maxerr=Limits(1e-7))
    assert report.exit_status == 1
    assert report.passing[0] == "--maxerr"
    found = support.verify(out, maxerr=Limits.parse(report.passing[1::2]))
    assert found.verdict == "passed"
    # Packed with less, its assertion is missed whatever verify is told.
    support.pack(models.path("net"), data, out, maxerr=Limits(1e-7), **FLOAT16)
    report = support.verify(Path(f"{out}.failed"), maxerr=wide)
    assert report.exit_status == 1
    assert report.passing == []
    assert "above the maxerr that it was packed with" in support.said(report)


def test_outputs_that_nothing_moves_are_warned_of(models: support.Models, tmp_path: Path) -> None:
    report = support.passed(
        models.path("unmoved"), ["#rand(1,2)", "#rand(3,4)"], tmp_path / "out.mge"
    )
    assert sorted(text.partition(":")[0] for text in report.warnings) == [
        "all elements of output nothing are equal in every testcase, so that passing says little",
        "output fixed is the same in all 2 testcases, though their inputs differ",
        "output nothing is the same in all 2 testcases, though their inputs differ",
    ]


def test_the_numbers_of_a_failure_are_in_the_report(models: support.Models, tmp_path: Path) -> None:
    data = str(models.data("batch3"))
    out = tmp_path / "half.mge"
    report = support.pack(models.path("net"), data, out, maxerr=Limits(0.0), **FLOAT16)
    (testcase,) = report.testcases
    for output in testcase.outputs:
        comparison = output.against_model
        assert comparison is not None
        metrics = comparison.metrics
        assert metrics is not None
        assert metrics.size == 15 == sum(metrics.histogram)
        assert 0 < metrics.beyond == metrics.differing
        assert metrics.worst[0].index == comparison.index
        assert metrics.worst[0].error == comparison.error
        assert 30 < float(metrics.sqnr) < 100
        assert 0.999 < float(metrics.cosine) < 1
        assert metrics.top_k is not None
        assert metrics.top_k.rows == 3


def test_equal_elements_are_counted_as_such_beside_the_engine() -> None:
    """MegEngine makes the processor take denormal numbers for 0."""
    program = (
        "import megengine, numpy as np\nfrom megdump_ci import compare\n"
        "e, g = np.float32([0.5, 1, 2]), np.float32([0.5, 1, 2.5])\n"
        "print(compare.difference(e, g, 0.0).histogram)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == f"{(2, *[0] * 9, 1, *[0] * 3)}\n", ran.stderr
