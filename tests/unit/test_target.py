"""``FILE.py:NAME``: what is one, and what is wrong with one."""

from pathlib import Path

import pytest

from megdump_ci import target
from megdump_ci.errors import InputError
from megdump_ci.target import Target


@pytest.mark.parametrize(
    ("text", "file", "name"),
    [
        ("model.py:net", "model.py", "net"),
        ("a/b.py:Net", "a/b.py", "Net"),
        ("/x y/\u6a21\u578b.py:\u7f51", "/x y/\u6a21\u578b.py", "\u7f51"),
        ("a.py:b/c.py:net", "a.py:b/c.py", "net"),
    ],
)
def test_a_target_is_a_file_and_a_name(text: str, file: str, name: str) -> None:
    assert target.is_code(text)
    assert target.parse(text) == Target(file, name)
    assert str(target.parse(text)) == text


@pytest.mark.parametrize("text", ["model.mge", "model.pyc", "py", "", "dir.py/model.mge", "m.PY:x"])
def test_a_dumped_model_is_no_code(text: str) -> None:
    assert not target.is_code(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m.py", "does not say what in the file to export"),
        ("m.py:", "does not say what in the file to export"),
        ("m.py:a b", "'a b' in 'm.py:a b' is no Python name"),
        ("m.py:a.b", "is no Python name"),
        ("m.mge", "is not of the form FILE.py:NAME"),
    ],
)
def test_what_is_wrong_with_a_target_is_said_with_the_form(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        target.parse(text)
    (problem,) = caught.value.problems
    assert said in problem.message
    assert "FILE.py:NAME" in problem.hint


def test_the_file_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("")
    assert target.check(f"{tmp_path}/m.py:net").name == "net"
    with pytest.raises(InputError, match="No such file"):
        target.check(f"{tmp_path}/n.py:net")
