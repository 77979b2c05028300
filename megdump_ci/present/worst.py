"""Where an output is worst: the testcase, its metrics, and the elements with both values."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from megdump_ci.present.text import number_text, one_line
from megdump_ci.report import Comparison, Element, Metrics, Output, Report, Testcase

SHOWN = 10
"""Outputs that are told of; the rest is in report.json."""


def lines(report: Report) -> list[Text]:
    """For each output that failed, its worst testcase."""
    found = worst(report)
    told = [line for item in found[:SHOWN] for line in _block(*item)]
    if len(found) > SHOWN:
        told.append(Text(f"and {len(found) - SHOWN} more outputs failed"))
    return told


def worst(report: Report) -> list[tuple[Testcase, Output, Comparison]]:
    """Each output that failed with the testcase, and the comparison in it, of the lowest SQNR."""
    found: dict[str, tuple[float, Testcase, Output, Comparison]] = {}
    for testcase in report.testcases:
        for output in testcase.outputs:
            for comparison in output.comparisons:
                if output.passed or comparison.passed or comparison.metrics is None:
                    continue
                sqnr = float(comparison.metrics.sqnr)
                if output.name not in found or sqnr < found[output.name][0]:
                    found[output.name] = sqnr, testcase, output, comparison
    return [item[1:] for item in found.values()]


def metrics_lines(metrics: Metrics) -> list[str]:
    """The numbers that say how far an output is from what it should be."""
    whole = [f"cosine {float(metrics.cosine):.6g}", f"SQNR {float(metrics.sqnr):.3g} dB"]
    if metrics.top_k is not None:
        whole.append(f"top-1 {metrics.top_k.top1} of {metrics.top_k.rows}")
    errors = (
        f"absolute error: mean {number_text(metrics.mean_abs_error)}, 99 % within"
        f" {number_text(metrics.percentiles[2])}; relative: max"
        f" {number_text(metrics.max_rel_error)}"
    )
    return [
        f"{metrics.beyond} of {metrics.size} elements beyond maxerr; {', '.join(whole)}",
        errors,
    ]


def element_line(element: Element) -> str:
    """One element: where it is, what it should be, what it is."""
    index = ", ".join(map(str, element.index))
    return (
        f"[{index}] expected {float(element.expected):.6g}, computed"
        f" {float(element.computed):.6g}, error {number_text(element.error)}"
    )


def _block(testcase: Testcase, output: Output, comparison: Comparison) -> Iterable[Text]:
    metrics = comparison.metrics
    assert metrics is not None
    yield Text(f"{one_line(output.name)} is worst in testcase {testcase.index}:")
    yield from (Text(f"  {line}") for line in metrics_lines(metrics))
    for element in metrics.worst:
        yield Text(f"  {element_line(element)}", "dim")
