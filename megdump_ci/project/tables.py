"""The tables of ``megdump.toml``: what each key says, where, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from megdump_ci.errors import InputError, Problem
from megdump_ci.options import OptionSpec, PackOptions, specs
from megdump_ci.project.lines import Lines, Table
from megdump_ci.project.values import texts_of, value_of
from megdump_ci.testcase.faults import capped

DEFAULTS = "defaults"
MODEL = "model"
PATH = "path"
WATCH = "watch"

PATH_FORM = f'write {PATH} = "FILE.mge", a pattern such as "models/**/*.mge", or "FILE.py:NAME"'

_Value = TypeVar("_Value")


def option_specs() -> dict[str, OptionSpec]:
    """The options that are keys, by their names."""
    # The model is what an entry's path says.
    return {spec.name: spec for spec in specs(PackOptions) if spec.field != "model"}


@dataclass(frozen=True)
class Place:
    """Where something is said in the file."""

    line: int
    entry: str = ""
    """The path of the entry; empty in ``[defaults]``."""


@dataclass(frozen=True)
class Given:
    """What a key says, and where."""

    value: Any
    place: Place


Keys = dict[str, Given]
"""The keys of a table by the fields of ``PackOptions``, and ``path`` and ``watch``."""


class Problems:
    """What is wrong with a file, each thing once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: dict[Problem, None] = {}

    def add(self, message: str, hint: str, place: Place) -> None:
        """Report something."""
        behind = f" (entry '{place.entry}')" if place.entry else ""
        self._found.setdefault(Problem(message + behind, hint, self._path, place.line))

    def attempt(self, check: Callable[[], _Value], place: Place) -> _Value | None:
        """What ``check`` returns, or ``None`` once what it raised is reported."""
        try:
            return check()
        except InputError as error:
            for problem in error.problems:
                self.add(problem.message, problem.hint, place)
            return None

    def __len__(self) -> int:
        return len(self._found)

    def raise_any(self) -> None:
        """Raise one :class:`InputError` for all, if there are any."""
        if self._found:
            raise InputError(capped(sorted(self._found, key=lambda problem: problem.line)))


class Reader:
    """Reads tables, and goes on after a mistake."""

    def __init__(self, lines: Lines, problems: Problems) -> None:
        self._lines = lines
        self._problems = problems
        self._specs = option_specs()

    def tables(self, document: Mapping[str, Any]) -> tuple[Keys, list[Keys]]:
        """The keys of ``[defaults]``, and those of each ``[[model]]``."""
        for name in document.keys() - {DEFAULTS, MODEL}:
            near = difflib.get_close_matches(name, [DEFAULTS, MODEL], n=1)
            hint = f"did you mean {near[0]}?" if near else "there are [defaults] and [[model]]"
            self._report(f"there is no table {name}", hint, name)
        defaults = document.get(DEFAULTS, {})
        if not isinstance(defaults, dict):
            self._report("defaults is no table", "begin it with [defaults]", DEFAULTS)
            defaults = {}
        models = document.get(MODEL, [])
        if not isinstance(models, list) or not all(isinstance(item, dict) for item in models):
            self._report("model is no list of tables", "begin each with [[model]]", MODEL)
            models = []
        elif not models:
            self._report("it lists no model", f"add a [[model]]: {PATH_FORM}", MODEL)
        return self._keys(DEFAULTS, defaults), [self._model(*item) for item in enumerate(models)]

    def _report(self, message: str, hint: str, table: Table) -> None:
        self._problems.add(message, hint, Place(self._lines.of(table)))

    def _model(self, number: int, table: Mapping[str, object]) -> Keys:
        if PATH not in table:
            self._report(f"a model has no {PATH}", PATH_FORM, number)
        return self._keys(number, table)

    def _keys(self, table: Table, keys: Mapping[str, object]) -> Keys:
        entry = "" if table == DEFAULTS else str(keys.get(PATH, ""))
        found: Keys = {}
        spelt: dict[str, str] = {}
        for key, value in keys.items():
            place = Place(self._lines.of(table, key), entry)
            field = self._problems.attempt(partial(self._field, key, table), place)
            if field is None:
                continue
            if field in found:
                self._problems.add(f"{key} is also given as {spelt[field]}", "keep one", place)
            read = self._problems.attempt(partial(self._value, field, value), place)
            if read is not None:
                found[field], spelt[field] = Given(read, place), key
        return found

    def _field(self, key: str, table: Table) -> str:
        """What a key is about; :class:`InputError` if there is none of that name."""
        named = key.replace("_", "-")
        if named in self._specs:
            return self._specs[named].field
        if key == WATCH or (key == PATH and table != DEFAULTS):
            return key
        if key == PATH:
            raise InputError(f"{PATH} has no default", f"give each [[{MODEL}]] its own")
        if key == MODEL:
            raise InputError(f"there is no key {MODEL}", f"it is called {PATH} here: {PATH_FORM}")
        near = difflib.get_close_matches(named, [*self._specs, PATH, WATCH], n=1)
        hint = f"did you mean {near[0]}?" if near else "'megdump-ci pack --help' lists the options"
        raise InputError(f"there is no key {key}", hint)

    def _value(self, field: str, value: object) -> Any:
        if field == PATH:
            if not isinstance(value, str) or not value:
                raise InputError(f"{PATH} is no text, or empty", PATH_FORM)
            return texts_of(PATH, value)[0]
        if field == WATCH:
            return texts_of(WATCH, value)
        return value_of(self._specs[field.replace("_", "-")], value)
