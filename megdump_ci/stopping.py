"""Signals that end a run: the first one in order, a second one at once.

Whoever has something to undo (a process, a temporary file) tells :func:`keep`. In order, a run
undoes that by itself; at once, it is undone here, in the signal's handler.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

# Nothing that takes long to load: until this is, a signal ends the process in Python's own way.
if TYPE_CHECKING:
    from megdump_ci.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_STATUS = 2
"""That of :class:`Interrupted`."""

_ONE = 0.5
"""Seconds within which two signals are one: ``timeout`` and shells tell a process and its group."""

_CLEAR = b"\r\x1b[2K\x1b[?25h"
"""Empties the line of a terminal, in which the progress bar may stand, and shows the cursor."""

_undo: dict[object, Callable[[], None]] = {}


class _Asked:
    """What this process was asked to stop by; 0 if it was not."""

    number = 0
    since = 0.0
    depth = 0


def keep(owner: object, undo: Callable[[], None]) -> None:
    """Let ``undo`` be called if the process has to end at once; the last kept comes first."""
    _undo[owner] = undo


def drop(owner: object) -> None:
    """There is nothing to undo any more."""
    _undo.pop(owner, None)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """End the process at the first signal inside, where no :func:`handling` is."""
    with answering(end):
        yield


@contextlib.contextmanager
def handling(handler: Callable[[int], None] = lambda _: None) -> Iterator[None]:
    """Tell ``handler`` of the first signal inside; a second one ends the process.

    A signal that came before, in a block around this one, is told at once. In another thread than
    the main one, which may not, nothing is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def answer(number: int, frame: object) -> None:
        if not _Asked.number:
            _Asked.number, _Asked.since = number, time.monotonic()
            handler(number)
        elif time.monotonic() - _Asked.since > _ONE:
            end(number, frame)

    _Asked.depth += 1
    try:
        with answering(answer):
            if _Asked.number:
                handler(_Asked.number)
            yield
    finally:
        _Asked.depth -= 1
        if not _Asked.depth:
            _Asked.number = 0


def check() -> None:
    """:class:`Interrupted` if a signal came since :func:`handling` began."""
    if _Asked.number:
        raise interrupted(_Asked.number)


def interrupted(number: int) -> Interrupted:
    """The error that a signal ends a run with."""
    from megdump_ci.errors import Interrupted

    return Interrupted(f"stopped by {signal.Signals(number).name}")


def end(number: int, _frame: object = None) -> NoReturn:
    """Signal handler: undo what there is to undo and end the process, with status 2."""
    for other in SIGNALS:
        # Undoing may take long, on a file system that does not answer.
        signal.signal(other, lambda *_: os._exit(_STATUS))
    for undo in reversed(list(_undo.values())):
        with contextlib.suppress(OSError):
            undo()
    # Nobody may listen any more.
    with contextlib.suppress(OSError):
        if os.isatty(sys.__stderr__.fileno() if sys.__stderr__ else 2):
            os.write(2, _CLEAR)
        os.write(2, f"error: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(_STATUS)


def end_with_parent(number: int, parent: int = 0) -> None:
    """Ask Linux for a signal when the parent dies, however that happens.

    ``parent`` is its number: if that has died by now, the signal comes at once.
    """
    from megdump_ci.sandbox import system

    if sys.platform == "linux":
        system.prctl(system.PR_SET_PDEATHSIG, number)
    if parent and os.getppid() != parent:
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def answering(answer: Callable[[int, Any], object] | signal.Handlers) -> Iterator[None]:
    """Let ``answer`` be the handler of :data:`SIGNALS` inside."""
    # A process that nohup has started is not to end with its terminal.
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in SIGNALS if not (deaf and number == signal.SIGHUP)]
    earlier = [signal.signal(number, answer) for number in numbers]
    try:
        yield
    finally:
        for number, action in zip(numbers, earlier, strict=True):
            signal.signal(number, action)
