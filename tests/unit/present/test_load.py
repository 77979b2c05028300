"""Reports of runs with very much in them: what is shown has a limit, and says what is left out."""

import io
import itertools
import re
import unicodedata
from xml.etree import ElementTree

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from rich.console import Console

from megdump_ci import report
from megdump_ci.present import console, junit, text
from tests.unit import reports


def having(index: int, outputs: int, error: float) -> report.Testcase:
    found = reports.case(index, error)
    made = [structs.replace(found.outputs[0], name=f"out{place}") for place in range(outputs)]
    return structs.replace(found, outputs=made)


def loaded(testcases: int, outputs: int, error: float = 0.0, warnings: int = 0) -> report.Report:
    return reports.report(
        verdict="failed" if error else "passed",
        testcases=[having(index, outputs, error) for index in range(testcases)],
        warnings=[f"warning {index}" for index in range(warnings)],
    )


def shown(found: report.Report) -> list[str]:
    out = io.StringIO()
    console.show(found, Console(file=out, width=200), Console(file=io.StringIO()))
    return out.getvalue().splitlines()


def left_out(lines: list[str], pattern: str) -> int:
    """How much the lines that begin so say that is left out."""
    found = [re.match(pattern, line) for line in lines]
    return sum(int(match[1]) for match in found if match)


@settings(max_examples=10)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0.0, 0.25]), st.integers(0, 300))
@example(1, 300, 0.25, 0)
@example(300, 300, 0.25, 300)
def test_a_page_of_anything_can_be_read(
    testcases: int, outputs: int, error: float, warnings: int
) -> None:
    lines = shown(loaded(testcases, min(outputs, 21 + 300 // testcases), error, warnings))
    assert len(lines) < 250
    rows = [line for line in lines if re.match(r"\d+\s+digits/", line)]
    assert 0 < len(rows) <= console.SHOWN
    assert len(rows) + left_out(lines, r"\s+and (\d+) more \(all") == testcases
    told = sum(line.startswith("warning: ") for line in lines)
    assert told + left_out(lines, r"and (\d+) more warnings") == warnings


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(0, 59))
def test_outputs_that_failed_are_among_those_shown(outputs: int, place: int) -> None:
    passing, failing = having(0, outputs, 0.0), having(0, outputs, 0.25)
    place %= outputs
    made = [*passing.outputs]
    made[place] = failing.outputs[place]
    only = structs.replace(passing, passed=False, outputs=made)
    lines = shown(reports.report(verdict="failed", testcases=[only]))
    assert any(re.search(rf"out{place}\s.*failed$", line.rstrip()) for line in lines)


@given(st.lists(st.sampled_from(["a", "a [2]", "a [3]", "b"]), max_size=30))
def test_testcases_of_one_spec_are_numbered_in_their_order(specs: list[str]) -> None:
    testcases = [reports.case(index, spec=spec) for index, spec in enumerate(specs)]
    root = ElementTree.fromstring(junit.xml(reports.report(testcases=testcases)))
    expected: list[str] = []
    for spec in specs:
        names = (f"{spec} [{number}]" if number > 1 else spec for number in itertools.count(1))
        expected.append(next(name for name in names if name not in expected))
    assert [element.get("name") for element in root.iter("testcase")] == expected


@given(st.text() | st.text("ab \n\t\x1b\u202e\u2028\xa0"))
def test_text_is_as_if_each_character_were_looked_at(value: str) -> None:
    harmful = ("Cc", "Cf", "Cs", "Zl", "Zp")
    for char in text.plain(value):
        assert char == "\n" or unicodedata.category(char) not in harmful
    for char in value:
        if char == "\n" or unicodedata.category(char) not in harmful:
            assert text.plain(char) == char
        else:
            assert text.plain(char).startswith("\\")
    assert text.plain(value) == "".join(map(text.plain, value))
