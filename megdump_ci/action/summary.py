"""The job summary: GitHub's markdown, of which only HTML blocks hold text of unknown origin.

In an HTML block (up to the next empty line) markdown means nothing, so that HTML's own escaping
is all that is needed for text without line breaks.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from megdump_ci import report
from megdump_ci.errors import Problem
from megdump_ci.present.text import one_line

ROWS = 100
"""Testcases in the table: more than anybody reads; report.json has all."""

_CELL = 300
_ICONS = {
    "passed": "\u2705",
    "failed": "\u274c",
    "error": "\u274c",
    "not verified": "\u26a0\ufe0f",
}


def markdown(
    verdict: report.Verdict,
    headline: str,
    problems: Sequence[Problem],
    result: report.Report | None,
    room: int,
) -> str:
    """The summary of a run in at most ``room`` bytes of UTF-8 (none if that is too little).

    ``result`` is ``None`` if the run did not come to a report.
    """
    head = f"### {_ICONS[verdict]} megdump-ci: {verdict}\n\n<p>{escaped(headline)}</p>\n\n"
    note = "<p>There is more in the log and in report.json.</p>\n\n"
    blocks = [*_problems(problems)]
    if result is not None:
        blocks += [*_warnings(result), *_table(result), *_footer(result)]
    text = head
    for block in blocks:
        if _size(text + block) > room - _size(note):
            text += note
            break
        text += block
    return text if _size(text) <= room else ""


def escaped(text: str) -> str:
    """``text`` for an HTML block: one line, no markup, cut to what fits a cell."""
    return html.escape(one_line(text, _CELL))


def _size(text: str) -> int:
    return len(text.encode())


def _problems(problems: Sequence[Problem]) -> Iterable[str]:
    yield from _list(
        f"{_place(item.file, item.line)}{escaped(item.message)}"
        + (f"<br>{escaped(item.hint)}" if item.hint else "")
        for item in problems[:ROWS]
    )


def _warnings(result: report.Report) -> Iterable[str]:
    yield from _list(f"\u26a0\ufe0f {escaped(text)}" for text in result.warnings[:ROWS])


def _list(items: Iterable[str]) -> Iterable[str]:
    lines = "".join(f"<li>{item}</li>\n" for item in items)
    if lines:
        yield f"<ul>\n{lines}</ul>\n\n"


def _place(file: str, line: int) -> str:
    return f"<code>{escaped(file)}:{line}</code>: " if file and line else ""


def _table(result: report.Report) -> Iterable[str]:
    # Those that failed are why somebody looks.
    ordered = sorted(result.testcases, key=lambda testcase: testcase.passed)
    if not ordered:
        return
    rows = "".join(_row(testcase) for testcase in ordered[:ROWS])
    titles = "".join(
        f"<th>{title}</th>" for title in ("", "testcase", "data", "largest error", "what is wrong")
    )
    yield f"<table>\n<tr>{titles}</tr>\n{rows}</table>\n\n"
    if len(ordered) > ROWS:
        yield f"<p>{len(ordered) - ROWS} more testcases are in report.json.</p>\n\n"


def _row(testcase: report.Testcase) -> str:
    icon = _ICONS["passed" if testcase.passed else "failed"]
    source = testcase.source
    data = f"<code>{escaped(source.spec)}</code>" if source else ""
    error = largest_error(testcase)
    cells = (
        icon,
        str(testcase.index),
        data,
        "" if error is None else f"{error:.3g}",
        escaped(reason(testcase)),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"


def _footer(result: report.Report) -> Iterable[str]:
    engine = f" with {result.engine.name} {result.engine.version}" if result.engine else ""
    yield (
        f"<p>{escaped(f'{result.seconds:.1f} s{engine}')}. To repeat it:"
        f" <code>{escaped(result.command)}</code></p>\n\n"
    )


def largest_error(testcase: report.Testcase) -> float | None:
    """The largest AssertEqual error of a testcase, NaN above all; ``None`` if it has none."""
    numbers = [
        float(item.error)
        for output in testcase.outputs
        for item in (output.assertion, *output.comparisons)
        if item is not None and item.error is not None
    ]
    if not numbers:
        return None
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)


def reason(testcase: report.Testcase) -> str:
    """Why a testcase failed; empty if it passed."""
    if testcase.passed:
        return ""
    found = [testcase.reason] if testcase.reason else []
    found += [
        f"{output.name}: {_output_reason(output)}"
        for output in testcase.outputs
        if not output.passed
    ]
    return "; ".join(found) or "it failed"


def _output_reason(output: report.Output) -> str:
    reasons = [item.reason for item in output.comparisons if item.reason]
    return output.reason or (reasons[0] if reasons else "the values differ")
