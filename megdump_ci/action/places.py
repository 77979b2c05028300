"""Where in the repository a thing stands, for the annotation that is about it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from megdump_ci import target
from megdump_ci.action import paths
from megdump_ci.action.workflow import StepText, own_step
from megdump_ci.errors import ExitStatus, InputError, Problem
from megdump_ci.report import Source

_LARGEST = 1 << 20
# How a message about an option begins.
_ABOUT = re.compile(r"(?:there is no )?(?:input )?'?([a-z0-9][a-z0-9_-]*)'?(?:: | is |, )")


@dataclass(frozen=True)
class Place:
    """A file of the workspace, and a line of it (from 1) or 0; all of it empty for nowhere."""

    file: str = ""
    line: int = 0


NOWHERE = Place()


class Places:
    """Where the parts of one run stand."""

    def __init__(self, environ: Mapping[str, str], root: Path, model: str = "") -> None:
        self._environ = environ
        self._root = root
        self._model = model or environ.get("INPUT_MODEL", "").strip()

    @cached_property
    def model(self) -> Place:
        """The model; where it is Python code, the line that defines it."""
        if not target.is_code(self._model):
            return Place(self._inside(self._model))
        try:
            code = target.parse(self._model)
        except InputError:
            return Place(self._inside(self._model))
        file = self._inside(code.file)
        return Place(file, _definition(self._root / file, code.name)) if file else NOWHERE

    def testcase(self, source: Source | None) -> Place:
        """The line of the list, or of the workflow, that asks for a testcase."""
        if source is None:
            return NOWHERE
        if source.file:
            file = self._inside(source.file)
            return Place(file, source.line) if file else NOWHERE
        return self._data(source.spec)

    def problem(self, problem: Problem, exit_status: int) -> Place:
        """What has to be changed, as far as that can be told."""
        file = self._inside(problem.file)
        if file:
            return Place(file, problem.line)
        place = self._option(problem) or self._mentioned(problem)
        if place is not None:
            return place
        if exit_status == ExitStatus.ENGINE or (self._model and self._model in problem.message):
            return self.model
        return NOWHERE

    @cached_property
    def _step(self) -> StepText | None:
        return own_step(self._environ, self._root)

    def _option(self, problem: Problem) -> Place | None:
        """The line of the workflow that gives the input that a message begins with."""
        found = _ABOUT.match(problem.message)
        line = self._step.line(found[1]) if self._step and found else 0
        return Place(self._step.file, line) if self._step and line else None

    def _mentioned(self, problem: Problem) -> Place | None:
        """The line of the workflow with the data that a message names."""
        items = (item.strip() for item in self._environ.get("INPUT_DATA", "").splitlines())
        for item in filter(None, items):
            name = item.removeprefix("@").strip()
            if name and name in problem.message and self._data(item).line:
                return self._data(item)
        return None

    def _data(self, spec: str) -> Place:
        line = self._step.line_of("data", spec) if self._step else 0
        return Place(self._step.file, line) if self._step and line else NOWHERE

    def _inside(self, path: str) -> str:
        """``path`` from the workspace, if it is a file there."""
        shown = paths.shown(path, self._root) if path else ""
        whole = self._root / shown
        return shown if shown and not os.path.isabs(shown) and whole.is_file() else ""


def _definition(path: Path, name: str) -> int:
    """The line of a Python file that defines ``name`` at its top; 0 if that is not clear."""
    try:
        with path.open("rb") as file:
            module = ast.parse(file.read(_LARGEST))
    # What cannot be read is no news here: the run itself has said so.
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    lines = [node.lineno for node in module.body if name in _names(node)]
    # A later one takes the place of an earlier one.
    return lines[-1] if lines else 0


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets += [node.target] if isinstance(node, ast.AnnAssign) else []
    return [item.id for item in targets if isinstance(item, ast.Name)]
