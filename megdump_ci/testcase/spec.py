"""Testcase specs: reading them, and telling which input of the model gets which value.

Imports no numpy. The grammar is in :mod:`megdump_ci.testcase.grammar`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from megdump_ci.errors import InputError, Problem
from megdump_ci.testcase import grammar, listfile
from megdump_ci.testcase.faults import SyntaxFault, capped, listed, shortened
from megdump_ci.testcase.grammar import FileSpec, Item, RandomSpec, ValueSpec

__all__ = ["FileSpec", "RandomSpec", "TestcaseSpec", "ValueSpec", "bind", "read_specs"]


@dataclass(frozen=True)
class TestcaseSpec:
    """One testcase as it was asked for."""

    __test__: ClassVar[bool] = False

    text: str
    """As given, without blanks around it."""
    file: str = ""
    """The list file it came from, empty for a ``--data`` option."""
    line: int = 0
    """Its line in that file, from 1."""
    folder: str = ""
    """The folder of the list file, where paths are looked up after the working directory."""

    def problem(self, message: str, hint: str = "") -> Problem:
        """A problem with this testcase, at its place."""
        return Problem(message, hint, self.file, self.line)


def read_specs(data: Sequence[str]) -> list[TestcaseSpec]:
    """The testcases of the ``--data`` options, with ``@list`` files expanded.

    Raises one :class:`InputError` for all lists that cannot be read and all specs that are wrong
    whatever the model is; see :data:`~megdump_ci.testcase.faults.PROBLEM_LIMIT`.
    """
    specs: list[TestcaseSpec] = []
    problems: list[Problem] = []
    for text in data:
        try:
            specs += _expand(text.strip())
        except InputError as error:
            problems += error.problems
    for spec in specs:
        problems += _syntax_problems(spec)
    if not specs and not problems:
        problems.append(Problem("there is no testcase", "give at least one --data"))
    if problems:
        raise InputError(capped(problems))
    return specs


def bind(spec: TestcaseSpec, names: Sequence[str]) -> dict[str, ValueSpec]:
    """Which input gets which value, in the order of ``names`` (those of the model's inputs).

    An item that begins with a known name and ``:`` is for that input; the longest name that fits
    wins. With one input the name can be left out, and then the whole item is the value, so a path
    may hold ``:``. One ``#rand(...)`` without a name serves all inputs. Raises
    :class:`InputError` with all that does not fit.
    """
    if not names:
        raise InputError(
            spec.problem("the model has no input to give data to", "give a model with inputs")
        )
    try:
        return _Binding(spec, names).bound()
    except SyntaxFault as fault:
        raise InputError(fault.problem(spec.text, spec.file, spec.line)) from fault


@dataclass
class _Binding:
    spec: TestcaseSpec
    names: Sequence[str]
    values: dict[str, ValueSpec] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unplaced: bool = False
    """Whether there is an item without an input; what is missing is then not known."""

    def bound(self) -> dict[str, ValueSpec]:
        items = grammar.split_items(self.spec.text)
        if len(items) == 1 and self._name_of(items[0]) is None and items[0].text[0] == "#":
            value = grammar.parse_value(items[0].text, items[0].start)
            return dict.fromkeys(self.names, value)
        for item in items:
            self._place(item)
        missing = [name for name in self.names if name not in self.values]
        if missing and not self.unplaced:
            self._report(
                f"{listed(missing)} of the model's inputs {'get' if missing[1:] else 'gets'} no"
                f" data from '{shortened(self.spec.text)}'",
                f"write one item for each input: {self._form()}",
            )
        if self.problems:
            raise InputError(self.problems)
        return {name: self.values[name] for name in self.names}

    def _place(self, item: Item) -> None:
        name = self._name_of(item)
        if name is not None:
            value = item.text[len(name) :].lstrip()[1:].lstrip()
            start = item.start + len(item.text) - len(value)
            self._set(name, grammar.parse_value(value, start))
        elif len(self.names) == 1 and not _hides_random(item.text):
            self._set(self.names[0], grammar.parse_value(item.text, item.start))
        else:
            self.unplaced = True
            self._report_unplaced(item)

    def _set(self, name: str, value: ValueSpec) -> None:
        if name not in self.values:
            self.values[name] = value
        elif len(self.names) == 1:
            self._report(
                f"'{shortened(self.spec.text)}' gives several values to the model's one input"
                f" '{shortened(name)}'",
                "give each testcase its own --data (a path cannot hold ';')",
            )
        else:
            self._report(
                f"input '{shortened(name)}' is given twice in '{shortened(self.spec.text)}'",
                f"write one item for each input: {self._form()}",
            )

    def _name_of(self, item: Item) -> str | None:
        fitting = [
            name
            for name in self.names
            if item.text.startswith(name) and item.text[len(name) :].lstrip()[:1] == ":"
        ]
        return max(fitting, key=len, default=None)

    def _report_unplaced(self, item: Item) -> None:
        head = item.text[: item.text.index("#")] if _hides_random(item.text) else item.text
        inputs = f"the model's inputs are {listed(self.names)}"
        if len(self.names) == 1:
            inputs = f"the model's input is {listed(self.names)}"
        if ":" not in head or item.text[0] == "#":
            self._report(f"'{shortened(item.text)}' does not say which input it is for", inputs)
            return
        tried = [head[:at].strip() for at, char in enumerate(head) if char == ":"]
        close = [difflib.get_close_matches(name, self.names, 1) for name in tried[-NAME_TRIES:]]
        guess = next((match[0] for match in reversed(close) if match), "")
        known = tried[-1] if _hides_random(item.text) else tried[0]
        self._report(
            f"the model has no input '{shortened(known)}'",
            (f"did you mean '{shortened(guess)}'? " if guess else "") + inputs,
        )

    def _report(self, message: str, hint: str) -> None:
        self.problems.append(self.spec.problem(message, hint))

    def _form(self) -> str:
        return shortened(";".join(f"{name}:..." for name in sorted(self.names)), 200)


NAME_TRIES = 4
"""So many parts of an item before a ``:`` are compared with the names."""


def _hides_random(text: str) -> bool:
    """Whether a ``#rand(...)`` stands behind something that is no known name."""
    colon, hash_at = text.rfind(":"), text.rfind("#")
    return 0 < colon < hash_at and not text[colon + 1 : hash_at].strip() and text[0] != "#"


def _expand(text: str) -> list[TestcaseSpec]:
    if not text.startswith("@"):
        return [TestcaseSpec(text)]
    path = text[1:].strip()
    _check_characters(path)
    folder = os.path.dirname(path)
    return [TestcaseSpec(line, path, number, folder) for number, line in listfile.read_lines(path)]


def _syntax_problems(spec: TestcaseSpec) -> list[Problem]:
    if spec.text.startswith("@"):
        return [
            spec.problem(
                f"the list names another list, '{shortened(spec.text)}'",
                "give each list its own --data",
            )
        ]
    try:
        _check_characters(spec.text)
        grammar.check_syntax(spec.text)
    except SyntaxFault as fault:
        return [fault.problem(spec.text, spec.file, spec.line)]
    except InputError as error:
        return [spec.problem(problem.message, problem.hint) for problem in error.problems]
    return []


def _check_characters(text: str) -> None:
    # Such a text can neither name a file nor stand in a report.
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InputError(
            f"'{shortened(text)}' holds a character that no path can have or that is not UTF-8",
            "rename the file",
        )
