"""The testcases in markdown: what failed first, and where an output is worst."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from megdump_ci.present.columns import SQNR, columns
from megdump_ci.present.markdown import markup
from megdump_ci.present.reasons import differs, lowest_cosine, lowest_sqnr, output_reason
from megdump_ci.present.text import number_text
from megdump_ci.present.worst import metrics_lines, worst
from megdump_ci.report import Comparison, Number, Output, Report, Testcase

ROWS = 100
"""Outputs of testcases in the tables: more than anybody reads; report.json has all."""
OPEN = 20
"""So many of them are shown at once, and the others by a click."""
WORST = 10
"""Outputs that are shown where they are worst."""

PASSED, FAILED, NOT_VERIFIED = "\u2705", "\u274c", "\u26a0\ufe0f"

_SHARED = 2
"""The first columns are the testcase's, the others those of an output."""

_Cells = Callable[[Testcase, "Output | None"], "list[str]"]
_Line = tuple[Testcase, "Output | None"]


def tables(report: Report) -> Iterator[str]:
    """A block of what to look at, and one of the rest, which is folded up."""
    titles, cells = _columns(report)
    # sorted() keeps the order of the file among equals.
    testcases = sorted(report.testcases, key=lambda case: case.passed)
    lines = [line for testcase in testcases for line in _lines(testcase)]
    shown, hidden = lines[:ROWS], lines[ROWS:]
    failed = [line for line in shown if not line[0].passed]
    first = (failed or shown)[:OPEN] if failed or len(shown) <= OPEN else []
    rest = shown[len(first) :]
    yield _table(titles, first, cells)
    yield markup.folded(_title(rest), _table(titles, rest, cells))
    if hidden:
        yield markup.paragraph(f"{_counted(hidden, 'more ')} in report.json.")


def _lines(testcase: Testcase) -> list[_Line]:
    outputs = sorted(testcase.outputs, key=lambda item: item.passed)
    return [(testcase, output) for output in outputs] or [(testcase, None)]


def _counted(lines: Sequence[_Line], more: str = "") -> str:
    count = len({testcase.index for testcase, _ in lines})
    return f"{count} {more}testcase{'' if count == 1 else 's'}"


def _title(lines: Sequence[_Line]) -> str:
    passed = all(testcase.passed for testcase, _ in lines)
    return f"{_counted(lines)} that passed" if passed else f"{_counted(lines, 'more ')}"


def _columns(report: Report) -> tuple[list[str], _Cells]:
    """The titles of a table, and what makes the cells of a line."""
    errors = columns(report)
    if differs(report):
        errors[SQNR] = lowest_sqnr
    cosine = {"cosine": lowest_cosine} if differs(report) else {}

    def cells(testcase: Testcase, output: Output | None) -> list[str]:
        return [
            str(testcase.index),
            markup.code(testcase.source.spec) if testcase.source else "",
            markup.code(output.name, 100) if output else "",
            *(number_text(function(output) if output else None) for function in errors.values()),
            *(quality_text(function(output) if output else None) for function in cosine.values()),
            _result(testcase, output),
        ]

    return ["#", "testcase", "output", *errors, *cosine, "result"], cells


def quality_text(value: Number | None) -> str:
    """A cosine, which is close to 1, to more digits than an error."""
    return "-" if value is None else f"{float(value):.6g}"


def _result(testcase: Testcase, output: Output | None) -> str:
    if output is None and testcase.passed:
        return f"{NOT_VERIFIED} not verified"
    found = [testcase.reason] if testcase.reason and not testcase.passed else []
    found += [output_reason(output)] if output is not None and not output.passed else []
    if not found and (testcase.passed or output is not None):
        return f"{PASSED} ok"
    return f"{FAILED} {markup.escaped('; '.join(found) or 'it failed')}"


def _table(titles: Sequence[str], lines: Iterable[_Line], cells: _Cells) -> str:
    rows = []
    for _, group in groupby(lines, key=lambda line: line[0].index):
        made = [cells(testcase, output) for testcase, output in group]
        # What is the testcase's stands once, beside all of its outputs.
        rows.append(markup.row(made[0], span=len(made), spanning=_SHARED))
        rows += [markup.row(line[_SHARED:]) for line in made[1:]]
    return markup.table(titles, rows)


def worst_places(report: Report) -> Iterator[str]:
    """For each output that failed, its worst testcase with the worst elements."""
    found = worst(report)
    for place, (testcase, output, comparison) in enumerate(found[:WORST]):
        yield _place(testcase, output, comparison, unfolded=place == 0)
    if len(found) > WORST:
        yield markup.paragraph(f"{len(found) - WORST} more outputs failed: see report.json.")


def _place(testcase: Testcase, output: Output, comparison: Comparison, *, unfolded: bool) -> str:
    metrics = comparison.metrics
    assert metrics is not None
    elements = markup.table(
        ("element", "expected", "computed", "error"),
        [
            markup.row(
                (
                    f"[{', '.join(map(str, element.index))}]",
                    f"{float(element.expected):.9g}",
                    f"{float(element.computed):.9g}",
                    number_text(element.error),
                )
            )
            for element in metrics.worst
        ],
    )
    lines = "<br>".join(markup.escaped(line) for line in metrics_lines(metrics))
    title = f"{markup.code(output.name, 100)} is worst in testcase {testcase.index}"
    return markup.folded(title, markup.paragraph(lines) + elements, unfolded=unfolded)
