"""The JSON schema of megdump.toml takes what is read, and refuses what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import OptionSpec
from megdump_ci.project.schema import json_schema
from megdump_ci.project.tables import option_specs
from megdump_ci.project.values import value_of

ROOT = Path(__file__).parents[3]
SCHEMA = json_schema()
CHECK = jsonschema.Draft7Validator(SCHEMA)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
BLOCKS = [
    block for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_samples_are_as_it_says() -> None:
    CHECK.validate(tomli.loads((ROOT / "samples" / "megdump.toml").read_text()))


@pytest.mark.parametrize("block", BLOCKS)
def test_so_are_the_examples_of_the_pages(block: str) -> None:
    CHECK.validate(tomli.loads(block))


VALUES = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-5, 5).filter(lambda number: not number.is_integer()),
    st.sampled_from(["", "a", "lite", "fbs", "1e-3", "logits=1"]),
    st.lists(st.sampled_from(["a", 1, 1.5, True, "logits=1"]), min_size=1, max_size=2),
)


def taken(spec: OptionSpec, value: Any) -> bool:
    try:
        value_of(spec, value)
    except InputError as error:
        # What a limit's text says is no matter of types.
        return spec.kind is Limits and "limit" in str(error)
    return True


@given(spec=st.sampled_from(list(option_specs().values())), value=VALUES, dashed=st.booleans())
def test_a_key_takes_the_values_that_are_read(spec: OptionSpec, value: Any, dashed: bool) -> None:
    key = spec.name if dashed else spec.field
    model = {"path": "a.mge", key: value}
    assert CHECK.is_valid({"model": [model]}) == taken(spec, value)
    assert CHECK.is_valid({"defaults": {key: value}, "model": [{"path": "a"}]}) == taken(
        spec, value
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"model": []},
        {"model": [{}]},
        {"model": [{"path": ""}]},
        {"model": [{"path": "a", "model": "a"}]},
        {"model": [{"path": "a"}], "defaults": {"path": "b"}},
        {"model": [{"path": "a"}], "other": {}},
    ],
)
def test_what_it_refuses(document: dict[str, Any]) -> None:
    assert not CHECK.is_valid(document)
