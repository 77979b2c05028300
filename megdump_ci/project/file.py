"""Reading ``megdump.toml``: the entries it lists, each with the options of its run of ``pack``.

::

    [defaults]                     # options of pack, for each entry that has none of its own
    data = "@lists/{stem}.txt"
    output = "out/{name}.mge"

    [[model]]
    path = "models/**/*.mge"       # a pattern makes an entry of each file
    maxerr = [1e-4, "logits=0.01"]

    [[model]]
    path = "nets/classifier.py:classifier"
    name = "classifier"
    watch = "nets/**/*.py"         # further files whose change selects the entry

Every path in it is relative to its own folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tomli

from megdump_ci import reading, target
from megdump_ci.errors import InputError, Problem
from megdump_ci.options import PackOptions
from megdump_ci.project import names, paths, placeholders
from megdump_ci.project.lines import Lines
from megdump_ci.project.options import NAME
from megdump_ci.project.tables import PATH, WATCH, Given, Keys, Place, Problems, Reader

_MOST = 16 << 20
"""Bytes that a project file may have."""
_OPTION = re.compile(r"(?:--)?([a-z0-9-]+)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model, and what to do with it."""

    name: str
    options: PackOptions
    """With paths relative to the project's folder."""
    given: frozenset[str]
    """The fields of ``options`` that the file says something about."""
    watch: tuple[str, ...] = ()
    """Patterns of files, relative to the project's folder."""
    place: Place
    """Of its path."""
    data: Place
    """Of its data."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A ``megdump.toml`` that was read."""

    path: str
    """Of the file, as it was given."""
    entries: tuple[Entry, ...]

    @property
    def folder(self) -> Path:
        """The folder that its paths are relative to."""
        return Path(self.path).parent

    def model_of(self, entry: Entry) -> str:
        """The model of an entry, from where the project's own path begins."""
        return os.path.normpath(self.folder / entry.options.model)

    def chosen(self, given: Sequence[str]) -> tuple[Entry, ...]:
        """The entries of these names, in the file's order; all of them if none is named.

        Raises :class:`InputError` for names that there are not.
        """
        names.check_known(given, [entry.name for entry in self.entries], self.path)
        return tuple(entry for entry in self.entries if not given or entry.name in given)


def read(path: str) -> Project:
    """Read the file ``path``; :class:`InputError` with everything that is wrong with it."""
    text = _text(path)
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        hint = "mend the line: text stands in quotes, a list in [ ], a model's keys below [[model]]"
        raise InputError(
            Problem(f"this is no TOML: {error.msg}", hint, path, error.lineno)
        ) from error
    # A number of thousands of digits, and lists in lists or a key of as many parts.
    except (ValueError, RecursionError) as error:
        raise InputError(
            Problem(f"this TOML cannot be read: {error}", "write what the options take", path)
        ) from error
    _check_integers(document, path)
    problems = Problems(path)
    defaults, models = Reader(Lines(text), problems).tables(document)
    expander = _Expander(Path(path).parent, problems)
    entries = [entry for keys in models for entry in expander.entries({**defaults, **keys})]
    if not problems:
        patterns = [keys[PATH].value for keys in models]
        _check_together(Path(path).parent, entries, patterns, problems)
    problems.raise_any()
    return Project(path=path, entries=tuple(entries))


def _text(path: str) -> str:
    hint = f"list the models in a {NAME}, or name the file that lists them"
    try:
        return reading.content(path, _MOST, hint).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", "save it as UTF-8") from error


def _check_integers(document: object, path: str) -> None:
    """:class:`InputError` for one that TOML does not have, which need not fit anything here."""
    waiting = [document]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
        elif isinstance(found, int) and not -(2**63) <= found < 2**63:
            raise InputError(
                Problem("an integer has more than the 64 bits of TOML", "write a smaller one", path)
            )


