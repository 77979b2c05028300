"""What the runner and the next steps know when the action has run."""

from __future__ import annotations

import json
import os
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.texts import without_numbers

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def run(run_workflow: Any) -> Any:
    return run_workflow("tests/workflow/verdicts.yml")


def test_a_model_that_passes(run: Any) -> None:
    step = run.job("verdicts").steps["passed"]
    assert step.outcome == "success", run.text
    outputs = dict(step.outputs)
    assert 0 <= float(outputs["max-error"]) <= 1e-4
    assert outputs["verdict"] == "passed"
    assert outputs["output"] == "passed.mge"
    assert outputs["strip-info"] == "passed.mge.json"
    assert outputs["report"] == "reports/passed/report.json"
    assert not step.annotations
    assert "PASS: 11 of 11" in step.summary
    report = run.seen(outputs["report"])
    assert report["verdict"] == "passed"
    markdown = (run.workspace / outputs["markdown"]).read_text()
    assert without_numbers(markdown) == without_numbers(step.summary)
    collected = ElementTree.parse(run.workspace / outputs["junit"]).getroot()
    assert (collected.get("tests"), collected.get("failures")) == ("11", "0")
    assert len(report["testcases"]) == 11


def test_the_action_as_a_release_has_it(run: Any) -> None:
    step = run.job("verdicts").steps["released"]
    assert step.outcome == "success", run.text
    assert step.outputs["verdict"] == "passed"
    assert "image: docker://" in (run.workspace / "released" / "action.yml").read_text()


def test_a_comparison_that_fails(run: Any) -> None:
    step = run.job("verdicts").steps["failed"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "failed"
    assert float(step.outputs["max-error"]) > 0
    assert not (run.workspace / "failed.mge").exists()
    assert (run.workspace / step.outputs["output"]).is_file()
    first = step.errors()[0]
    assert first.message.startswith("FAIL")
    assert first.title.startswith("logits differs in ")
    assert first.file == "samples/heads.mge"
    assert "it would pass with: maxerr: " in first.message
    assert "FAIL" in step.summary
    assert run.seen(step.outputs["report"])["verdict"] == "failed"


def test_wrong_inputs_are_all_annotated(run: Any) -> None:
    step = run.job("verdicts").steps["wrong"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "error"
    assert step.outputs["output"] == ""
    messages = [item.message for item in step.errors()]
    for name, value in (("repeat", "two"), ("silent", "yes")):
        assert any(name in text and f"'{value}'" in text for text in messages), messages
    warnings = [item.message for item in step.annotations if item.level == "warning"]
    assert any("'sed'" in text and "seed" in text for text in warnings), warnings
    assert not (run.workspace / "wrong.mge").exists()


def test_a_file_that_is_no_model(run: Any) -> None:
    step = run.job("verdicts").steps["broken"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "error"
    assert any("README.md" in item.message for item in step.errors())
    assert not (run.workspace / "broken.mge").exists()


def test_later_steps_read_the_same(run: Any) -> None:
    job = run.job("verdicts")
    assert job.result == "success"
    seen = run.seen("steps.json")
    for name in ("passed", "failed", "wrong", "broken"):
        assert seen[name]["outputs"] == job.steps[name].outputs
        assert seen[name]["outcome"] == job.steps[name].outcome
        # With continue-on-error.
        assert seen[name]["conclusion"] == "success"


def test_a_failure_ends_the_job_and_the_run(run: Any) -> None:
    job = run.job("red")
    assert job.result == "failure"
    assert not run.passed
    assert job.steps["pack"].outcome == "failure"
    # The exit status, in act's words.
    assert "exit with `FAILURE`: 2" in run.text
    assert "nothing.png" in job.steps["pack"].errors()[0].message
    assert not (run.workspace / "red-went-on").exists()
    seen = run.seen("red.json")
    assert seen["pack"]["conclusion"] == "failure"
    assert seen["pack"]["outputs"]["verdict"] == "error"
    assert seen["skipped"]["outcome"] == "skipped"


def test_what_is_written_belongs_to_the_owner_of_the_workspace(run: Any) -> None:
    owner = os.stat(run.workspace).st_uid
    written = [*run.workspace.glob("*.mge*"), *run.workspace.glob("reports/**/*")]
    assert {path.name for path in written} >= {"passed.mge", "passed.mge.json", "report.json"}
    assert {path.stat().st_uid for path in written} == {owner}
    assert owner != 0


def test_nothing_but_json_is_in_the_reports(run: Any) -> None:
    for path in run.workspace.glob("reports/*/report.json"):
        json.loads(path.read_bytes())
