"""``report.html``: the report as one page that needs nothing but itself.

It has no address to load anything from, and a policy that forbids it. What comes from a model, a
file or an exception is text there: the template escapes all of it, control characters are shown as
escapes, and attributes hold nothing but numbers and words of this program. The same report gives
the same bytes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from megdump_ci.present import isolation, locate, times
from megdump_ci.present.html import plots, view
from megdump_ci.present.text import number_text, one_line, plain, size_text
from megdump_ci.report import Number, Report

_FOLDER = Path(__file__).parent
_LONGEST = 4000
"""Characters of one text: a name or a message can be as long as a file lets it be."""

# Code points that no HTML may hold; control characters and surrogates are gone before.
_NO_HTML = re.compile(
    "[\ufdd0-\ufdef\ufffe\uffff]|["
    + "".join(chr(plane << 16 | end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)

VERDICTS = {
    "passed": ("Passed", "\u2713"),
    "failed": ("Failed", "\u2717"),
    "error": ("Error", "!"),
    "not verified": ("Not verified", "?"),
    "compared": ("Compared", "\u0394"),
}
"""What a verdict is called, and its sign. A ``diff`` without limits has nothing to pass."""


def page(report: Report) -> bytes:
    """The page, in UTF-8."""
    kind = "compared" if view.without_limits(report) else report.verdict
    verdict, icon = VERDICTS[kind]
    script, style = _part("script.js"), _part("style.css")
    text = _template().render(
        _context(report),
        report=report,
        verdict=verdict,
        icon=icon,
        kind=kind.replace(" ", "-"),
        policy=_policy(script, style),
        script=script,
        style=style,
    )
    return _NO_HTML.sub("\ufffd", text).encode()


def _context(report: Report) -> dict[str, Any]:
    """What the template shows beside the report itself."""
    rows = view.rows(report)
    location, sweep, baseline = report.location, report.sweep, report.baseline
    return {
        "headline": report.headline.partition(": ")[2] or report.headline,
        "subject": report.name or (report.model.path if report.model else ""),
        "passing": shlex.join(report.passing),
        "tiles": view.tiles(report),
        "isolation": isolation.line(report.isolation),
        "rows": rows,
        "total": view.total(report),
        "most": {"rows": view.ROWS, "cards": view.CARDS},
        "titles": view.titles(report),
        "outputs": view.outputs(report),
        "location_figure": plots.of_location(location) if location else None,
        "location_lines": [line.plain for line in locate.lines(location)] if location else [],
        "sweep_figures": plots.of_sweep(sweep) if sweep else [],
        "drift_figures": plots.of_drift(baseline, report.testcases) if baseline else [],
        "graphs": view.graphs(report),
        "operators": view.operators(report),
        "dtypes": view.dtypes(report),
    }


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
    )
    environment.filters.update(
        number=number_text,
        exact=_exact,
        size=size_text,
        count=lambda value: f"{value:,}",
        shape=_shape,
        line=one_line,
        text=_harmless,
        key=_key,
        fact=_fact,
        share=times.share,
        parts=times.parts,
    )
    return environment.get_template("report.html.j2")


def _harmless(value: Any) -> Any:
    """What an expression of the template gives, before it is escaped."""
    if isinstance(value, str) and not isinstance(value, Markup):
        cut = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}\u2026"
        return plain(cut)
    return value


def _part(name: str) -> Markup:
    """A file of this folder, as it is."""
    return Markup((_FOLDER / name).read_text("utf-8"))  # noqa: S704


def _policy(script: str, style: str) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (script, style)
    ]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}';"
        " base-uri 'none'; form-action 'none'"
    )


def _exact(value: Number | str) -> str:
    """A value of a tensor, to the digits that tell float32 apart well enough."""
    return value if isinstance(value, str) else f"{float(value):.6g}"


def _shape(shape: Sequence[int] | None) -> str:
    if shape is None:
        return "open"
    return " \u00d7 ".join(map(str, shape)) or "scalar"


def _key(value: Number | None) -> str:
    """What a column is sorted by; empty for no value, which comes last."""
    return "" if value is None else str(value) if isinstance(value, str) else repr(float(value))


def _fact(value: Any) -> str:
    """The value of an option."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
