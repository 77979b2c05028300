"""HTML for markdown, in which text of unknown origin is text.

In an HTML block (up to the next empty line) markdown means nothing, so that HTML's own escaping
is all that is needed for text without line breaks. A chart is the one thing that is no HTML: a
fenced block, whose labels are made of what :func:`label` lets through.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from megdump_ci.present.text import one_line, plain

_CELL = 300
_LABEL = 40
_MENTION = re.compile(r"[@#](?=\w)")
_HARMLESS = frozenset(" _.,:/()+=*-")


def escaped(text: str, limit: int = _CELL) -> str:
    """``text`` for an HTML block: one line, no markup, cut to what fits a cell.

    GitHub looks for people and issues in the finished HTML, but for code: a word joiner, which is
    not seen, keeps it from telling them.
    """
    return html.escape(_MENTION.sub("\\g<0>\u2060", one_line(text, limit)))


def code(text: str, limit: int = _CELL) -> str:
    """``text`` as code, in a line."""
    return f"<code>{html.escape(one_line(text, limit))}</code>"


def shown_as_is(text: str, limit: int = 2000) -> str:
    """A block of code, with the lines of ``text``."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}\u2026"
    # An empty line would end the HTML block.
    return f"<pre>{html.escape(plain(cut)).replace(chr(10), '&#10;')}</pre>"


def paragraph(markup: str) -> str:
    """A block with a paragraph."""
    return f"<p>{markup}</p>\n\n"


def bullets(items: Iterable[str]) -> str:
    """A block with a list; empty if it has no items."""
    lines = "".join(f"<li>{item}</li>\n" for item in items)
    return f"<ul>\n{lines}</ul>\n\n" if lines else ""


def table(titles: Sequence[str], rows: Sequence[str]) -> str:
    """A block with a table of rows that :func:`row` made; empty if there are none."""
    if not rows:
        return ""
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table>\n<tr>{head}</tr>\n{''.join(rows)}</table>\n\n"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A block with a table of names and values, which are markup; empty ones are left out."""
    rows = [
        f"<tr><th>{escaped(name)}</th><td>{value}</td></tr>\n" for name, value in pairs if value
    ]
    return f"<table>\n{''.join(rows)}</table>\n\n" if rows else ""


def row(cells: Iterable[str], span: int = 1, spanning: int = 0) -> str:
    """A row of a table; its first ``spanning`` cells reach over ``span`` rows."""
    attribute = f' rowspan="{span}"' if span > 1 else ""
    line = "".join(
        f"<td{attribute if place < spanning else ''}>{cell}</td>"
        for place, cell in enumerate(cells)
    )
    return f"<tr>{line}</tr>\n"


def folded(summary: str, blocks: str, *, unfolded: bool = False) -> str:
    """Blocks that a click shows; empty if there are none."""
    if not blocks:
        return ""
    mark = " open" if unfolded else ""
    return f"<details{mark}><summary>{summary}</summary>\n\n{blocks}</details>\n\n"


def chart(lines: Iterable[str]) -> str:
    """A block with a Mermaid chart."""
    return "```mermaid\n" + "".join(f"{line}\n" for line in lines) + "```\n\n"


def label(text: str, limit: int = _LABEL) -> str:
    """``text`` for a quoted label of a chart: what is no letter, digit or blank is a code."""
    return "".join(
        char if char.isalnum() or char in _HARMLESS else f"#{ord(char)};"
        for char in one_line(text, limit)
    )
