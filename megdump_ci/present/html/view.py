"""What the page shows of a report, put in order for the template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from megdump_ci.difference import working
from megdump_ci.present.columns import columns
from megdump_ci.present.html import plots
from megdump_ci.present.html.plots import Figure
from megdump_ci.present.reasons import (
    failed_comparison,
    largest_error,
    lowest_cosine,
    lowest_sqnr,
    output_reason,
)
from megdump_ci.present.text import number_text, size_text
from megdump_ci.report import Comparison, Graph, Number, Output, Report, Sweep, Testcase, number

ROWS = 500
"""Rows of a table, each an output of a testcase; failing testcases come first."""

OUTPUTS = 12
"""Outputs that have charts; failing ones come first."""

CARDS = 100
"""Outputs that are shown at all."""


@dataclass(frozen=True)
class Tile:
    """A number to see at first sight."""

    title: str
    value: str
    note: str = ""
    kind: str = ""
    """``bad`` or ``warn`` for what is not as it should be."""


@dataclass(frozen=True)
class Row:
    """An output of a testcase, or a testcase without any."""

    testcase: Testcase
    output: Output | None
    first: bool
    """Whether it is the first of its testcase."""
    passed: bool
    errors: list[Number | None]
    sqnr: Number | None = None
    cosine: Number | None = None
    reason: str = ""
    detail: Comparison | None = None
    """Whose worst elements are shown."""


@dataclass(frozen=True)
class OutputView:
    """An output over all testcases."""

    name: str
    dtype: str
    shape: list[int]
    failed: int
    count: int
    limit: float | None
    error: Number | None
    cosine: Number | None
    sqnr: Number | None
    top_k: str
    constant: bool
    figures: list[Figure] = field(default_factory=list)


def titles(report: Report) -> list[str]:
    """The errors in the table of testcases."""
    return list(columns(report))


def rows(report: Report) -> list[Row]:
    """The rows of the table of testcases that are shown, failing ones first."""
    pairs = [
        (testcase, output, _passed(testcase, output))
        for testcase in report.testcases
        for output in _shown(testcase)
    ]
    errors = columns(report).values()
    worst = {(gate.testcase, gate.output) for gate in report.gates}
    seen: set[int] = set()
    found: list[Row] = []
    # sorted() keeps the order of the file among equals.
    for testcase, output, passed in sorted(pairs, key=lambda pair: pair[2])[:ROWS]:
        first = testcase.index not in seen
        seen.add(testcase.index)
        reason = testcase.reason if first else ""
        if output is None:
            found.append(Row(testcase, None, first, passed, [None] * len(errors), reason=reason))
            continue
        shown = not output.passed or (testcase.index, output.name) in worst
        found.append(
            Row(
                testcase,
                output,
                first=first,
                passed=passed,
                errors=[error(output) for error in errors],
                sqnr=lowest_sqnr(output),
                cosine=lowest_cosine(output),
                reason=output_reason(output) or reason,
                detail=_detail(output) if shown else None,
            )
        )
    return found


def _shown(testcase: Testcase) -> Sequence[Output | None]:
    return testcase.outputs or (None,)


def _passed(testcase: Testcase, output: Output | None) -> bool:
    if output is None or testcase.reason:
        return testcase.passed
    # Nothing is green in a testcase that failed for no reason that is known.
    explained = testcase.passed or any(not item.passed for item in testcase.outputs)
    return output.passed and explained


def total(report: Report) -> int:
    """How many rows there would be if all were shown."""
    return sum(max(1, len(testcase.outputs)) for testcase in report.testcases)


def outputs(report: Report) -> list[OutputView]:
    """The outputs, those that failed somewhere first."""
    by_name: dict[str, list[tuple[Testcase, Output]]] = {}
    for testcase in report.testcases:
        for output in testcase.outputs:
            by_name.setdefault(output.name, []).append((testcase, output))
    found = [_output(name, items, report.maxerr) for name, items in by_name.items()]
    found.sort(key=lambda view: view.failed == 0)
    for view in found[:OUTPUTS]:
        view.figures.extend(
            plots.of_output(
                view.name,
                by_name[view.name],
                limit=view.limit,
                count=max(testcase.index for testcase in report.testcases) + 1,
                lite=report.lite is not None,
            )
        )
    return found


def _output(
    name: str, items: Sequence[tuple[Testcase, Output]], default: float | None
) -> OutputView:
    found = [output for _, output in items]
    error = largest_error(found)
    return OutputView(
        name=name,
        dtype=found[0].dtype,
        shape=found[0].shape,
        failed=sum(not output.passed for output in found),
        count=len(found),
        limit=next((output.maxerr for output in found if output.maxerr is not None), default),
        error=None if error is None else number(error),
        cosine=_lowest(map(lowest_cosine, found)),
        sqnr=_lowest(map(lowest_sqnr, found)),
        top_k=_top_k(found),
        constant=all(output.constant for output in found),
    )


def _lowest(values: Iterable[Number | None]) -> Number | None:
    return min((value for value in values if value is not None), key=float, default=None)


def _top_k(found: Sequence[Output]) -> str:
    main = [plots.main(output) for output in found]
    agreeing = [item.metrics.top_k for item in main if item and item.metrics and item.metrics.top_k]
    total = sum(item.rows for item in agreeing)
    return f"{sum(item.top1 for item in agreeing):,} of {total:,}" if total else ""


def _detail(output: Output) -> Comparison | None:
    found = failed_comparison(output)
    if found is None:
        differing = [item for item in output.comparisons if item.metrics and item.metrics.worst]
        found = next(iter(differing), None)
    return found if found is not None and found.metrics is not None else None


def without_limits(report: Report) -> bool:
    """Whether it is of a ``diff`` that passed because nothing was asked of it."""
    compared = report.verdict == "passed" and report.baseline is not None
    return compared and report.packed is None and not report.gates


def tiles(report: Report) -> list[Tile]:
    """The numbers to see at first sight."""
    if report.sweep is not None:
        return [*_sweep(report.sweep), _time(report)]
    found = []
    if report.testcases:
        passed = sum(testcase.passed for testcase in report.testcases)
        total = len(report.testcases)
        kind = "" if passed == total else "bad"
        word = "compared" if without_limits(report) else "passed"
        found.append(Tile(f"testcases {word}", f"{passed:,} of {total:,}", kind=kind))
    if report.max_error is not None:
        missed = [gate for gate in report.gates if not gate.passed and gate.name == "maxerr"]
        limit = f"limit {report.maxerr:g}" if report.maxerr is not None else ""
        kind = "bad" if missed or not math.isfinite(float(report.max_error)) else ""
        found.append(Tile("largest error", number_text(report.max_error), limit, kind))
    compared = [output for testcase in report.testcases for output in testcase.outputs]
    sqnr = _lowest(map(lowest_sqnr, compared))
    if sqnr is not None:
        kind = "warn" if float(sqnr) < 20 else ""
        note = "no difference" if sqnr == "inf" else ""
        found.append(Tile("lowest SQNR", f"{_infinite(sqnr)} dB", note, kind))
    if report.change is not None:
        found.append(_saving(report))
    return [*found, _time(report)]


def _infinite(value: Number) -> str:
    return "\u221e" if value == "inf" else number_text(value)


def _saving(report: Report) -> Tile:
    change = report.change
    assert change is not None
    share = change.size_after / change.size_before - 1 if change.size_before else 0.0
    sizes = f"{size_text(change.size_before)} \u2192 {size_text(change.size_after)}"
    return Tile("model size", f"{share:+.0%}".replace("-", "\u2212"), sizes)


def _time(report: Report) -> Tile:
    kernels = "naive kernels" if report.kernels == "naive" else ""
    return Tile("run time", f"{report.seconds:.1f} s", kernels, "warn" if kernels else "")


def _sweep(sweep: Sweep) -> list[Tile]:
    trials = {trial.name: trial for trial in sweep.trials}
    passed = sum(trial.status == "passed" for trial in sweep.trials)
    found = [Tile("configurations passed", f"{passed} of {len(trials)}")]
    plain = trials.get("none")
    if fastest := trials.get(sweep.fastest):
        note = f"{sweep.fastest}: {number_text(fastest.latency)} ms"
        gain = plain.latency / fastest.latency if plain and plain.latency and fastest.latency else 0
        found.append(Tile("fastest", f"{gain:.2f}\u00d7" if gain else sweep.fastest, note))
    if smallest := trials.get(sweep.smallest):
        found.append(Tile("smallest", size_text(smallest.size or 0), sweep.smallest))
    return found


def graphs(report: Report) -> list[tuple[str, Graph]]:
    """The files with graphs, by what they are."""
    found = (
        ("model", report.model),
        ("exported", report.exported),
        ("packed", report.packed),
        ("deploy", report.deploy),
    )
    return [(name, graph) for name, graph in found if graph is not None]


def operators(report: Report) -> list[tuple[str, list[int]]]:
    """How many operators of each type each graph has, the most frequent ones first."""
    counts = [working(graph.operators) for _, graph in graphs(report)]
    kinds = sorted(set().union(*counts), key=lambda kind: (-max(c[kind] for c in counts), kind))
    return [(kind, [count[kind] for count in counts]) for kind in kinds]


def dtypes(report: Report) -> list[tuple[str, list[int]]]:
    """How many tensors between operators have each dtype, in each graph."""
    counts = [graph.dtypes for _, graph in graphs(report)]
    kinds = sorted(set().union(*counts))
    return [(kind, [count.get(kind, 0) for count in counts]) for kind in kinds]
