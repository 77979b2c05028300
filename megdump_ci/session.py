"""The engine processes of a run: their events, their clocks, and the signals that end them."""

from __future__ import annotations

import contextlib
import queue
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from megdump_ci import protocol, report, stopping, temporary
from megdump_ci.errors import NO_ROOM, EngineError, ExitStatus, InputError, Problem, no_room
from megdump_ci.isolating import Isolation
from megdump_ci.options import Options
from megdump_ci.sandbox import limits
from megdump_ci.stages import Stages
from megdump_ci.trace import Trace
from megdump_ci.worker import Event, Events, Exited, Stopped, Worker, cores, ended

_POLL = 0.2
_HINT = "the model is damaged, or MegEngine has a fault with it; a graph that it dumps anew may do"
_BUSY_HINT = "it worked on longer than the time limit allows: --timeout SECONDS gives it more"
_KILLED_HINT = "if the system ran out of memory, use a machine with more, or smaller testcases"


class Observer(Protocol):
    """Is told how the run goes on."""

    def phase(self, name: str) -> None:
        """A phase begins."""

    def advanced(self, done: int, total: int) -> None:
        """So many of the testcases are checked."""


class Silent:
    """An observer that does not look."""

    def phase(self, name: str) -> None:
        """Nothing."""

    def advanced(self, done: int, total: int) -> None:
        """Nothing."""


class InternalError(Exception):
    """A fault of this program in an engine process; the text is its traceback."""


