from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from megdump_ci.action.places import NOWHERE, Place, Places
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.report import Source

_FILE = ".github/workflows/models.yml"
_TEXT = """\
jobs:
  pack:
    steps:
      - uses: x/y@v1
        with:
          model: nets/net.mge
          data: |
            #rand(0,1)
            @list.txt
          repeat: two
          outptu: x
"""
_ENVIRON = {
    "GITHUB_REPOSITORY": "o/r",
    "GITHUB_WORKFLOW_REF": f"o/r/{_FILE}@main",
    "GITHUB_JOB": "pack",
    "INPUT_MODEL": "nets/net.mge",
    "INPUT_DATA": "#rand(0,1)\n@list.txt\n",
}
Make = Callable[[str, str], None]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a file of the workspace."""

    def make(name: str, text: str = "") -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for name in ("nets/net.mge", "list.txt"):
        make(name)
    make(_FILE, _TEXT)
    return make


@pytest.fixture
def places(make: Make, tmp_path: Path) -> Places:
    return Places(_ENVIRON, tmp_path)


@pytest.mark.parametrize("model", ["nets/net.mge", "./nets/net.mge", "{root}/nets/net.mge"])
def test_a_model_is_its_file(make: Make, tmp_path: Path, model: str) -> None:
    found = Places({}, tmp_path, model.format(root=tmp_path)).model
    assert found == Place("nets/net.mge")


@pytest.mark.parametrize("model", ["", "gone.mge", "/etc/passwd", "../x.mge", "nets", "gone.py:f"])
def test_what_is_not_in_the_workspace_is_nowhere(make: Make, tmp_path: Path, model: str) -> None:
    assert Places({}, tmp_path, model).model == NOWHERE


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def f(): ...\n", 1),
        ("\nclass f: ...\n", 2),
        ("\n\nf = 1\n", 3),
        ("f: int = 1\n", 1),
        ("@dec\ndef f(): ...\n", 2),
        ("from x import y as f\n", 1),
        ("def f(): ...\n\ndef f(): ...\n", 3),
        ("def g():\n  def f(): ...\n", 0),
        ("def f(:\n", 0),
        ("", 0),
        ("(" * 1000, 0),
        ("\0", 0),
    ],
)
def test_code_is_the_line_that_defines_it(make: Make, tmp_path: Path, code: str, line: int) -> None:
    make("net.py", code)
    assert Places({}, tmp_path, "net.py:f").model == Place("net.py", line)
    assert Places({}, tmp_path, "net.py").model == Place("net.py")


def test_a_testcase_is_where_it_was_asked_for(places: Places) -> None:
    assert places.testcase(Source(spec="a", file="list.txt", line=7)) == Place("list.txt", 7)
    assert places.testcase(Source(spec="a", file="/tmp/list.txt", line=7)) == NOWHERE
    assert places.testcase(Source(spec="#rand(0,1)")) == Place(_FILE, 8)
    assert places.testcase(Source(spec="#rand(0,2)")) == NOWHERE
    assert places.testcase(None) == NOWHERE


@pytest.mark.parametrize(
    ("problem", "status", "place"),
    [
        (Problem("bad spec", file="list.txt", line=3), 2, Place("list.txt", 3)),
        (Problem("input repeat is 'two', which is no whole number"), 2, Place(_FILE, 10)),
        (Problem("there is no input 'outptu': did you mean 'output'?"), 2, Place(_FILE, 11)),
        (Problem("the list list.txt cannot be read: Permission denied"), 2, Place(_FILE, 9)),
        (Problem("'#rand(0,1)' does not say which input it is for"), 2, Place(_FILE, 8)),
        (Problem("cannot read nets/net.mge: it is cut off"), 2, Place("nets/net.mge")),
        (Problem("the engine was killed by SIGSEGV"), 3, Place("nets/net.mge")),
        (Problem("cannot write list.txt", file="list.txt"), 2, Place("list.txt")),
        (Problem("cannot write gone.txt", file="gone.txt"), 2, NOWHERE),
        (Problem("megdump-ci has a fault"), 4, NOWHERE),
    ],
)
def test_a_problem_is_at_what_has_to_be_changed(
    places: Places, problem: Problem, status: int, place: Place
) -> None:
    assert places.problem(problem, ExitStatus(status)) == place
