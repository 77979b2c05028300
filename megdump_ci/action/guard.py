"""Keeping what the runner gave to this process from the processes that it starts.

An engine process is started without the token in its environment. It has the same user, though,
and Linux shows a process the environment and the memory of any other one of its user, unless that
one has said no (``prctl(2)``, ``PR_SET_DUMPABLE``) or the reader may trace all (``CAP_SYS_PTRACE``,
which Docker does not give to a container).
"""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE = 4


def close() -> None:
    """Keep other processes of this user out of this one; those it starts are open again."""
    refused = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if refused:
        raise OSError(ctypes.get_errno(), "cannot keep other processes out of this one")
