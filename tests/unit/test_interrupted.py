"""What a run comes to that is stopped when its verdict is known, or nearly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megdump_ci import pipeline, report, session
from megdump_ci.errors import ExitStatus
from megdump_ci.options import VerifyOptions
from megdump_ci.present import files
from megdump_ci.state import State
from tests.unit import reports


def verified(status: ExitStatus) -> Callable[..., None]:
    """In place of verifying: the state that it leaves."""

    def execute(_options: VerifyOptions, state: State, _session: session.Session) -> None:
        state.testcases = [reports.case(0, 0.25 if status else 0)]
        state.packed = reports.graph("out.mge", 35)
        state.exit_status = status

    return execute


def stopping(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, status: ExitStatus) -> report.Report:
    """The report of a run, which is the one in its folder."""
    monkeypatch.setattr(pipeline.verify, "execute", verified(status))
    result = pipeline.run(VerifyOptions(packed="out.mge", report=str(folder)))
    written = report.from_json((folder / "report.json").read_bytes())
    assert (written.headline, written.exit_status) == (result.headline, result.exit_status)
    assert sorted(path.name for path in folder.iterdir()) == sorted(files.FILES)
    return result


@pytest.mark.parametrize(
    ("status", "known"),
    [(ExitStatus.PASSED, "PASS: 1 of 1 testcase"), (ExitStatus.FAILED, "FAIL: 0 of 1 testcase")],
)
@pytest.mark.parametrize("where", ["after the verdict", "while a report is made"])
def test_a_run_that_is_stopped_is_no_pass_and_says_what_was_known(
    where: str,
    status: ExitStatus,
    known: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if where == "after the verdict":
        monkeypatch.setattr(pipeline.locate, "execute", stopping)
    else:
        page = files.FILES["report.html"]
        once = iter([stopping])
        monkeypatch.setitem(
            files.FILES, "report.html", lambda found: (next(once, id)(found), page(found))[1]
        )
    result = run(monkeypatch, tmp_path, status)
    assert (result.verdict, result.exit_status) == ("error", 2)
    assert result.headline == "ERROR: stopped by SIGINT"
    assert result.problems[0].hint.startswith(f"what was known by then: {known}")
    assert result.packed is not None
    # The next run in the same process is not stopped by it.
    monkeypatch.undo()
    assert run(monkeypatch, tmp_path, status).exit_status == status


def test_a_stop_that_comes_before_the_verdict_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def execute(options: VerifyOptions, state: State, opened: session.Session) -> None:
        verified(ExitStatus.PASSED)(options, state, opened)
        stopping()
        assert list(opened.events()) == []
        pipeline.stopping.check()

    monkeypatch.setattr(pipeline.verify, "execute", execute)
    result = pipeline.run(VerifyOptions(packed="out.mge", report=str(tmp_path)))
    assert (result.exit_status, result.packed) == (2, None)
    assert result.problems[0].hint == "nothing was written"


def test_a_report_that_cannot_be_written_does_not_hide_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # In its place is a folder.
    (tmp_path / "report.html").mkdir()
    (tmp_path / "junit.xml").write_text("an earlier one")
    for status, end in ((ExitStatus.FAILED, 1), (ExitStatus.PASSED, 2)):
        monkeypatch.setattr(pipeline.verify, "execute", verified(status))
        result = pipeline.run(VerifyOptions(packed="out.mge", report=str(tmp_path)))
        assert result.exit_status == end
        written = report.from_json((tmp_path / "report.json").read_bytes())
        assert written.exit_status == end
        assert "report.html" in written.problems[0].message
        assert "an earlier one" not in (tmp_path / "junit.xml").read_text()
