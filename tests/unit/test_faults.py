"""The judge of the planted faults, and the numbers that the documentation gives."""

import re
from pathlib import Path

import msgspec
import pytest

from megdump_ci.errors import Problem
from megdump_ci.report import Report
from tests.faults import __main__ as program
from tests.faults import harness, planted
from tests.faults.clean import CLEAN
from tests.faults.harness import Outcome
from tests.unit import reports

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()
FAULT = planted.Fault(
    kind="kind", name="name", make=lambda folder: b"", said=(r"testcase 1: logits: error 0\.25",)
)
WARNS = planted.Fault(
    kind="kind", name="name", make=lambda folder: b"", said=("twice",), warns=True
)
FAILED = reports.report(
    verdict="failed",
    exit_status=1,
    headline="FAIL: 1 of 2 testcases",
    testcases=[reports.case(0), reports.case(1, 0.25)],
)
WARNED = reports.report(warnings=["it is there twice"])


def test_caught_and_named_is_all_right() -> None:
    outcome = harness.judged(FAULT, FAILED)
    assert (outcome.wrong, outcome.said) == ("", f"testcase 1: logits: {reports.REASON}")
    assert harness.judged(WARNS, WARNED).wrong == ""


@pytest.mark.parametrize(
    ("fault", "report", "wrong"),
    [
        (FAULT, reports.report(), "not caught"),
        # A crash of the program itself is no finding.
        (FAULT, msgspec.structs.replace(FAILED, verdict="error", exit_status=4), "not caught"),
        # It names the wrong testcase.
        (
            FAULT,
            msgspec.structs.replace(FAILED, testcases=[reports.case(0, 0.25), reports.case(1)]),
            "not named: testcase 0: logits",
        ),
        (
            FAULT,
            reports.report(verdict="error", exit_status=3, problems=[Problem("it fell over")]),
            "not named: it fell over",
        ),
        # A warning does not do where a failure is due, nor a failure where a warning is.
        (FAULT, WARNED, "not caught"),
        (WARNS, FAILED, "it should pass"),
        (WARNS, reports.report(), "not named"),
    ],
)
def test_what_is_missed_is_told(fault: planted.Fault, report: Report, wrong: str) -> None:
    assert harness.judged(fault, report).wrong.startswith(wrong)


def test_the_score_counts_what_is_wrong() -> None:
    found = [Outcome("a", "1", ""), Outcome("a", "2", "", "missed"), Outcome("b", "3", "")]
    lines = program.score(found, [Outcome("clean", "4", "", "alarm")]).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "a",
        "b",
        "caught / planted",
        "false alarms / clean",
    ]
    assert [re.sub(r"\s+", "", line[-9:]) for line in lines] == ["1/2", "1/1", "2/3", "1/1"]


def test_no_two_faults_share_a_file() -> None:
    names = {re.sub(r"[^a-z0-9]+", "-", f"{fault.kind} {fault.name}") for fault in planted.FAULTS}
    assert len(names) == len(planted.FAULTS)


def test_the_documentation_has_the_numbers() -> None:
    found = [Outcome(fault.kind, fault.name, "") for fault in planted.FAULTS]
    clean = [Outcome("clean", item.name, "") for item in CLEAN]
    assert f"```text\n{program.score(found, clean)}\n```" in PAGE, "run 'make faults'"
    count = len(planted.FAULTS)
    assert f"[{count} of {count} planted faults]" in (ROOT / "README.md").read_text()
