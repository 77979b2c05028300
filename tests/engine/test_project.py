"""megdump.toml on the real engine: what is run, what is merged, and that the verdict is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from megdump_ci import merged
from tests.engine.support import command

SAMPLES = Path(__file__).parents[2] / "samples"
PROJECT = """\
[defaults]
output = "out/{name}.mge"
data = "#rand(0,1)"

[[model]]
path = "models/heads.mge"
optimize-for-inference = true
enable-io16xc32 = true
maxerr = 0

[[model]]
path = "models/d*.mge"
output-strip-info = true
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, check=False
    )


def test_one_verdict_on_what_was_run_here_and_on_what_jobs_left(tmp_path: Path) -> None:
    (tmp_path / "p" / "models").mkdir(parents=True)
    for name in ("heads.mge", "digits.mge"):
        shutil.copy(SAMPLES / name, tmp_path / "p" / "models")
    (tmp_path / "p" / "megdump.toml").write_text(PROJECT)
    done = run(tmp_path, "run", "--config", "p/megdump.toml", "--report", "r")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("FAIL: 1 of 2 models passed") == 1
    assert "it would pass with: --maxerr" in done.stdout
    found = merged.from_json((tmp_path / "r/merged.json").read_bytes())
    assert [(entry.name, entry.verdict, entry.file) for entry in found.entries] == [
        ("heads", "failed", "r/heads/report.json"),
        ("digits", "passed", "r/digits/report.json"),
    ]
    written = {path.name for path in (tmp_path / "p" / "out").iterdir()}
    assert written == {"heads.mge.failed", "digits.mge", "digits.mge.json"}
    plan = run(tmp_path, "plan", "--config", "p/megdump.toml")
    assert plan.returncode == 0, plan.stderr
    (tmp_path / "plan.json").write_text(plan.stdout)
    jobs = json.loads(plan.stdout)["include"]
    assert [job["model"] for job in jobs] == ["p/models/heads.mge", "p/models/digits.mge"]
    again = run(tmp_path, "merge", "r", "--plan", "plan.json")
    assert again.returncode == 1, again.stderr
    assert again.stdout.count("FAIL: 1 of 2 models passed") == 1
    # The reports of passed runs alone are no pass where more was planned.
    shutil.rmtree(tmp_path / "r" / "heads")
    assert run(tmp_path, "merge", "r").returncode == 0
    lost = run(tmp_path, "merge", "r", "--plan", "plan.json")
    assert lost.returncode == 2
    assert "PASS" not in lost.stdout
