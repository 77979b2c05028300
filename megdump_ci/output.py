"""Writing files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from megdump_ci import stopping, temporary
from megdump_ci.errors import InputError, Problem


class StagedFile:
    """A file that is written under a temporary name in its own folder and then moved into place.

    Until :meth:`commit`, an earlier file of that name stays as it was. Use it as a context
    manager: what was not committed is removed, at the latest by the next run that writes to
    ``path``. Whoever writes to :attr:`temporary` must not put another file in its place: the lock
    that keeps it is on this one.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        try:
            self._held = temporary.file(self.path)
        except OSError as error:
            raise InputError(cannot_write(path, error)) from error
        self.temporary = self._held.path
        self._made = self.temporary.lstat()
        stopping.keep(self, self._remove)

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was not committed."""
        # A folder that can no longer be written to does not change what the run came to.
        with contextlib.suppress(OSError):
            self._remove()
        self._held.release()
        stopping.drop(self)

    def _remove(self) -> None:
        self.temporary.unlink(missing_ok=True)

    def commit(self, suffix: str = "") -> str:
        """Move the file into place (with ``suffix`` behind its name) and return its path.

        Raises :class:`InputError` if the system refuses.
        """
        self.settle()
        target = self.path.with_name(self.path.name + suffix)
        try:
            os.replace(self.temporary, target)
            _sync_folder(target.parent)
        except OSError as error:
            raise InputError(cannot_write(str(target), error)) from error
        return str(target)

    def settle(self) -> None:
        """Wait until it is on the disk; :class:`InputError` if there is no room for it."""
        try:
            descriptor = os.open(self.temporary, os.O_RDONLY | os.O_NOFOLLOW)
            with open(descriptor, "rb") as file:
                self._take_back(descriptor)
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(cannot_write(str(self.path), error)) from error

    def _take_back(self, descriptor: int) -> None:
        """Give it the owner and mode it was made with: an engine process may have been given it."""
        found = os.fstat(descriptor)
        if not os.path.samestat(found, self._made):
            raise OSError(errno.EBUSY, "something else was put in its place")
        if (found.st_uid, found.st_gid) != (self._made.st_uid, self._made.st_gid):
            os.fchown(descriptor, self._made.st_uid, self._made.st_gid)
        if found.st_mode != self._made.st_mode:
            os.fchmod(descriptor, stat.S_IMODE(self._made.st_mode))


def staged(path: str, content: bytes) -> StagedFile:
    """A file with this content; :class:`InputError` if it cannot be written."""
    file = StagedFile(path)
    try:
        file.temporary.write_bytes(content)
    except OSError as error:
        file.close()
        raise InputError(cannot_write(path, error)) from error
    return file


def write_whole(path: str, content: bytes) -> None:
    """Write ``content`` to ``path`` at once; :class:`InputError` if that cannot be done."""
    with staged(path, content) as file:
        file.commit()


def remove(path: str) -> None:
    """Remove a file, if it is there; :class:`InputError` if that cannot be done."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(cannot_write(path, error)) from error


def check_writable(path: str) -> None:
    """:class:`InputError` if no file can be made at ``path``; nothing is left there."""
    target = Path(path)
    # A device or a pipe would be replaced by a file.
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "not a regular file"
        raise InputError(f"cannot write {path}: it is {what}", "give the path of a file")
    with StagedFile(path):
        pass


def check_apart(written: Sequence[str], read: str) -> None:
    """:class:`InputError` if two files would be written to one path, or one over ``read``."""
    places = {os.path.realpath(read): f"the model {read}"}
    for path in written:
        place = os.path.realpath(path)
        if place in places:
            raise InputError(
                f"{path} would be written over {places[place]}", "give each file its own path"
            )
        places[place] = f"{path}, which is written too"


def make_folder(path: str) -> None:
    """Make the folder ``path`` and its parents; :class:`InputError` if that cannot be done."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(cannot_write(path, error)) from error


def cannot_write(path: str, error: OSError) -> Problem:
    """The problem that ``error`` is for someone who asked for ``path``."""
    return Problem(
        f"cannot write {path}: {error.strerror or error}",
        "give a path in a folder that exists, that this user may write to and that has room",
        file=path,
    )


def _sync_folder(folder: Path) -> None:
    # Not every file system lets a folder be synced; the rename itself has succeeded by now.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
