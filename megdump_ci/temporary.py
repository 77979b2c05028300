"""Temporary files and folders that are removed even if the run that made them could not do it.

A run holds a lock (``flock(2)``) on what it makes for as long as it lives, and the kernel gives it
up with the process, however that ends. What nobody holds is dead, and the next run removes it. A
lock tells that on one machine only: some network file systems keep it from the others. So a name
holds a part of the kernel's boot id as well, which all containers of a machine share, and what has
another machine's is left alone; so is what stands where there are no locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

_FOLDER = "megdump-ci-"
_TOKEN = 8
"""Hexadecimal digits of each part of a name."""
_NOWHERE = "0" * _TOKEN
"""In place of a boot id, where no lock can tell."""


class Temporary:
    """A file or a folder, and the lock on it."""

    def __init__(self, make: Callable[[str], Path]) -> None:
        """``make`` makes it, with a token in its name. Raises :class:`OSError` if it cannot."""
        boot = _boot_id()
        while True:
            self.path = make(f"{boot}-{os.urandom(_TOKEN // 2).hex()}")
            # Another run may have met it before it is locked, and remove it.
            with contextlib.suppress(FileNotFoundError):
                self._descriptor = os.open(self.path, os.O_RDONLY)
                held = _lock(self._descriptor)
                if (held or boot == _NOWHERE) and _names(self.path, self._descriptor):
                    return
                if held is None:
                    boot = _NOWHERE
                self.release()
                _remove(self.path)

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def file(target: Path) -> Temporary:
    """An empty file beside ``target``; those of runs that died with the same target are removed.

    Raises :class:`OSError` if it cannot be made.
    """
    _sweep(target.parent, f".{target.name}.", ".tmp", stat.S_ISREG)

    def make(token: str) -> Path:
        path = target.with_name(f".{target.name}.{token}.tmp")
        path.touch(exist_ok=False)
        return path

    return Temporary(make)


def is_file(name: str) -> bool:
    """Whether a file of that name is one of :func:`file`, of whatever run."""
    return re.fullmatch(rf"\..+\.[0-9a-f]{{{_TOKEN}}}-[0-9a-f]{{{_TOKEN}}}\.tmp", name) is not None


def folder() -> Temporary:
    """A folder in TMPDIR for this user alone; those of runs that died are removed.

    Raises :class:`OSError` if there is no place for one.
    """
    parent = Path(tempfile.gettempdir())
    _sweep(parent, _FOLDER, "", stat.S_ISDIR)

    def make(token: str) -> Path:
        path = parent / f"{_FOLDER}{token}"
        path.mkdir(mode=0o700)
        return path

    return Temporary(make)


def _sweep(parent: Path, prefix: str, suffix: str, kind: Callable[[int], bool]) -> None:
    """Remove what is surely dead of that name and kind, as far as this user may."""
    boot = _boot_id()
    if boot == _NOWHERE:
        return
    name = re.compile(f"{re.escape(prefix)}{boot}-[0-9a-f]{{{_TOKEN}}}{re.escape(suffix)}")
    # What cannot be removed, or not be looked at, is none of this run's business.
    with contextlib.suppress(OSError):
        for entry in filter(name.fullmatch, os.listdir(parent)):
            with contextlib.suppress(OSError):
                _remove_dead(parent / entry, kind)


def _remove_dead(path: Path, kind: Callable[[int], bool]) -> None:
    # Anyone may have put it there: nothing is followed, and no pipe is waited for.
    if not kind(path.lstat().st_mode):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor) and _names(path, descriptor):
            _remove(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Whether nobody else holds it; ``None`` where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _names(path: Path, descriptor: int) -> bool:
    """Whether what is open is still what ``path`` names."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@cache
def _boot_id() -> str:
    """The first digits of what random number this machine's kernel goes by since it started."""
    try:
        found = Path("/proc/sys/kernel/random/boot_id").read_text()[:_TOKEN]
    except OSError:
        return _NOWHERE
    return found if re.fullmatch(f"[0-9a-f]{{{_TOKEN}}}", found) else _NOWHERE
