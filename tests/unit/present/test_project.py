"""What a person reads of many models: golden pages, and text that tries to be more than text."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from megdump_ci import cli, merged, report
from megdump_ci.errors import Problem
from megdump_ci.present import project
from megdump_ci.report import Tool
from tests.unit import reports
from tests.unit.project.support import LEAST, committed, made

GOLDEN = Path(__file__).parent / "golden"

ENTRIES = [
    merged.entry_of("digits", reports.report(), "out/digits/report.json"),
    merged.entry_of(
        "a name that is much longer than what fits in the column",
        reports.report(max_error="nan"),
        "",
    ),
    merged.entry_of(
        "heads",
        reports.report(
            verdict="failed",
            exit_status=1,
            headline="FAIL: 1 of 2 testcases, max error 0.25",
            max_error=0.25,
            testcases=[],
        ),
        "out/heads/report.json",
    ),
    merged.failed_entry("lost", "lost.mge", 2, [Problem("there is no report of it", "look")]),
]


def result(*entries: merged.Entry, **changes: Any) -> merged.Merged:
    outcome = merged.Outcome(entries=list(entries), **changes)
    return merged.merge(outcome, tool=Tool(version="0.1.0"), command="c", seconds=3.21)


def shown(found: merged.Merged, width: int = 80) -> str:
    out, errors = io.StringIO(), io.StringIO()
    project.show(
        found,
        Console(file=out, width=width, highlight=False),
        Console(file=errors, width=width, highlight=False),
    )
    return f"{out.getvalue()}--- stderr\n{errors.getvalue()}"


PAGES = {
    "merged-passed": result(*ENTRIES[:2]),
    "merged-error": result(*ENTRIES, problems=[Problem("b is about 'x'", "leave it out")]),
    "merged-idle": result(idle="nothing has changed since main", warnings=["w"]),
}


@pytest.mark.parametrize("name", PAGES)
def test_golden_pages(name: str) -> None:
    assert shown(PAGES[name]) == (GOLDEN / f"{name}.txt").read_text()


def test_a_failed_entry_is_told_like_a_run_of_its_own() -> None:
    cases = [reports.case(0), reports.case(1, 0.25)]
    failed = reports.report(verdict="failed", exit_status=1, testcases=cases)
    page = shown(result(merged.entry_of("heads", failed, "r")))
    assert f"testcase 1: logits: {reports.REASON}" in page


def test_only_so_many_are_told_in_full() -> None:
    lost = [merged.failed_entry(f"n{i}", "", 2, [Problem(f"lost {i}")]) for i in range(12)]
    page = shown(result(*lost))
    assert "error: lost 9" in page
    assert "error: lost 10" not in page
    assert "and 2 more, see their reports" in page


def test_nothing_that_a_report_says_steers_the_terminal() -> None:
    evil = "\x1b[31m\u202e\r\nPASS: "
    entry = merged.entry_of(
        evil, reports.report(headline=evil, verdict="failed", exit_status=1), evil
    )
    page = shown(result(entry, problems=[Problem(evil, evil)], warnings=[evil]))
    assert not {"\x1b", "\u202e", "\r"} & set(page)


def command(*argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = cli.main(argv)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_plan_prints_the_matrix_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, LEAST.replace("a.mge", "*.mge"), "a.mge", "b.mge")
    committed(tmp_path)
    (tmp_path / "b.mge").write_text("other")
    status, out, errors = command("plan", "--changed-since", "HEAD", capsys=capsys)
    assert status == 0
    assert json.loads(out) == {"include": [{"name": "b", "model": "b.mge", "entry": "b"}]}
    assert errors == "b: b.mge differs\n1 of 2 entries, 1 job\n"
    status, out, errors = command("plan", "c", "--config", "megdump.toml", capsys=capsys)
    assert (status, out) == (2, "")
    assert "megdump.toml has no entry 'c'" in errors
    status, out, errors = command("plan", "--max-jobs", "0", capsys=capsys)
    assert (status, out) == (2, "")
    assert "max-jobs is 0" in errors


def test_merge_prints_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_bytes(report.to_json(reports.report(name="digits")))
    status, out, errors = command("merge", ".", capsys=capsys)
    assert (status, errors) == (0, "")
    assert out.count("PASS: ") == 1
    status, out, errors = command("merge", "none.json", "--plan", "none", capsys=capsys)
    assert (status, out) == (2, "")
    assert "cannot read none" in errors


def test_run_of_a_file_with_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, LEAST + "tiemout = 1\n")
    status, out, errors = command("run", capsys=capsys)
    assert (status, out) == (2, "")
    assert errors == (
        "error: megdump.toml:5: there is no key tiemout (entry 'a.mge')\n  did you mean timeout?\n"
    )


def test_a_fault_of_our_own_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("megdump_ci.project.commands.merge", lambda _: 1 / 0)
    status, out, errors = command("merge", "a", capsys=capsys)
    assert (status, out) == (4, "")
    assert "ZeroDivisionError" in errors
    assert "please report" in errors
