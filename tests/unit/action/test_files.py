from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.action import files

_pieces = st.sampled_from(["\n", "\r", "=", "<<", "EOF", "ghadelimiter_"])
values = st.lists(_pieces | st.characters(codec="utf-8")).map("".join)


@given(value=values, after=values)
def test_an_output_arrives_as_it_was_given(runner: Any, value: str, after: str) -> None:
    text = files.output_record("verdict", value) + files.output_record("next", after)
    assert runner.outputs(text) == {"verdict": value, "next": after}


def test_a_delimiter_in_the_value_is_not_taken(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["aa", "aa", "bb"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(tokens))
    value = "x\nghadelimiter_aa\nverdict=passed"
    assert runner.outputs(files.output_record("output", value)) == {"output": value}
    assert next(tokens, None) is None


def test_outputs_are_appended(runner: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("earlier=1\n")
    files.append_outputs(str(path), {"verdict": "passed", "output": "bytes \udcff"})
    found = runner.outputs(path.read_text(encoding="utf-8"))
    assert found == {"earlier": "1", "verdict": "passed", "output": "bytes ?"}


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.append_outputs("", {"verdict": "passed"})
    files.append_summary("", "text")
    assert list(tmp_path.iterdir()) == []


def test_the_room_for_the_summary_is_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    assert files.summary_room(str(path)) == files.SUMMARY_LIMIT
    path.write_text("\u00e9")
    assert files.summary_room(str(path)) == files.SUMMARY_LIMIT - 2
