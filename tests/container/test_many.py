"""Many models in the container: planned, run and merged, in a repository of another user."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

_IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@megdump-ci.invalid")
_TOML = """\
[[model]]
path = "{}.mge"
data = "#rand(1,2)"
output = "out/{{name}}.mge"
"""


def git(job: Any, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", f"safe.directory={job.workspace}", *_IDENTITY, *arguments],
        cwd=job.workspace,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_what_has_changed_is_planned_run_and_merged(job: Any) -> None:
    for sample in ("tokens.mge", "two_inputs.mge"):
        job.add(sample)
    text = _TOML.format("tokens") + _TOML.format("two_inputs")
    (job.workspace / "megdump.toml").write_text(text)
    git(job, "init", "--quiet", "--initial-branch=main")
    git(job, "add", "--all")
    git(job, "commit", "--quiet", "--message", "all")
    base = git(job, "rev-parse", "HEAD")
    same = job.run({"mode": "plan", "changed-since": base})
    assert same.status == 0, same.log
    assert (same.outputs["matrix"], same.outputs["count"]) == ('{"include":[]}', "0")
    (job.workspace / "megdump.toml").write_text(text + "seed = 1\n")
    plan = job.run({"mode": "plan", "changed-since": base, "entry": "two_inputs"})
    (planned,) = json.loads(plan.outputs["matrix"])["include"]
    assert planned["entry"] == "two_inputs"
    ran = job.run({"mode": "run", "entry": planned["entry"], "report": "reports"})
    assert ran.status == 0, ran.log
    assert ran.outputs["output"] == "out/two_inputs.mge"
    merged = job.run({"mode": "merge", "matrix": plan.outputs["matrix"]})
    assert merged.status == 0, merged.log
    assert "PASS: 1 of 1 model passed" in merged.summary
    lost = job.run({"mode": "merge", "matrix": '["tokens", "two_inputs"]'})
    assert lost.status == 2
    # All of it belongs to the owner of the workspace, the folders too.
    assert {"out/two_inputs.mge", "reports/two_inputs/report.json"} <= job.files()
