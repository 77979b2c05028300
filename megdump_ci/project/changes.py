"""Which entries have changed since a commit, and by what.

A file counts as changed if the commit does not have it as it is on disk: what is not committed,
or not in git at all, counts too. So no entry is left out that could do something else than it did
at that commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from megdump_ci import target
from megdump_ci.errors import InputError
from megdump_ci.project import paths
from megdump_ci.project.file import Entry, Project
from megdump_ci.testcase import grammar, listfile
from megdump_ci.testcase.faults import SyntaxFault

if TYPE_CHECKING:
    from megdump_ci.project.history import Snapshot


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The entries that were selected."""

    entries: tuple[Entry, ...]
    reasons: dict[str, str] = field(default_factory=dict)
    """What selected an entry, by its name."""
    note: str = ""
    """Why all were selected, where there was no commit to compare with."""


def since(project: Project, entries: Sequence[Entry], ref: str) -> Changes:
    """Those of ``entries`` that have changed since the commit ``ref``.

    All of them if ``ref`` is all zeros, which is what the first push of a branch comes after, or
    if history was rewritten and has lost the commit. Raises :class:`InputError` if there is no
    such commit, or no repository.
    """
    if ref.strip("0") == "":
        return Changes(entries=tuple(entries), note="there is no earlier commit: all are selected")
    # Not before a commit is asked for: what reads a repository takes its time to load.
    from megdump_ci.project import history

    try:
        with history.snapshot(project.folder, ref) as snapshot:
            comparison = _Comparison(project, snapshot)
            found = {entry.name: comparison.reason(entry) for entry in entries}
    except history.Gone:
        note = f"the history does not have {ref} any more: all are selected"
        return Changes(entries=tuple(entries), note=note)
    return Changes(
        entries=tuple(entry for entry in entries if found[entry.name]),
        reasons={name: reason for name, reason in found.items() if reason},
    )


class _Comparison:
    def __init__(self, project: Project, snapshot: Snapshot) -> None:
        self._folder = Path(os.path.realpath(project.folder))
        self._snapshot = snapshot
        self._known: dict[str, str] = {}
        self._own = self._changed(os.path.basename(project.path))

    def reason(self, entry: Entry) -> str:
        """What has changed of an entry; empty if nothing has."""
        return self._own or next(filter(None, self._reasons(entry)), "")

    def _reasons(self, entry: Entry) -> Iterator[str]:
        model = paths.file_of(entry.options.model)
        yield self._changed(model)
        if target.is_code(entry.options.model) and not entry.watch:
            # What it imports is looked up from its folder on.
            folder = os.path.dirname(model)
            yield from self._in_pattern(os.path.join(paths.escaped(folder), "**/*.py"))
        if entry.options.baseline:
            yield self._changed(entry.options.baseline)
        for text in entry.options.data:
            yield from self._in_data(text.strip())
        for pattern in entry.watch:
            yield from self._in_pattern(pattern)

    def _in_data(self, text: str) -> Iterator[str]:
        if not text.startswith("@"):
            yield self._in_spec(text, [""])
            return
        path = text[1:].strip()
        yield self._changed(path)
        try:
            lines = listfile.read_lines(str(self._folder / path))
        except InputError as error:
            yield error.problems[0].message
            return
        for _, line in lines:
            yield self._in_spec(line, ["", os.path.dirname(path)])

    def _in_spec(self, text: str, folders: Sequence[str]) -> str:
        """What has changed of the files in a testcase, which are looked up in ``folders``."""
        try:
            items = grammar.split_items(text)
        except SyntaxFault:
            return f"'{text}' is no data"
        return next(filter(None, (self._in_item(item.text, folders) for item in items)), "")

    def _in_item(self, text: str, folders: Sequence[str]) -> str:
        # Only the model's names tell which part of NAME:PATH is the path.
        parts = text.split(":")
        texts = [":".join(parts[place:]).strip() for place in range(len(parts))]
        if any(map(grammar.is_random, texts)):
            return ""
        there = [
            path
            for path in (os.path.join(folder, name) for folder in folders for name in texts if name)
            if self._exists(path)
        ]
        if not there:
            return f"'{text}' is no file"
        return next(filter(None, map(self._changed, there)), "")

    def _in_pattern(self, pattern: str) -> Iterator[str]:
        top, folder = self._snapshot.top, os.path.relpath(self._folder, self._snapshot.top)
        whole = os.path.normpath(os.path.join(paths.escaped(folder), pattern))
        now = paths.below(top, whole)
        before = [path for path in self._snapshot.paths if paths.matches(path, whole)]
        if not now and not before:
            yield f"'{pattern}' is not in the repository"
        for path in sorted({*now, *before}):
            yield self._changed(os.path.relpath(top / path, self._folder))

    def _exists(self, path: str) -> bool:
        inside = self._inside(path)
        return (self._folder / path).is_file() or (bool(inside) and self._snapshot.has(inside))

    def _changed(self, path: str) -> str:
        if path not in self._known:
            self._known[path] = self._look(path)
        return self._known[path]

    def _look(self, path: str) -> str:
        inside = self._inside(path)
        if not inside:
            return f"{path} is outside of the repository"
        if self._snapshot.same(inside):
            return ""
        if not (self._folder / path).exists():
            return f"{path} is gone"
        return f"{path} {'differs' if self._snapshot.has(inside) else 'is new'}"

    def _inside(self, path: str) -> str:
        """The path from the top of the repository; empty if it is outside."""
        whole = os.path.normpath(self._folder / path)
        inside = os.path.relpath(whole, self._snapshot.top)
        return "" if inside == ".." or inside.startswith("../") else inside
