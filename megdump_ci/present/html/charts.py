"""Charts as SVG that stands in a page: drawn by pygal, then taken over element by element.

pygal writes a style sheet, a script, a date and identifiers into what it draws. What is taken over
is a few kinds of elements with a few attributes; colours and fonts are the page's (``style.css``),
so that a chart follows light and dark. The same values give the same bytes.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.etree import etree
from pygal.style import Style

from megdump_ci.present.text import one_line
from megdump_ci.report import Number

# Loading pygal adds a finder of its maps, of a kind that CPython warns of whenever a module is
# missing from then on. There are no maps here.
sys.meta_path[:] = [item for item in sys.meta_path if type(item).__module__ != "pygal"]

WIDE, NARROW = 540, 340
"""Widths that a chart is drawn for, in the page's pixels: the page shows the one that fits."""

_HEIGHT = 230
_TEXT = 12
_LABEL = 40
_STYLE = Style(label_font_size=_TEXT, major_label_font_size=_TEXT, value_font_size=_TEXT)
_COMMON: dict[str, Any] = {
    "style": _STYLE,
    "js": [],
    "css": [],
    "no_prefix": True,
    "show_legend": False,
    "margin": 6,
    "margin_right": 12,
    "spacing": 6,
    "truncate_label": -1,
    # Rounding in pygal's own format would hide what the labels are made of.
    "formatter": lambda *_: "",
}

_KEPT = {
    "svg": ("viewBox",),
    "g": ("transform",),
    "rect": ("x", "y", "width", "height"),
    "path": ("d",),
    "circle": ("cx", "cy", "r"),
    "text": ("x", "y"),
}
_CLASSES = ("plot", "axis", "x", "y", "background", "horizontal", "text-overlay")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_GEOMETRY = re.compile(r"(?:translate\(|[MLZhv]|[-\d.e, )])*")


@dataclass(frozen=True)
class Mark:
    """Something to draw, with what a pointer on it shows."""

    x: float
    error: Number
    label: str


class Scale:
    """Errors on a logarithmic axis, with a place for 0 below it, and one for no number above."""

    def __init__(self, errors: Iterable[Number]) -> None:
        values = [float(error) for error in errors]
        logs = [math.log10(value) for value in values if 0 < value < math.inf]
        self.low = math.floor(min(logs, default=-7.0))
        self.high = max(math.ceil(max(logs, default=-3.0)), self.low + 1)
        self.step = max(1, math.ceil((self.high - self.low) / 5))
        self.zero = any(value == 0 for value in values)
        self.beyond = any(not math.isfinite(value) for value in values)

    def place(self, error: Number) -> float:
        """Where on the axis an error is."""
        value = float(error)
        if not math.isfinite(value):
            return self.high + self.step
        return math.log10(value) if value > 0 else self.low - self.step

    @property
    def range(self) -> tuple[float, float]:
        """The ends of the axis."""
        below = self.step if self.zero else 0
        return self.low - below, self.high + (self.step if self.beyond else 0)

    @property
    def labels(self) -> list[dict[str, Any]]:
        """What stands at the axis, as pygal takes it."""
        found = [
            {"value": power, "label": power_text(power)}
            for power in range(self.low, self.high + 1, self.step)
        ]
        if self.zero:
            found.insert(0, {"value": self.low - self.step, "label": "0"})
        if self.beyond:
            found.append({"value": self.high + self.step, "label": "no number"})
        return found


def power_text(power: int) -> str:
    """A power of ten as it is typed: ``1e-4``, and ``0.1``, ``1``, ``10`` for the plain ones."""
    return f"{10.0**power:g}" if -2 < power < 3 else f"1e{power}"


