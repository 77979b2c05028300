"""The job summary: the page that is report.md, as much of it as the runner takes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from megdump_ci import report
from megdump_ci.errors import Problem
from megdump_ci.present.markdown import blocks, blocks_without_report, fitted
from megdump_ci.present.markdown.markup import code, escaped, paragraph

__all__ = ["RESERVED", "escaped", "markdown"]

RESERVED = 8 * 1024
"""Bytes that are left for what comes after the page: the artifact, and what its upload says."""


def markdown(
    verdict: report.Verdict,
    headline: str,
    problems: Sequence[Problem],
    *,
    result: report.Report | None,
    room: int,
    folder: str = "",
    page: Sequence[str] = (),
) -> str:
    """The summary of a run in at most ``room`` bytes of UTF-8 (none if that is too little).

    ``result`` is ``None`` if the run did not come to a report; ``folder`` is where its files are.
    ``page`` are the blocks of the page, where it is not about one run.
    """
    file = "merged.md" if page else "report.md"
    if not page and result is None:
        page = blocks_without_report(verdict, headline, problems)
    elif result is not None:
        page = blocks(result)
    where = code(os.path.join(folder, file)) if folder else "the log"
    note = f"\u2702\ufe0f A job summary has room for 1 MiB. The whole of it is in {where}."
    return fitted(page, room, paragraph(note))
