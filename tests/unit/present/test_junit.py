"""JUnit XML: golden files, the schema's rules, and text that XML cannot hold."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from megdump_ci.present import junit
from megdump_ci.report import Report, Source, Sweep
from tests.unit import pages, reports

GOLDEN = Path(__file__).parent / "golden"

# The elements and attributes of junit-10.xsd (Jenkins' xunit plugin), of which this needs these:
# what may stand in each, and what it has to and may have. A testcase's file and line are more.
_CHILDREN: dict[str, set[str]] = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "properties": {"property"},
    "property": set(),
    "testcase": {"skipped", "error", "failure", "system-out"},
    **{name: set() for name in ("skipped", "error", "failure", "system-out")},
}
_NEEDED = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "property": {"name", "value"},
    "testcase": {"name"},
}
_POSSIBLE = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": _NEEDED["testsuite"] | {"skipped", "time"},
    "property": _NEEDED["property"],
    "testcase": {"name", "classname", "file", "line"},
    **{name: {"message", "type"} for name in ("skipped", "error", "failure")},
}
_TIME = re.compile(r"[0-9]+\.[0-9]{3}")

hostile = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["]]>", "<x/>", "&amp;", "\x00", "\ud800", "\uffff", "\x85", "\r\n", "<!--", '"', "\x1b[0m"]
)


def _checked(report: Report) -> ET.Element:
    """The root of a report's file, which keeps to the schema."""
    root = ET.fromstring(junit.xml(report))
    for element in root.iter():
        names = set(element.attrib)
        assert {child.tag for child in element} <= _CHILDREN[element.tag]
        assert _NEEDED.get(element.tag, set()) <= names <= _POSSIBLE.get(element.tag, set())
        if "time" in names:
            assert _TIME.fullmatch(element.attrib["time"])
    for suite in (root, *root):
        cases = [*suite.iter("testcase")]
        assert int(suite.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            found = sum(len(case.findall(tag)) for case in cases)
            assert int(suite.attrib.get(name, found)) == found
    names_ = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names_)) == len(names_)
    return root


def _failed(report: Report) -> bool:
    root = _checked(report)
    return root.attrib["failures"] != "0" or root.attrib["errors"] != "0"


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_file_is_as_it_was_looked_at(name: str) -> None:
    _checked(pages.PAGES[name])
    assert junit.xml(pages.PAGES[name]) == (GOLDEN / f"junit-{name}.xml").read_bytes()


@settings(max_examples=25)
@given(text=hostile)
def test_text_from_outside_is_in_its_place(text: str) -> None:
    shown = _checked(pages.tampered(pages.EVERYTHING, text))
    plain = _checked(pages.tampered(pages.EVERYTHING, "x"))
    assert [(item.tag, set(item.attrib)) for item in shown.iter()] == [
        (item.tag, set(item.attrib)) for item in plain.iter()
    ]


@pytest.mark.parametrize("name", pages.PAGES)
def test_what_collects_results_is_red_when_the_run_is(name: str) -> None:
    report = pages.PAGES[name]
    assert _failed(report) is (report.exit_status != 0)


def test_a_failure_that_no_testcase_tells_of_is_one_all_the_same() -> None:
    assert _failed(reports.report(verdict="failed", exit_status=1, headline="FAIL: why"))
    worse = structs.replace(pages.SWEEP.trials[0], status="failed", reason="error 1")
    sweep = Sweep(trials=[worse])
    assert _failed(reports.report(verdict="failed", exit_status=1, testcases=[], sweep=sweep))


def test_a_testcase_is_called_the_same_when_others_come_before_it() -> None:
    def names(*specs: str) -> set[str | None]:
        cases = [reports.case(place, spec=spec) for place, spec in enumerate(specs)]
        return {case.get("name") for case in _checked(reports.report(testcases=cases))[0]}

    before = names("a.png", "#rand(0,1)", "#rand(0,1)")
    assert before == {None, "a.png", "#rand(0,1)", "#rand(0,1) [2]"}
    assert before < names("b.png", "a.png", "#rand(0,1)", "#rand(0,1)")


def test_a_testcase_of_a_list_has_its_place() -> None:
    listed, given_ = (
        reports.case(0),
        structs.replace(reports.case(1), source=Source(spec="#rand(0,1)")),
    )
    root = _checked(reports.report(testcases=[listed, given_]))
    places = [(case.get("file"), case.get("line")) for case in root.iter("testcase")]
    assert places == [("digits.txt", "1"), (None, None)]


def test_a_failure_has_the_numbers_and_the_worst_elements() -> None:
    failures = [*_checked(pages.PAGES["failed"]).iter("failure")]
    assert failures[0].get("message", "").startswith("logits: error 0.25 at [0, 3]")
    text = failures[0].text or ""
    for wanted in ("SQNR 12.5 dB", "[0, 3] expected 0.5, computed 0.75", "--maxerr 0.25"):
        assert wanted in text
