"""Placeholders, and the names that are made of them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.project import names, placeholders

PARTS = st.lists(st.text("ab._-\u6a21", min_size=1, max_size=4).filter(lambda p: p.strip(".")))


@given(folders=PARTS, stem=st.text("ab-\u6a21", min_size=1))
def test_a_model_fills_in_its_folder_and_its_stem(folders: list[str], stem: str) -> None:
    found = placeholders.of_model("/".join([*folders, f"{stem}.mge"]))
    assert found == {"stem": stem, "dir": "/".join(folders) or "."}
    path = placeholders.filled("{dir}/{stem}.mge", found)
    assert PurePosixPath(path) == PurePosixPath("/".join([*folders, f"{stem}.mge"]))


@given(text=st.text(), values=st.dictionaries(st.sampled_from(["stem", "dir"]), st.text()))
def test_braces_that_are_written_twice_stay(text: str, values: dict[str, str]) -> None:
    written = text.replace("{", "{{").replace("}", "}}")
    assert placeholders.filled(written, values) == text
    # What was filled in is not looked at again.
    filled = placeholders.filled("x".join(f"{{{name}}}" for name in values), values)
    assert filled == "x".join(values.values())


@pytest.mark.parametrize(
    "text", ["{", "}", "{x}", "{}", "{0}", "{stem!r}", "{stem:>9}", "{stem.x}"]
)
def test_anything_else_in_braces_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        placeholders.filled(text, {"stem": "a"})
    assert "{stem}" in caught.value.problems[0].hint


@pytest.mark.parametrize("name", ["a", "a.b-c_d", "\u6a21\u578b", "two words", "x" * names.LONGEST])
def test_what_an_entry_can_be_called(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "a\\b", "..", ".a", "-a", "a.", " a", "a\nb", "a:b", "a\u202eb", "x" * 101],
)
def test_what_it_cannot(name: str) -> None:
    with pytest.raises(InputError):
        names.check(name)
