"""The page: golden ones, and text from outside that stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from megdump_ci.errors import Problem
from megdump_ci.present.markdown import blocks, blocks_without_report, fitted, markup, page
from megdump_ci.present.markdown.testcases import OPEN, ROWS
from megdump_ci.present.text import one_line
from megdump_ci.report import Report
from tests.unit import pages, reports

GOLDEN = Path(__file__).parent / "golden"

_PIECES = ["\n", "\n\n", "\r", "|", "`", "<", ">", "</p>", "<script>", "&lt;", "*", "_", "[a](b)"]
_PIECES += ["# ", "- ", "\\", "![", "```", "<!--", "-->", "]]>", "\x1b[31m", "\u2028", "\x0b"]
_PIECES += ['"]', "%%", "#quot;", "</details>", "</pre>", " onload=x", "@", "https://a.b"]
hostile = st.lists(st.sampled_from(_PIECES) | st.characters(), max_size=30).map("".join)

# What a page is made of, and the attributes that it has.
_TAGS = {"h3", "p", "b", "br", "code", "pre", "ul", "li", "table", "tr", "th", "td"}
_TAGS |= {"details", "summary"}
_ATTRIBUTES = re.compile(r"open|rowspan=\d+|class=language-mermaid")

_LABEL = r'"[\w _.,:/()+=*#;<>-]*"'
_KEY = r"(?:n\d+|o\d+|before)"
_CHART = [
    re.compile(pattern)
    for pattern in (
        r"flowchart LR|xychart-beta horizontal",
        rf"  {_KEY}\[{_LABEL}\]:::\w+( --> n0)?",
        rf"  {_KEY} (-->|-\.->) {_KEY}",
        r"  classDef \w+ [\w:#,-]+",
        rf"  title {_LABEL}",
        rf"  x-axis \[{_LABEL}(, {_LABEL})*\]",
        r'  y-axis "ms" 0 --> [\d.]+',
        r"  bar \[[\d.]+(, [\d.]+)*\]",
    )
]


class Parsed(HTMLParser):
    """The tags of a page as a browser gets it, and its text without the white space."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert _ATTRIBUTES.fullmatch(f"{name}={value}" if value else name), (tag, name, value)
        assert tag in _TAGS, tag
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "".join(data.split())

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def _structure(text: str) -> list[str]:
    found = Parsed(text)
    assert found.open == []
    return found.tags


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_page_is_as_it_was_looked_at(name: str) -> None:
    assert page(pages.PAGES[name]) == (GOLDEN / f"page-{name}.md").read_text()


@settings(max_examples=25)
@given(text=hostile)
def test_text_from_outside_is_shown_and_means_nothing(text: str) -> None:
    shown = page(pages.tampered(pages.EVERYTHING, text))
    # A message's line feeds are shown as such; nothing else may change what the page is made of.
    plain = page(pages.tampered(pages.EVERYTHING, "x\nx" if "\n" in text else "x"))
    assert _structure(shown) == _structure(plain)
    lines = [line for line in shown.split("\n") if not line.startswith("<")]
    for chart in re.findall(r"```mermaid\n(.*?)\n```", shown, re.DOTALL):
        for line in chart.split("\n"):
            assert any(pattern.fullmatch(line) for pattern in _CHART), line
            lines.remove(line)
    # All that is not a chart is HTML: markdown has nothing to read.
    assert set(lines) == {"", "```mermaid", "```"}


@given(text=hostile)
def test_text_from_outside_is_all_there(text: str) -> None:
    result = reports.report(headline=text, warnings=[text], problems=[Problem("x", text)])
    wanted = "".join(one_line(text, 300).split())
    # What keeps GitHub from telling people and issues is not in the text itself.
    assert Parsed(page(result)).text.replace("\u2060", "").count(wanted) >= 3


@given(text=st.text(max_size=60))
def test_a_label_ends_nothing(text: str) -> None:
    assert re.fullmatch(r"(?:[\w _.,:/()+=*-]|#\d+;)*", markup.label(text))


def _table_rows(text: str) -> int:
    return text.count("<td><code>logits</code></td>")


def test_testcases_that_failed_come_first_and_the_rest_is_counted() -> None:
    cases = [reports.case(index, spec="fine") for index in range(ROWS + 5)]
    cases[-1] = reports.case(ROWS + 4, 0.5, spec="wrong")
    text = page(reports.report(verdict="failed", testcases=cases))
    assert _table_rows(text) == ROWS
    assert text.index("wrong") < text.index("<details>") < text.index("fine")
    assert "5 more testcases in report.json" in text


@pytest.mark.parametrize(("count", "is_folded"), [(OPEN, False), (OPEN + 1, True)])
def test_a_long_table_is_folded(count: int, is_folded: bool) -> None:
    text = page(reports.report(testcases=[reports.case(index) for index in range(count)]))
    assert (f"<summary>{count} testcases that passed</summary>" in text) is is_folded
    assert _table_rows(text) == count


@pytest.mark.parametrize("name", ["everything", *pages.PAGES])
def test_every_block_closes_what_it_opens(name: str) -> None:
    found: Report = pages.EVERYTHING if name == "everything" else pages.PAGES[name]
    for block in blocks(found):
        _structure(block)
        assert block.endswith("\n\n")


@settings(max_examples=25)
@given(room=st.integers(min_value=0, max_value=30_000), text=hostile)
def test_a_page_is_cut_between_blocks(room: int, text: str) -> None:
    made = blocks(pages.tampered(pages.EVERYTHING, text))
    note = "<p>there is more</p>\n\n"
    cut = fitted(made, room, note)
    assert len(cut.encode()) <= room
    if len("".join(made).encode()) <= room:
        assert cut == "".join(made)
    elif cut:
        assert cut.startswith(made[0])
        assert cut.endswith(note)
        _structure(cut)


def test_what_is_too_large_leaves_room_for_what_comes_after() -> None:
    assert fitted(["a", "b" * 100, "c"], 50, "note") == "acnote"


def test_the_first_block_is_the_verdict() -> None:
    for result in pages.PAGES.values():
        assert blocks(result)[0].startswith("<h3>")
    text = "".join(blocks_without_report("error", "ERROR: <b>", [Problem("a", "b")]))
    assert text == "<h3>\u274c ERROR: &lt;b&gt;</h3>\n\n<ul>\n<li>a<br>b</li>\n</ul>\n\n"


def test_only_options_that_are_not_the_default_are_listed() -> None:
    text = page(pages.PAGES["passed"])
    assert "<th>enable-nchw44</th><td><code>true</code>" in text
    assert "<th>seed</th>" not in text
    assert "<th>maxerr</th>" not in text
