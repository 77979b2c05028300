"""Odd and hostile names: what is in them is a name, and not a command of a shell or a runner."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def run(run_workflow: Any, odd_model: Path) -> Any:
    def add_model(workspace: Path) -> None:
        shutil.copy(odd_model, workspace / "odd.mge")

    return run_workflow("tests/workflow/inputs.yml", prepare=add_model)


def test_all_jobs_pass(run: Any) -> None:
    assert run.passed, run.text
    assert run.job("odd").result == run.job("hostile").result == "success"


def test_two_inputs_from_files_with_odd_names(run: Any) -> None:
    outputs = run.job("odd").steps["pair"].outputs
    assert run.seen("pair.json") == outputs
    assert outputs["verdict"] == "passed"
    assert outputs["output"] == 'out put/it\'s "packed".mge'
    infos = outputs["strip-info"].split("\n")
    assert infos == [f"{outputs['output']}.json", "out put/--deploy \u6a21\u578b.mge.json"]
    for path in (outputs["output"], *infos, infos[1].removesuffix(".json")):
        assert (run.workspace / path).is_file()
    report = run.seen(outputs["report"])
    assert outputs["report"] == "re port/report.json"
    # One testcase a line; empty lines are none.
    assert len(report["testcases"]) == 3
    assert report["options"]["input_transform"] == "( data + 0 ) * 1.0"


def test_a_list_with_odd_names(run: Any) -> None:
    step = run.job("odd").steps["list"]
    assert step.outputs["verdict"] == "passed"
    assert step.outputs["output"] == "-o.mge"
    # An empty input means the default.
    assert step.outputs["report"] == "megdump-ci-report/report.json"
    assert (run.workspace / "-o.mge").is_file()


def test_the_runner_obeys_the_command_that_the_names_hold(run: Any) -> None:
    assert run.job("hostile").steps["control"].outputs == {"hacked": "yes"}


@pytest.mark.parametrize("name", ["names", "brackets", "code"])
def test_names_and_code_give_no_commands(run: Any, name: str) -> None:
    step = run.job("hostile").steps[name]
    assert step.outcome == "success"
    assert step.outputs["verdict"] == "passed"
    assert step.outputs["output"] == f"{name}.mge"
    assert step.errors() == []
    assert "hacked" not in step.outputs


def test_errors_of_code_give_no_commands(run: Any) -> None:
    step = run.job("hostile").steps["raising"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "error"
    assert "hacked" not in step.outputs
    assert any("RuntimeError" in item.message for item in step.errors())


def test_lines_of_a_list_give_no_commands(run: Any) -> None:
    step = run.job("hostile").steps["lines"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "error"
    assert "hacked" not in step.outputs
    # The second one is a comment.
    errors = step.errors()
    assert [(item.file, item.line) for item in errors] == [
        ("hostile.txt", "1"),
        ("hostile.txt", "3"),
    ]
    assert "'::set-output name=hacked" in errors[0].message
    assert "'::stop-commands" in errors[1].message
