"""The action in its container, as a job of the runner sees it."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from megdump_ci.action.manifest import OUTPUTS
from megdump_ci.present.files import FILES
from tests.texts import without_numbers

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_PASSING = {"model": "digits.mge", "data": "@digits.txt", "output": "out.mge"}


def _reports(folder: str = "megdump-ci-report") -> set[str]:
    return {f"{folder}/{name}" for name in FILES}


def test_a_model_that_passes(job: Any) -> None:
    for sample in ("digits.mge", "digits.txt", "digits"):
        job.add(sample)
    before = job.files()
    result = job.run(_PASSING)
    assert result.status == 0, result.log
    assert set(result.outputs) == set(OUTPUTS) - {"artifact-id", "artifact-digest"}
    assert 0 <= float(result.outputs["max-error"]) <= 1e-4
    assert result.outputs["output"] == "out.mge"
    digest = hashlib.sha256((job.workspace / "out.mge").read_bytes()).hexdigest()
    assert result.outputs["output-digest"] == f"sha256:{digest}"
    assert result.outputs["strip-info"] == "out.mge.json"
    named = {result.outputs[name] for name in ("report", "html", "markdown", "junit")}
    assert named == _reports()
    assert job.files() - before == {"out.mge", "out.mge.json", *named}
    report = json.loads((job.workspace / result.outputs["report"]).read_bytes())
    assert report["verdict"] == "passed"
    count = len(report["testcases"])
    assert count >= 10
    assert (job.workspace / "out.mge").read_bytes().startswith(b"mgbtest0")
    assert f"PASS: {count} of {count}" in result.log
    summary = (job.workspace / result.outputs["markdown"]).read_text()
    assert f"PASS: {count} of {count}" in summary
    assert without_numbers(result.summary) == without_numbers(summary)
    assert not result.errors


def test_it_leaves_nothing_behind_but_the_files_it_was_asked_for(job: Any) -> None:
    job.add("two_inputs.mge")
    data = "alpha:#rand(0,1);zeta:#rand(0,1)"
    result = job.run({"model": "two_inputs.mge", "data": data, "output": "out.mge"})
    assert result.status == 0, result.log
    assert [line for line in result.changed if line != "C /tmp"] == []
    assert list(job.home.iterdir()) == []


def test_a_comparison_that_fails(job: Any) -> None:
    job.add("digits.mge")
    inputs = {
        "model": "digits.mge",
        "data": "#rand(0,16)\n#rand(0,1)",
        "output": "out.mge",
        "maxerr": "0",
        "optimize-for-inference": "true",
        "enable-io16xc32": "true",
    }
    result = job.run(inputs)
    assert result.status == 1, result.log
    assert result.outputs["verdict"] == "failed"
    assert float(result.outputs["max-error"]) > 0
    report = json.loads((job.workspace / result.outputs["report"]).read_bytes())
    assert report["verdict"] == "failed"
    # What did not pass does not take the name of what would have.
    assert not (job.workspace / "out.mge").exists()
    assert (job.workspace / result.outputs["output"]).is_file()
    assert "\n::error title=logits differs in 2 of 2 testcases,file=digits.mge::FAIL" in result.log
    assert "FAIL" in result.summary
    job.files()


def test_wrong_inputs_are_all_named_at_once_and_at_once(job: Any) -> None:
    job.add("digits.mge")
    inputs = {**_PASSING, "repeat": "two", "silent": "yes", "maxerr": "-1", "sed": "1"}
    workflow = job.workspace / ".github" / "workflows" / "models.yml"
    workflow.parent.mkdir(parents=True)
    lines = ["jobs:", "  pack:", "    steps:", "      - uses: a/b@v1", "        with:"]
    lines += [f"          {name}: {json.dumps(value)}" for name, value in inputs.items()]
    workflow.write_text("\n".join(lines))
    job.start(
        inputs,
        GITHUB_JOB="pack",
        GITHUB_WORKFLOW_REF="owner/repo/.github/workflows/models.yml@refs/heads/main",
    )
    before = job.files()
    result = job.finish()
    assert result.status == 2
    errors = [line for line in result.log.splitlines() if line.startswith("::error")]
    assert len(errors) == 3
    for name, value in (("repeat", "two"), ("silent", "yes"), ("maxerr", "-1")):
        assert any(name in line and value in line for line in errors), name
        line = next(place for place, text in enumerate(lines, 1) if text.strip().startswith(name))
        place = f"file=.github/workflows/models.yml,line={line}::"
        assert any(name in text and place in text for text in errors), name
    assert "did you mean 'seed'?" in result.log
    assert result.outputs["verdict"] == "error"
    assert job.files() == before
    assert result.seconds < 10


def test_a_damaged_model_is_no_success(job: Any) -> None:
    (job.workspace / "digits.mge").write_bytes(b"no model at all" * 100)
    result = job.run({**_PASSING, "data": "#rand(0,1)"})
    assert result.status in (2, 3), result.log
    assert result.outputs["verdict"] == "error"
    assert result.outputs["output"] == ""
    assert job.files() == {"digits.mge", *_reports()}


def test_a_hostile_environment(job: Any) -> None:
    for sample in ("digits.mge", "digits.txt", "digits"):
        job.add(sample)
    for name in ("numpy", "rich", "json", "megdump_ci", "megengine", "sitecustomize", "cv2"):
        (job.workspace / f"{name}.py").write_text("raise SystemExit('taken from the workspace')\n")
        package = job.workspace / "lib" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('taken from the workspace')\n")
    result = job.run(
        _PASSING,
        PATH="utter-nonsense",
        HOME="/no/such/folder",
        TMPDIR="/no/such/folder",
        LANG="nonsense",
        LC_ALL="nonsense",
        PYTHONPATH="/github/workspace:/github/workspace/lib",
        PYTHONHOME="/github/workspace",
        PYTHONSTARTUP="/github/workspace/numpy.py",
        PYTHONOPTIMIZE="2",
        PYTHONIOENCODING="ascii",
    )
    assert result.status == 0, result.log + result.errors
    assert result.outputs["verdict"] == "passed"


@pytest.mark.parametrize(
    "name", ["a b.mge", 'it\'s "one".mge', "$(touch x);`id`.mge", "\u6a21\u578b.mge", "-o.mge"]
)
def test_odd_names_of_files(job: Any, name: str) -> None:
    job.add("digits.mge", name)
    inputs = {"model": name, "data": "#rand(0,1)", "output": f"out {name}", "report": "re port"}
    result = job.run(inputs)
    assert result.status == 0, result.log
    assert result.outputs["output"] == f"out {name}"
    written = {f"out {name}", f"out {name}.json"}
    assert job.files() == {name, *written, *_reports("re port")}


def test_inputs_with_underscores_and_without_the_runners_files(job: Any) -> None:
    job.add("digits.mge")
    inputs = {
        "model": "digits.mge",
        "data": "#rand(0,1)",
        "output": "out.mge",
        "output_strip_info": "false",
        "no_assert": "TRUE",
    }
    result = job.run(inputs, GITHUB_OUTPUT="", GITHUB_STEP_SUMMARY="", GITHUB_WORKSPACE="")
    assert result.status == 0, result.log
    assert result.outputs == {}
    assert "NOT VERIFIED" in result.log
    assert job.files() == {"digits.mge", "out.mge", *_reports()}


def test_a_path_of_the_machine_in_a_second_line(job: Any) -> None:
    for sample in ("digits.mge", "digits"):
        job.add(sample)
    data = "digits/0.png\n/home/runner/work/repo/repo/digits/1.png"
    result = job.run({**_PASSING, "data": data})
    assert result.status == 0, result.log


def test_an_output_that_would_be_lost_is_refused(job: Any) -> None:
    job.add("digits.mge")
    result = job.run({**_PASSING, "output": "/tmp/out.mge"})
    assert result.status == 2
    assert "not in the workspace" in result.log


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_cancelled_job_ends_cleanly(job: Any, name: str) -> None:
    job.add("digits.mge")
    (job.workspace / "list.txt").write_text("#rand(0,1)\n" * 50000)
    job.start({**_PASSING, "data": "@list.txt"})
    before = job.files()
    deadline = time.monotonic() + 60
    while "Pack and verify" not in job.log():
        assert time.monotonic() < deadline, job.log()
        time.sleep(0.1)
    time.sleep(2)
    began = time.monotonic()
    job.signal(name)
    result = job.finish()
    assert time.monotonic() - began < 8, "the runner waits 7.5 s before it kills"
    assert result.status == 2, result.log
    assert result.outputs["verdict"] == "error"
    assert f"SIG{name}" in result.log
    assert job.files() - before == _reports()
    assert [line for line in result.changed if line != "C /tmp"] == []
