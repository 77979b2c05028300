"""The life of an engine process: from its first line to the exit that runs no engine hooks."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from megdump_ci import stopping
from megdump_ci.decoding import decode
from megdump_ci.errors import NO_ROOM, ExitStatus, MegdumpError, Problem, no_room
from megdump_ci.protocol import (
    Boxed,
    DiffJob,
    ExportCheckJob,
    ExportJob,
    Failed,
    FileCheckJob,
    Finished,
    FromWorker,
    Job,
    LiteJob,
    LocateJob,
    PackJob,
    Profile,
    Ready,
    StreamCheckJob,
    Taken,
    TimeJob,
    ToWorker,
    encode,
)
from megdump_ci.sandbox import limits
from megdump_ci.sandbox.box import Box, enter
from megdump_ci.spans import RECORDER, span

_RESERVE = 1 << 20
"""Bytes that are kept for saying that there are no more."""
_PIPE = 1 << 16
"""Bytes that a pipe holds."""
_MARGIN = 1.0
"""Seconds by which the user's code has to be done before its process is ended."""


def main() -> NoReturn:
    """Read a job from stdin, do it, report on stdout."""
    status = 1
    try:
        _live()
        status = 0
    # What cannot be reported is left in the log, in which the parent looks for memory.
    except BaseException:
        traceback.print_exc()
    finally:
        # Exit hooks, the engine's and those of OpenBLAS, hang after some failures.
        os._exit(status)


def _live() -> None:
    stopping.end_with_parent(signal.SIGKILL)
    channel = _Channel(_claim_stdin(), _claim_stdout())
    reserve = [bytes(_RESERVE)]
    try:
        channel.emit(Boxed(enter(channel.receive(Box))))
        _work(channel)
        # ru_maxrss is in KiB on Linux.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        channel.emit(Finished(peak, RECORDER.finish()))
    # Nothing is swallowed here: a fault of our own goes to the parent with its traceback.
    except Exception as error:
        reserve.clear()
        channel.emit(_ended_by(error))


def _work(channel: _Channel) -> None:
    job = channel.receive(Profile | Job)
    if isinstance(job, Profile):
        RECORDER.listen(channel.emit)
        job = channel.receive(Job)
    else:
        RECORDER.listen(None)
    start = time.monotonic()
    with span("import the engine"):
        from megdump_ci.engine import lean

        lean.load()
        from megdump_ci.engine import checking, export_check, exporting, graph, packing

    channel.emit(Ready(graph.versions()))
    if isinstance(job, PackJob):
        window = _Window(channel, job.window)
        packing.pack(job, channel.emit, window.wait)
    elif isinstance(job, ExportJob):
        # Before the parent ends this process, it is to say where the user's code was.
        exporting.export(job, time.monotonic() - start + _MARGIN, channel.emit)
    elif isinstance(job, ExportCheckJob):
        export_check.check(job, channel.emit)
    elif isinstance(job, StreamCheckJob):
        check = checking.StreamCheck(job, channel.emit)
        while not check.take(channel.receive(ToWorker)):
            if not channel.waiting():
                check.settle()
    else:
        _look(job, channel.emit)


def _look(job: Job | ToWorker, emit: Callable[[FromWorker], None]) -> None:
    """Do a job that takes finished files and needs no more messages."""
    if isinstance(job, LocateJob):
        from megdump_ci.engine import locating

        locating.locate(job, emit)
    elif isinstance(job, DiffJob):
        from megdump_ci.engine import diffing

        diffing.diff(job, emit)
    elif isinstance(job, TimeJob):
        from megdump_ci.engine import timing

        timing.measure(job, emit)
    elif isinstance(job, FileCheckJob):
        from megdump_ci.engine import checking

        checking.check_file(job, emit)
    elif isinstance(job, LiteJob):
        from megdump_ci.engine import lite

        lite.check(job, emit)


def _ended_by(error: Exception) -> Failed:
    if _of_memory(error):
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        return Failed(ExitStatus.ENGINE, [limits.no_memory(limit)])
    return _failed(error) if isinstance(error, MegdumpError) else _unexpected(error)


def _of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, wherever in what led to the error."""
    while error is not None:
        # The engine words it in an error of its own, which is behind the one that is raised.
        if isinstance(error, MemoryError) or limits.memory_ran_out(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _failed(error: MegdumpError) -> Failed:
    from megdump_ci.engine.graph import GraphRefused

    refused = isinstance(error, GraphRefused)
    return Failed(error.exit_status, list(error.problems), refused=refused)


def _unexpected(error: Exception) -> Failed:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Failed(ExitStatus.INPUT, [no_room(error)])
    problem = Problem(f"{type(error).__name__}: {error}")
    return Failed(ExitStatus.INTERNAL, [problem], traceback.format_exc())


class _Channel:
    """Messages of the parent, and events for it."""

    def __init__(self, messages: int, events: BinaryIO) -> None:
        self._messages = messages
        self._lines: deque[bytes] = deque()
        self._pieces: list[bytes] = []
        """Of a line that has no end yet."""
        self._events = events

    def emit(self, event: FromWorker) -> None:
        self._events.write(encode(event))
        self._events.flush()

    def receive(self, kind: Any) -> Any:
        with span("wait"):
            while not self._lines:
                self._read()
        return decode(self._lines.popleft(), kind)

    def waiting(self) -> bool:
        """Whether a message is there that was not received."""
        while not self._lines and select.select([self._messages], [], [], 0)[0]:
            self._read()
        return bool(self._lines)

    def _read(self) -> None:
        content = os.read(self._messages, _PIPE)
        if not content:
            # The parent is gone or wants no more.
            os._exit(0)
        *lines, rest = content.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces.clear()
        self._lines += lines
        self._pieces.append(rest)


class _Window:
    """Lets the packing worker run ahead of the verifying one by so many testcases."""

    def __init__(self, channel: _Channel, size: int) -> None:
        self._channel = channel
        self._free = size

    def wait(self) -> None:
        while self._free == 0:
            self._channel.receive(Taken)
            self._free += 1
        self._free -= 1


def _claim_stdin() -> int:
    """Keep the message pipe to ourselves: the user's code may read stdin, which now is empty."""
    messages = os.dup(sys.stdin.fileno())
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    return messages


def _claim_stdout() -> BinaryIO:
    """Keep the event pipe to ourselves: the engine prints to stdout, which now is stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events
