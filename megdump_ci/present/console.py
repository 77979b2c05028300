"""What a report looks like in a terminal."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Collection, Iterable

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from megdump_ci.difference import working
from megdump_ci.errors import Problem
from megdump_ci.present import baseline, locate, streams, sweep, times, worst
from megdump_ci.present.columns import NAME, Error, fitting
from megdump_ci.present.text import number_text, one_line, plain, size_text
from megdump_ci.report import Change, Gate, Graph, Report, Testcase

SHOWN = 20
"""Testcases in the table, outputs of each, and warnings; failing ones come first, and the rest is
in report.json."""

ROWS = 100
"""Rows of the table, after which no other testcase begins."""

_ALL = "(all are in the report: --report DIR)"

STYLES = {"passed": "green", "failed": "red", "error": "red", "not verified": "yellow"}


class Stream(Console):
    """Stdout or stderr, which prints nothing more once the reader of a pipe has gone."""

    def on_broken_pipe(self) -> None:
        """In rich this exits with 1, which stands for a failed comparison, and ends a run."""
        self.quiet = True
        streams.drop(self.file)


def stdout() -> Console:
    """Stdout, or what stands for it."""
    return Stream(highlight=False)


def stderr() -> Console:
    """Stderr, likewise."""
    return Stream(stderr=True, highlight=False)


def show_fault() -> None:
    """Print the exception that is being handled."""
    errors = stderr()
    errors.print(Text(plain(traceback.format_exc())))
    errors.print("megdump-ci has a fault: please report it with the lines above", style="red")


def show(report: Report, out: Console, errors: Console, *, silent: bool = False) -> None:
    """Print a report: problems on ``errors``, the rest on ``out``."""
    show_problems(report.problems, errors)
    if silent and report.sweep is not None:
        out.print(Text(one_line(report.headline)), soft_wrap=True)
        return
    if silent:
        out.print(Text(number_text(report.max_error) if report.max_error is not None else "-"))
        return
    whole = report.testcases or report.sweep or report.baseline
    if whole or report.verdict == "not verified":
        for part in document(report):
            out.print(part, soft_wrap=isinstance(part, Text))
    style = f"bold {STYLES[report.verdict]}"
    if report.verdict != "error" or report.testcases:
        line = Text.assemble(
            (one_line(report.headline), style), (f" ({report.seconds:.1f} s)", "dim")
        )
        out.print(line, soft_wrap=True)


def show_problems(problems: Iterable[Problem], errors: Console) -> None:
    """Print what is wrong, as the rest is printed."""
    streams.show_problems(problems, errors.file, styled=errors.color_system is not None)


def document(report: Report) -> list[RenderableType]:
    """Everything above the verdict line."""
    parts: list[RenderableType] = [_files(report)]
    if report.change is not None:
        parts.append(Text(one_line(change_line(report.change), 400)))
    if report.baseline is not None:
        parts += baseline.lines(report.baseline)
    if report.testcases:
        parts.append(_testcases(report))
    if report.sweep is not None:
        parts += sweep.parts(report.sweep)
    parts += [Text(f"warning: {one_line(text)}", "yellow") for text in report.warnings[:SHOWN]]
    if len(report.warnings) > SHOWN:
        hidden = len(report.warnings) - SHOWN
        parts.append(Text(f"and {hidden} more warnings {_ALL}", "yellow"))
    if spent := times.line(report):
        parts.append(Text(one_line(f"time: {spent}", 400), "dim"))
    return parts + _failures(report)


def _files(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    for label, graph in (
        ("base", report.baseline.base if report.baseline is not None else None),
        ("model", report.model),
        ("exported", report.exported),
        ("packed", report.packed),
        ("deploy", report.deploy),
    ):
        if graph is not None:
            table.add_row(label, Text(one_line(graph.path)), Text(_describe(graph), "dim"))
    for info in report.strip_info:
        table.add_row("strip info", Text(one_line(info.path)), Text(f"hash {info.hash}", "dim"))
    if report.lite is not None:
        table.add_row("lite", Text(one_line(f"{report.lite.name} {report.lite.version}")), "")
    return table


def change_line(change: Change) -> str:
    """What optimising changed, in one line."""
    kinds = [f"{count} {kind} fused" for kind, count in change.fused.items()]
    kinds += [f"+{n} {kind}" for kind, n in change.added.items() if kind not in change.fused]
    kinds += [f"-{count} {kind}" for kind, count in change.removed.items()]
    dtypes = ", ".join(f"{kind} {count}" for kind, count in change.dtypes_after.items())
    return (
        f"optimised  {change.operators_before} to {change.operators_after} operators"
        f" ({', '.join(kinds) or 'the same types'}), {size_text(change.size_before)} to"
        f" {size_text(change.size_after)}; tensors: {dtypes}"
    )


def gate_line(gate: Gate) -> str:
    """What is wrong with a gate that was missed."""
    return f"{gate.name}{f' of {gate.output}' if gate.output else ''}: {gate.reason}"


def _describe(graph: Graph) -> str:
    operators = working(graph.operators).total()
    return f"{size_text(graph.size)}, {one_line(graph.format, 20)}, {operators} operators"


def _testcases(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("#", "testcase", "output"):
        table.add_column(name, overflow="ellipsis", no_wrap=name != "testcase")
    columns = fitting(report)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    shown = 0
    # Failing ones first; sorted() keeps the order of the file among equals.
    for testcase in sorted(report.testcases, key=lambda case: case.passed)[:SHOWN]:
        if table.row_count < ROWS:
            _add_rows(table, testcase, columns.values())
            shown += 1
    hidden = len(report.testcases) - shown
    if hidden:
        table.add_row("", Text(f"and {hidden} more {_ALL}", "dim"))
    return table


def _add_rows(table: Table, testcase: Testcase, columns: Collection[Error]) -> None:
    label = one_line(testcase.source.spec if testcase.source else "", 40)
    if not testcase.outputs:
        mark = Text("failed", "red") if not testcase.passed else Text("not verified", "yellow")
        table.add_row(str(testcase.index), Text(label), "", *"-" * len(columns), mark)
    outputs = testcase.outputs
    if len(outputs) > SHOWN:
        outputs = sorted(outputs, key=lambda output: output.passed)[:SHOWN]
    for place, output in enumerate(outputs):
        passed = output.passed and not testcase.reason
        table.add_row(
            str(testcase.index) if place == 0 else "",
            Text(label if place == 0 else ""),
            Text(one_line(output.name, NAME)),
            *(number_text(error(output)) for error in columns),
            Text("ok", "green") if passed else Text("failed", "red"),
        )
    if len(outputs) < len(testcase.outputs):
        hidden = len(testcase.outputs) - len(outputs)
        table.add_row("", "", Text(f"and {hidden} more", "dim"))


def _failures(report: Report) -> list[Text]:
    lines = []
    for testcase in report.testcases:
        reasons = [testcase.reason] if testcase.reason else []
        reasons += [f"{item.name}: {item.reason}" for item in testcase.outputs if item.reason]
        lines += [(testcase.index, reason) for reason in reasons]
    shown = [
        Text(f"testcase {index}: {one_line(reason, 300)}", "red") for index, reason in lines[:SHOWN]
    ]
    if len(lines) > SHOWN:
        shown.append(Text(f"and {len(lines) - SHOWN} more {_ALL}", "red"))
    shown += worst.lines(report)
    shown += locate.lines(report.location) if report.location is not None else []
    # What fails a testcase was said there.
    missed = [gate for gate in report.gates if not gate.passed and gate.testcase is None]
    shown += [Text(one_line(gate_line(gate)), "red") for gate in missed]
    if report.passing:
        shown.append(Text(f"it would pass with: {one_line(shlex.join(report.passing), 400)}"))
    return shown
