"""Many models in markdown: ``merged.md``, and what a job summary shows of them or of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from megdump_ci.merged import Entry, Merged
from megdump_ci.present.markdown import ICONS, LISTED, blocks_without_report, markup
from megdump_ci.present.markdown import blocks as blocks_of_report
from megdump_ci.present.text import number_text, size_text

if TYPE_CHECKING:
    from megdump_ci.project.commands import Plan

ROWS = 1000
"""Entries in the table; merged.json has all."""

_TITLES = ("", "model", "verdict", "testcases", "max error", "size", "seconds", "")


def page(merged: Merged) -> str:
    """The whole of ``merged.md``."""
    return "".join(blocks(merged))


def blocks(merged: Merged) -> list[str]:
    """The verdict, a row for each entry, and then all there is to say of those that failed."""
    found = [
        *blocks_without_report(merged.verdict, merged.headline, merged.problems),
        markup.bullets(
            f"{ICONS['not verified']} {markup.escaped(text)}" for text in merged.warnings[:LISTED]
        ),
        *_table(merged),
        *(block for entry in merged.entries if not entry.passed for block in _details(entry)),
        f"<p>To repeat it:</p>\n{markup.shown_as_is(merged.command)}\n\n",
    ]
    return [block for block in found if block]


def blocks_of_plan(plan: Plan, headline: str) -> list[str]:
    """The entries that a plan has, and what selected them."""
    changes = plan.changes
    rows = [
        markup.row((markup.code(entry.name), markup.escaped(changes.reasons.get(entry.name, ""))))
        for entry in changes.entries[:ROWS]
    ]
    found = [
        f"<h3>{markup.escaped(headline)}</h3>\n\n",
        markup.paragraph(markup.escaped(changes.note)) if changes.note else "",
        markup.table(("entry", "changed"), rows),
    ]
    return [block for block in found if block]


def _table(merged: Merged) -> Iterator[str]:
    # Those that failed are why somebody looks.
    ordered = sorted(merged.entries, key=lambda entry: entry.passed)
    yield markup.table(_TITLES, [_row(entry) for entry in ordered[:ROWS]])
    if len(ordered) > ROWS:
        yield markup.paragraph(f"{len(ordered) - ROWS} more models are in merged.json.")


def _row(entry: Entry) -> str:
    report = entry.report
    packed = report.packed if report is not None else None
    model = f"<br>{markup.code(entry.model)}" if entry.model else ""
    return markup.row(
        (
            ICONS[entry.verdict],
            markup.escaped(entry.name) + model,
            entry.verdict,
            str(len(report.testcases)) if report is not None else "",
            number_text(report.max_error) if report is not None else "",
            size_text(packed.size) if packed is not None else "",
            f"{report.seconds:.1f}" if report is not None else "",
            "" if entry.passed else markup.escaped(entry.headline),
        )
    )


def _details(entry: Entry) -> Iterator[str]:
    """What failed of an entry, as its own report tells it."""
    own = entry.problems if entry.report is not None else entry.all_problems
    if own:
        title = f"{entry.name}: {entry.headline}" if entry.report is None else entry.name
        yield from blocks_without_report(entry.verdict, title, own)
    if entry.report is not None:
        yield from blocks_of_report(entry.report)
