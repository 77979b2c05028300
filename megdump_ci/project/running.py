"""``megdump-ci run``: the entries of ``megdump.toml``, each packed by a process of its own.

What goes wrong with one, a fault of this program included, is that one's alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import IO, Protocol

import msgspec

from megdump_ci import merged, reading, report, stopping
from megdump_ci.errors import ExitStatus, InputError, Problem, no_room
from megdump_ci.options import to_argv
from megdump_ci.output import make_folder
from megdump_ci.present import files
from megdump_ci.project.file import Entry, Project
from megdump_ci.project.rebasing import rebased
from megdump_ci.session import scratch_folder
from megdump_ci.worker import KEPT_ENVIRONMENT, module_folders

REPORT = "report.json"
TRACE = "trace.json"
"""What the trace of an entry is called in its report's folder, where it has no other place."""

# Isolated mode keeps modules of the project's folder out. It leaves out what this program was
# started with as well, hence the folders.
_ISOLATED = ("-I", "-B", "-X", "utf8", "-W", "ignore")
_START = (
    "import signal, sys; sys.path[:0] = sys.argv.pop(1).split('\\n');"
    " from megdump_ci import stopping;"
    " stopping.end_with_parent(signal.SIGTERM, int(sys.argv.pop(1)));"
    " from megdump_ci.cli import main; sys.exit(main())"
)
_ENVIRONMENT = (*KEPT_ENVIRONMENT, "HOME", "TMPDIR", reading.FOLDERS)
_MOST_JOBS = 4
_ASKED = 15
"""How often a process is asked to end at once, every 0.2 s, before it is killed."""
_TAIL = 2000
_STOPPED = Problem("stopped before its turn came", "run it again")


class Watcher(Protocol):
    """Is told how the run goes on, from several threads."""

    def chosen(self, names: Sequence[str]) -> None:
        """These entries will be run."""

    def began(self, name: str) -> None:
        """An entry is being run."""

    def ended(self, entry: merged.Entry) -> None:
        """So it went."""


def default_jobs() -> int:
    """How many entries run at the same time where nobody says."""
    return min(len(os.sched_getaffinity(0)), _MOST_JOBS)


def run(
    project: Project,
    entries: Sequence[Entry],
    jobs: int,
    folder: str,
    watcher: Watcher,
    *,
    traces: dict[str, bytes] | None = None,
) -> list[merged.Entry]:
    """Run the entries, ``jobs`` side by side, and return what became of each, in their order.

    The report of an entry goes to a folder of its name in ``folder``, if that is given and the
    file does not name another. SIGINT and SIGTERM end them all. ``traces`` is given the trace of
    each, if they left one.
    """
    with scratch_folder() as scratch:
        runs = [
            _Run(
                project,
                reporting(entry, project, folder),
                scratch / str(place),
                traced=traces is not None,
            )
            for place, entry in enumerate(entries)
        ]

        def stop(_number: int) -> None:
            # All of them first: one that ends makes room for the next.
            for item in runs:
                item.stopped = True
            for item in runs:
                item.stop()

        with stopping.handling(stop), ThreadPoolExecutor(jobs or default_jobs()) as pool:
            futures = {pool.submit(item.run, watcher): place for place, item in enumerate(runs)}
            ended: dict[int, merged.Entry] = {}
            for future in as_completed(futures):
                ended[futures[future]] = future.result()
                watcher.ended(future.result())
        if traces is not None:
            found = {entry.name: item.trace() for entry, item in zip(entries, runs, strict=True)}
            traces.update({name: trace for name, trace in found.items() if trace is not None})
    return [ended[place] for place in range(len(runs))]


def reporting(entry: Entry, project: Project, folder: str) -> Entry:
    """``entry`` with its report in ``folder``, if that is given and it has no place of its own."""
    if not folder or "report" in entry.given:
        return entry
    path = os.path.relpath(os.path.join(folder, entry.name), project.folder)
    return replace(entry, options=replace(entry.options, report=path))


def prepare(entry: Entry, project: Project) -> None:
    """Make the folders that an entry writes to, and take earlier reports of it away.

    Raises :class:`InputError` if that cannot be done.
    """
    for written in entry.options.written:
        make_folder(str((project.folder / written).parent))
    options = entry.options
    left = [os.path.join(options.report, name) for name in files.FILES]
    for name in (*left, *([options.profile] if options.profile else [])):
        path = project.folder / name
        try:
            # It is not to be taken for this run's.
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot remove {path}: {error.strerror}", "remove it") from error


