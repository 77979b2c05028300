"""What became of many models, in a terminal: a row for each, and what failed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from megdump_ci.merged import Entry, Merged
from megdump_ci.present.console import STYLES, document, show_problems
from megdump_ci.present.text import number_text, one_line, size_text
from megdump_ci.session import Observer

DETAILED = 10
"""Failed entries that are told in full; the others have their reports."""

# With these, a row has 80 columns at most.
_WIDEST = 28
_COLUMNS = {"cases": 5, "max error": 9, "size": 8, "seconds": 7}


class Rows:
    """Prints a row for each entry, as it ends, and moves the progress bar."""

    def __init__(self, out: Console, observer: Observer | None = None) -> None:
        self._out = out
        self._observer = observer
        self._width = 0
        self._total = self._ended = 0

    def chosen(self, names: Sequence[str]) -> None:
        """Print the head, for entries of these names."""
        self._total = len(names)
        longest = max(cell_len(one_line(name)) for name in names)
        self._width = max(len("model"), min(longest, _WIDEST))
        titles = [title.rjust(width) for title, width in _COLUMNS.items()]
        self._print("model", titles, Text("verdict", "dim"), "dim")

    def began(self, name: str) -> None:
        """Name what is going on."""
        if self._observer is not None:
            self._observer.phase(one_line(name, _WIDEST))

    def ended(self, entry: Entry) -> None:
        """Print its row."""
        self._ended += 1
        if self._observer is not None:
            self._observer.advanced(self._ended, self._total)
        report = entry.report
        error = report.max_error if report else None
        packed = report.packed if report else None
        texts = (
            str(len(report.testcases)) if report else "-",
            number_text(error),
            size_text(packed.size) if packed else "-",
            f"{report.seconds:.1f}" if report else "-",
        )
        cells = [text.rjust(width) for text, width in zip(texts, _COLUMNS.values(), strict=True)]
        verdict = Text(entry.verdict, STYLES[entry.verdict])
        self._print(one_line(entry.name), cells, verdict, "")

    def _print(self, name: str, cells: Sequence[str], verdict: Text, style: str) -> None:
        name = name if cell_len(name) <= self._width else f"{set_cell_size(name, self._width - 1)}…"
        row = "  ".join([set_cell_size(name, self._width), *cells, ""])
        self._out.print(Text.assemble((row, style), verdict), soft_wrap=True)


def show(merged: Merged, out: Console, errors: Console) -> None:
    """Print a merged report."""
    _rows(merged, out)
    show_rest(merged, out, errors)


def show_entries(merged: Merged, out: Console, errors: Console) -> None:
    """Print a row for each entry, and what failed."""
    _rows(merged, out)
    _failed(merged, out, errors)


def _rows(merged: Merged, out: Console) -> None:
    if merged.entries:
        rows = Rows(out)
        rows.chosen([entry.name for entry in merged.entries])
        for entry in merged.entries:
            rows.ended(entry)


def show_rest(merged: Merged, out: Console, errors: Console) -> None:
    """What comes below the rows: what failed, and the verdict."""
    _failed(merged, out, errors)
    show_problems(merged.problems, errors)
    if not merged.entries and merged.problems:
        return
    for text in merged.warnings:
        out.print(Text(f"warning: {one_line(text)}", "yellow"), soft_wrap=True)
    verdict = Text(one_line(merged.headline), f"bold {STYLES[merged.verdict]}")
    out.print(Text.assemble(verdict, (f" ({merged.seconds:.1f} s)", "dim")), soft_wrap=True)


def _failed(merged: Merged, out: Console, errors: Console) -> None:
    failed = [entry for entry in merged.entries if not entry.passed]
    for entry in failed[:DETAILED]:
        _details(entry, out, errors)
    if len(failed) > DETAILED:
        out.print(Text(f"and {len(failed) - DETAILED} more, see their reports", "red"))


def _details(entry: Entry, out: Console, errors: Console) -> None:
    out.print()
    headline = Text(f"{one_line(entry.name)}: {one_line(entry.headline, 400)}", "bold red")
    out.print(headline, soft_wrap=True)
    report = entry.report
    if report is not None and report.testcases:
        for part in document(report):
            out.print(part, soft_wrap=isinstance(part, Text))
    if entry.file:
        out.print(Text(f"report: {one_line(entry.file)}", "dim"), soft_wrap=True)
    show_problems(entry.all_problems, errors)
