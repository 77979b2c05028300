"""Growth as numbers and as pictures: slope, exponent, and an SVG with logarithmic axes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pygal
from pygal.etree import etree
from pygal.style import Style

# As for the charts of report.html: pygal leaves a finder of its maps behind, of a kind that CPython
# warns of.
sys.meta_path[:] = [item for item in sys.meta_path if type(item).__module__ != "pygal"]

_WIDTH, _HEIGHT = 480, 320
# Read on white and on black: the picture has no background of its own.
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground="#808080",
    foreground_strong="#808080",
    foreground_subtle="#80808055",
    colors=("#2f7fd6", "#d9822b", "#3a9d5d", "#9a9a9a"),
    font_family="sans-serif",
    label_font_size=12,
    major_label_font_size=12,
    legend_font_size=12,
    title_font_size=14,
)
_SVG = "{http://www.w3.org/2000/svg}"

Points = Sequence[tuple[float, float]]
"""Pairs of how much there is and what it takes."""


@dataclass(frozen=True)
class Growth:
    """How what something takes grows with how much there is of it."""

    fixed: float
    """What is taken however little there is: where the line begins."""
    slope: float
    """What each more takes, by least squares of the relative deviations."""
    exponent: float
    """Of what is taken beyond the first point: 1 is linear; NaN if less than two other points are
    a fifth above it."""


def growth(points: Points) -> Growth:
    """Fit a line, and a power of what comes on top of the first point."""
    amounts, taken = np.array(points, float).T
    # Relative ones: each size counts as much as any other.
    slope, fixed = np.polyfit(amounts, taken, 1, w=1 / taken)
    more, added = amounts[1:] - amounts[0], taken[1:] - taken[0]
    grown = added > 0.2 * taken[0]
    exponent = math.nan
    if grown.sum() > 1:
        exponent = float(np.polyfit(np.log(more[grown]), np.log(added[grown]), 1)[0])
    return Growth(float(fixed), float(slope), exponent)


def chart(
    title: str,
    series: Mapping[str, Points],
    *,
    amount: Callable[[float], str],
    taken: Callable[[float], str],
) -> bytes:
    """An SVG of the series; ``amount`` and ``taken`` write the numbers at the two axes."""
    pairs = [pair for points in series.values() for pair in points]
    drawn = pygal.XY(
        style=_STYLE,
        js=[],
        no_prefix=True,
        width=_WIDTH,
        height=_HEIGHT,
        title=title,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(series),
        legend_box_size=10,
        dots_size=3,
        x_labels=_ticks([x for x, _ in pairs], amount),
        y_labels=_ticks([y for _, y in pairs], taken),
        x_label_rotation=0,
        truncate_label=-1,
        truncate_legend=-1,
    )
    for name, points in series.items():
        drawn.add(
            name,
            [
                {
                    "value": (math.log10(x), math.log10(y)),
                    "formatter": _constant(f"{amount(x)}: {taken(y)}"),
                }
                for x, y in points
                if x > 0 and y > 0
            ],
        )
    return _plain(drawn)


def _ticks(values: Sequence[float], text: Callable[[float], str]) -> list[dict[str, Any]]:
    """The powers of ten around the values, and 2 and 5 times them where there are few."""
    low = math.floor(math.log10(min(value for value in values if value > 0)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    steps = (1,) if high - low > 2 else (1, 2, 5)
    marks = [10.0**power * step for power in range(low, high + 1) for step in steps]
    top = next((mark for mark in marks if mark >= max(values)), marks[-1])
    bottom = max(mark for mark in marks if mark <= min(values) * (1 + 1e-9) or mark == marks[0])
    return [
        {"value": math.log10(mark), "label": text(mark)} for mark in marks if bottom <= mark <= top
    ]


def _constant(text: str) -> Callable[..., str]:
    return lambda *_: text


def _plain(drawn: Any) -> bytes:
    """The picture without scripts, and without what only these need."""
    # lxml, where somebody has it, gives other trees.
    etree.to_etree()
    tree: ElementTree.Element = drawn.render_tree()
    parent: Any
    child: Any
    for parent in list(tree.iter()):
        for child in list(parent):
            # A comment, which has the date, is no element and has a function for its tag.
            tag = child.tag.removeprefix(_SVG) if isinstance(child.tag, str) else "comment"
            if tag in ("comment", "script", "desc") or child.get("class") == "tooltip":
                parent.remove(child)
    content: bytes = ElementTree.tostring(tree, encoding="utf-8")
    return content + b"\n"
