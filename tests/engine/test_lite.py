"""The second engine: MegEngine Lite beside MegEngine, on the deploy graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdump_ci.commands import crosscheck
from megdump_ci.protocol import LiteJob
from megdump_ci.session import Session
from megdump_ci.state import State
from tests.engine import support

TWO = [
    "zeta:#rand(0,1);alpha:#rand(1,2);Z:#rand(2,3)",
    "zeta:#rand(0,1,5,3);alpha:#rand(1,2,5,3);Z:#rand(2,3,5,3)",
]
LAYOUT = {"optimize_for_inference": True, "enable_nchw44": True, "discard_var_name": True}


BATCHES = [f"#rand(0,1,{count},...)" for count in (1, 3, 2)]


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        pytest.param("two", TWO, {}, id="inputs and shapes"),
        pytest.param("net.fbs", BATCHES, LAYOUT, id="layout, no names"),
        pytest.param("lite", ["#rand(0,100)"], {}, id="dtypes"),
        pytest.param("through", ["#rand(0,1)"], {}, id="an input as output"),
    ],
)
def test_lite_agrees(
    name: str, data: list[str], options: dict[str, Any], models: support.Models, tmp_path: Path
) -> None:
    report = support.passed(
        models.path(name), data, tmp_path / "out.mge", cross_check="lite", **options
    )
    assert report.lite is not None
    assert (report.lite.name, report.lite.version) == ("MegEngine Lite", "1.13.0")
    assert [process.name for process in report.processes] == [
        "packing",
        "verifying",
        "cross-checking",
    ]
    assert len(report.testcases) == len(data)
    for testcase in report.testcases:
        for output in testcase.outputs:
            assert output.against_lite is not None
            assert output.against_lite.error is not None
            assert float(output.against_lite.error) <= 1e-6
    # The deploy model was not asked for, and is not kept.
    assert report.deploy is None
    assert list(tmp_path.iterdir()) == [tmp_path / "out.mge"]


def test_files_of_other_tools_are_cross_checked(models: support.Models) -> None:
    # It holds the assertions only, in float16.
    report = support.verify(models.path("own_half"), cross_check="lite")
    assert report.verdict == "passed", support.said(report)
    outputs = report.testcases[0].outputs
    assert [output.name for output in outputs] == ["sum", "product"]
    assert all(output.against_lite and output.against_lite.passed for output in outputs)


def test_without_expected_values_the_model_is_compared_with(
    models: support.Models, tmp_path: Path
) -> None:
    file = tmp_path / "out.mge"
    support.pack(models.path("net"), "#rand(0,1)", file, no_assert=True)
    report = support.verify(file, models.path("net"), cross_check="lite")
    assert report.verdict == "passed", support.said(report)
    assert all(output.against_lite for output in report.testcases[0].outputs)
    report = support.verify(file, cross_check="lite")
    assert report.exit_status == 2
    assert "nothing to be compared with" in support.said(report)


def test_dtypes_that_lite_does_not_take_are_refused(models: support.Models, tmp_path: Path) -> None:
    report = support.pack(
        models.path("kinds"), "#rand(0,1)", tmp_path / "out.mge", cross_check="lite"
    )
    assert report.exit_status == 2
    assert "output flag of" in support.said(report)
    assert "has dtype bool, which MegEngine Lite does not take" in support.said(report)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], bytes]], None]:
    """Alters the deploy model between the verdict of MegEngine and that of Lite."""

    def alter(change: Callable[[bytes], bytes]) -> None:
        right = crosscheck.run

        def wrong(job: LiteJob, state: State, session: Session) -> None:
            path = Path(job.deploy)
            path.write_bytes(change(path.read_bytes()))
            right(job, state, session)

        monkeypatch.setattr(crosscheck, "run", wrong)

    return alter


def test_a_difference_is_told_with_its_place(
    altered: Callable[..., None], models: support.Models, tmp_path: Path
) -> None:
    right, wrong = np.full((2, 3), 1.5, np.float32), np.full((2, 3), 1.5, np.float32)
    wrong[1, 1] = 1.5625
    altered(lambda content: support.replaced(content, right, wrong))
    file, deploy = tmp_path / "out.mge", tmp_path / "deploy.mge"
    report = support.pack(
        models.path("weight1"),
        ["#rand(1,2)", "#rand(1,2)"],
        file,
        deploy_output=str(deploy),
        cross_check="lite",
    )
    assert report.exit_status == 1
    for testcase in report.testcases:
        (output,) = testcase.outputs
        assert output.assertion is not None
        assert output.assertion.passed
        assert output.against_model is not None
        assert output.against_model.passed
        assert output.reason.startswith("MegEngine Lite: error 0.0")
        assert "at [1, 1] is above maxerr" in output.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "deploy.mge.failed",
        "out.mge.failed",
    ]


def test_another_deploy_model_is_told(
    altered: Callable[..., None], models: support.Models, tmp_path: Path
) -> None:
    altered(lambda _: models.path("weight1").read_bytes())
    report = support.pack(models.path("two"), TWO, tmp_path / "out.mge", cross_check="lite")
    assert report.exit_status == 1
    assert "MegEngine Lite: the deploy model has inputs x (float32)" in support.said(report)
    assert all(not output.passed for case in report.testcases for output in case.outputs)


def test_a_deploy_model_that_lite_refuses_is_an_error(
    altered: Callable[..., None], models: support.Models, tmp_path: Path
) -> None:
    altered(lambda content: content[:-40])
    report = support.pack(models.path("two"), TWO, tmp_path / "out.mge", cross_check="lite")
    assert report.exit_status == 3
    assert "MegEngine failed loading the deploy model" in support.said(report)
    # What MegEngine found is still told.
    assert all(case.passed for case in report.testcases)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge.unverified"]
