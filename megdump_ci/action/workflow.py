"""The step that runs this action, in the text of the workflow that it stands in.

What it is for are the lines of annotations: where anything is uncertain there is no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

_LARGEST = 1 << 17
"""Bytes of a workflow: the parser takes some seconds for these."""
# Where YAML begins a line and those who show the file do not.
_ODD_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")

_Inputs = dict[str, tuple[yaml.Node, yaml.Node]]
"""The ``with`` of a step: for each name its node and its value's."""


@dataclass(frozen=True)
class StepText:
    """The inputs of a step as they are written."""

    file: str
    """Path of the workflow from the workspace."""
    lines: Sequence[str]
    """All of the file's."""
    inputs: _Inputs

    def line(self, name: str) -> int:
        """The line (from 1) that gives the input ``name``; 0 if none does."""
        return self.inputs[name][0].start_mark.line + 1 if name in self.inputs else 0

    def line_of(self, name: str, text: str) -> int:
        """The line on which the input ``name`` has ``text``; 0 unless there is exactly one."""
        found = self._places.get((name, text), []) if text else []
        return found[0] if len(found) == 1 else 0

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        """The lines of each text of each input: thousands of testcases are looked up."""
        found: dict[tuple[str, str], list[int]] = {}
        for name in self.inputs:
            for line, value in self._values(name):
                found.setdefault((name, value), []).append(line)
        return found

    def _values(self, name: str) -> Iterator[tuple[int, str]]:
        if name not in self.inputs:
            return
        value = self.inputs[name][1]
        first, last = value.start_mark.line, value.end_mark.line
        if not isinstance(value, yaml.ScalarNode):
            return
        if value.style != "|":
            yield first + 1, value.value.strip()
            return
        # The sign of a block stands alone; what is said begins below.
        for place in range(first + 1, min(last + 1, len(self.lines))):
            yield place + 1, self.lines[place].strip()


def own_step(environ: Mapping[str, str], root: Path) -> StepText | None:
    """The step that runs this, if it is in the checkout in ``root`` and there is no doubt."""
    path = _path(environ)
    text = _text(root / path) if path else ""
    steps = _steps(text, environ.get("GITHUB_JOB", ""))
    named = [inputs for name, inputs in steps if name and name == environ.get("GITHUB_ACTION")]
    alike = [inputs for _, inputs in steps if _fits(inputs, environ)]
    for found in (named, alike):
        if len(found) == 1:
            return StepText(path, text.split("\n"), found[0])
    return None


def _path(environ: Mapping[str, str]) -> str:
    """The workflow's path in this repository, of ``owner/repository/path@ref``; or nothing."""
    repository, whole = (
        environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY", "WORKFLOW_REF")
    )
    path = whole.partition("@")[0].removeprefix(f"{repository}/")
    found = Path(path)
    inside = found.parts[:2] == (".github", "workflows") and ".." not in found.parts
    return path if repository and inside else ""


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if _ODD_BREAKS.search(text) else text


def _steps(text: str, job: str) -> list[tuple[str, _Inputs]]:
    """The ids and inputs of the steps of a job that use an action as this one is used."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    # A checkout can hold anything, and a deep one is too deep for the parser.
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    jobs = _entries(_value(root, "jobs"))
    bodies = [body for name, (_, body) in jobs.items() if job in ("", name)]
    found = []
    for step in (item for body in bodies for item in _items(_value(body, "steps"))):
        inputs = _entries(_value(step, "with"))
        if _scalar(_value(step, "uses")) and any(name in inputs for name in _OWN):
            found.append((_scalar(_value(step, "id")), inputs))
    return found


_OWN = ("model", "entry", "output")
"""Inputs that tell one step of this action from another."""


def _fits(inputs: _Inputs, environ: Mapping[str, str]) -> bool:
    """Whether a step may be the one that gave the inputs of this run."""
    for name in _OWN:
        written = _scalar(inputs[name][1]) if name in inputs else ""
        # An expression may have had any value.
        if "${{" not in written and written != environ.get(f"INPUT_{name.upper()}", "").strip():
            return False
    return True


def _entries(node: yaml.Node | None) -> _Inputs:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {_scalar(key): (key, value) for key, value in pairs}


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pair = _entries(node).get(name)
    return pair[1] if pair else None


def _items(node: yaml.Node | None) -> Sequence[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _scalar(node: yaml.Node | None) -> str:
    return node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
