"""The box around an engine process in the container, tried from inside by ``tests/probe.py``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from megdump_ci.sandbox.box import ALL
from tests import probe as probes

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_FACTS = {
    "port": 9,
    "socket": "/run/docker.sock",
    "home": "/github/home",
    "tmp": "/tmp",
    "process": 1,
    "setuid": "/bin/su",
    "closed": "/etc/shadow",
    "memory": 2 << 30,
}


def _probed(job: Any) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """What the report says of the box, and of each try its measure and what became of it."""
    shutil.copy(probes.__file__, job.workspace / "probe.py")
    (job.workspace / "probe.json").write_text(json.dumps(_FACTS))
    (job.workspace / ".git").mkdir()
    for name in ("out.mge", "kept", ".git/config"):
        (job.workspace / name).write_text("as it was")
    inputs = {"model": "probe.py:probed", "data": "#rand(0,1,3)", "output": "out.mge"}
    tokens = dict.fromkeys(("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN"), "secret")
    result = job.run(inputs | {"memory-limit": "2G"}, **tokens)
    assert result.status == 2, result.log
    report = json.loads((job.workspace / "megdump-ci-report/report.json").read_bytes())
    (problem,) = report["problems"]
    _, _, told = problem["message"].partition(probes.MARK)
    answers, _ = json.JSONDecoder().raw_decode(told)
    return report["isolation"], answers


def _done(answers: dict[str, tuple[str, str]], lacking: set[str] = frozenset()) -> dict[str, str]:
    """What should have been refused, and was not."""
    return {
        name: answer
        for name, (measure, answer) in answers.items()
        if measure and measure not in lacking and answer not in probes.REFUSED
    }


def _lacking(isolation: dict[str, Any]) -> dict[str, str]:
    return {lack["measure"]: lack["reason"] for lack in isolation["missing"]}


def test_as_the_runner_starts_it_an_engine_process_can_do_nothing_of_it(job: Any) -> None:
    isolation, answers = _probed(job)
    assert _lacking(isolation) == {}
    assert isolation["held"] == list(ALL)
    assert _done(answers) == {}
    assert {answer for measure, answer in answers.values() if not measure} == {""}
    assert (job.workspace / "out.mge").read_text() == "as it was"


def test_as_a_user_without_power_it_lacks_a_user_of_its_own(job: Any) -> None:
    job.options = ["--user", "1001:1001"]
    isolation, answers = _probed(job)
    assert _lacking(isolation) == {"own user": "megdump-ci does not run as root"}
    assert _done(answers, {"own user"}) == {}
    assert (job.workspace / "out.mge").read_text() == "as it was"


def test_where_landlock_is_refused_the_rest_holds_and_the_report_says_so(
    job: Any, tmp_path: Path
) -> None:
    profile = tmp_path / "seccomp.json"
    calls = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
    refused = {"names": calls, "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}))
    job.options = ["--security-opt", f"seccomp={profile}"]
    isolation, answers = _probed(job)
    lacking = _lacking(isolation)
    assert set(lacking) == {"read-only files"}
    assert lacking["read-only files"].startswith("Landlock: ")
    assert _done(answers, {"read-only files"}) == {}
    # What the rights of a user do not hold is what everybody may write to, or read.
    assert set(_done(answers)) <= {
        "file_in_tmp",
        "file_in_shared_memory",
        "token_of_the_checkout",
    }
    page = (job.workspace / "megdump-ci-report/report.md").read_text()
    assert "missing: read-only files (Landlock: " in page
    assert (job.workspace / "out.mge").read_text() == "as it was"


def test_a_workspace_that_is_closed_to_others_is_read_as_its_owner(job: Any) -> None:
    for sample in ("digits.mge", "digits.txt", "digits"):
        job.add(sample)
    for path in (job.workspace, *job.workspace.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    result = job.run({"model": "digits.mge", "data": "@digits.txt", "output": "out.mge"})
    assert result.status == 0, result.log
    report = json.loads((job.workspace / result.outputs["report"]).read_bytes())
    assert _lacking(report["isolation"]) == {"own user": "another user cannot read digits.mge"}
    assert {"out.mge", "out.mge.json"} <= job.files()
    assert (job.workspace / "out.mge").stat().st_mode & 0o777 == 0o644
