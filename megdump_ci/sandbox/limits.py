"""Resource limits of an engine process (``setrlimit(2)``)."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

from megdump_ci.errors import Problem

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
LEAST_MEMORY = 160 << 20
"""Bytes without which the engine does not run even the smallest of graphs."""
_THREADS = 512
"""That may be started beyond those that the machine has when the process begins."""
_LAST_WORDS = 5
"""Seconds of processor time between the signal that can be seen and SIGKILL."""

_NO_MEMORY = (
    "MemoryError",
    "failed to malloc",  # MegEngine
    "bad_alloc",  # C++
    "Cannot allocate memory",  # the C library
    "failed to map segment",  # its loader
    "cannot map zero-fill pages",  # the same, for what is not in the file
    "Resource temporarily unavailable",  # C++, for a thread without a stack
    "Memory allocation still failed",  # OpenBLAS
    "can't start new thread",  # Python, for one without a stack
)


def memory_ran_out(text: str) -> bool:
    """Whether a log or a message tells of memory that was not to be had."""
    return any(words in text for words in _NO_MEMORY)


def no_memory(limit: int, doing: str = "") -> Problem:
    """The problem of a process that may have so many bytes."""
    return Problem(
        f"memory ran out{doing}: an engine process may take {_size(limit)}",
        "take smaller testcases, or a machine with more; --memory-limit SIZE can give it more",
    )


def too_little(limit: int) -> Problem:
    """The problem of a limit that leaves no room for the engine itself."""
    return Problem(
        f"an engine process may take {_size(limit)} of memory: it needs at least"
        f" {_size(LEAST_MEMORY)}, and room for the graph and its testcases",
        "raise the limit: --memory-limit here, 'ulimit -d' in the shell, or that of the container",
    )


def _size(size: int) -> str:
    """As ``--memory-limit`` takes it, and not above the real one."""
    for exponent, unit in ((3, "G"), (2, "M"), (1, "K")):
        if size >= 1024**exponent:
            return f"{math.floor(size / 1024**exponent * 10) / 10:g}{unit}"
    return str(size)


def machine_memory() -> int:
    """Bytes of memory that this process may use, by the machine and the control groups it is in."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *_group_limits(_own_groups())])


def own_memory() -> int:
    """Bytes of private memory that this process may take, by its own limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def room(folders: Iterable[str]) -> int:
    """Bytes that a file can have in one of the folders: what is free on its file system."""
    free = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found = os.statvfs(folder)
            free.append(found.f_bavail * found.f_frsize)
    return max(free, default=0)


def processor_seconds(timeout: float, cores: int) -> int:
    """What all cores can work in twice the time that a process may take, and some to start.

    The clock on the wall ends it before, as long as there is somebody to look at it.
    """
    return math.ceil((2 * timeout + 60) * cores)


def enter(*, memory: int, file_size: int, seconds: int) -> list[str]:
    """Set the limits for this process, none of them above the one it has.

    Returns those that mean nothing to it.
    """
    _set(resource.RLIMIT_CORE, 0, 0)
    # Private memory that can be written to. RLIMIT_AS would count the engine's library too, and
    # RLIMIT_RSS does nothing.
    _set(resource.RLIMIT_DATA, memory, memory)
    _set(resource.RLIMIT_FSIZE, file_size, file_size)
    _set(resource.RLIMIT_CPU, seconds, seconds + _LAST_WORDS)
    threads = _threads_of_all() + _THREADS
    _set(resource.RLIMIT_NPROC, threads, threads)
    # The kernel does not count those of its first user.
    return ["threads"] if os.getuid() == 0 else []


def _set(limit: int, soft: int, hard: int) -> None:
    now = resource.getrlimit(limit)
    soft, hard = (
        new if old == resource.RLIM_INFINITY else min(old, new)
        for old, new in zip(now, (soft, hard), strict=True)
    )
    resource.setrlimit(limit, (soft, hard))


def _threads_of_all() -> int:
    """All threads of the machine: those of this user are among them."""
    try:
        # "0.20 0.18 0.12 1/80 11206": running and existing ones in the fourth.
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, IndexError, ValueError):
        return 4096


def _own_groups() -> list[Path]:
    """The folders of the groups this process is in, up to the root, in both versions."""
    found = [_CGROUPS, _CGROUPS / "memory"]
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        folder = _CGROUPS / controllers / path.lstrip("/")
        while folder not in found and folder.is_relative_to(_CGROUPS):
            found.append(folder)
            folder = folder.parent
    return found


def _group_limits(folders: Iterable[Path]) -> list[int]:
    found = []
    for folder in folders:
        for name in ("memory.max", "memory.limit_in_bytes"):
            # "max" is no limit; a file that is not there is none either.
            with contextlib.suppress(OSError, ValueError):
                found.append(int((folder / name).read_text()))
    return found
