"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_TIMERSLACK = 29
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4


def prctl(option: int, *arguments: int) -> None:
    """``prctl(2)``; :class:`OSError` if it is refused."""
    rest = [*arguments, 0, 0, 0, 0][:4]
    # As longs: what is passed for a variable argument is otherwise 32 bits wide.
    if _libc.prctl(ctypes.c_int(option), *map(ctypes.c_ulong, rest)) < 0:
        raise _refused(f"prctl {option}")


def syscall(number: int, *arguments: object) -> int:
    """``syscall(2)`` with ints and pointers; :class:`OSError` if it is refused."""
    _libc.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise _refused(f"system call {number}")
    return result


def _refused(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
