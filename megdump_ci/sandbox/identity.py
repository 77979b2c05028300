"""The user that engine processes run as, where this one may choose: where it is root.

A user that owns nothing is best. It must be able to read what it is given, though: a workspace
can be closed to all but its owner, and Python can be installed in root's own folder. Then the
owner of what is closed is taken, or root without its powers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from megdump_ci.sandbox import system

_FIRST, _LAST = 61184, 65519
"""Users that belong to nobody: systemd gives these to services for as long as they run, and
containers that map users have them too."""

# linux/capability.h
_CHOWN, _DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER, _KILL, _SETGID, _SETUID = 0, 1, 2, 3, 5, 6, 7
_NEEDED = sum(1 << number for number in (_CHOWN, _DAC_OVERRIDE, _FOWNER, _KILL, _SETGID, _SETUID))
"""What it takes to start a process of another user, look after it and take its files back."""
_CAPSET = {"x86_64": 126}.get(os.uname().machine, 91)
_CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True)
class Identity:
    """A user to run as; ``why`` it is not one of its own, empty if it is."""

    user: int
    group: int
    why: str = ""
    change: bool = True
    """Whether it is another one than this process has, or has less power."""
    keeps: int = 0
    """The capabilities that it keeps, one bit each, to open what is closed to it."""

    @property
    def owns(self) -> bool:
        """Whether files of others than this run may belong to it."""
        return bool(self.why)

    def give(self, path: Path) -> None:
        """Let it write to a file or folder that this process has made.

        Raises :class:`OSError` for a link, or a file that has a second name.
        """
        if not self.change or self.user == os.geteuid():
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            single = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            own = found.st_uid in (os.geteuid(), self.user)
            if not (own and (single or stat.S_ISDIR(found.st_mode))):
                raise OSError(errno.EPERM, "it is no file of this run", str(path))
            os.fchown(descriptor, self.user, self.group)
        finally:
            os.close(descriptor)

    def enter(self) -> None:
        """Become this user, for good and without capabilities; :class:`OSError` if refused."""
        _drop_bounds()
        if self.change:
            os.setgroups([])
            os.setresgid(self.group, self.group, self.group)
            os.setresuid(self.user, self.user, self.user)
        _keep(self.keeps)


def chosen(places: Sequence[Path]) -> Identity:
    """Who can read these files, and enter and list these folders.

    Those that are not there are left out.
    """
    if os.geteuid() != 0:
        why = "megdump-ci does not run as root"
        return Identity(os.geteuid(), os.getegid(), why, change=False)
    if _effective() & _NEEDED != _NEEDED:
        why = "root lacks the capabilities to start processes of others"
        return Identity(0, 0, why, change=False)
    # Python's own exists() raises for a name that is too long.
    there = [place for place in dict.fromkeys(places) if os.path.exists(place)]
    # The same for user and group: a group of this number belongs to nobody either.
    number = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
    own = Identity(number, number)
    refused = _first_refused(own, there)
    if refused is None:
        return own
    why = f"another user cannot read {refused}" if refused else "root may not become another user"
    owner = os.stat(refused or "/")
    for candidate in (Identity(owner.st_uid, owner.st_gid, why), Identity(0, 0, why)):
        if _first_refused(candidate, there) is None:
            return candidate
    # Docker leaves a container the second only, with which files can be written to as well.
    reading = 1 << _DAC_READ_SEARCH & _effective()
    return Identity(0, 0, why, keeps=reading or 1 << _DAC_OVERRIDE)


def _first_refused(identity: Identity, places: Sequence[Path]) -> str | None:
    """The first place that it cannot read; empty if nobody can become it, ``None`` if all is well.

    Asked in a process of its own, which becomes it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of this process is run here, its exit hooks included.
        try:
            os.write(writing, _tried(identity, places))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return None if answer == b"+" else os.fsdecode(answer[1:])


def _tried(identity: Identity, places: Sequence[Path]) -> bytes:
    try:
        identity.enter()
    except OSError:
        return b"-"
    for place in places:
        mode = os.R_OK | (os.X_OK if os.path.isdir(place) else 0)
        if not os.access(place, mode):
            return b"-" + os.fsencode(place)
    return b"+"


def _effective() -> int:
    """The capabilities of this process, one bit each."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _drop_bounds() -> None:
    """Give up what a program could bring; without the power to do so, there is nothing to lose."""
    with contextlib.suppress(OSError):
        for number in range(64):
            system.prctl(system.PR_CAPBSET_DROP, number)
    with contextlib.suppress(OSError):
        system.prctl(system.PR_CAP_AMBIENT, system.PR_CAP_AMBIENT_CLEAR_ALL)


def _keep(capabilities: int) -> None:
    """Have these capabilities, at most of the first 32, and no other."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    # effective, permitted and inheritable ones, of the first 32 and the rest
    data = struct.pack("=6I", capabilities, capabilities, 0, 0, 0, 0)
    system.syscall(_CAPSET, header, data)
