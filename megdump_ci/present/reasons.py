"""What a run was about, why testcases failed and how far off they are. Needs no rich."""

from __future__ import annotations

import math
from collections.abc import Iterable

from megdump_ci.report import Comparison, Number, Output, Report, Testcase

_NAMED = ("model", "target", "packed", "new")
"""The options that name what a command works on."""


def subject(report: Report) -> str:
    """What a run was about: its own name, or that of the model; empty if nothing is known."""
    named = (report.options.get(key) for key in _NAMED)
    return report.name or next((str(value) for value in named if value), "")


def reasons(testcase: Testcase) -> list[str]:
    """Why a testcase failed, one text for itself and each output; empty if it passed."""
    if testcase.passed:
        return []
    found = [testcase.reason] if testcase.reason else []
    found += [
        f"{output.name}: {output_reason(output)}"
        for output in testcase.outputs
        if not output.passed
    ]
    return found or ["it failed"]


def reason(testcase: Testcase) -> str:
    """The same in one text."""
    return "; ".join(reasons(testcase))


def output_reason(output: Output) -> str:
    """Why an output failed; empty if it passed."""
    if output.passed:
        return ""
    found = [item.reason for item in output.comparisons if item.reason]
    return output.reason or (found[0] if found else "the values differ")


def largest_error(outputs: Iterable[Output]) -> float | None:
    """The largest AssertEqual error of outputs, NaN above all; ``None`` if there is none."""
    numbers = [
        float(item.error)
        for output in outputs
        for item in (output.assertion, *output.comparisons)
        if item is not None and item.error is not None
    ]
    if not numbers:
        return None
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)


def lowest_sqnr(output: Output) -> Number | None:
    """The lowest signal to quantisation noise ratio of an output's comparisons, in dB."""
    found = [item.metrics.sqnr for item in output.comparisons if item.metrics is not None]
    return min(found, key=float, default=None)


def lowest_cosine(output: Output) -> Number | None:
    """The lowest cosine similarity of an output's comparisons."""
    found = [item.metrics.cosine for item in output.comparisons if item.metrics is not None]
    return min(found, key=float, default=None)


def differs(report: Report) -> bool:
    """Whether any output is not exactly what it was to be."""
    return any(
        output.comparisons and largest_error([output]) != 0
        for testcase in report.testcases
        for output in testcase.outputs
    )


def failed_comparison(output: Output) -> Comparison | None:
    """The comparison that failed an output, the one with the lowest SQNR if several did."""
    failed = [item for item in output.comparisons if not item.passed]
    rated = [item for item in failed if item.metrics is not None]
    return min(rated, key=_sqnr, default=None) or next(iter(failed), None)


def _sqnr(comparison: Comparison) -> float:
    assert comparison.metrics is not None
    return float(comparison.metrics.sqnr)
