"""Wall time, processor time and memory of a command and of all that it starts.

Memory is read from ``/proc`` while the command runs. The peak of a process is the kernel's own
(``VmHWM``), and so misses nothing between two looks. That of the whole tree is the largest sum of
proportional set sizes that was seen: pages that several processes share, such as the engine's
library, count once.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from megdump_ci.pipeline import machine
from megdump_ci.present.text import size_text

ROOT = Path(__file__).resolve().parents[1]
PYTHON = str(ROOT / ".venv" / "bin" / "python")
COMMAND = (PYTHON, "-m", "megdump_ci")
"""The command that is measured, from the tree that this file is in."""

_PAUSE = 0.01
"""Seconds between two looks. Adding up, which walks the page tables, takes at most a tenth of the
time."""


@dataclass(frozen=True)
class Process:
    """A process of the tree; its largest resident memory in bytes, its processor time in seconds.

    Both as they were when it was last looked at.
    """

    pid: int
    command: str
    peak: int
    processor: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command went. Times are seconds, sizes are bytes."""

    command: Sequence[str]
    status: int
    seconds: float
    processor: float
    """Processor time of the command and of what it has waited for."""
    peak: int
    """The largest memory of all processes together."""
    processes: list[Process]
    """In the order in which they were seen; the first is the command itself."""
    output: str
    errors: str
    stopped: str = ""
    """Why it was ended before its own end; empty if it was not."""

    @property
    def own_peak(self) -> int:
        """The largest memory of the command itself, without what it starts."""
        return self.processes[0].peak if self.processes else 0

    @property
    def largest(self) -> int:
        """The largest memory of any one process."""
        return max((process.peak for process in self.processes), default=0)

    def checked(self, *statuses: int) -> Run:
        """This run, if it ended with one of ``statuses``; or the program ends with what it said."""
        if self.stopped or self.status not in (statuses or (0,)):
            why = self.stopped or f"exit status {self.status}"
            raise SystemExit(f"{' '.join(self.command)}\n{why}\n{self.output}{self.errors}")
        return self


@dataclass
class _Watch:
    """Looks at a process and all below it until it is told to stop."""

    pid: int
    memory_limit: int
    time_limit: float
    peak: int = 0
    stopped: str = ""
    seen: dict[int, Process] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        start = adding = time.monotonic()
        while not self.done.wait(_PAUSE):
            pids = tree(self.pid)
            for pid in pids:
                self._look(pid)
            began = time.monotonic()
            if began >= adding:
                self.peak = max(self.peak, sum(map(_share, pids)))
                adding = began + 10 * (time.monotonic() - began)
            if self.peak > self.memory_limit:
                self._stop(f"it took {size_text(self.peak)}")
            elif began - start > self.time_limit:
                self._stop(f"it took more than {self.time_limit:g} s")

    def _look(self, pid: int) -> None:
        """Note a process, if it is not gone."""
        try:
            peak = _field(Path(f"/proc/{pid}/status"), "VmHWM:")
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            # The name, in brackets, may hold blanks; user and system time are fields 14 and 15.
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            return
        if not peak:
            # It ends: what was seen before is what it took.
            return
        ticks = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        self.seen[pid] = Process(pid, " ".join(words).strip(), peak, ticks)

    def _stop(self, why: str) -> None:
        self.stopped = why
        for pid in reversed(tree(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.done.set()


def tree(pid: int) -> list[int]:
    """A process and all below it, parents before their children; empty if it is gone."""
    found = [pid]
    for parent in found:
        try:
            lists = [path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children")]
        except OSError:
            continue
        found += [int(word) for text in lists for word in text.split()]
    return found


def _share(pid: int) -> int:
    """A process's share of the memory, in bytes; 0 if it is gone."""
    try:
        return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
    except OSError:
        return 0


def _field(path: Path, name: str) -> int:
    """A size in a file of /proc, in bytes; 0 if it has none, as that of a process that ends."""
    lines = (line.split() for line in path.read_text().splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[:1] == [name]), 0)


def measured(
    command: Sequence[str],
    *,
    cwd: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    memory_limit: int = 1 << 60,
    time_limit: float = 3600.0,
) -> Run:
    """Run a command to its end, or to one of the limits, and say what it took.

    ``environment`` is added to this process's own.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
        )
        watch = _Watch(process.pid, memory_limit, time_limit)
        thread = threading.Thread(target=watch.run)
        thread.start()
        status = process.wait()
        seconds = time.perf_counter() - start
        watch.done.set()
        thread.join()
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processes = list(watch.seen.values())
    return Run(
        command=command,
        status=status,
        seconds=seconds,
        processor=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        # A short peak of one of them may lie between two looks at the sum.
        peak=max(watch.peak, *(process.peak for process in processes), 0),
        processes=processes,
        output=texts[0],
        errors=texts[1],
        stopped=watch.stopped,
    )


def machine_text() -> str:
    """The machine in one line, and how busy it is: what stands above every table."""
    found = machine()
    return (
        f"{found.processor}, {found.cores} cores, {size_text(found.memory)} of memory,"
        f" {found.system}, CPython {found.python}; load average {os.getloadavg()[0]:.1f}"
    )


@contextlib.contextmanager
def folder(base: str = "") -> Iterator[Path]:
    """A folder for inputs and results, removed at the end; in ``base``, if that is given."""
    with tempfile.TemporaryDirectory(prefix="megdump-bench-", dir=base or None) as name:
        yield Path(name)