class WorkerFailed(EngineError):
    """An engine process cannot go on."""

    def __init__(self, worker: Worker, how: report.How, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.worker = worker
        self.how = how


class Session:
    """The engine processes of a run, their events, and the signals that end it."""

    def __init__(
        self,
        folder: Path,
        options: Options,
        observer: Observer,
        isolation: Isolation | None = None,
    ) -> None:
        self.folder = folder
        """For this process alone to write to."""
        self.scratch = folder / "shared"
        """For the engine processes, all of which may change it; there once one was started."""
        self.observer = observer
        self._isolation = isolation or Isolation(options, folder)
        self._options = options
        self._events: Events = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._gone: set[Worker] = set()
        self._peaks: dict[Worker, int] = {}
        self._parts: dict[Worker, dict[str, float]] = {}
        self._children: list[Session] = []
        self.trace: Trace | None = None
        """Where engine processes tell what they do, if anybody wants to know."""
        self.aside: Callable[[], None] | None = None
        """What to do beside, once, when an engine process is loaded and this one only waits."""
        self.stages: Stages | None = None
        """Where the time of the run goes; ``None`` for a part of it."""
        self.label = ""
        """What their names in it begin with."""

    def step(self, name: str = "") -> None:
        """A step of the phase begins that is timed by itself; without a name, the rest of it."""
        if self.stages is not None:
            self.stages.step(name)

    def start(
        self,
        phase: str,
        kernels: report.Kernels | None = None,
        *,
        writes: Sequence[str] = (),
        laps: int = 1,
    ) -> Worker:
        """Start an engine process; one that verifies does so with ``kernels``.

        ``writes`` are the files that it is to write outside of the scratch folder; they are there.
        It has the time of a phase so many times.
        """
        self.step("start the engine")
        box = self._isolation.box(
            self.folder / f"{phase.replace(' ', '-')}.home",
            self.scratch,
            writes,
            cores=cores(self._options.threads),
            seconds=self._options.timeout * laps,
        )
        worker = Worker(phase, self.folder, box, self._events, kernels)
        self._workers.append(worker)
        if self.trace is not None:
            worker.profile(self.trace.track(self.label + phase, worker.number, worker.began))
        return worker

    def child(self, folder: Path, options: Options) -> Session:
        """A session for a part of the run, in whatever thread; it is stopped with this one."""
        child = Session(folder, options, Silent(), self._isolation)
        child.trace, child.label = self.trace, self.label
        self._children.append(child)
        return child

    def stop(self, number: int) -> None:
        """The run ends at its next event, by a signal of that number."""
        # SimpleQueue.put may be called from a signal handler.
        self._events.put((None, Stopped(number)))
        self.stop_children(number)

    def stop_children(self, number: int = signal.SIGTERM) -> None:
        """Let the parts of the run end at their next event."""
        for child in self._children:
            child.stop(number)

    def give_up(self) -> None:
        """End the engine processes there are, and hear no more of them."""
        for worker in self._workers:
            worker.busy(False)
            worker.kill()
        self._gone.update(self._workers)

    def close(self) -> None:
        """End all engine processes."""
        for worker in self._workers:
            worker.kill()

    def events(self) -> Iterator[tuple[Worker, Event]]:
        """Events as they come, until no process is left.

        Raises :class:`Interrupted` when asked to stop and :class:`EngineError` when a process
        dies, fails or is busy for longer than a phase may take.
        """
        running = set(self._workers) - self._gone
        while running:
            try:
                worker, event = self._events.get(timeout=_POLL)
            except queue.Empty:
                self._check_clocks(running)
                continue
            if isinstance(event, Stopped):
                raise stopping.interrupted(event.signal)
            assert worker is not None
            if worker in self._gone:
                continue
            if isinstance(event, Exited):
                running.discard(worker)
                self._gone.add(worker)
                self._check_exit(worker, event)
            elif isinstance(event, protocol.Boxed):
                self._isolation.take(worker, event.isolation)
            elif isinstance(event, protocol.Failed):
                _raise(worker, event)
            elif isinstance(event, protocol.Finished):
                worker.busy(False)
                self._peaks[worker], self._parts[worker] = event.peak_memory, event.parts
            else:
                if isinstance(event, protocol.Ready):
                    self.step()
                    self._begin_aside()
                yield worker, event
                self._check_clocks(running)

    def _begin_aside(self) -> None:
        if self.aside is not None:
            threading.Thread(target=self.aside, name="aside").start()
            self.aside = None

    def processes(self) -> list[report.Process]:
        """How long each process was busy, with what, and its largest memory."""
        return [
            report.Process(
                name=worker.phase,
                seconds=round(worker.total, 3),
                peak_memory=self._peaks.get(worker, 0),
                parts=self._parts.get(worker, {}),
            )
            for worker in self._workers
        ]

    def isolation(self) -> report.Isolation | None:
        """How all engine processes of the run, and of its parts, were kept from the machine."""
        return self._isolation.reported()

    def _check_clocks(self, running: set[Worker]) -> None:
        for worker in running:
            words = worker.hangs_after
            if words:
                self._check_memory(worker, worker.tail())
                message = f"the engine gave up ({words}) and hung while {worker.phase}"
                problem = Problem(message, _HINT)
                raise WorkerFailed(worker, "hung", [problem])
            if worker.clock > self._options.timeout:
                problem = Problem(
                    f"the engine was stopped: {worker.phase} took longer than"
                    f" {self._options.timeout:g} s",
                    "it hangs, or the work is large: --timeout SECONDS gives it longer",
                )
                raise WorkerFailed(worker, "timed out", [problem])

    def _check_exit(self, worker: Worker, event: Exited) -> None:
        if worker in self._peaks:
            return
        self._check_memory(worker, event.log)
        how = ended(event.status)
        last = "".join(f"\n  {line}" for line in last_words(event.log))
        message = f"the engine {how} while {worker.phase}{last}"
        if event.status == -signal.SIGKILL:
            # Nothing in the engine sends that: it came from outside.
            raise WorkerFailed(worker, "failed", [Problem(message, _KILLED_HINT)])
        if event.status == -signal.SIGXCPU:
            raise WorkerFailed(worker, "timed out", [Problem(message, _BUSY_HINT)])
        raise WorkerFailed(worker, "crashed", [Problem(message, _HINT)])

    def _check_memory(self, worker: Worker, log: str) -> None:
        """:class:`WorkerFailed` if it is gone, and its last words are that memory ran out."""
        if limits.memory_ran_out(log):
            problem = limits.no_memory(self._isolation.memory, f" while {worker.phase}")
            raise WorkerFailed(worker, "failed", [problem])


def last_words(log: str) -> list[str]:
    """The last lines that an engine process printed by itself.

    Behind them, the interpreter tells which line of this program called the engine.
    """
    own, _, _ = log.partition("Fatal Python error: ")
    return own.strip().splitlines()[-3:]


def _raise(worker: Worker, event: protocol.Failed) -> None:
    """Raise what ended an engine process."""
    if event.status == ExitStatus.INPUT:
        raise InputError(event.problems)
    if event.status == ExitStatus.ENGINE:
        raise WorkerFailed(worker, "refused" if event.refused else "failed", event.problems)
    raise InternalError(event.traceback)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for this run alone, removed at its end, at the latest by the next run.

    Raises :class:`InputError` if there is no place for it, or no room in it.
    """
    try:
        folder = temporary.folder()
    except OSError as error:
        raise InputError(
            f"cannot make a folder for temporary files: {error.strerror or error}",
            "name one by TMPDIR in which this user may write and that has room",
        ) from error

    def remove() -> None:
        shutil.rmtree(folder.path, ignore_errors=True)

    stopping.keep(folder, remove)
    try:
        yield folder.path
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InputError([no_room(error)]) from error
    finally:
        remove()
        folder.release()
        stopping.drop(folder)


@contextlib.contextmanager
def opened(folder: Path, options: Options, observer: Observer) -> Iterator[Session]:
    session = Session(folder, options, observer)
    try:
        with stopping.handling(session.stop):
            try:
                yield session
            finally:
                session.close()
    finally:
        session.close()
