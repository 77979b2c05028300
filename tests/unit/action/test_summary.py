"""How much of the page the runner takes; what the page says is tested with the page."""

from __future__ import annotations

import pytest

from megdump_ci.action.files import SUMMARY_LIMIT
from megdump_ci.action.summary import RESERVED, markdown
from megdump_ci.errors import Problem
from megdump_ci.present.markdown import page
from tests.unit import reports


def _long(testcases: int = 2000) -> str:
    worst = "\U0001f600&" * 400
    cases = [reports.case(index, 0.25, name=worst, spec=worst) for index in range(testcases)]
    problems = [Problem(worst, worst, worst, 1)] * testcases
    result = reports.report(
        verdict="failed", headline=worst, testcases=cases, warnings=[worst] * testcases
    )
    room = SUMMARY_LIMIT - RESERVED
    return markdown("failed", worst, problems, result=result, room=room, folder="reports")


def test_the_summary_is_the_page_of_the_report() -> None:
    result = reports.report()
    text = markdown("passed", result.headline, (), result=result, room=SUMMARY_LIMIT)
    assert text == page(result)


def test_the_largest_summary_is_below_the_runners_limit() -> None:
    assert len(_long().encode()) <= SUMMARY_LIMIT - RESERVED


def test_what_was_cut_says_where_the_rest_is() -> None:
    result = reports.report()
    room = len(page(result).encode()) - 1
    text = markdown("passed", "", (), result=result, room=room, folder="reports")
    assert "<code>reports/report.md</code>" in text
    assert text.startswith(page(result)[:50])
    assert len(text.encode()) <= room


@pytest.mark.parametrize("room", [-100, 0, 5])
def test_no_room_is_no_summary(room: int) -> None:
    assert markdown("passed", "PASS", (), result=reports.report(), room=room) == ""


def test_a_run_without_a_report_has_a_summary() -> None:
    problems = [Problem("model is empty")]
    text = markdown("error", "ERROR: model is empty", problems, result=None, room=SUMMARY_LIMIT)
    assert text.count("model is empty") == 2
