"""The life of an engine process: from its first line to the exit that runs no engine hooks."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import traceback
from typing import BinaryIO, NoReturn

import msgspec

from megdump_ci.errors import ExitStatus, MegdumpError, Problem
from megdump_ci.protocol import (
    Failed,
    FileCheckJob,
    Finished,
    FromWorker,
    Job,
    PackJob,
    Ready,
    StreamCheckJob,
    Taken,
    ToWorker,
    encode,
)

_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Read a job from stdin, do it, report on stdout."""
    _die_with_parent()
    channel = _Channel(_claim_stdout())
    try:
        _work(channel)
        # ru_maxrss is in KiB on Linux.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        channel.emit(Finished(peak))
    except MegdumpError as error:
        channel.emit(_failed(error))
    except MemoryError:
        channel.emit(
            Failed(
                ExitStatus.ENGINE,
                [Problem("memory ran out", "use a machine with more memory")],
            )
        )
    # Nothing is swallowed here: a fault of our own goes to the parent with its traceback.
    except Exception as error:
        problem = Problem(f"{type(error).__name__}: {error}")
        channel.emit(Failed(ExitStatus.INTERNAL, [problem], traceback.format_exc()))
    # The engine's exit hooks hang after some of its failures.
    os._exit(0)


def _work(channel: _Channel) -> None:
    job = channel.receive(Job)
    from megdump_ci.engine import checking, graph, packing

    channel.emit(Ready(graph.versions()))
    if isinstance(job, PackJob):
        window = _Window(channel, job.window)
        packing.pack(job, channel.emit, window.wait)
    elif isinstance(job, StreamCheckJob):
        check = checking.StreamCheck(job, channel.emit)
        while not check.take(channel.receive(ToWorker)):
            pass
    elif isinstance(job, FileCheckJob):
        checking.check_file(job, channel.emit)


def _failed(error: MegdumpError) -> Failed:
    return Failed(error.exit_status, list(error.problems))


class _Channel:
    """Messages of the parent, and events for it."""

    def __init__(self, events: BinaryIO) -> None:
        self._events = events

    def emit(self, event: FromWorker) -> None:
        self._events.write(encode(event))
        self._events.flush()

    def receive(self, kind: object) -> Job | ToWorker:
        line = sys.stdin.buffer.readline()
        if not line:
            # The parent is gone or wants no more.
            os._exit(0)
        message: Job | ToWorker = msgspec.json.decode(line, type=kind)
        return message


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


def _claim_stdout() -> BinaryIO:
    """Keep the event pipe to ourselves: the engine prints to stdout, which now is stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
