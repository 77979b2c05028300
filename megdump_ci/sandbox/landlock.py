"""Files that an engine process may not change, by Landlock (``landlock(7)``).

A process restricts itself, without privileges, to what its rules allow. Linux has it since 5.13;
each version of its interface can refuse more.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator

from megdump_ci.sandbox import system

# The same numbers on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

# Access to files (linux/landlock.h).
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = 1 << 12, 1 << 13, 1 << 14, 1 << 15

_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _TRUNCATE
_OWN = _READ | _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER
"""In a folder of its own: everything but devices, sockets and programs to run."""

_BIND_AND_CONNECT = 0b11
"""TCP."""
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_MOST = 5000
"""Entries of a folder in which something is hidden, that still get a rule each: some 10 ms."""

WHOLE = 3
"""The version from which on files cannot be cut off either."""


def version() -> int:
    """That of the interface; :class:`OSError` if the machine has none."""
    return system.syscall(_CREATE_RULESET, 0, 0, _VERSION)


def handled(abi: int) -> tuple[int, int, int]:
    """What a ruleset of that version can refuse: access to files, to ports, and beyond the box."""
    bits = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)
    return (
        (1 << bits) - 1,
        _BIND_AND_CONNECT if abi >= 4 else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )


def enter(folders: Iterable[str], files: Iterable[str], hidden: Iterable[str] = ()) -> int:
    """Let this process, which has one thread, write to these only; the interface's version.

    It may read all but the ``hidden`` ones, which are real paths. :class:`OSError` if it cannot be
    had, or one of those to write to is not there. New privileges have to be ruled out before.
    """
    abi = version()
    access, ports, scope = handled(abi)
    attributes = struct.pack("=QQQ", access, ports, scope)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = system.syscall(_CREATE_RULESET, attributes, size, 0)
    try:
        _allow(rules, "/", _READ_DIR)
        for path in readable("/", frozenset(hidden)):
            # It may be gone by now: others work on the machine as well.
            with contextlib.suppress(FileNotFoundError):
                _allow(rules, path, _READ)
        _allow(rules, os.devnull, _READ_FILE | _WRITE & access)
        for folder in folders:
            _allow(rules, folder, _OWN & access)
        for file in files:
            _allow(rules, file, _READ_FILE | _WRITE & access)
        system.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return abi


def readable(folder: str, hidden: frozenset[str]) -> Iterator[str]:
    """All in a folder but what is hidden, in as few paths as will do: a rule only ever allows."""
    inside = [path for path in hidden if path.startswith(os.path.join(folder, ""))]
    entries = _entries(folder) if inside else None
    if entries is None:
        yield folder
        return
    for entry in entries:
        # What a link leads to has a path of its own.
        if entry.path in hidden or entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from readable(entry.path, frozenset(inside))
        else:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]] | None:
    """What is in a folder; ``None`` if that is closed to this user, or too much for a rule each."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return None
    return entries if len(entries) <= _MOST else None


def _allow(rules: int, path: str, access: int) -> None:
    with _opened(path) as descriptor:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _READ_FILE | _WRITE
        beneath = struct.pack("=Qi", access, descriptor)
        system.syscall(_ADD_RULE, rules, _PATH_BENEATH, beneath, 0)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is a link")
        yield descriptor
    finally:
        os.close(descriptor)
