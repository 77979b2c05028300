"""Merging reports, and the one verdict on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import merged, report
from megdump_ci.errors import Problem
from megdump_ci.project import commands
from megdump_ci.project.options import MergeOptions
from megdump_ci.report import Gate, Tool
from tests.unit import reports

FAILED: dict[str, Any] = {"verdict": "failed", "exit_status": 1, "headline": "FAIL: so"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def left(path: str, **changes: Any) -> str:
    """A report that a job left at ``path``."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(report.to_json(reports.report(**changes)))
    return path


def merge(*given: str, planned: str = "", **options: Any) -> merged.Merged:
    if planned:
        Path("plan.json").write_text(planned)
        options["plan"] = "plan.json"
    return commands.merge(MergeOptions(reports=given, **options))


def test_reports_are_found_in_folders_and_by_patterns_each_once() -> None:
    left("r/a/report.json", name="a")
    left("r/.hidden/b/report.json", name="b", max_error=0.5)
    left("s/c.json", name="c", options={"model": "c.mge"})
    found = merge("r", "r/a/report.json", "s/*.json")
    assert [entry.name for entry in found.entries] == ["a", "b", "c"]
    assert found.entries[2].model == "c.mge"
    assert (found.verdict, found.exit_status, found.max_error) == ("passed", 0, 0.5)
    assert found.headline == "PASS: 3 of 3 models passed, max error 0.5"
    assert found.seconds == pytest.approx(3.6)


def test_a_run_without_a_name_is_called_by_its_model() -> None:
    left("r/report.json", options={"model": "m/a.mge"})
    assert [entry.name for entry in merge("r").entries] == ["m/a.mge"]


def test_what_was_planned_and_is_missing_has_failed() -> None:
    left("r/report.json", name="b")
    plan = '{"include":[{"name":"x","model":"a.mge\\nb.mge","entry":"a\\nb"}]}'
    found = merge("r", planned=plan)
    assert [(entry.name, entry.verdict, entry.model) for entry in found.entries] == [
        ("a", "error", "a.mge"),
        ("b", "passed", "b.mge"),
    ]
    assert found.exit_status == 2
    assert found.headline == "ERROR: 1 of 2 models passed, max error 2.5e-05; not a"
    assert "no report" in found.entries[0].problems[0].message
    # Though not one job left a report, each is told.
    assert [entry.verdict for entry in merge("none", planned=plan).entries] == ["error", "error"]


@pytest.mark.parametrize(
    ("given", "planned", "said"),
    [
        (["r"], '{"include":[]}', "the plan has no entry"),
        (["r"], '["a"]', "r/b/report.json is about 'b', which the plan does not have"),
        (["r"], "[", "the plan cannot be read"),
        (["none"], "", "there is no report in 'none'"),
        (["none/*.json", "r"], "", "there is no report in 'none/*.json'"),
        (["r", "bad.json"], "", "bad.json is no report"),
        (["r", "new.json"], "", "new.json is a report of version 2"),
        (["r", "twice.json"], "", "r/a/report.json and twice.json are both about 'a'"),
        ([], "", "there is no report to merge"),
    ],
)
def test_what_cannot_be_merged_is_no_pass(given: list[str], planned: str, said: str) -> None:
    left("r/a/report.json", name="a")
    left("r/b/report.json", name="b")
    left("twice.json", name="a", seconds=9.0)
    left("new.json", version=2)
    Path("bad.json").write_text('{"verdict": "passed"}')
    found = merge(*given, planned=planned)
    assert (found.verdict, found.exit_status) == ("error", 2)
    assert found.headline.startswith("ERROR: ")
    assert said in found.problems[0].message
    assert found.problems[0].hint
    if given[:1] == ["r"] and "cannot" not in said:
        assert {"a", "b"} <= {entry.name for entry in found.entries}


