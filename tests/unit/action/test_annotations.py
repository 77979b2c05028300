"""Annotations: a cause once, the most important first, no more than the runner keeps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from megdump_ci.action.annotations import Annotation, of_problems, of_report, tell
from megdump_ci.action.commands import ANNOTATION_LIMIT, Log
from megdump_ci.action.places import Place, Places
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.report import Gate, Report
from tests.unit import pages, reports


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("digits.mge", "digits.txt"):
        (tmp_path / name).touch()
    return tmp_path


def _all(report: Report, root: Path) -> list[Annotation]:
    places = Places({}, root, "digits.mge")
    problems = of_problems(report.problems, report.exit_status, places)
    return [*problems, *of_report(report, places)]


def _failing(*failed: int, of: int) -> Report:
    cases = [reports.case(index, 0.25 if index in failed else 0.0) for index in range(of)]
    return reports.report(verdict="failed", exit_status=1, headline="FAIL: x", testcases=cases)


def test_a_run_that_passed_has_none(root: Path) -> None:
    assert _all(pages.PAGES["passed"], root) == []


def test_a_cause_is_told_at_the_model_with_its_numbers_and_the_remedy(root: Path) -> None:
    found = _all(pages.PAGES["failed"], root)
    first = found[0]
    assert first.title == "logits differs in 1 of 3 testcases"
    assert first.place == Place("digits.mge")
    lines = first.message.split("\n")
    assert lines[0] == pages.PAGES["failed"].headline
    assert lines[1].startswith("worst in testcase 1 (digits/1.png): error 0.25 at [0, 3]")
    assert any("SQNR 12.5 dB" in line for line in lines)
    assert any(line.startswith("first wrong operator: conv2.RELU") for line in lines)
    assert lines[-1] == "it would pass with: maxerr: 0.25, top-k-agreement: 0.5"


def test_causes_are_kept_apart_and_each_is_told_once(root: Path) -> None:
    titles = [item.title for item in _all(pages.PAGES["failed"], root)]
    assert titles == [
        "logits differs in 1 of 3 testcases",
        "logits fails in 1 of 3 testcases",
        "logits misses top-k-agreement",
        "testcase 1 (digits/1.png) fails",
        "testcase 2 (digits/2.png) fails",
        "megdump-ci warns of digits.mge",
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_some_testcases_are_each_at_their_line(root: Path, count: int) -> None:
    found = _all(_failing(*range(count), of=10), root)[1:]
    assert [item.place for item in found] == [
        Place("digits.txt", line) for line in range(1, count + 1)
    ]


def test_many_testcases_share_one(root: Path) -> None:
    first, several = _all(_failing(0, 2, 3, 4, 8, of=10), root)
    assert first.title == "logits differs in 5 of 10 testcases"
    assert several.title == "5 testcases of digits.txt fail"
    assert several.message.startswith("lines 1, 3 to 5, 9\n")
    assert several.place == Place("digits.txt", 1)
    assert several.message.count("\n") == 5


def test_a_testcase_without_a_place_is_in_that_of_its_cause(tmp_path: Path) -> None:
    (found,) = _all(_failing(0, 1, of=3), tmp_path)
    assert found.title == "logits differs in 2 of 3 testcases"
    assert found.place == Place()


def test_a_testcase_that_failed_as_a_whole_is_told_wherever_it_was_asked_for(
    tmp_path: Path,
) -> None:
    case = structs.replace(reports.case(0), passed=False, reason="a second run differs")
    report = reports.report(verdict="failed", exit_status=1, testcases=[case])
    (found,) = _all(report, tmp_path)
    assert found.message.endswith("a second run differs")


def test_a_failure_without_a_reason_still_is_an_error(root: Path) -> None:
    gate = Gate(name="min-sqnr", output="logits", limit=40, passed=False, testcase=0, value=1.0)
    report = reports.report(verdict="failed", exit_status=1, headline="FAIL: y", gates=[gate])
    (found,) = _all(report, root)
    assert found.message == "FAIL: y"


@pytest.mark.parametrize(
    ("status", "message", "title"),
    [
        (2, "bad", "wrong input"),
        (3, "bad", "the engine failed"),
        (4, "bad", "megdump-ci has a fault"),
        (2, "stopped by SIGTERM", "the run was stopped"),
    ],
)
def test_a_problem_is_told_with_what_to_do(
    tmp_path: Path, status: int, message: str, title: str
) -> None:
    problems = [Problem(message, "do this")]
    (found,) = of_problems(problems, ExitStatus(status), Places({}, tmp_path))
    assert found == Annotation(kind="error", title=title, message=f"{message}\ndo this")


def test_what_was_not_verified_is_the_first_warning(root: Path) -> None:
    report = structs.replace(pages.PAGES["unverified"], warnings=["w"])
    assert [(item.kind, item.message) for item in _all(report, root)] == [
        ("warning", report.headline),
        ("warning", "w"),
    ]


@given(errors=st.integers(0, 40), warnings=st.integers(0, 40), earlier=st.integers(0, 12))
def test_the_runner_keeps_what_matters_most(
    runner: Any, errors: int, warnings: int, earlier: int
) -> None:
    stream = io.StringIO()
    log = Log(stream)
    for _ in range(earlier):
        log.warning("earlier")
    kinds = {"error": errors, "warning": warnings}
    tell(
        [
            Annotation(kind=kind, title=f"{kind} {number}", message="x")  # type: ignore[arg-type]
            for kind, count in kinds.items()
            for number in range(count)
        ],
        log,
    )
    found = runner.commands(stream.getvalue())
    for kind, count in kinds.items():
        told = [item for item in found if item.name == kind and item.message != "earlier"]
        taken = earlier if kind == "warning" else 0
        # The last place is for what comes after; where all are taken, the lines of the log stay.
        room = max(ANNOTATION_LIMIT - 1 - taken, 0)
        assert len(told) == (count if count <= room else max(room, 1 if taken < 10 else 0))
        shown = [item for item in told if item.properties.get("title") != "and more"]
        assert [item.properties["title"] for item in shown] == [
            f"{kind} {number}" for number in range(len(shown))
        ]
        if len(shown) < count and taken < ANNOTATION_LIMIT:
            assert told[-1].message.startswith(f"{count - len(shown)} more {kind}s are in the log")
        for number in range(len(shown), count):
            assert f"{kind}: {kind} {number}: x\n" in stream.getvalue()


@settings(max_examples=20)
@given(text=st.text(max_size=20) | st.sampled_from([pages.HOSTILE, "::error::x", "a,b:c%0A"]))
def test_nothing_in_an_annotation_is_another_one(
    runner: Any, tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    root = tmp_path_factory.getbasetemp()
    for changed in (text, "x"):
        stream = io.StringIO(newline="")
        report = pages.tampered(pages.EVERYTHING, changed)
        tell(_all(report, root), Log(stream))
        found = runner.commands(stream.getvalue())
        names = [(item.name, sorted(item.properties)) for item in found]
        if changed is text:
            hostile = names
    assert hostile == names
    assert all(len(item.message) <= 4096 for item in found)
