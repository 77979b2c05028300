"""Packed files that MegEngine's own trace.dump wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdump_ci.gates import Limits
from tests.engine import support
from tests.engine.support import Parts


@pytest.mark.parametrize("name", ["own", "own_half"])
@pytest.mark.parametrize("against", [False, True], ids=["alone", "with its model"])
def test_a_file_of_trace_dump_passes(
    name: str, against: bool, models: support.Models, tmp_path: Path
) -> None:
    (content,) = support.read(models.path(name))
    # The assertions are all the outputs there are, in float16 where passes came after them.
    half = name == "own_half"
    assert content["compared"] == [["float16" if half else "float32"] * 2] * 2
    model = models.path("own_model") if against else None
    report = support.verify(models.path(name), model)
    assert report.verdict == "passed", support.said(report)
    (testcase,) = report.testcases
    assert [output.name for output in testcase.outputs] == ["sum", "product"]
    for output in testcase.outputs:
        assert output.assertion is not None
        assert (output.against_model is not None) == against


@pytest.mark.parametrize("name", ["own", "own_half"])
def test_a_file_of_trace_dump_with_another_value_fails(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    (content,) = support.read(models.path(name))
    parts = Parts.of(models.path(name).read_bytes())
    value = content["testcases"][0]["values"]["product:expect"]
    wrong = value.copy()
    wrong[1, 2] += 0.01
    file = tmp_path / "bad.mge"
    bad = Parts(parts.graph, (support.replaced(parts.testcases[0], value, wrong),))
    file.write_bytes(bad.joined())
    report = support.verify(file)
    assert report.exit_status == 1
    failed = [output.name for output in report.testcases[0].outputs if not output.passed]
    assert failed == ["product"]
    assert "[1, 2]" in support.said(report)


def test_what_megdump_ci_packs_from_the_same_model_agrees(
    models: support.Models, tmp_path: Path
) -> None:
    """The other direction: MegEngine's model, packed here, against the same code's graph."""
    out = tmp_path / "packed.mge"
    data = ["x:#rand(0,1);y:#rand(1,2)", "#rand(-3,3)"]
    support.passed(models.path("own_model"), data, out)
    (content,) = support.read(out)
    assert not any(testcase["failure"] for testcase in content["testcases"])
    report = support.verify(out, models.path("own_model"), maxerr=Limits(0.0))
    assert report.verdict == "passed", support.said(report)


def test_a_limit_of_ones_own_is_held_besides_the_file_s(
    models: support.Models, tmp_path: Path
) -> None:
    # In float16 the file passes with its own limit of 1e-3, and not with a hundredth of that.
    assert support.verify(models.path("own_half")).maxerr is None
    report = support.verify(models.path("own_half"), maxerr=Limits(1e-5))
    assert report.exit_status == 1
    assert all(
        output.assertion and output.assertion.passed for output in report.testcases[0].outputs
    )
    assert 1e-5 < float(report.gates[0].value or 0) < 1e-3
