"""What the charts of a report show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from megdump_ci.compare import HISTOGRAM_EDGES
from megdump_ci.present.html.charts import Mark, bars, distribution, scatter
from megdump_ci.present.reasons import largest_error
from megdump_ci.present.text import number_text, size_text
from megdump_ci.report import (
    Baseline,
    Comparison,
    Location,
    Metrics,
    Output,
    Sweep,
    Testcase,
    number,
)

MARKS = 200
"""Marks of one class in a chart: of more, each stands for the worst of several."""


@dataclass(frozen=True)
class Figure:
    """A chart and what it shows."""

    chart: Markup
    title: str
    note: str = ""


def of_output(
    name: str,
    found: Sequence[tuple[Testcase, Output]],
    *,
    limit: float | None,
    count: int,
    lite: bool,
) -> list[Figure]:
    """How the errors of an output are distributed, and which testcases have them."""
    figures = [
        _distribution(f"Errors of {name}", [main(output) for _, output in found], limit),
        _by_testcase(f"Error of {name} by testcase", found, count, limit),
    ]
    if lite:
        compared = [output.against_lite for _, output in found]
        figures.insert(1, _distribution(f"Errors of {name} on MegEngine Lite", compared, limit))
    return [figure for figure in figures if figure is not None]


def of_location(location: Location) -> Figure | None:
    """Errors of the operators, in the order of the graph."""
    steps = [
        (place, step) for place, step in enumerate(location.operators) if step.error is not None
    ]
    if not steps:
        return None
    groups: dict[str, list[Mark]] = {}
    for place, step in steps:
        assert step.error is not None
        kind = {"source": "bad", "follows": "warn"}.get(step.status, "ok")
        text = f"{step.name} ({step.type}), {step.status}: {number_text(step.error)}"
        groups.setdefault(kind, []).append(Mark(place, step.error, text))
    title = "Relative error by operator"
    note = "in the order of the graph; red: computes something else, amber: follows from its inputs"
    last = len(location.operators) - 1
    shown = {kind: thinned(marks, last + 1) for kind, marks in sorted(groups.items(), reverse=True)}
    return Figure(
        scatter(title, shown, last=last), title, note + _thinning(groups.values(), last + 1)
    )


def of_sweep(sweep: Sweep) -> list[Figure]:
    """Latency, size and error of the configurations."""
    found = []
    latencies = [
        (trial.name, trial.latency, f"{number_text(trial.latency)} ms", sweep.fastest)
        for trial in sweep.trials
    ]
    sizes = [
        (
            trial.name,
            float(trial.size) if trial.size else None,
            size_text(trial.size or 0),
            sweep.smallest,
        )
        for trial in sweep.trials
    ]
    errors = [float(trial.max_error) for trial in sweep.trials if trial.max_error is not None]
    floor = min((math.log10(error) for error in errors if 0 < error < math.inf), default=0.0) - 1
    lengths = [
        (
            trial.name,
            None if trial.max_error is None else _length(float(trial.max_error), floor),
            number_text(trial.max_error),
            "",
        )
        for trial in sweep.trials
    ]
    failed = {trial.name for trial in sweep.trials if trial.status != "passed"}
    for title, note, rows in (
        ("Latency", "median of one run on this machine; red: did not pass", latencies),
        ("Size", "of the model without testcases", sizes),
        ("Largest error", "by its logarithm", lengths),
    ):
        if any(length is not None for _, length, _, _ in rows):
            kinds = [
                (name, length, text, "bad" if name in failed else "best" if name == best else "ok")
                for name, length, text, best in rows
            ]
            found.append(Figure(bars(title, kinds), title, note))
    return found


def of_drift(baseline: Baseline, testcases: Iterable[Testcase]) -> list[Figure]:
    """How far each output is from the base model's, by testcase, where that is not all there is."""
    if any(output.against_base for testcase in testcases for output in testcase.outputs):
        return []
    found = []
    for drift in baseline.drift:
        marks = [
            Mark(place, error, f"testcase {place}: {number_text(error)}")
            for place, error in enumerate(drift.errors)
            if error is not None
        ]
        if len(marks) > 1:
            title = f"Drift of {drift.output} by testcase"
            count = len(drift.errors)
            chart = scatter(title, {"ok": thinned(marks, count)}, last=count - 1)
            found.append(Figure(chart, title, _thinning([marks], count).removeprefix("; ")))
    return found


