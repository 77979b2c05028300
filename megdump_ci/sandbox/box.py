"""Putting an engine process into its box."""

from __future__ import annotations

import os
import signal
from typing import get_args

import msgspec

from megdump_ci import stopping
from megdump_ci.report import Isolation, Lack, Measure
from megdump_ci.sandbox import landlock, limits, seccomp, system
from megdump_ci.sandbox.identity import Identity

_OUT_OF_DATE = "the kernel's Landlock does not keep files from being cut off"


class Box(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What an engine process may do: the first message that it is sent."""

    parent: int
    """Number of the process whose end is its end."""
    identity: Identity
    cores: list[int]
    home: str
    """Its folder for all that is temporary."""
    folders: list[str]
    """Those that it may change: its home, and what the processes of the run share."""
    files: list[str]
    """Those it writes elsewhere; they are there."""
    hidden: list[str]
    """Those that it may not even read."""
    memory: int
    file_size: int
    """In bytes."""
    processor_seconds: int


def enter(box: Box) -> Isolation:
    """Put this process, which has one thread and has read nothing but this, into the box.

    Returns what holds and what is missing. Raises :class:`OSError` where something fails that was
    found to be possible before.
    """
    os.sched_setaffinity(0, box.cores)
    box.identity.enter()
    # A change of user has undone it.
    stopping.end_with_parent(signal.SIGKILL, box.parent)
    unlimited = limits.enter(
        memory=box.memory, file_size=box.file_size, seconds=box.processor_seconds
    )
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    missing = [*_lacks(box.identity), *(Lack(measure="threads", reason=_ROOT) for _ in unlimited)]
    missing += _without_landlock(box)
    missing += _without_seccomp(box)
    lacking = {lack.measure for lack in missing}
    held = [measure for measure in ALL if measure not in lacking]
    return Isolation(held=held, missing=missing, memory_limit=box.memory)


ALL: tuple[Measure, ...] = get_args(Measure)
_ROOT = "root's threads are not counted"


def _lacks(identity: Identity) -> list[Lack]:
    found = [Lack(measure="own user", reason=identity.why)] if identity.why else []
    if identity.keeps:
        reason = "what it needs is closed to others by several users: it may open all"
        found.append(Lack(measure="no privileges", reason=reason))
    return found


def _without_landlock(box: Box) -> list[Lack]:
    try:
        version = landlock.enter(box.folders, box.files, box.hidden)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        # What else keeps others of its user from looking into it.
        system.prctl(system.PR_SET_DUMPABLE, 0)
        return [Lack(measure="read-only files", reason=f"Landlock: {error.strerror or error}")]
    if version < landlock.WHOLE:
        return [Lack(measure="read-only files", reason=_OUT_OF_DATE)]
    return []


def _without_seccomp(box: Box) -> list[Lack]:
    try:
        # Who owns nothing else may do with its own files as it likes.
        seccomp.enter(metadata=not box.identity.owns)
    except OSError as error:
        reason = f"seccomp: {error.strerror or error}"
        return [
            Lack(measure="no network", reason=reason),
            Lack(measure="no other processes", reason=reason),
        ]
    return []
