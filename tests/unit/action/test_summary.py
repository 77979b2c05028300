from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from megdump_ci import report
from megdump_ci.action.summary import ROWS, largest_error, markdown, reason
from megdump_ci.errors import Problem
from megdump_ci.present.text import one_line

_ROOM = 1024 * 1024
_PIECES = ["\n", "\n\n", "\r", "|", "`", "<", ">", "</p>", "<script>", "&lt;", "*", "_", "[a](b)"]
_PIECES += ["# ", "- ", "\\", "![", "```", "<!--", "-->", "]]>", "\x1b[31m", "\u2028", "\x0b"]
hostile = st.lists(st.sampled_from(_PIECES) | st.characters(), max_size=30).map(
    lambda pieces: "x" + "".join(pieces)
)


class _Page(HTMLParser):
    """The tags of a page, and its text without the white space."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable("table").render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += "".join(data.split())

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def _testcase(
    index: int, name: str, *, passed: bool = False, error: float = 0.5
) -> report.Testcase:
    output = report.Output(
        name=name,
        dtype="float32",
        shape=[1],
        passed=passed,
        reason="" if passed else name,
        assertion=report.Assertion(passed=passed, error=error),
        against_model=report.Comparison(passed=passed, error="nan" if name == "nan" else error),
    )
    return report.Testcase(
        index=index, source=report.Source(spec=name), inputs=[], passed=passed, outputs=[output]
    )


def _report(
    testcases: list[report.Testcase], text: str = "", verdict: report.Verdict = "failed"
) -> report.Report:
    machine = report.Machine(system="", processor="", cores=1, memory=1, python="")
    return report.Report(
        tool=report.Tool(version="0"),
        command=text,
        options={},
        verdict=verdict,
        exit_status=1,
        headline=text,
        machine=machine,
        testcases=testcases,
        warnings=[text],
    )


def _shown(text: str) -> str:
    return "".join(one_line(text, 300).split())


@settings(max_examples=200)
@given(text=hostile)
def test_text_of_unknown_origin_is_shown_and_means_nothing(text: str) -> None:
    problems = [Problem(text, text, f"f{text}", 3)]
    page = _Page(markdown("failed", text, problems, _report([_testcase(0, text)], text), _ROOM))
    plain = _Page(markdown("failed", "x", [Problem("x", "x", "f", 3)], _filled(), _ROOM))
    assert page.tags == plain.tags
    # Headline, problem, hint, file, warning, data, name and reason of the output, command.
    assert page.text.count(_shown(text)) >= 9


def _filled() -> report.Report:
    return _report([_testcase(0, "x")], "x")


def test_testcases_that_failed_come_first_and_the_rest_is_counted() -> None:
    testcases = [_testcase(index, "fine", passed=True) for index in range(ROWS + 5)]
    testcases[-1] = _testcase(ROWS + 4, "wrong")
    text = markdown("failed", "FAIL", (), _report(testcases), _ROOM)
    assert text.count("<tr>") == ROWS + 1
    assert text.index("wrong") < text.index("fine")
    assert "5 more testcases are in report.json" in text


@given(room=st.integers(min_value=0, max_value=3000), name=hostile)
def test_the_summary_keeps_to_its_room_in_bytes(room: int, name: str) -> None:
    testcases = [_testcase(index, name + "\u4e2d" * 20) for index in range(5)]
    text = markdown("failed", "FAIL", [Problem("x")], _report(testcases), room)
    assert len(text.encode()) <= room
    if room > 500:
        assert "FAIL" in text
    if 500 < room < 900:
        assert "There is more" in text


def test_the_largest_summary_is_far_below_the_runners_limit() -> None:
    worst = "\U0001f600&" * 400
    testcases = [_testcase(index, worst) for index in range(2 * ROWS)]
    problems = [Problem(worst, worst, worst, 1)] * (2 * ROWS)
    text = markdown("failed", worst, problems, _report(testcases, worst), _ROOM)
    assert "There is more" not in text
    assert len(text.encode()) < _ROOM


def test_a_run_without_a_report_has_a_summary() -> None:
    text = markdown("error", "ERROR: model is empty", [Problem("model is empty")], None, _ROOM)
    assert text.count("model is empty") == 2


def test_a_number_that_is_none_is_the_largest_error() -> None:
    assert str(largest_error(_testcase(0, "nan"))) == "nan"
    assert largest_error(_testcase(0, "x", error=0.25)) == 0.25
    empty = report.Testcase(index=0, source=None, inputs=[], passed=False, outputs=[])
    assert largest_error(empty) is None


def test_a_failed_testcase_always_has_a_reason() -> None:
    empty = report.Testcase(index=0, source=None, inputs=[], passed=False, outputs=[])
    assert reason(empty)
    assert reason(_testcase(0, "prob")) == "prob: prob"
    assert reason(_testcase(0, "prob", passed=True)) == ""