def both(title: str, draw: Callable[[int], ElementTree.Element]) -> Markup:
    """A chart for wide and for narrow pages; ``title`` says what it is to those who hear it."""
    found = ""
    for width, name in ((WIDE, "wide"), (NARROW, "narrow")):
        svg = draw(width)
        svg.attrib.update({"class": f"chart {name}", "role": "img", "aria-label": one_line(title)})
        found += ElementTree.tostring(svg, encoding="unicode")
    # All text in it was escaped by the serializer, and attributes are those of _KEPT.
    return Markup(found)  # noqa: S704


def scatter(
    title: str,
    groups: Mapping[str, Sequence[Mark]],
    *,
    limit: float | None = None,
    last: int,
) -> Markup:
    """Marks over whole numbers from 0 to ``last``, with a line at ``limit``.

    ``groups`` has the marks by the class that they get in the page.
    """
    errors = [mark.error for marks in groups.values() for mark in marks]
    scale = Scale([*errors, *([limit] if limit is not None else [])])

    def draw(width: int) -> ElementTree.Element:
        chart = pygal.XY(
            **_COMMON,
            width=width,
            height=_HEIGHT,
            stroke=False,
            dots_size=2.5 if last > 100 else 3.5,
            range=scale.range,
            xrange=(0, max(last, 1)),
            x_labels=_whole_numbers(last, width // 90),
            y_labels=scale.labels,
        )
        for marks in groups.values():
            values = [
                {"value": (mark.x, scale.place(mark.error)), "label": mark.label} for mark in marks
            ]
            chart.add("", values)
        if limit is not None:
            ends = [(0, scale.place(limit)), (max(last, 1), scale.place(limit))]
            chart.add("", ends, stroke=True, show_dots=False)
        return _taken_over(chart, [*groups, "limit"])

    return both(title, draw)


def distribution(
    title: str, counts: Sequence[int], kinds: Sequence[str], limit: float | None
) -> Markup:
    """How many elements have an error in each bin of :data:`HISTOGRAM_EDGES`.

    ``kinds`` has the class of each bin in the page. Counts are drawn by their logarithm: one
    element of a million is what somebody looks for.
    """
    top = math.ceil(math.log10(max(*counts, 1))) + 1
    step = max(1, math.ceil(top / 5))
    edges = len(counts) - 3

    def draw(width: int) -> ElementTree.Element:
        every = 2 if width >= WIDE else 4
        chart = pygal.Histogram(
            **_COMMON,
            width=width,
            height=_HEIGHT,
            range=(0, top),
            x_labels=[
                {"value": 0.5, "label": "0"},
                *(
                    {"value": 2 + place, "label": power_text(place - 9)}
                    for place in range(0, edges, every)
                ),
                {"value": len(counts) - 0.5, "label": "NaN"},
            ],
            y_labels=[
                {"value": power + 1, "label": _count_text(10**power)}
                for power in range(0, top, step)
            ],
        )
        shown = list(dict.fromkeys(kinds))
        for kind in shown:
            chart.add(
                "",
                [
                    {
                        "value": (1 + math.log10(count), place + 0.08, place + 0.92),
                        "label": f"{bin_text(place, edges)}: {count:,} elements",
                    }
                    for place, count in enumerate(counts)
                    if count and kinds[place] == kind
                ],
            )
        # The ends of the axis, whatever the values are.
        chart.add("", [(0, 0, 0), (0, len(counts), len(counts))])
        if limit is not None:
            place = _place_of(limit, edges)
            chart.add(
                "",
                [{"value": (top, place - 0.03, place + 0.03), "label": f"limit {limit:g}"}],
            )
        return _taken_over(chart, [*shown, "none", "limit"])

    return both(title, draw)


def bars(title: str, rows: Sequence[tuple[str, float | None, str, str]]) -> Markup:
    """A horizontal bar for each row: its name, its length, what stands at it, and its class."""
    longest = max((length for _, length, _, _ in rows if length is not None), default=0) or 1

    def draw(width: int) -> ElementTree.Element:
        kinds = list(dict.fromkeys(kind for _, _, _, kind in rows))
        chart = pygal.HorizontalStackedBar(
            **{**_COMMON, "margin_right": 4},
            width=width,
            height=24 * len(rows) + 20,
            # Room for the text at the longest bar.
            range=(0, longest * (1.35 if width >= WIDE else 1.6)),
            x_labels=[one_line(name, _LABEL) for name, _, _, _ in reversed(rows)],
            show_x_labels=False,
            print_values=True,
            print_values_position="top",
        )
        for kind in kinds:
            values = [
                None
                if length is None or own != kind
                else {"value": length, "label": f"{name}: {text}", "formatter": _constant(text)}
                for name, length, text, own in reversed(rows)
            ]
            chart.add("", values)
        return _taken_over(chart, kinds)

    return both(title, draw)


def _constant(text: str) -> Callable[..., str]:
    return lambda *_: one_line(text, _LABEL)


def _place_of(limit: float, edges: int) -> float:
    """Where among the bins an error is: the first one is 0 alone, and the edges are decades."""
    if limit <= 0:
        return 1.0
    return min(max(2 + math.log10(limit) + 9, 1.0), edges + 2.0)


def bin_text(place: int, edges: int) -> str:
    if place == 0:
        return "no error"
    if place == edges + 2:
        return "error is no number"
    if place == edges + 1:
        return f"error from {power_text(edges - 10)}"
    below = f"below {power_text(place - 10)}"
    return f"error {below}" if place == 1 else f"error from {power_text(place - 11)}, {below}"


def _count_text(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)


def _whole_numbers(last: int, most: int) -> list[dict[str, Any]]:
    """At most about ``most`` round numbers from 0 to ``last``."""
    step = max(1, last / most)
    power = 10 ** math.floor(math.log10(step))
    step = next(int(power * factor) for factor in (1, 2, 5, 10) if power * factor >= step)
    return [{"value": value, "label": str(value)} for value in range(0, last + 1, step)]


def _taken_over(chart: Any, kinds: Sequence[str]) -> ElementTree.Element:
    """What ``chart`` draws, of known elements and attributes; series get the classes ``kinds``."""
    # lxml, where somebody has it, gives other trees.
    etree.to_etree()
    found = _element(chart.render_tree(), kinds)
    assert found is not None
    # The class is the page's; in HTML the namespace goes without saying.
    return found


def _element(source: ElementTree.Element, kinds: Sequence[str]) -> ElementTree.Element | None:
    if source.tag not in _KEPT or (source.tag == "rect" and not _is_seen(source)):
        return None
    element = ElementTree.Element(source.tag)
    for name in _KEPT[source.tag]:
        value = source.get(name, "")
        if name == "viewBox" or (value and _GEOMETRY.fullmatch(value)):
            element.set(name, _NUMBER.sub(_rounded, value))
    if classes := _classes(source, kinds):
        element.set("class", classes)
    if source.tag == "text":
        element.text = one_line(source.text or "", _LABEL)
        return element if element.text else None
    for child in source:
        if child.tag == "desc" and child.get("class") == "label":
            ElementTree.SubElement(element, "title").text = one_line(child.text or "")
        elif (taken := _element(child, kinds)) is not None:
            element.append(taken)
    return element if len(element) or source.tag not in ("svg", "g") else None


def _is_seen(rect: ElementTree.Element) -> bool:
    return all(float(rect.get(name, 0)) > 0 for name in ("width", "height"))


def _classes(source: ElementTree.Element, kinds: Sequence[str]) -> str:
    words = source.get("class", "").split()
    found = [word for word in words if word in _CLASSES]
    series = [word.removeprefix("serie-") for word in words if word.startswith("serie-")]
    return " ".join([*found, *(kinds[int(place)] for place in series)])


def _rounded(found: re.Match[str]) -> str:
    # Hundredths of a pixel are not seen, and there are many of them.
    return f"{float(found[0]):.1f}".removesuffix(".0")
