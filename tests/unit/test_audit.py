"""The audit of the locks, with a program that answers in pip-audit's place."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import tomli

ROOT = Path(__file__).parents[2]
AUDIT = runpy.run_path(str(ROOT / ".github" / "scripts" / "audit.py"))

CLEAN = {"name": "numpy", "version": "1.23.5", "vulns": []}
FOUND = {
    "name": "setuptools",
    "version": "80.10.2",
    "vulns": [{"id": "GHSA-x", "aliases": ["CVE-1", "PYSEC-1"], "fix_versions": ["83"]}],
}
SKIPPED = {"name": "megfile", "skip_reason": "Dependency not found"}
ANSWER = '[PYSEC-1]\npackage = "setuptools"\nalso = ["CVE-1"]\nwhat = "a hole"\nanswer = "closed"\n'


def audit(folder: Path, *packages: Any, answers: str = "", says: str = "") -> int:
    (folder / "requirements").mkdir(exist_ok=True)
    (folder / "requirements" / "answered.toml").write_text(answers)
    program = folder / "pip-audit"
    output = says or json.dumps({"dependencies": packages, "fixes": []})
    program.write_text(f"#!/bin/sh\necho no service >&2\necho '{output}'\nexit 1\n")
    program.chmod(0o755)
    status: int = AUDIT["main"](str(program), folder)
    return status


def test_an_answered_finding_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path, CLEAN, FOUND, answers=ANSWER) == 0
    assert capsys.readouterr().out.startswith("2 packages")


@pytest.mark.parametrize(
    ("packages", "says", "words"),
    [
        ([CLEAN, FOUND], "", "setuptools 80.10.2: CVE-1, GHSA-x, PYSEC-1, fixed in 83: upgrade it"),
        ([CLEAN, SKIPPED], "", "megfile: not looked at"),
        ([], "", "no package was looked at"),
        ([], "Traceback", "pip-audit: no service"),
    ],
    ids=["found", "skipped", "nothing", "broken"],
)
def test_what_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packages: Any, says: str, words: str
) -> None:
    assert audit(tmp_path, *packages, says=says) == 1
    assert words in capsys.readouterr().err


def test_an_answer_to_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path, CLEAN, answers=ANSWER) == 0
    assert "note: PYSEC-1 has an answer and was not found" in capsys.readouterr().out


def test_the_answers_are_about_packages_of_the_lock() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text()
    answers = tomli.loads((ROOT / "requirements" / "answered.toml").read_text())
    assert answers
    for answer in answers.values():
        name, version = answer["package"].split()
        assert re.search(rf"^{name}=={re.escape(version)} ", lock, re.M), answer["package"]
        assert answer["what"]
        assert answer["answer"]
