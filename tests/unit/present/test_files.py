"""The files of a report folder, whatever becomes of one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megdump_ci import pipeline
from megdump_ci.errors import ExitStatus, InputError
from megdump_ci.options import VerifyOptions
from megdump_ci.present import files
from megdump_ci.report import Report, from_json
from megdump_ci.session import Session
from megdump_ci.state import State
from tests.unit import pages, reports


def broken(_: Report) -> bytes:
    raise ValueError("cannot\x1b[31m")


def test_each_is_made_of_every_report() -> None:
    for report in pages.PAGES.values():
        contents, problems = files.made(report)
        assert problems == []
        assert set(contents) == {"report.json", "report.html", "report.md", "junit.xml"}
        assert all(contents.values())


def test_what_cannot_be_made_does_not_take_the_others_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(files.FILES, "report.html", broken)
    contents, problems = files.made(reports.report())
    assert set(contents) == set(files.FILES) - {"report.html"}
    assert len(problems) == 1
    assert problems[0].message == "report.html could not be made (ValueError: cannot\x1b[31m)"
    assert "please report it" in problems[0].hint
    assert "in broken" in problems[0].hint


def test_no_earlier_file_stays_for_one_that_could_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("PASS, says an earlier run")
    (tmp_path / "notes.txt").write_text("mine")
    files.write(str(tmp_path), {"report.json": b"{}"})
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "notes.txt"}


def test_a_file_that_cannot_be_written_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*report\.json"):
        files.write(str(tmp_path), {"report.json": b"{}", "junit.xml": b"<x/>"})
    assert (tmp_path / "junit.xml").read_bytes() == b"<x/>"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, ends: ExitStatus) -> Report:
    """A run that ends in a way of its own, with a reporter that fails."""

    def execute(options: VerifyOptions, state: State, session: Session) -> None:
        state.testcases = [reports.case(0, 0.25 if ends else 0.0)]
        state.exit_status = ends

    monkeypatch.setattr("megdump_ci.commands.verify.execute", execute)
    monkeypatch.setattr("megdump_ci.commands.locate.execute", lambda *_: None)
    monkeypatch.setitem(files.FILES, "report.html", broken)
    return pipeline.run(VerifyOptions(packed="x.mge", report=str(folder)))


def test_a_reporter_that_fails_makes_a_pass_our_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(tmp_path, monkeypatch, ExitStatus.PASSED)
    assert found.exit_status == ExitStatus.INTERNAL
    assert found.verdict == "error"
    assert found.headline == "ERROR: report.html could not be made (ValueError: cannot\x1b[31m)"
    # The testcases are what they were, in the files too, which say why it is no pass.
    assert found.testcases[0].passed
    assert from_json((tmp_path / "report.json").read_bytes()) == found
    assert "report.html could not be made" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "report.html").exists()


def test_a_reporter_that_fails_leaves_a_failure_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(tmp_path, monkeypatch, ExitStatus.FAILED)
    assert found.exit_status == ExitStatus.FAILED
    assert found.headline.startswith("FAIL")
    assert [problem.message[:11] for problem in found.problems] == ["report.html"]


def test_wrong_input_is_reported_in_every_file(tmp_path: Path) -> None:
    found = pipeline.run(VerifyOptions(packed="/there/is/none.mge", report=str(tmp_path)))
    assert found.exit_status == ExitStatus.INPUT
    assert {path.name for path in tmp_path.iterdir()} == set(files.FILES)
    assert json.loads((tmp_path / "report.json").read_bytes())["exit_status"] == 2


def test_a_folder_that_cannot_be_written_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").mkdir()
    found = pipeline.run(VerifyOptions(packed="/there/is/none.mge", report=str(tmp_path)))
    assert found.exit_status == ExitStatus.INPUT
    message = found.problems[-1].message
    assert message.startswith(f"cannot write {tmp_path}/junit.xml")
    # The files that can be written know of it.
    assert message in (tmp_path / "report.json").read_text()