def test_one_report_found_twice_is_one() -> None:
    left("r/a/report.json", name="a")
    left("copy/report.json", name="a")
    assert len(merge("r", "copy").entries) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"testcases": []},
        {"testcases": [reports.case(0), reports.case(1, 0.25)]},
        {"problems": [Problem("x")]},
        {"gates": [Gate(name="min-sqnr", output="logits", limit=40, passed=False)]},
        {"testcases": [msgspec.structs.replace(reports.case(1, 0.25), passed=True)]},
        {"verdict": "not verified", "testcases": [reports.case(1, 0.25)]},
    ],
)
def test_a_success_that_the_report_does_not_show_is_none(changes: dict[str, Any]) -> None:
    left("r/report.json", name="a", **changes)
    found = merge("r")
    assert (found.verdict, found.exit_status) == ("error", 2)
    assert "nothing in it shows that" in found.entries[0].headline


@given(
    st.sampled_from(["passed", "failed", "not verified", "error"]),
    st.one_of(st.integers(-1, 6), st.sampled_from([256, -256, 2**40])),
)
def test_no_exit_status_makes_another_verdict_of_a_report(
    verdict: report.Verdict, status: int
) -> None:
    left("r/report.json", name="a", verdict=verdict, exit_status=status)
    left("r/b/report.json", name="b")
    found = merge("r")
    right = {"passed": [0], "not verified": [0], "failed": [1], "error": [2, 3, 4]}[verdict]
    assert found.exit_status == (status if status in right else 2)
    if status not in right:
        assert found.verdict == "error"
        assert f"with exit status {status}" in found.entries[0].headline


def test_the_merged_report_is_written_and_is_none_of_those_that_are_merged() -> None:
    left("r/a/report.json", name="a")
    first = merge("r", report="r")
    assert merged.from_json(Path("r/merged.json").read_bytes()) == first
    assert first.command == "megdump-ci merge r --report r"
    assert merge("r").entries == first.entries
    assert "no report" in merge("r/merged.json").headline


def test_where_it_cannot_be_written() -> None:
    left("r/a/report.json", name="a")
    Path("file").write_text("")
    found = merge("r", report="file")
    assert (found.verdict, found.exit_status) == ("error", 2)
    assert "cannot write" in found.problems[0].message


ENDS = [("passed", 0), ("not verified", 0), ("failed", 1), ("error", 2), ("error", 3), ("error", 4)]


@given(
    ends=st.lists(st.sampled_from(ENDS), max_size=5),
    problem=st.none() | st.sampled_from([2, 3, 4]),
)
def test_the_verdict_is_the_worst_there_is(
    ends: list[tuple[Any, int]], problem: int | None
) -> None:
    entries = [
        merged.entry_of(f"n{i}", reports.report(verdict=verdict, exit_status=status), "f")
        for i, (verdict, status) in enumerate(ends)
    ]
    outcome = merged.Outcome(entries=entries)
    if problem is not None:
        outcome.problems, outcome.status = [Problem("x")], problem
    if not ends and problem is None:
        with pytest.raises(AssertionError):
            merged.merge(outcome, tool=Tool(version="1"), command="c", seconds=1)
        outcome.idle = "nothing has changed"
    found = merged.merge(outcome, tool=Tool(version="1"), command="c", seconds=1)
    assert found.exit_status == max([status for _, status in ends] + [problem or 0])
    assert (found.verdict == "passed") == (
        bool(ends) and problem is None and {verdict for verdict, _ in ends} == {"passed"}
    )
    assert (found.verdict in ("passed", "not verified")) == (found.exit_status == 0)
    word = {"passed": "PASS", "failed": "FAIL", "error": "ERROR", "not verified": "NOT VERIFIED"}
    assert found.headline.startswith(f"{word[found.verdict]}: ")
    assert merged.from_json(merged.to_json(found)) == found


def test_its_json_is_as_its_schema_says() -> None:
    entry = merged.entry_of("a", reports.report(max_error="nan"), "f")
    lost = merged.failed_entry("b", "b.mge", 3, [Problem("it was killed", "try again")])
    outcome = merged.Outcome(entries=[entry, lost], warnings=["w"])
    found = merged.merge(outcome, tool=Tool(version="1"), command="c", seconds=1)
    assert found.max_error == "nan"
    schema = merged.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    import json

    jsonschema.Draft202012Validator(schema).validate(json.loads(merged.to_json(found)))
