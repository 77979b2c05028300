"""Starting an engine process, listening to it, ending it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import site
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import msgspec

from megdump_ci import processor, reading, stopping
from megdump_ci.decoding import decode
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.protocol import Failed, FromWorker, Profile, ToWorker, encode
from megdump_ci.report import Kernels
from megdump_ci.sandbox.box import Box
from megdump_ci.spans import Mark
from megdump_ci.testcase.settings import IMAGE_LIMIT
from megdump_ci.trace import Track

KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ")
"""What an engine process is given of the environment; above all no token."""
_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_ENTRY = Path(__file__).resolve().parent / "engine" / "__main__.py"
_LOG_TAIL = 4096

GIVEN_UP = (b"Xbyak::Error", b"terminate called")
"""What the engine prints when it ends itself, after which its exit hooks may hang.

Xbyak, which makes its machine code, calls exit(); an exception nobody catches calls abort().
"""
_GRACE = 2.0
"""Seconds that a process has for ending after it printed one of these, or was killed."""
_NO_MORE = b""
# Isolated mode keeps out modules of the working folder and ignores the PYTHON... variables. Of a
# crash, the log then says where it was.
_ISOLATED = ("-I", "-B", "-X", "utf8", "-X", "faulthandler", "-W", "ignore")


class Exited(msgspec.Struct, frozen=True):
    """The process is gone; negative ``status`` is the signal that ended it."""

    status: int
    log: str
    """The end of what it printed."""


class Stopped(msgspec.Struct, frozen=True):
    """This process was asked to stop by a signal."""

    signal: int


Event = FromWorker | Exited | Stopped
Events = queue.SimpleQueue["tuple[Worker | None, Event]"]


class LogWatch:
    """Looks for the last words of the engine in a log that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._found = ""

    def found(self) -> str:
        """What is there of them; empty if nothing. Only what is new in the log is read."""
        longest = max(map(len, GIVEN_UP))
        if not self._found:
            with self._path.open("rb") as log:
                # Words may have been cut in two by the last look.
                log.seek(max(0, self._read - longest))
                new = log.read()
                self._read = log.tell()
            self._found = next((words.decode() for words in GIVEN_UP if words in new), "")
        return self._found


