"""What this process does when: spans of time, each inside of the one that was on when it began.

Engine processes note them for the report, and tell them to the parent process if a trace is wanted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator

import msgspec

OTHER = "other"
"""Time in which no span was on."""


class Mark(msgspec.Struct, frozen=True, tag=True):
    """A span that begins, or, without a name, the end of the one that began last.

    ``at`` is in seconds of :func:`time.monotonic`, which all processes of a machine share on Linux.
    """

    name: str
    at: float


class Recorder:
    """Adds up the time of spans by name, and passes them on if somebody listens.

    Spans of other threads than the one that made it are left out: they would not be nested.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._thread = threading.get_ident()
        self._names: list[str] = []
        self._since = self._began
        self._parts: dict[str, float] = {OTHER: 0.0}
        self._early: list[Mark] | None = [Mark("work", self._began)]
        self._listener: Callable[[Mark], None] | None = None

    def listen(self, listener: Callable[[Mark], None] | None) -> None:
        """Pass on what there was so far, and from now on, to ``listener``; to nobody if ``None``.

        To be called once, early: until then all of it is kept.
        """
        early, self._early, self._listener = self._early, None, listener
        if listener is not None:
            for mark in early or ():
                listener(mark)

    def begin(self, name: str, label: str = "") -> None:
        """A span begins; ``label`` says what it is about, and is not told apart in the report."""
        if threading.get_ident() != self._thread:
            return
        now = self._settle()
        self._names.append(name)
        self._tell(f"{name} {label}" if label else name, now)

    def end(self) -> None:
        """The span that began last ends."""
        if threading.get_ident() != self._thread:
            return
        now = self._settle()
        self._names.pop()
        self._tell("", now)

    def finish(self) -> dict[str, float]:
        """The work is done: the seconds of each name, without those of spans inside; all of them.

        To be called once, at the end, with no span on.
        """
        self._tell("", self._settle())
        return {name: round(seconds, 3) for name, seconds in self._parts.items()}

    def _settle(self) -> float:
        """Put down what has gone by to what is on; the time."""
        now = self._now()
        name = self._names[-1] if self._names else OTHER
        self._parts[name] = self._parts.get(name, 0.0) + now - self._since
        self._since = now
        return now

    def _tell(self, name: str, at: float) -> None:
        if self._listener is not None:
            self._listener(Mark(name, at))
        elif self._early is not None:
            self._early.append(Mark(name, at))


RECORDER = Recorder()
"""That of this process."""


class span(ContextDecorator):
    """A span of this process: around a block, or around each call of a function."""

    def __init__(self, name: str, label: object = "") -> None:
        self._name = name
        self._label = label

    def __enter__(self) -> None:
        RECORDER.begin(self._name, str(self._label))

    def __exit__(self, *_: object) -> None:
        RECORDER.end()


def nested(marks: Sequence[Mark], end: float) -> list[tuple[str, float, float]]:
    """The spans (name, begin, end) of what one process told, in the order in which they began.

    What was not ended, because the process was, ends at ``end``. The times are made to fit, and
    ends without a begin left out: the process may have been made to tell anything.
    """
    found: list[tuple[str, float, float]] = []
    on: list[int] = []
    last = 0.0
    for mark in marks:
        # A time that is no number is none of these.
        last = max(last, mark.at) if mark.at <= end else last
        if mark.name:
            on.append(len(found))
            found.append((mark.name, last, end))
        elif on:
            name, begin, _ = found[on[-1]]
            found[on.pop()] = (name, begin, last)
    return found
