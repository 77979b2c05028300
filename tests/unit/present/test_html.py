"""report.html: what is on it, that nothing from outside becomes markup, and that it is whole."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tinyhtml5.parser import HTMLParser

from megdump_ci.compare import HISTOGRAM_EDGES
from megdump_ci.present import html
from megdump_ci.present.html import charts, plots, view
from megdump_ci.present.text import plain
from megdump_ci.report import Location, Metrics, Report, Step, number
from tests.unit import pages, reports

_SVG = "{http://www.w3.org/2000/svg}"

_GEOMETRY = re.compile(r"[\d., ()MLhvtranslate-]*")

_PIECES = ["<", ">", '"', "'", "`", "&", "=", "/", "\n", "\r", "\0", "\x1b[31m", "\u202e", "\ufffe"]
_PIECES += ["<script>", "</script>", "</style>", "</title>", "</svg>", "]]>", "<!--", "-->", "--!>"]
_PIECES += [
    "&lt;",
    "&#60;",
    "onload=x",
    " onerror=a ",
    "javascript:",
    "{{ 7*7 }}",
    "{% if %}",
    "\ud800",
]
_PIECES += [
    "<img src=x>",
    "</td></tr></table>",
    "<plaintext>",
    "<math>",
    "<desc>",
    "%(x)s",
    "\u2028",
]
hostile = st.lists(st.sampled_from(_PIECES) | st.characters(), max_size=20).map("".join)


def parsed(page: bytes) -> Element:
    """A page as a browser has it; there is nothing to put right."""
    parser = HTMLParser(namespace_html_elements=False)
    root: Element = parser.parse(page)
    assert parser.errors == []
    return root


def shown(report: Report) -> Element:
    return parsed(html.page(report))


def text_of(element: Element) -> str:
    text = " ".join(" ".join(element.itertext()).split())
    return re.sub(" (?=[:;,.])", "", text)


def having(root: Element, tag: str, name: str) -> Iterator[Element]:
    """The elements of a class."""
    return (item for item in root.iter(tag) if name in item.get("class", "").split())


def section(root: Element, name: str) -> Element:
    return next(item for item in root.iter("section") if item.get("aria-labelledby") == name)


def table(root: Element, name: str) -> list[list[str]]:
    """The rows of the first table of a section."""
    found = next(section(root, name).iter("table"))
    return [[text_of(cell) for cell in row if cell.tag in ("td", "th")] for row in found.iter("tr")]


@pytest.fixture(scope="module", params=pages.PAGES)
def page(request: pytest.FixtureRequest) -> tuple[bytes, Element]:
    """A page, and what it is parsed to."""
    made = html.page(pages.PAGES[request.param])
    return made, parsed(made)


def test_it_needs_nothing_but_itself(page: tuple[bytes, Element]) -> None:
    made, root = page
    text = made.decode()
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name != "style"
            assert name not in ("src", "href", "action", "data") or value.startswith("#")
    style = next(root.iter("style")).text or ""
    assert "url(" not in style
    assert "@import" not in style
    script = next(root.iter("script")).text or ""
    policy = next(meta for meta in root.iter("meta") if meta.get("http-equiv"))
    assert policy.get("content") == (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " base-uri 'none'; form-action 'none'"
    )
    assert text.startswith("<!doctype html>\n")
    assert text.count("<script") == text.count("<style") == 1


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def test_links_lead_to_what_is_there_once(page: tuple[bytes, Element]) -> None:
    _, root = page
    names = [item.get("id") for item in root.iter() if item.get("id")]
    assert len(names) == len(set(names))
    links = {item.get("href", "")[1:] for item in root.iter("a")}
    assert links <= set(names)
    assert links
    labels = {item.get("aria-labelledby") for item in root.iter()} - {None}
    assert labels <= set(names)


def test_those_who_hear_it_are_told(page: tuple[bytes, Element]) -> None:
    _, root = page
    assert root.get("lang") == "en"
    assert all(item.get("scope") in ("col", "row") for item in root.iter("th"))
    assert all(
        item.get("role") == "img" and item.get("aria-label") for item in root.iter(f"{_SVG}svg")
    )
    # A box that scrolls is reached by the keyboard, and has a name.
    for box in having(root, "div", "box"):
        if box.get("role") == "region":
            assert box.get("tabindex") == "0"
            assert box.get("aria-label") or box.get("aria-labelledby")
    levels = [int(item.tag[1]) for item in root.iter() if item.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def structure(root: Element) -> list[tuple[str, dict[str, str]]]:
    return [(item.tag, item.attrib) for item in root.iter() if item.tag != "title"]


@functools.cache
def harmless() -> list[tuple[str, dict[str, str]]]:
    return structure(shown(pages.tampered(pages.EVERYTHING, "x\nx")))


@settings(max_examples=10)
@example("".join(_PIECES))
@given(hostile)
def test_text_from_outside_is_text(text: str) -> None:
    root = shown(pages.tampered(pages.EVERYTHING, f"x\n{text}"))
    found, usual = structure(root), harmless()
    assert [tag for tag, _ in found] == [tag for tag, _ in usual]
    for (tag, attributes), (_, others) in zip(found, usual, strict=True):
        assert attributes.keys() == others.keys()
        differing = {key: value for key, value in attributes.items() if value != others[key]}
        if tag.startswith(_SVG):
            # Names are what a chart is called, and their length moves what is drawn.
            differing.pop("aria-label", None)
            differing = {k: v for k, v in differing.items() if not _GEOMETRY.fullmatch(v)}
        assert not differing
    said = "".join(root.itertext())
    assert said == plain(said).replace("\ufffe", "\ufffd")


def test_text_from_outside_is_shown() -> None:
    text = text_of(shown(pages.tampered(pages.EVERYTHING, "<b>{{ 7*191 }}\x1b[31m")))
    assert "<b>{{ 7*191 }}\\x1b[31m" in text
    assert "1337" not in text


def test_long_text_is_cut() -> None:
    made = html.page(pages.tampered(pages.EVERYTHING, "x" * 100_000))
    assert len(made) < 2_000_000


def test_the_same_report_gives_the_same_bytes() -> None:
    program = (
        "import hashlib, sys\nfrom megdump_ci.present import html\nfrom tests.unit import pages\n"
        "print(hashlib.sha256(html.page(pages.EVERYTHING)).hexdigest())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert made == [hashlib.sha256(html.page(pages.EVERYTHING)).hexdigest()] * 2


@pytest.mark.parametrize(
    ("name", "word", "kind"),
    [
        ("passed", "Passed", "passed"),
        ("failed", "Failed", "failed"),
        ("error", "Error", "error"),
        ("unverified", "Not verified", "not-verified"),
    ],
)
def test_the_verdict_comes_first(name: str, word: str, kind: str) -> None:
    report = pages.PAGES[name]
    root = shown(report)
    body = next(root.iter("body"))
    assert body[0].get("class") == f"verdict {kind}"
    assert text_of(next(body.iter("h1"))) == word
    banner = text_of(body[0])
    assert report.headline.partition(": ")[2] in banner
    assert f"exit status {report.exit_status}" in banner
    assert text_of(next(root.iter("title"))).startswith(word)


def test_a_diff_without_limits_has_passed_nothing() -> None:
    compared = structs.replace(
        pages.PAGES["baseline"], packed=None, headline="DIFF: other structure, max error 0.25"
    )
    assert text_of(next(shown(compared).iter("h1"))) == "Compared"
    limited = structs.replace(compared, gates=pages.PAGES["failed"].gates)
    assert text_of(next(shown(limited).iter("h1"))) == "Passed"


def test_what_is_wrong_and_what_to_do_about_it() -> None:
    notes = [text_of(item) for item in having(shown(pages.PAGES["error"]), "div", "note")]
    assert notes == [
        "cannot read x.mge: No such file or directory give the path of a model",
        "bad spec #rand(1 ^ digits.txt:3 close it",
    ]
    notes = [text_of(item) for item in having(shown(pages.PAGES["failed"]), "div", "note")]
    assert notes == [
        "outputs a and b compute the same",
        "It would pass with --maxerr 0.25 --top-k-agreement 0.5",
    ]


def test_gates_have_limits_and_where_it_is_worst() -> None:
    assert table(shown(pages.PAGES["failed"]), "gates")[1:] == [
        ["logits", "maxerr", "\u2264 0.0001", "0.25", "1", "failed error 0.25 is above 0.0001"],
        [
            "logits",
            "top-k-agreement",
            "\u2265 0.99",
            "0.5",
            "",
            "failed 0.5 of 2 rows is below 0.99",
        ],
    ]


def test_failing_testcases_come_first_with_their_worst_elements() -> None:
    root = shown(pages.PAGES["failed"])
    bodies = [item for item in section(root, "testcases").iter("tbody") if item.get("id")]
    assert [item.get("id") for item in bodies] == ["testcase-1", "testcase-2", "testcase-0"]
    first = text_of(bodies[0])
    assert "1 digits/1.png digits.txt:2 logits 0.25 0.25 0.98 12.5 dB failed" in first
    assert "[0, 3] 0.5 0.75 0.25" in first
    assert "shape is (1, 9), expected (1, 10)" in text_of(bodies[1])


def test_many_testcases_stay_a_page() -> None:
    count = 10_000
    cases = [
        reports.case(place, 1e-3 if place == 9_999 else place * 1e-9) for place in range(count)
    ]
    made = html.page(reports.report(testcases=cases, verdict="failed", exit_status=1))
    assert len(made) < 3_000_000
    root = parsed(made)
    bodies = [item.get("id") for item in section(root, "testcases").iter("tbody") if item.get("id")]
    assert bodies[:2] == ["testcase-9999", "testcase-0"]
    assert len(bodies) == view.ROWS
    assert "The other 9,500 are in report.json" in text_of(section(root, "testcases"))
    # The one that failed is in the chart, whatever it stands for.
    marks = [text_of(item) for item in root.iter(f"{_SVG}title")]
    assert "testcase 9999: 0.001" in marks
    assert len(marks) < 4 * plots.MARKS


def test_many_outputs_stay_a_page() -> None:
    names = [f"out{place}" for place in range(3000)]
    made = [
        reports.output(name, 0.25 * (name == "out2999"), passed=name != "out2999") for name in names
    ]
    case = structs.replace(reports.case(0), outputs=made, passed=False)
    gates = [
        structs.replace(pages.PAGES["failed"].gates[0], output=name, passed=True) for name in names
    ]
    gates[-1] = structs.replace(gates[-1], passed=False)
    root = shown(reports.report(testcases=[case], gates=gates))
    assert table(root, "gates")[1][0] == "out2999"
    assert text_of(next(having(section(root, "outputs"), "article", "card"))).startswith("out2999")
    row = table(root, "testcases")[1]
    assert (row[2], row[-1]) == ("out2999", "failed")
    assert text_of(root).count("are in report.json") == 3


def test_a_testcase_that_failed_has_no_row_that_passed() -> None:
    strange = structs.replace(reports.case(0), passed=False)
    assert table(shown(reports.report(testcases=[strange])), "testcases")[1][-1] == "failed"


def test_lite_has_a_column() -> None:
    report = reports.report(lite=reports.LITE, testcases=[reports.on_lite(reports.case(0))])
    head, row = table(shown(report), "testcases")[:2]
    assert row[head.index("lite")] == "2.5e-08"


def test_configurations_and_what_they_cost() -> None:
    root = shown(pages.PAGES["sweep"])
    rows = {row[0]: row[1:] for row in table(root, "sweep")[1:] if len(row) > 1}
    assert rows["nchw44 fastest"] == ["passed", "1e-06", "32.9 kB", "15", "2", "0.12", "0.12"]
    assert rows["nchw88"][0] == "passed, naive"
    assert rows["ioc16"][0] == "failed"
    titles = [text_of(item) for item in section(root, "sweep").iter(f"{_SVG}title")]
    assert "nchw44: 0.12 ms" in titles


def test_where_it_goes_wrong() -> None:
    root = section(shown(pages.PAGES["failed"]), "location")
    card = text_of(next(having(root, "article", "card")))
    assert card.startswith("conv2.RELU Elemwise fused error 0.7 own error 0.7 beyond rounding 33.1")
    assert "parameter pad_h of pool: expected 1, found 0" in card
    marks = [text_of(item) for item in root.iter(f"{_SVG}title")]
    assert "conv2.RELU (Elemwise), source: 0.7" in marks


def test_what_changed_from_the_base() -> None:
    text = text_of(section(shown(pages.PAGES["baseline"]), "baseline"))
    assert "other structure: 1 operator changed, 1 added; 1 parameter changed" in text
    assert "conv1 was conv0 ConvolutionForward changed pad_h 1 \u2192 0" in text
    assert "fc.weight MatrixMul fc changed 0.25 12.5 dB 1 of 10" in text
    assert "logits was scores 0.25 0.25 0.98 12.5 dB 1 of 1 1" in text


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 10**9), min_size=14, max_size=14).filter(any),
    st.none() | st.floats(0, 100),
)
def test_each_bin_is_drawn_and_is_red_if_it_is_beyond(
    counts: list[int], limit: float | None
) -> None:
    metrics = Metrics(size=sum(counts), histogram=counts)
    output = reports.output("o", 0.0, passed=True)
    assert output.against_model is not None
    compared = structs.replace(output.against_model, metrics=metrics)
    output = structs.replace(output, against_model=compared)
    found = plots.of_output("o", [(reports.case(0), output)], limit=limit, count=1, lite=False)
    root = parsed(b"<!doctype html><title>x</title>" + found[0].chart.encode())
    first = next(root.iter(f"{_SVG}svg"))
    drawn = {
        kind: [text_of(item) for item in group.iter(f"{_SVG}title")]
        for kind in ("ok", "warn", "bad", "limit")
        for group in having(first, f"{_SVG}g", kind)
        if list(group.iter(f"{_SVG}rect"))
    }
    assert ("limit" in drawn) == (limit is not None)
    drawn.pop("limit", None)
    assert sum(map(len, drawn.values())) == sum(count > 0 for count in counts)
    lower = [0.0, 0.0, *HISTOGRAM_EDGES, math.inf]
    upper = [0.0, *HISTOGRAM_EDGES, math.inf, math.inf]
    for place, count in enumerate(counts):
        if count and limit is not None:
            kind = next(kind for kind, titles in drawn.items() if _named(place, count) in titles)
            assert kind != "ok" or upper[place] <= limit * 1.001
            assert kind != "bad" or lower[place] >= limit * 0.999


def _named(place: int, count: int) -> str:
    edges = len(HISTOGRAM_EDGES)
    return f"{charts.bin_text(place, edges)}: {count:,} elements"


errors = st.one_of(st.just(0.0), st.floats(1e-30, 1e30), st.sampled_from([math.inf, math.nan]))


@given(st.lists(errors, min_size=1, max_size=50), st.floats(1e-9, 1))
def test_marks_lie_on_the_axis_in_their_order(values: list[float], limit: float) -> None:
    scale = charts.Scale([*map(number, values), limit])
    low, high = scale.range
    places = [scale.place(number(value)) for value in values]
    assert all(low <= place <= high for place in places)
    finite = sorted(value for value in values if math.isfinite(value))
    ordered = [scale.place(value) for value in finite]
    assert ordered == sorted(ordered)
    assert sorted(places)[: len(finite)] == ordered
    assert 2 <= len(scale.labels) <= 9


@given(st.lists(errors, min_size=1, max_size=2000))
def test_the_worst_is_among_the_marks_that_are_left(values: list[float]) -> None:
    marks = [charts.Mark(place, number(value), "") for place, value in enumerate(values)]
    left = plots.thinned(marks, len(marks))
    assert len(left) <= plots.MARKS
    assert set(left) <= set(marks)
    kept = {str(mark.error) for mark in left}
    if any(math.isnan(value) or value == math.inf for value in values):
        assert kept & {"nan", "inf"}
    else:
        assert str(max(values)) in kept


def test_operators_that_were_not_compared_have_no_mark() -> None:
    step = Step(name="a", type="Elemwise", status="fused")
    assert (
        plots.of_location(Location(testcase=0, kernels="fast", criterion="", operators=[step]))
        is None
    )


def colours() -> Iterator[tuple[str, str, str, str]]:
    """Pairs of a text's colour and what is behind it, in light and in dark."""
    style = next(shown(pages.PAGES["passed"]).iter("style")).text or ""
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in style.split(":root {")[1:3]
    ]
    assert themes[0].keys() == themes[1].keys()
    for name, theme in zip(("light", "dark"), themes, strict=True):
        tints = [key for key in theme if key.endswith("-tint")]
        for text in ("text", "quiet", "link", "good", "bad", "warn"):
            behind = ["page", "raised", "plain-tint", f"{text}-tint"]
            behind += tints if text in ("text", "quiet") else []
            for key in behind:
                if key in theme:
                    yield name, f"{text} on {key}", theme[text], theme[key]


def test_text_stands_out() -> None:
    """The contrast of WCAG 2.1, level AA."""
    found = list(colours())
    assert len(found) > 40
    assert [pair for *pair, text, behind in found if _contrast(text, behind) < 4.5] == []


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
