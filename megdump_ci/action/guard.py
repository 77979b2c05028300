"""Keeping what the runner gave to this process from the processes that it starts.

An engine process is started without the token in its environment. It may have the same user,
though, and Linux shows a process the environment and the memory of any other one of its user,
unless that one has said no (``prctl(2)``, ``PR_SET_DUMPABLE``) or the reader may trace all
(``CAP_SYS_PTRACE``, which Docker does not give to a container).
"""

from __future__ import annotations

from megdump_ci.sandbox import system


def close() -> None:
    """Keep other processes of this user out of this one; those it starts are open again.

    Raises :class:`OSError` if the system refuses.
    """
    system.prctl(system.PR_SET_DUMPABLE, 0)
