"""A sweep in markdown: its table, and how fast the configurations are."""

from __future__ import annotations

from collections.abc import Iterator

from megdump_ci.present.markdown import markup
from megdump_ci.present.markdown.testcases import FAILED, NOT_VERIFIED, PASSED
from megdump_ci.present.text import number_text, size_text
from megdump_ci.report import Report, Sweep, Trial

_BARS = 20


def sweep(report: Report) -> Iterator[str]:
    """The configurations, the best of them, and a chart of what was measured."""
    found = report.sweep
    if found is None:
        return
    yield markup.table(
        ("configuration", "verdict", "max error", "size", "operators", "fused", "latency, ms"),
        [_row(trial) for trial in found.trials],
    )
    yield markup.bullets(_best(found))
    yield _latencies(found)
    yield markup.folded("Why configurations did not run or pass", markup.bullets(_reasons(found)))


def _row(trial: Trial) -> str:
    naive = ", naive kernels" if trial.kernels == "naive" else ""
    icon = PASSED if trial.status == "passed" else FAILED
    return markup.row(
        (
            markup.code(trial.name, 60),
            f"{NOT_VERIFIED if naive else icon} {trial.status}{naive}",
            number_text(trial.max_error),
            "-" if trial.size is None else size_text(trial.size),
            "-" if trial.operators is None else str(trial.operators),
            "-" if trial.change is None else str(sum(trial.change.fused.values())),
            number_text(trial.latency),
        )
    )


def _best(found: Sweep) -> Iterator[str]:
    options = {trial.name: trial.options for trial in found.trials}
    for what, name in (("fastest", found.fastest), ("smallest", found.smallest)):
        if name:
            flags = " ".join(options.get(name, []))
            yield f"{what}: {markup.code(name)}" + (f", {markup.code(flags)}" if flags else "")


def _reasons(found: Sweep) -> Iterator[str]:
    for trial in found.trials:
        failures = trial.kernel_failures if trial.kernels == "naive" else []
        texts = [f"{item.kernels} kernels: {item.reason}" for item in failures]
        for text in [*([trial.reason] if trial.reason else []), *texts]:
            yield f"{markup.code(trial.name, 60)}: {markup.escaped(text)}"


def _latencies(found: Sweep) -> str:
    """A bar for each graph that was timed; passes that give the same graph share one."""
    timed: dict[str, tuple[str, float]] = {}
    for trial in found.trials:
        if trial.status == "passed" and trial.latency is not None:
            timed.setdefault(trial.digest or trial.name, (trial.name, trial.latency))
    bars = sorted(timed.values(), key=lambda bar: bar[1])[:_BARS]
    # One or two are seen at a glance in the table.
    if len(bars) < 3:
        return ""
    names = ", ".join(f'"{markup.label(name)}"' for name, _ in bars)
    return markup.chart(
        [
            "xychart-beta horizontal",
            '  title "Median latency of what passed, each graph once"',
            f"  x-axis [{names}]",
            '  y-axis "ms" 0 --> ' + _plain(max(value for _, value in bars) * 1.05),
            f"  bar [{', '.join(_plain(value) for _, value in bars)}]",
        ]
    )


def _plain(value: float) -> str:
    """A number without an exponent, which charts do not read."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
