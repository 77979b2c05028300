from __future__ import annotations

import subprocess
import sys
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
    # What is required depends on the mode; a default would hide that it is missing.
    assert not any(value["required"] for value in action["inputs"].values())
    without = [name for name, value in action["inputs"].items() if "default" not in value]
    assert sorted(without) == sorted(_LEAST)


def test_nothing_in_it_is_an_expression() -> None:
    # The runner refuses an action with one in a description.
    assert "${{" not in manifest.action_yml()


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


_IMAGE = f"docker://ghcr.io/owner/megdump-ci@sha256:{'0a' * 32}"


def test_a_release_runs_the_image_it_was_built_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert manifest.main(["--image", _IMAGE]) == 0
    released, source = (
        yaml.safe_load(capsys.readouterr().out),
        yaml.safe_load(manifest.action_yml()),
    )
    assert released.pop("runs") == {"using": "docker", "image": _IMAGE}
    assert source.pop("runs")["image"] == "Dockerfile"
    assert released == source


@pytest.mark.parametrize(
    "image",
    [
        "docker://ghcr.io/owner/megdump-ci:v1",
        _IMAGE.removeprefix("docker://"),
        _IMAGE.replace("owner", "Owner"),
        _IMAGE[:-1],
        f"{_IMAGE}\nx: y",
        "docker://megdump-ci@sha256:" + "0a" * 32,
        "",
    ],
)
def test_an_image_that_may_change_is_refused(
    image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        manifest.main(["--image", image])
    assert stopped.value.code == 2
    assert "by digest" in capsys.readouterr().err


def test_it_needs_nothing_but_python() -> None:
    # A release makes it on a machine without the packages of the lock.
    program = f"import sys; sys.path.insert(0, {str(_ROOT)!r});"
    program += "from megdump_ci.action import manifest; manifest.main([])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == manifest.action_yml()
