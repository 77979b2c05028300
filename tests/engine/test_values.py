"""Every value reaches its input, every name stays, and assertions compare in float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdump_ci.gates import Limits
from megdump_ci.report import Report
from tests.engine import support

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "fbs": {},
    "fbs_v2": {"discard_var_name": True},
    "fbs optimised": {"optimize_for_inference": True, "discard_var_name": True},
    "fbs_v2 optimised": {"optimize_for_inference": True},
    "fbs to fbs_v2": {"format": "fbs_v2"},
    "fbs_v2 to fbs": {"format": "fbs", "optimize_for_inference": True},
}
HALF = {"io16xc32": {"enable_io16xc32": True}, "ioc16": {"enable_ioc16": True}}
NAMES = ("zeta", "alpha", "Z")


@dataclass(frozen=True)
class Packed:
    """What was packed, and what the reader finds in it."""

    report: Report
    packed: dict[str, Any]
    deploy: dict[str, Any]
    again: Report


@pytest.fixture(scope="module")
def packed_two(
    models: support.Models, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Packed]:
    """The model with inputs that sort in another order, in each configuration."""
    folder = tmp_path_factory.mktemp("two")
    data = [
        ";".join(f"{name}:{models.data(f'{name}{index}')}" for name in order)
        for index, order in enumerate((NAMES, NAMES[::-1], ("alpha", "zeta", "Z")))
    ]
    reports, agains, files = {}, {}, []
    for name, options in CONFIGURATIONS.items():
        out, deploy = folder / f"{name}.mge", folder / f"{name} deploy.mge"
        model = models.path(f"two.{name.split()[0]}")
        reports[name] = support.passed(
            model, [*data, "#rand(0,1)"], out, deploy_output=str(deploy), **options
        )
        agains[name] = support.verify(out, model)
        files += [out, deploy]
    contents = iter(support.read(*files))
    return {
        name: Packed(reports[name], next(contents), next(contents), agains[name])
        for name in CONFIGURATIONS
    }


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_value_reaches_its_input(
    name: str, packed_two: dict[str, Packed], models: support.Models
) -> None:
    testcases = packed_two[name].packed["testcases"]
    assert len(testcases) == 4
    for index, testcase in enumerate(testcases):
        assert testcase["failure"] == ""
        assert set(testcase["kinds"]) == {"SharedDeviceTensor"}
        value = testcase["values"]
        for source in NAMES if index < 3 else ():
            given = np.load(models.data(f"{source}{index}"))
            assert value[source].tobytes() == given.tobytes(), (index, source)
        zeta, alpha, big = (value[source] for source in NAMES)
        wanted = [np.sin(zeta) + np.exp(-alpha), zeta * big - alpha]
        for place, output in enumerate(("blend", "apart")):
            np.testing.assert_allclose(value[f"{output}:expect"], wanted[place], 1e-5, 1e-5)
            np.testing.assert_allclose(testcase["results"][place], wanted[place], 1e-5, 1e-5)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_names_and_format_are_those_asked_for(name: str, packed_two: dict[str, Packed]) -> None:
    found = packed_two[name]
    options = CONFIGURATIONS[name]
    inputs = ["Z", "alpha", "apart:expect", "blend:expect", "zeta"]
    assert list(found.packed["inputs"]) == inputs
    assert list(found.deploy["inputs"]) == ["Z", "alpha", "zeta"]
    assert [kind for _, kind in found.packed["outputs"][2:]] == ["AssertEqual"] * 2
    assert "AssertEqual" not in found.deploy["operators"]
    if not options.get("discard_var_name"):
        plain = [output for output, _ in found.packed["outputs"][:2]]
        assert plain == [output for output, _ in found.deploy["outputs"]] == ["blend", "apart"]
    wanted = options.get("format") or name.split(maxsplit=1)[0]
    assert found.packed["format"] == found.deploy["format"] == wanted
    graph = found.report.packed
    assert graph is not None
    assert graph.format == wanted


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_packed_file_verifies_against_its_model(name: str, packed_two: dict[str, Packed]) -> None:
    again = packed_two[name].again
    assert again.verdict == "passed", support.said(again)
    for testcase in again.testcases:
        for output in testcase.outputs:
            assert output.assertion is not None
            assert output.against_expected is not None
            assert output.against_model is not None


@pytest.mark.parametrize("name", HALF)
def test_assertions_compare_in_float32_also_in_a_float16_graph(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "half.mge"
    report = support.passed(
        models.path("net"),
        [str(models.data(f"batch{count}")) for count in (1, 3, 2)],
        out,
        optimize_for_inference=True,
        maxerr=Limits(1e-2),
        **HALF[name],
    )
    (found,) = support.read(out)
    assert found["compared"] == [["float32", "float32"]] * 2
    assert found["inputs"]["logits:expect"] == "float32"
    assert [output for output, _ in found["outputs"][:2]] == ["logits", "probability"]
    assert not any(testcase["failure"] for testcase in found["testcases"])
    # The graph really is in float16, and the expected values really are the input model's.
    assert "TypeCvt" in found["operators"]
    assert 1e-6 < float(report.max_error or 0) < 1e-2
    shapes = [testcase["values"]["logits:expect"].shape for testcase in found["testcases"]]
    assert shapes == [(1, 5), (3, 5), (2, 5)]


def test_a_tighter_limit_fails_and_says_which_would_pass(
    models: support.Models, tmp_path: Path
) -> None:
    options = {"optimize_for_inference": True, "enable_ioc16": True}
    data = str(models.data("batch3"))
    out = tmp_path / "half.mge"
    report = support.pack(models.path("net"), data, out, maxerr=Limits(1e-7), **options)
    assert report.verdict == "failed"
    assert "is above maxerr 1e-07" in support.said(report)
    assert not out.exists()
    (read,) = support.read(tmp_path / "half.mge.failed")
    assert read["testcases"][0]["failure"].startswith("Unequal value")
    largest = max(float(gate.value or 0) for gate in report.gates)
    assert report.passing[0] == "--maxerr"
    assert 1e-7 < largest < 1e-2
    support.passed(models.path("net"), data, out, maxerr=Limits(largest), **options)