class _Run:
    """The process of one entry."""

    def __init__(
        self, project: Project, entry: Entry, scratch: Path, *, traced: bool = False
    ) -> None:
        self._project = project
        self._scratch = scratch
        self._kept = bool(entry.options.report)
        if not self._kept:
            options = replace(entry.options, report=str(scratch / "report"))
            entry = replace(entry, options=options)
        if traced and not entry.options.profile:
            path = os.path.join(entry.options.report, TRACE)
            entry = replace(entry, options=replace(entry.options, profile=path))
        self._entry = entry
        # A signal may come while another one is handled, hence not a simple lock.
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        """Set, it does not begin."""

    def stop(self) -> None:
        """End it in order."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()

    def _end_at_once(self) -> None:
        """Let it end at once, with all that it has begun; kill it if it does not."""
        assert self._process is not None
        for _ in range(_ASKED):
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
                return
        self._process.kill()

    def run(self, watcher: Watcher) -> merged.Entry:
        """Run it; whatever happens is in the entry that is returned."""
        watcher.began(self._entry.name)
        try:
            prepare(self._entry, self._project)
            log = self._log()
        except InputError as error:
            return self._failed(error.exit_status, error.problems)
        with log:
            with self._lock:
                if self.stopped:
                    return self._failed(ExitStatus.INPUT, [_STOPPED])
                self._process = self._start(log)
            stopping.keep(self, self._end_at_once)
            status = self._process.wait()
            stopping.drop(self)
        return self._result(status)

    def _log(self) -> IO[bytes]:
        """Where what it prints goes; :class:`InputError` if there is no place for it."""
        try:
            self._scratch.mkdir(exist_ok=True)
            return (self._scratch / "log").open("wb")
        except OSError as error:
            raise InputError([no_room(error)]) from error

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        folders = "\n".join(module_folders())
        arguments = ["pack", *to_argv(self._entry.options)]
        return subprocess.Popen(
            [sys.executable, *_ISOLATED, "-c", _START, folders, str(os.getpid()), *arguments],
            cwd=self._project.folder,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in a terminal goes to this process, which ends the others in order.
            start_new_session=True,
        )

    def trace(self) -> bytes | None:
        """The trace that it left, if it was to."""
        path = self._project.folder / self._entry.options.profile
        return path.read_bytes() if path.is_file() else None

    def _result(self, status: int) -> merged.Entry:
        """What its report says, if it left the one that goes with how it ended."""
        path = self._project.folder / self._entry.options.report / REPORT
        try:
            found = report.from_json(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return self._failed(*self._without_report(status))
        if self.stopped and status == ExitStatus.INPUT != found.exit_status:
            # The report is from before the signal.
            return self._failed(*self._without_report(status))
        if found.exit_status != status:
            problem = Problem(
                f"its report says exit status {found.exit_status}, but it ended with {status}",
                "please report this fault of megdump-ci",
            )
            return self._failed(ExitStatus.INTERNAL, [problem])
        return self._with_paths(found, path)

    def _with_paths(self, found: report.Report, path: Path) -> merged.Entry:
        """The entry of a report, whose paths are then those of this process."""
        model = self._project.model_of(self._entry)
        moved = rebased(found, self._project, self._entry)
        file = ""
        problems: list[Problem] = []
        if self._kept:
            file = os.path.relpath(path)
            try:
                contents, problems = files.made(moved)
                files.write(str(path.parent), contents)
            except InputError as error:
                return self._failed(error.exit_status, error.problems)
        entry = merged.entry_of(self._entry.name, moved, file)
        return msgspec.structs.replace(entry, model=model, problems=entry.problems + problems)

    def _without_report(self, status: int) -> tuple[int, list[Problem]]:
        if self.stopped:
            return ExitStatus.INPUT, [Problem("it was stopped", "run it again")]
        log = (self._scratch / "log").read_bytes()[-_TAIL:].decode(errors="replace").strip()
        if status < 0:
            name = signal.Signals(-status).name
            hint = "if the system ran out of memory, use a machine with more, or --jobs 1"
            return ExitStatus.ENGINE, [Problem(f"it was killed by {name}", hint)]
        message = f"it left no report and ended with status {status}\n{log}"
        return status or ExitStatus.INTERNAL, [Problem(message.strip(), "see what it printed")]

    def _failed(self, status: int, problems: Sequence[Problem]) -> merged.Entry:
        model = self._project.model_of(self._entry)
        return merged.failed_entry(self._entry.name, model, status, problems)
