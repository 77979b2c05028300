"""Faults planted in packed files; ``make faults`` plants all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine import support
from tests.faults import harness
from tests.faults.clean import Clean
from tests.faults.planted import FAULTS, Fault, Folder

AT_ONCE = [fault for fault in FAULTS if not fault.engine]
"""Those that are found before an engine starts."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The models that faults are planted in."""
    return harness.made(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("fault", AT_ONCE, ids=lambda fault: f"{fault.kind}: {fault.name}")
def test_a_fault_of_the_layout_is_found_at_once(
    fault: Fault, folder: Folder, tmp_path: Path
) -> None:
    outcome = harness.plant(fault, folder, tmp_path)
    assert outcome.wrong == ""
    assert harness.run(fault, next(tmp_path.glob("*.mge")), folder).processes == []


def test_the_harness_tells_what_is_missed(folder: Folder, tmp_path: Path) -> None:
    kind = "no fault"
    good = Fault(kind=kind, name="none", make=lambda folder: folder.packed("pair.fbs"), said=())
    assert harness.plant(good, folder, tmp_path).wrong.startswith("not caught: PASS")
    other = harness.check(Clean("pair.fbs"), folder)
    assert (other.wrong, other.said) == ("", "PASS: 3 of 3 testcases, max error 0")
    # A file that is not what its model computes is no clean one.
    wrong = folder.path / "pair.fbs_v2.packed.mge"
    whole = wrong.read_bytes()
    wrong.write_bytes(folder.packed("pair_cos_for_sin.fbs_v2"))
    try:
        assert "blend: error" in harness.check(Clean("pair.fbs_v2"), folder).wrong
    finally:
        wrong.write_bytes(whole)


def test_another_model_than_it_was_packed_from_is_found(
    models: support.Models, tmp_path: Path
) -> None:
    file = tmp_path / "packed.mge"
    support.passed(models.path("weight1"), "#rand(1,2)", file)
    # The file agrees with itself, and not with the model with other weights.
    assert support.verify(file).verdict == "passed"
    report = support.verify(file, models.path("weight2"))
    assert report.exit_status == 1
    output = report.testcases[0].outputs[0]
    assert output.assertion is not None
    assert output.assertion.passed
    assert output.against_model is not None
    assert not output.against_model.passed
    # A model with other inputs is no match at all.
    report = support.verify(file, models.path("two"))
    assert report.exit_status == 2
    assert "Z, alpha, zeta" in support.said(report)
