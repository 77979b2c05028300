"""Places in a TOML file."""

from __future__ import annotations

import tomli
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.project.lines import Lines

KEYS = st.dictionaries(
    st.text("ab-_", min_size=1, max_size=3),
    st.sampled_from(
        ["1", '"x = 1"', "'''\na = 1\n[[model]]\n'''", '"""\nb = 2"""', "[\n  1,\n]", "[[1], [2]]"]
    ),
    max_size=4,
)


@given(defaults=KEYS, models=st.lists(KEYS, max_size=3), gaps=st.integers(0, 2))
def test_each_key_is_where_it_is_written(
    defaults: dict[str, str], models: list[dict[str, str]], gaps: int
) -> None:
    text = ""
    places: dict[tuple[int | str, str], int] = {}
    for table, keys in [("defaults", defaults), *enumerate(models)]:
        text += "# [[model]]\n" * gaps
        places[table, ""] = text.count("\n") + 1
        text += "[defaults] # a = 1\n" if table == "defaults" else "[[ model ]]\n"
        for key, value in keys.items():
            places[table, key] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomli.loads(text)
    lines = Lines(text)
    for (table, key), line in places.items():
        assert lines.of(table, key or "missing") == line


def test_what_is_written_in_another_way_has_the_place_of_what_it_is_in() -> None:
    lines = Lines('x = 1\nmodel = [{path = "a"}]\n\n[defaults]\n"a b" = 1\n')
    assert lines.of("model", "path") == 2
    assert lines.of("defaults", "a b") == 5
    assert lines.of(0, "path") == 1
