"""The jobs of .github/workflows/ci.yml in which the action runs on itself."""

from __future__ import annotations

from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_CI = ".github/workflows/ci.yml"


def test_the_job_that_has_to_pass(run_workflow: Any) -> None:
    run = run_workflow(_CI, "--job", "action")
    assert run.passed, run.text
    assert run.job("action").steps["pack"].outputs["verdict"] == "passed"


def test_the_jobs_that_demand_failure(run_workflow: Any) -> None:
    run = run_workflow(_CI, "--job", "expected-failure")
    assert run.passed, run.text
    jobs = run.jobs["expected-failure"]
    assert len(jobs) >= 4
    for job in jobs:
        assert job.steps["pack"].outcome == "failure"
        assert job.steps["pack"].outputs["verdict"] == job.matrix["verdict"]


def test_a_job_that_demands_failure_fails_when_there_is_none(run_workflow: Any) -> None:
    def lenient(workspace: Any) -> None:
        path = workspace / _CI
        text = path.read_text()
        assert text.count('maxerr: "0"\n            verdict: failed') == 1
        path.write_text(
            text.replace(
                'maxerr: "0"\n            verdict: f', 'maxerr: "9"\n            verdict: f'
            )
        )

    run = run_workflow(
        _CI,
        "--job",
        "expected-failure",
        "--matrix",
        "what:a comparison that fails",
        prepare=lenient,
    )
    assert not run.passed
    assert run.job("expected-failure").result == "failure"