class _Expander:
    """Makes entries of tables."""

    def __init__(self, folder: Path, problems: Problems) -> None:
        self._folder = folder
        self._problems = problems

    def entries(self, keys: Keys) -> Iterator[Entry]:
        """An entry for each model that a table's path stands for; ``keys`` with the defaults."""
        if PATH not in keys:
            return
        path = keys[PATH]
        models = self._problems.attempt(partial(_models, self._folder, path.value), path.place)
        for model in models or ():
            before = len(self._problems)
            entry = self._entry(model, keys)
            if len(self._problems) == before:
                yield entry

    def _entry(self, model: str, keys: Keys) -> Entry:
        here = keys[PATH].place
        values = placeholders.of_model(model)
        name = keys.get("name", Given("{stem}", here))
        values["name"] = (
            self._problems.attempt(partial(_name, name.value, values), name.place) or ""
        )
        filled = {
            field: self._problems.attempt(partial(_filled, given.value, values), given.place)
            if field in placeholders.FIELDS
            else given.value
            for field, given in keys.items()
            if field not in (PATH, "name")
        }
        watch = tuple(filled.pop(WATCH, None) or ())
        if watch:
            check = partial(paths.check_found, self._folder, watch)
            self._problems.attempt(check, keys[WATCH].place)
        # Problems of the options are not the file's, but say which option they are about.
        fields: dict[str, Any] = {"data": (), "output": "", **filled, "name": values["name"]}
        options = PackOptions(model=model, **fields)
        for problem in options.problems() if None not in fields.values() else ():
            self._problems.add(problem.message, problem.hint, _place(problem, keys))
        return Entry(
            name=values["name"],
            options=options,
            given=frozenset({*filled, "name"}),
            watch=watch,
            place=here,
            data=keys.get("data", keys[PATH]).place,
        )


def _models(folder: Path, path: str) -> list[str]:
    """The models that ``path`` stands for; :class:`InputError` if there are none."""
    if not target.is_code(path):
        return paths.matching(folder, path)
    file, colon, name = path.rpartition(":")
    if not colon:
        target.parse(path)
    found = [f"{match}:{name}" for match in paths.matching(folder, file)]
    for model in found:
        target.parse(model)
    return found


def _name(text: str, values: dict[str, str]) -> str:
    in_name = {**values, "dir": values["dir"].replace("/", "-")}
    name = placeholders.filled(text, in_name)
    if name != text:
        # What a folder above or the folder itself is called.
        name = name.strip("-. ")
    names.check(name)
    return name


def _filled(value: str | tuple[str, ...], values: dict[str, str]) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return placeholders.filled(value, values)
    return tuple(placeholders.filled(item, values) for item in value)


def _place(problem: Problem, keys: Keys) -> Place:
    """The place of the option that a problem is about: it begins with the option's name."""
    named = _OPTION.match(problem.message)
    given = keys.get(named[1].replace("-", "_")) if named else None
    return (given or keys[PATH]).place


def _check_together(
    folder: Path, entries: Sequence[Entry], patterns: Sequence[str], problems: Problems
) -> None:
    """Report names that are taken, and files that would be written over one another."""
    named: dict[str, Entry] = {}
    for entry in entries:
        earlier = named.setdefault(entry.name, entry)
        if earlier is not entry:
            model, other = entry.options.model, earlier.options.model
            problems.add(
                f"{model} is called '{entry.name}', and so is {other}",
                'give one another name, or both a pattern such as name = "{dir}-{stem}"',
                entry.place,
            )
    models = {_real(folder, paths.file_of(entry.options.model)) for entry in entries}
    written: dict[str, Entry] = {}
    for entry in entries:
        for path in _written(entry.options):
            place = _real(folder, path)
            taken = [pattern for pattern in patterns if paths.matches(path, pattern)]
            earlier = written.setdefault(place, entry)
            if place in models:
                message = f"entry '{entry.name}' would write over the model {path}"
            elif taken:
                message = f"entry '{entry.name}' writes {path}, which path '{taken[0]}' would pack"
            elif earlier is not entry:
                message = f"entries '{earlier.name}' and '{entry.name}' would both write {path}"
            else:
                continue
            problems.add(message, 'write elsewhere, such as output = "out/{name}.mge"', entry.place)


def _written(options: PackOptions) -> list[str]:
    report = [os.path.join(options.report, "report.json")] if options.report else []
    return options.written + report


def _real(folder: Path, path: str) -> str:
    return os.path.realpath(folder / path)