def _length(error: float, floor: float) -> float:
    if error == 0:
        return 0.0
    return math.log10(error) - floor if error < math.inf else 12 - floor


def main(output: Output) -> Comparison | None:
    """The comparison that says most about an output."""
    found = (output.against_python, output.against_model, output.against_expected)
    return next(filter(None, found), output.against_base)


def _distribution(
    title: str, compared: Iterable[Comparison | None], limit: float | None
) -> Figure | None:
    metrics = [item.metrics for item in compared if item is not None and item.metrics is not None]
    if not metrics:
        return None
    counts = [sum(column) for column in zip(*map(_histogram, metrics), strict=True)]
    kinds = [_kind(place, limit) for place in range(len(counts))]
    beyond = sum(item.beyond for item in metrics)
    total = sum(counts)
    note = f"{total:,} elements of {_testcases(len(metrics))}, counted on a logarithmic scale"
    if limit is not None:
        note += f"; {beyond:,} beyond the limit {limit:g}, the red line"
    return Figure(distribution(title, counts, kinds, limit), title, note)


def _histogram(metrics: Metrics) -> list[int]:
    bins = len(HISTOGRAM_EDGES) + 3
    # Left out if nothing differs.
    return metrics.histogram or [metrics.size, *[0] * (bins - 1)]


def _kind(place: int, limit: float | None) -> str:
    """The class of a bin: within the limit, beyond it, or it is in there."""
    if limit is None or place == 0:
        return "ok"
    edges = (0.0, *HISTOGRAM_EDGES, math.inf, math.inf)
    lower, upper = edges[place - 1], edges[place]
    # Edges are float64 and a limit that was read from a file is a float32.
    if upper <= limit * (1 + 1e-6):
        return "ok"
    return "bad" if lower >= limit * (1 - 1e-6) else "warn"


def _by_testcase(
    title: str, found: Sequence[tuple[Testcase, Output]], count: int, limit: float | None
) -> Figure | None:
    groups: dict[str, list[Mark]] = {"ok": [], "bad": []}
    for testcase, output in found:
        error = largest_error([output])
        if error is not None:
            text = f"testcase {testcase.index}: {number_text(number(error))}"
            kind = "ok" if output.passed and not testcase.reason else "bad"
            groups[kind].append(Mark(testcase.index, number(error), text))
    if sum(map(len, groups.values())) < 2:
        return None
    note = f"the dashed line is the limit {limit:g}" if limit is not None else ""
    note = (note + _thinning(groups.values(), count)).removeprefix("; ")
    shown = {kind: thinned(marks, count) for kind, marks in groups.items()}
    return Figure(scatter(title, shown, limit=limit, last=count - 1), title, note)


def thinned(marks: Sequence[Mark], count: int) -> list[Mark]:
    """The worst mark of each stretch of ``count``."""
    stretch = max(1, math.ceil(count / MARKS))
    worst: dict[int, Mark] = {}
    for mark in marks:
        place = int(mark.x) // stretch
        if place not in worst or _badness(mark) > _badness(worst[place]):
            worst[place] = mark
    return list(worst.values())


def _badness(mark: Mark) -> float:
    error = float(mark.error)
    return math.inf if math.isnan(error) else error


def _thinning(groups: Iterable[Sequence[Mark]], count: int) -> str:
    stretch = math.ceil(count / MARKS)
    return f"; each mark is the worst of {stretch}" if stretch > 1 and any(groups) else ""


def _testcases(count: int) -> str:
    return "one testcase" if count == 1 else f"{count:,} testcases"
