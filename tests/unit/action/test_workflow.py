"""Where the step stands in its workflow, and that there is no line where there is doubt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megdump_ci.action.workflow import own_step

_FILE = ".github/workflows/models.yml"
_ENVIRON = {
    "GITHUB_REPOSITORY": "owner/repo",
    "GITHUB_WORKFLOW_REF": f"owner/repo/{_FILE}@refs/heads/main",
    "GITHUB_JOB": "pack",
    "GITHUB_ACTION": "__self",
    "INPUT_MODEL": "net.mge",
    "INPUT_OUTPUT": "out.mge",
}
_TEXT = """\
on: push
jobs:
  other:
    steps:
      - uses: megdump-ci/megdump-ci@v1
        with: {model: net.mge, data: "#rand(0,1)", output: out.mge}
  pack:
    steps:
      - run: "echo '#rand(0,1)'"
      - uses: megdump-ci/megdump-ci@v1
        id: first
        with:
          model: net.mge
          # The same text in a comment: #rand(0,1)
          data: |

            #rand(0,1)
            @list.txt
            a.png
            a.png
          output: out.mge
      - uses: megdump-ci/megdump-ci@v1
        with:
          model: ${{ matrix.model }}
          data: "#rand(0,2)"
          output: another.mge
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    path = tmp_path / _FILE
    path.parent.mkdir(parents=True)
    path.write_text(_TEXT)
    return tmp_path


def _line(checkout: Path, text: str, name: str = "data", **changes: str) -> int:
    step = own_step({**_ENVIRON, **changes}, checkout)
    assert step is None or step.file == _FILE
    return step.line_of(name, text) if step else 0


def test_each_testcase_has_the_line_that_asks_for_it(checkout: Path) -> None:
    lines = _TEXT.split("\n")
    for text in ("#rand(0,1)", "@list.txt"):
        assert lines[_line(checkout, text) - 1].strip() == text
    step = own_step(_ENVIRON, checkout)
    assert step is not None
    assert lines[step.line("data") - 1].strip() == "data: |"
    assert lines[step.line("model") - 1].strip() == "model: net.mge"
    assert step.line("seed") == 0


@pytest.mark.parametrize("text", ["a.png", "", "#rand", "#rand(0,2)", "echo"])
def test_what_is_there_twice_or_not_at_all_has_no_line(checkout: Path, text: str) -> None:
    assert _line(checkout, text) == 0


def test_a_value_on_the_line_of_its_name(checkout: Path) -> None:
    found = _line(checkout, "#rand(0,2)", INPUT_MODEL="x.mge", INPUT_OUTPUT="another.mge")
    assert _TEXT.split("\n")[found - 1].strip() == 'data: "#rand(0,2)"'


def test_a_step_is_found_by_its_id_whatever_its_inputs_are(checkout: Path) -> None:
    assert _line(checkout, "@list.txt", GITHUB_ACTION="first", INPUT_OUTPUT="${OUT}")


@pytest.mark.parametrize(
    "changes",
    [
        {"GITHUB_JOB": "another"},
        # In both jobs, and so one of them would be a guess.
        {"GITHUB_JOB": ""},
        {"INPUT_OUTPUT": "third.mge"},
        {"GITHUB_REPOSITORY": "owner/other"},
        {"GITHUB_REPOSITORY": ""},
        {"GITHUB_WORKFLOW_REF": ""},
        {"GITHUB_WORKFLOW_REF": "owner/repo/.github/workflows/../../secret@main"},
        {"GITHUB_WORKFLOW_REF": "owner/repo/.github/workflows/gone.yml@main"},
    ],
)
def test_no_step_where_there_is_doubt(checkout: Path, changes: dict[str, str]) -> None:
    assert own_step({**_ENVIRON, **changes}, checkout) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"jobs: [",
        b"jobs: {pack: {steps: 3}}",
        b"[" * 600,
        b"&a [*a, *a]",
        b"{? [a]: b}",
        _TEXT.replace("# The", "# \u2028").encode(),
        b" " * (1 << 17) + _TEXT.encode(),
    ],
)
def test_a_file_of_any_content_is_survived(checkout: Path, content: bytes) -> None:
    (checkout / _FILE).write_bytes(content)
    assert own_step(_ENVIRON, checkout) is None


@settings(max_examples=20)
@given(items=st.lists(st.sampled_from(["#rand(0,1)", "a b.png", "@x", "n:1;m:2"]), min_size=1))
def test_a_line_is_the_one_with_the_text(
    tmp_path_factory: pytest.TempPathFactory, items: list[str]
) -> None:
    root = tmp_path_factory.mktemp("checkout")
    path = root / _FILE
    path.parent.mkdir(parents=True)
    block = "".join(f"\n            {item}" for item in items)
    text = _TEXT.replace(_TEXT[_TEXT.index("\n\n") : _TEXT.index("\n          output")], block, 1)
    path.write_text(text)
    step = own_step(_ENVIRON, root)
    assert step is not None
    for item in items:
        line = step.line_of("data", item)
        assert (line > 0) is (items.count(item) == 1)
        assert line == 0 or text.split("\n")[line - 1].strip() == item
