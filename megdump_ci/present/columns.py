"""The numbers that a table of testcases shows of each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.cells import cell_len

from megdump_ci.present.reasons import differs, lowest_sqnr
from megdump_ci.present.text import number_text, one_line
from megdump_ci.report import Comparison, Number, Output, Report

Error = Callable[[Output], "Number | None"]

NAME = 24
"""Characters of an output's name in a terminal."""
SQNR = "SQNR, dB"

_GAP = 2
"""Blanks between two columns."""
_LEAST = 12
"""Columns that what a testcase is called needs; it goes on in the next line."""


def columns(report: Report) -> dict[str, Error]:
    """The errors by their titles, each with what it shows of an output."""
    outputs = [output for testcase in report.testcases for output in testcase.outputs]
    if any(output.against_base for output in outputs):
        return {"against base": lambda output: _error(output.against_base)}
    found: dict[str, Error] = {
        "assertion": lambda output: output.assertion.error if output.assertion else None,
        "against model": lambda output: _error(output.against_model),
    }
    if any(output.against_python for output in outputs):
        # What was traced comes from the same run, so the code itself is what to measure with.
        del found["against model"]
        found["eager\u2192dumped"] = lambda output: _error(output.model_against_python)
        found["eager\u2192written"] = lambda output: _error(output.against_python)
    if report.exported is not None:
        del found["assertion"]
    if report.lite is not None:
        found["lite"] = lambda output: _error(output.against_lite)
    return found


def fitting(report: Report, width: int = 80) -> dict[str, Error]:
    """The same, and the SQNR where something differs and a terminal has the room for it."""
    found = columns(report)
    if differs(report):
        wider = {**found, SQNR: lowest_sqnr}
        return wider if width - _taken(report, wider) >= _LEAST else found
    return found


def _taken(report: Report, found: Mapping[str, Error]) -> int:
    """The width of a table with these columns without what the testcases are called."""
    outputs = [output for testcase in report.testcases for output in testcase.outputs]
    shown = [
        [title, *(number_text(error(output)) for output in outputs)]
        for title, error in found.items()
    ]
    shown.append(["output", *(one_line(output.name, NAME) for output in outputs)])
    shown += [[str(len(report.testcases))], ["failed"]]
    return sum(max(map(cell_len, texts)) + _GAP for texts in shown)


def _error(comparison: Comparison | None) -> Number | None:
    return comparison.error if comparison is not None else None
