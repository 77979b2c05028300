"""What the artifact service got is what is in the workspace, byte for byte."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_SUMS = "SHA256SUMS"


@pytest.fixture(scope="module")
def run(run_workflow: Any) -> Any:
    return run_workflow("tests/workflow/upload.yml")


def content(run: Any, name: str) -> dict[str, bytes]:
    """The files of an artifact; all but its sums are in the workspace too, the same."""
    with zipfile.ZipFile(archive(run, name)) as opened:
        assert opened.testzip() is None
        found = {info.filename: opened.read(info) for info in opened.infolist()}
    for path, data in found.items():
        if path != _SUMS:
            assert (run.workspace / path).read_bytes() == data, path
    return found


def archive(run: Any, name: str) -> Path:
    path: Path = run.artifacts / name / f"{name}.zip"
    return path


def test_everything_that_was_written(run: Any) -> None:
    assert run.passed, run.text
    outputs = run.job("named").steps["all"].outputs
    found = content(run, "digits, packed \u6a21\u578b")
    written = {
        str(path.relative_to(run.workspace))
        for path in (run.workspace / "named").rglob("*")
        if path.is_file()
    }
    assert written >= {
        "named/digits.packed.mge",
        "named/digits.packed.mge.json",
        "named/digits.mge",
        "named/report/report.json",
    }
    assert found.keys() == written | {_SUMS}
    sums = [line.split("  ", 1) for line in found.pop(_SUMS).decode().splitlines()]
    assert {name: digest for digest, name in sums} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert run.seen("all.json") == outputs


def test_the_outputs_name_the_artifact(run: Any) -> None:
    outputs = run.job("named").steps["all"].outputs
    whole = archive(run, "digits, packed \u6a21\u578b").read_bytes()
    assert outputs["artifact-digest"] == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    assert outputs["artifact-id"].isdecimal()


def test_a_failure_is_uploaded_and_a_success_is_not(run: Any) -> None:
    steps = run.job("named").steps
    found = content(run, "failed")
    assert steps["failed"].outcome == "failure"
    assert steps["failed"].outputs["artifact-id"]
    assert {steps["failed"].outputs["output"], "failed/report.json"} < found.keys()
    for name in ("none", "quiet"):
        assert steps[name].outcome == "success"
        assert not any(steps[name].outputs.get(f"artifact-{what}") for what in ("id", "digest"))
        assert not archive(run, name).parent.exists()


def test_jobs_of_a_matrix_upload_under_names_of_their_own(run: Any) -> None:
    jobs = run.jobs["many"]
    assert {job.matrix["model"] for job in jobs} == {"tokens", "two_inputs"}
    for job in jobs:
        model = job.matrix["model"]
        assert job.steps["pack"].outputs["artifact-id"]
        (name,) = {path.name for path in run.artifacts.iterdir() if model in path.name}
        assert f"{model}.packed.mge" in content(run, name)


def test_neither_the_token_nor_a_signed_address_is_in_the_log(run: Any) -> None:
    # The head of each of act's tokens, and the parameter that holds a signature.
    assert "***" in run.text
    assert "eyJhbGciOi" not in run.text
    assert "sig=" not in run.text