class Worker:
    """An engine process. Its events arrive in ``events``, together with the worker.

    ``clock`` is the time in seconds for which it had something to do (see :meth:`busy`);
    ``kernels`` are those that it verifies with, ``None`` if it does not verify.
    """

    def __init__(
        self,
        phase: str,
        folder: Path,
        box: Box,
        events: Events,
        kernels: Kernels | None = None,
    ) -> None:
        self.phase = phase
        self.kernels = kernels
        self._events = events
        self._log = folder / f"{phase.replace(' ', '-')}.log"
        self._watch = LogWatch(self._log)
        self.began = self._quiet_since = time.monotonic()
        self._spent = self._earlier = 0.0
        self._since: float | None = None
        self._track: Track | None = None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *_ISOLATED, str(_ENTRY), *module_folders()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **_environment(box.home, len(box.cores), kernels),
                    **reading.environment(str(folder)),
                },
                # Ctrl-C in a terminal goes to this process, which ends the worker in order.
                start_new_session=True,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self._stdin: IO[bytes] = stdin
        self._stdout: IO[bytes] = stdout
        stopping.keep(self, self._kill_at_once)
        # A pipe is full after 64 KiB; only a thread may wait for a process that does not read.
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=target, name=phase, daemon=True)
            for target in (self._listen, self._write)
        ]
        for thread in self._threads:
            thread.start()
        self.send(box)

    def send(self, message: ToWorker) -> None:
        """Send a message; a process that is gone is reported by its :class:`Exited`."""
        self._outbox.put(encode(message))

    def profile(self, track: Track) -> None:
        """Let the process tell ``track`` what it does when; to be asked before it has its job."""
        self._track = track
        self.send(Profile())

    @property
    def number(self) -> int:
        """That of the process."""
        return self._process.pid

    def busy(self, busy: bool) -> None:
        """Start or stop the clock."""
        if busy and self._since is None:
            self._since = self._quiet_since = time.monotonic()
        elif not busy and self._since is not None:
            self._spent += time.monotonic() - self._since
            self._since = None

    @property
    def clock(self) -> float:
        """Seconds spent busy so far."""
        running = time.monotonic() - self._since if self._since is not None else 0.0
        return self._spent + running

    def lap(self) -> None:
        """Start the clock anew: the next part of the job has the whole time again."""
        self._earlier += self.clock
        self._spent = 0.0
        if self._since is not None:
            self._since = time.monotonic()

    @property
    def total(self) -> float:
        """Seconds spent busy in all laps."""
        return self._earlier + self.clock

    @property
    def hangs_after(self) -> str:
        """What the engine said when it ended itself, if the process is still there; or empty."""
        if self._since is None or time.monotonic() - self._quiet_since < _GRACE:
            return ""
        return self._watch.found()

    def tail(self) -> str:
        """The end of what it printed."""
        with self._log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _LOG_TAIL))
            return log.read().decode(errors="replace")

    def kill(self) -> None:
        """End the process and all it started, and wait until it is gone."""
        # Until it is waited for, its number stands for the group of all that it started.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        stopping.drop(self)
        self._outbox.put(_NO_MORE)
        threads, self._threads = self._threads, []
        for thread in threads:
            # What has left the group of the process may hold its pipes for as long as it lives.
            thread.join(_GRACE)

    def _kill_at_once(self) -> None:
        """End the process and all it started; what reads from it and writes to it ends with us."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # So that it writes nothing more where we clean up.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)

    def _write(self) -> None:
        # What was not sent has nobody to read it.
        with contextlib.suppress(BrokenPipeError), self._stdin:
            for message in iter(self._outbox.get, _NO_MORE):
                self._stdin.write(message)
                self._stdin.flush()

    def _listen(self) -> None:
        with self._stdout:
            for line in self._stdout:
                self._quiet_since = time.monotonic()
                event = _decode(line)
                if not isinstance(event, Mark):
                    self._events.put((self, event))
                elif self._track is not None:
                    self._track.take(event)
        status = self._process.wait()
        if self._track is not None:
            self._track.close(ended(status) if status else "")
        # After kill() nobody wants to know, and the log may be gone.
        log = self.tail() if self._threads else ""
        self._events.put((self, Exited(status, log)))


def ended(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _decode(line: bytes) -> FromWorker:
    try:
        event: FromWorker = decode(line, FromWorker)
    except msgspec.DecodeError as error:
        problem = Problem(
            f"an engine process wrote what is no event ({error}): {line[:80]!r}",
            "the model made the engine do what it should not: do not trust it",
        )
        return Failed(ExitStatus.ENGINE, [problem])
    return event


def cores(threads: int) -> set[int]:
    """The processor cores that ``--threads`` leaves to an engine process."""
    available = sorted(os.sched_getaffinity(0))
    return set(available[: threads or len(available)])


def _environment(home: str, threads: int, kernels: Kernels | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    count = str(threads)
    return {
        **kept,
        "HOME": home,
        "TMPDIR": home,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": "1",
        # The verdict is the processor's: with a GPU in sight the engine would take that.
        "CUDA_VISIBLE_DEVICES": "-1",
        # Its threads wait 5 ms in a busy loop otherwise, which two processes take from each other.
        "MGB_WORKER_MAX_SPIN": "1",
        **IMAGE_LIMIT,
        **processor.environment(),
        # 2 takes the naive kernel of every operator (dnn/src/common/utils.cpp of MegEngine).
        **({"MGB_USE_MEGDNN_DBG": "2"} if kernels == "naive" else {}),
    }


def module_folders() -> list[str]:
    """What a process in isolated mode needs on its module path to find what this one runs."""
    folders = [str(_PACKAGE_ROOT)]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return folders
