"""The table of a sweep, at most 80 columns wide."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from megdump_ci.present.text import number_text, one_line, size_text
from megdump_ci.report import Sweep, Trial


def parts(sweep: Sweep) -> list[RenderableType]:
    """The table, why configurations did not run, and the options of the best ones."""
    return [_table(sweep), *_same(sweep), *_reasons(sweep), *_best(sweep)]


def _table(sweep: Sweep) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("configuration", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in ("error", "size", "ops", "fused", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in sweep.trials:
        change = trial.change
        table.add_row(
            Text(one_line(trial.name)),
            Text(verdict(trial), _style(trial)),
            number_text(trial.max_error),
            size_text(trial.size) if trial.size is not None else "-",
            str(trial.operators) if trial.operators is not None else "-",
            str(sum(change.fused.values())) if change is not None else "-",
            number_text(trial.latency),
        )
    return table


def verdict(trial: Trial) -> str:
    """``passed``, ``passed, naive`` for one that the fast kernels do not run, or what it is."""
    return f"{trial.status}, naive" if trial.kernels == "naive" else trial.status


def _style(trial: Trial) -> str:
    if trial.status != "passed":
        return "red"
    return "yellow" if trial.kernels == "naive" else "green"


def _same(sweep: Sweep) -> list[Text]:
    """Which configurations gave the same file."""
    names: dict[str, list[str]] = {}
    for trial in sweep.trials:
        if trial.digest:
            names.setdefault(trial.digest, []).append(one_line(trial.name))
    return [
        Text(f"the same graph: {', '.join(same)}", "dim")
        for same in names.values()
        if len(same) > 1
    ]


def _reasons(sweep: Sweep) -> list[Text]:
    lines = []
    for trial in sweep.trials:
        name = one_line(trial.name)
        if trial.status not in ("passed", "failed"):
            lines.append(Text(f"{name}: {one_line(trial.reason, 300)}", "red"))
        elif trial.kernels == "naive":
            reason = trial.kernel_failures[0].reason
            lines.append(Text(f"{name}: fast kernels: {one_line(reason, 300)}", "yellow"))
    return lines


def _best(sweep: Sweep) -> list[Text]:
    trials = {trial.name: trial for trial in sweep.trials}
    lines = []
    for what, name in (("fastest", sweep.fastest), ("smallest", sweep.smallest)):
        if name:
            options = one_line(" ".join(trials[name].options), 400) or "(no options)"
            lines.append(Text(f"{what}: {one_line(name)}\n  {options}"))
    return lines
