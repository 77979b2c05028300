"""Many models, many jobs: a plan, its matrix, and one verdict on what that left."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_NAMES = ["two_inputs", "tokens"]


@pytest.fixture(scope="module")
def run(run_workflow: Any) -> Any:
    return run_workflow("tests/workflow/many.yml")


def test_a_plan_is_the_matrix_of_the_jobs(run: Any) -> None:
    assert run.passed, run.text
    outputs = run.job("plan").steps["plan"].outputs
    jobs = [{"name": name, "model": f"samples/{name}.mge", "entry": name} for name in _NAMES]
    assert json.loads(outputs["matrix"]) == {"include": jobs}
    assert outputs["count"] == "2"
    ran = sorted((job.matrix for job in run.jobs["pack"]), key=lambda job: job["name"])
    assert ran == sorted(jobs, key=lambda job: job["name"])


def test_where_nothing_has_changed_nothing_is_run(run: Any) -> None:
    assert run.job("plan").steps["unchanged"].outputs["count"] == "0"
    assert not [job for job in run.jobs.get("unchanged", []) if job.steps]


def test_each_job_leaves_the_report_of_its_entry(run: Any) -> None:
    for job in run.jobs["pack"]:
        name = job.matrix["entry"]
        outputs = job.steps["pack"].outputs
        assert outputs["verdict"] == "passed"
        assert outputs["output"] == f"out/{name}.mge"
        archive = run.artifacts / f"megdump-ci-{name}" / f"megdump-ci-{name}.zip"
        with zipfile.ZipFile(archive) as opened:
            report = json.loads(opened.read(f"megdump-ci-report/{name}/report.json"))
            assert f"out/{name}.mge" in opened.namelist()
        assert report["name"] == name
        assert report["packed"]["path"] == f"out/{name}.mge"


def test_the_reports_have_one_verdict(run: Any) -> None:
    step = run.job("merge").steps["merge"]
    assert step.outcome == "success"
    assert (step.outputs["verdict"], step.outputs["count"]) == ("passed", "2")
    assert step.outputs["report"] == "merged/merged.json"
    assert step.outputs["artifact-id"]
    assert "PASS: 2 of 2 models passed" in step.summary
    merged = run.seen("merged/merged.json")
    assert [entry["name"] for entry in merged["entries"]] == _NAMES


def test_a_missing_report_fails_the_merge(run: Any) -> None:
    step = run.job("merge").steps["lost"]
    assert step.outcome == "failure"
    assert step.outputs["verdict"] == "error"
    (error,) = step.errors()
    assert error.title.startswith("digits: ")
    assert "there is no report of it" in error.message


def test_inputs_are_checked_for_every_entry(run: Any) -> None:
    step = run.job("merge").steps["here"]
    assert step.outcome == "failure"
    assert "maxerr is -1" in "".join(error.message for error in step.errors())
    assert "samples/megdump.toml" not in step.outputs["report"]
