"""``action.yml``, made from the options: ``python -m megdump_ci.action.manifest``."""

from __future__ import annotations

import json
import sys
from typing import Any

from megdump_ci.action.inputs import action_specs, default_of
from megdump_ci.options import OptionSpec

OUTPUTS = {
    "verdict": "passed, failed, not verified or error",
    "output": "path of the packed model, relative to the workspace; empty if none was written",
    "strip-info": "paths of the written strip info files, one a line",
    "report": "path of report.json; empty if none was written",
    "max-error": "the largest AssertEqual error of all testcases and outputs",
}

_HEAD = """\
# Made from megdump_ci/options.py by `python -m megdump_ci.action.manifest`.
name: megdump-ci
description: >-
  Pack a MegEngine model with testcases for load_and_run, and prove that the packed file still
  computes what the model computed
author: The megdump-ci authors
branding:
  icon: package
  color: blue
"""

_RUNS = """\
runs:
  using: docker
  image: Dockerfile
"""


def action_yml() -> str:
    """The text of ``action.yml``."""
    inputs = "".join(_input(spec) for spec in action_specs())
    outputs = "".join(
        f"  {name}:\n    description: {_quoted(text)}\n" for name, text in OUTPUTS.items()
    )
    return f"{_HEAD}inputs:\n{inputs}outputs:\n{outputs}{_RUNS}"


def text_of(value: Any) -> str:
    """A default as an input's text."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _input(spec: OptionSpec) -> str:
    lines = [f"  {spec.name}:", f"    description: {_quoted(_help(spec))}"]
    lines.append(f"    required: {text_of(spec.required)}")
    if not spec.required:
        lines.append(f"    default: {_quoted(text_of(default_of(spec)))}")
    return "\n".join(lines) + "\n"


def _help(spec: OptionSpec) -> str:
    text = spec.help
    if spec.many:
        text = text.replace(" Can be given several times", " Several testcases: one a line")
    if spec.choices:
        text += f" ({', '.join(spec.choices)})"
    return text


def _quoted(text: str) -> str:
    # A JSON string is a YAML string, whatever is in it.
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(action_yml())
