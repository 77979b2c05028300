"""Opening files that others name.

A name can stand for a pipe that nobody writes to, a device that never ends, or, by ``..`` and
links, a file that whoever wrote the name is not to see. So what was opened is looked at, not what
stands at its path a moment before or after.

:func:`confined` limits reading to some folders, in this process and, by its environment, in those
that it starts. The action limits it to the workspace, since a pull request can bring links and
lists. Without it, every file may be named.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from megdump_ci.errors import InputError

FOLDERS = "MEGDUMP_CI_READ_FROM"
"""The variable of the environment that holds the folders, separated by ``:``."""

_HIDDEN = ".git"
"""What no name may lead into: checkouts keep a token there."""
_NO_FILE = "not a regular file"
_INSTEAD = "copy the file there, and give its path without '..' and links that lead elsewhere"


class NotRegular(InputError):
    """What was named is no file, or none that has an end."""

    def __init__(self, path: str, kind: str, hint: str) -> None:
        super().__init__(f"{path} is {kind}", hint)
        self.kind = kind


@contextlib.contextmanager
def confined(folders: Sequence[Path]) -> Iterator[None]:
    """Only what is in these folders is read until the end of the block."""
    earlier = os.environ.get(FOLDERS)
    os.environ[FOLDERS] = os.pathsep.join(map(str, folders))
    try:
        yield
    finally:
        del os.environ[FOLDERS]
        if earlier is not None:
            os.environ[FOLDERS] = earlier


def environment(own: str) -> dict[str, str]:
    """The limit for a process that also reads the run's ``own`` folder; empty if there is none."""
    given = os.environ.get(FOLDERS, "")
    return {FOLDERS: f"{given}{os.pathsep}{own}"} if given else {}


def names_inside(path: str) -> bool:
    """Whether ``path``, whatever links there are, is in one of the folders, if there are any."""
    folders = _folders()
    # The folders themselves may be reached by links.
    places = [*folders, *map(os.path.realpath, folders)]
    return not folders or _inside(os.path.abspath(path), places)


def check_name(path: str) -> None:
    """:class:`InputError` if it is not, or if no file can have such a name."""
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise InputError(f"{path!r} is a name that no file can have", "rename the file")
    if not names_inside(path):
        raise InputError(f"{path} is outside of {_first(_folders())}", _INSTEAD)


def check(path: str) -> None:
    """The same with links followed. For what is opened, :func:`opened` checks it itself."""
    check_name(path)
    _check_place(path, os.path.realpath(path))


def opened(path: str, hint: str, *, link: bool = True) -> BinaryIO:
    """``path``, opened to be read.

    Raises :class:`OSError` if that cannot be done, :class:`NotRegular` for a folder, a pipe, a
    device and their like, and :class:`InputError` for a file that may not be read; without
    ``link``, that is also one that is itself a link, if reading is confined at all.
    """
    check_name(path)
    if not link and _folders() and os.path.islink(path):
        raise InputError(f"{path} is a link", "put the file itself in its place")
    # Without waiting: a pipe is opened when somebody writes to it, and that may be never.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    if not link and _folders():
        flags |= os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        # A socket.
        if error.errno == errno.ENXIO:
            raise NotRegular(path, _NO_FILE, hint) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotRegular(path, "a folder" if stat.S_ISDIR(mode) else _NO_FILE, hint)
        _check_place(path, _place(descriptor, path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def content(path: str, most: int, hint: str) -> bytes:
    """All of ``path``, which may have ``most`` bytes; raises what :func:`opened` raises."""
    with opened(path, hint) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise InputError(f"{path} has more than {most >> 20} MiB", hint)
    return found


def _folders() -> list[str]:
    return [folder for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]


def _place(descriptor: int, path: str) -> str:
    """Where an open file is, by the kernel; by its path where there is no ``/proc``."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(path)


def _check_place(path: str, place: str) -> None:
    folders = [os.path.realpath(folder) for folder in _folders()]
    if not folders:
        return
    if not _inside(place, folders):
        raise InputError(f"{path} leads out of {_first(_folders())}, by a link", _INSTEAD)
    if any(_HIDDEN in Path(os.path.relpath(place, folder)).parts for folder in folders):
        raise InputError(f"{path} is in a folder {_HIDDEN}, which may hold a token", _INSTEAD)


def _inside(path: str, folders: Sequence[str]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _first(folders: Sequence[str]) -> str:
    return f"the workspace {folders[0]}"
