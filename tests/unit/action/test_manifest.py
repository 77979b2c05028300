from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from megdump_ci.action import inputs, manifest

_ROOT = Path(__file__).resolve().parents[3]
_LEAST = {"model": "model.mge", "data": "#rand(0,1)", "output": "out.mge"}


def test_the_checked_in_file_is_the_generated_one() -> None:
    checked_in = (_ROOT / "action.yml").read_text(encoding="utf-8")
    assert checked_in == manifest.action_yml(), (
        "run: python -m megdump_ci.action.manifest > action.yml"
    )


def test_it_is_a_container_action_with_an_input_for_every_option() -> None:
    action = yaml.safe_load(manifest.action_yml())
    assert action["runs"] == {"using": "docker", "image": "Dockerfile"}
    assert list(action["inputs"]) == [spec.name for spec in inputs.action_specs()]
    assert list(action["outputs"]) == list(manifest.OUTPUTS)
    required = [name for name, value in action["inputs"].items() if value["required"]]
    assert sorted(required) == sorted(_LEAST)


def test_the_defaults_it_names_are_those_of_empty_inputs() -> None:
    # The runner gives every input that has a default, as text.
    action = yaml.safe_load(manifest.action_yml())
    given = {name: value.get("default", "") for name, value in action["inputs"].items()}
    assert all(isinstance(value, str) for value in given.values())
    least = {f"INPUT_{name.upper()}": text for name, text in _LEAST.items()}
    defaults = {f"INPUT_{name.upper()}": text for name, text in given.items()}
    assert inputs.read({**defaults, **least}) == inputs.read(least)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (900.0, "900"), (1, "1"), ("", "")]
)
def test_a_default_as_text(value: object, text: str) -> None:
    assert manifest.text_of(value) == text
