"""A matrix from plan to merge: what each job is given, and what becomes of their reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_NAMES = ["digits, twice", "tokens", "half"]


@pytest.fixture(scope="module")
def run(run_workflow: Any) -> Any:
    def change(workspace: Path) -> None:
        with open(workspace / "samples" / "digits.txt", "a") as file:
            file.write("#rand(0,8)\n")

    return run_workflow("tests/workflow/many.yml", change=change)


def planned(run: Any, step: str) -> list[str]:
    """The names in the matrix that a step of the job ``plan`` gave."""
    outputs = run.job("plan").steps[step].outputs
    include = json.loads(outputs["matrix"])["include"]
    assert outputs["count"] == str(len(include))
    return [job["name"] for job in include]


def test_the_plan_has_all_entries_or_those_that_changed(run: Any) -> None:
    assert run.job("plan").result == "success", run.text
    assert planned(run, "all") == _NAMES
    assert planned(run, "changed") == ["digits, twice"]
    assert planned(run, "none") == []


def test_each_job_runs_its_entry(run: Any) -> None:
    jobs = {job.matrix["name"]: job for job in run.jobs["pack"]}
    assert jobs.keys() == set(_NAMES)
    for name, job in jobs.items():
        fails = name == "half"
        outputs = job.steps["pack"].outputs
        assert job.result == ("failure" if fails else "success")
        assert outputs["verdict"] == ("failed" if fails else "passed")
        assert outputs["output"] == f"packed/{name}.mge{'.failed' if fails else ''}"
        report = run.seen(outputs["report"])
        assert report["verdict"] == outputs["verdict"]


def merged(run: Any, step: str) -> dict[str, str]:
    """The verdicts in the merged report of a step of the job ``verdict``, by entry."""
    content = run.seen(run.job("verdict").steps[step].outputs["report"])
    return {entry["name"]: entry["verdict"] for entry in content["entries"]}


def test_one_failure_is_the_verdict_of_all(run: Any) -> None:
    step = run.job("verdict").steps["whole"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "failed"
    assert merged(run, "whole") == {"digits, twice": "passed", "tokens": "passed", "half": "failed"}
    assert all(name in step.summary for name in _NAMES)
    assert any("half" in item.message + item.title for item in step.errors())


def test_what_was_planned_and_passed(run: Any) -> None:
    step = run.job("verdict").steps["passing"]
    assert step.outcome == "success", run.text
    assert step.outputs["verdict"] == "passed"
    assert merged(run, "passing") == {"digits, twice": "passed"}
    assert step.errors() == []


def test_a_planned_entry_without_a_report_has_failed(run: Any) -> None:
    step = run.job("verdict").steps["missing"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] != "passed"
    found = merged(run, "missing")
    assert found.pop("digits, twice") == "passed"
    assert found.keys() == {"tokens", "half"}
    assert "passed" not in found.values()
    assert run.job("verdict").result == "failure"
    assert not run.passed
