"""Giving what a run wrote to the owner of the workspace.

The container runs as root, and the job's next steps do not: they could not move or delete the
files. A workspace is filled by others, so no symbolic link is followed on the way to a file.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from megdump_ci import temporary

_Mark = tuple[int, int]
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Handover:
    """Remembers what there was before a run, and gives the rest away after it.

    ``files`` are paths that the run may write, each also with further endings (``out.mge`` and
    ``out.mge.json``); ``folders`` are folders that it may make and write files to. Paths are
    relative to ``root`` or absolute; what is not below ``root`` is left alone.
    """

    def __init__(self, root: Path, files: Iterable[str], folders: Iterable[str]) -> None:
        self._root = Path(os.path.realpath(root))
        self._files = [self._below(path) for path in files if path]
        self._folders = [self._below(path) for path in folders if path]
        self._before = self._marks()

    def give(self) -> list[str]:
        """Give what is new or replaced to the root's owner; returns what could not be given."""
        if os.geteuid() != 0:
            return []
        owner = self._root.stat()
        refused = []
        for path, mark in self._marks().items():
            if self._before.get(path) != mark:
                try:
                    self._chown(path, owner.st_uid, owner.st_gid)
                except OSError as error:
                    refused.append(f"{path}: {error.strerror or error}")
        return refused

    def _below(self, path: str) -> Path | None:
        # Links in the folders of the path are resolved here once; _chown() meets none.
        whole = self._root / path
        resolved = Path(os.path.realpath(whole.parent), whole.name)
        return resolved.relative_to(self._root) if resolved.is_relative_to(self._root) else None

    def _marks(self) -> dict[Path, _Mark]:
        return {path: mark for path in self._candidates() if (mark := self._mark(path))}

    def _mark(self, path: Path) -> _Mark | None:
        try:
            found = os.lstat(self._root / path)
        except OSError:
            return None
        if stat.S_ISREG(found.st_mode):
            return (found.st_ino, found.st_mtime_ns)
        # A folder's times change with what others put in it; of anything else a run makes none.
        return (found.st_ino, 0) if stat.S_ISDIR(found.st_mode) else None

    def _candidates(self) -> Iterator[Path]:
        for file in self._files:
            if file is not None:
                names = self._names(file.parent)
                yield from (file.parent / name for name in names if name.startswith(file.name))
        for folder in self._folders:
            if folder is not None:
                yield from (folder, *folder.parents)
                # This run has ended: what is under way is another one's, which would lose it.
                settled = itertools.filterfalse(temporary.is_file, self._names(folder))
                yield from (folder / name for name in settled)

    def _names(self, folder: Path) -> list[str]:
        with contextlib.suppress(OSError):
            descriptor = self._open(folder)
            try:
                return os.listdir(descriptor)
            finally:
                os.close(descriptor)
        return []

    def _open(self, folder: Path) -> int:
        """A descriptor of a folder below the root, reached without following a link."""
        descriptor = os.open(self._root, _FOLDER)
        for part in folder.parts:
            try:
                below = os.open(part, _FOLDER, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def _chown(self, path: Path, user: int, group: int) -> None:
        parent = self._open(path.parent)
        try:
            descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            found = os.fstat(descriptor)
            # A second name of a file may be anywhere.
            single = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
            if single:
                os.fchown(descriptor, user, group)
        finally:
            os.close(descriptor)
