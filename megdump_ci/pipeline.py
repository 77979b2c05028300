"""``run(options) -> Report``: the whole job, knowing neither terminal nor GitHub.

Packing and verifying are two engine processes that work at the same time, the second on what the
first has written; this process passes their messages on, watches the clocks and puts the files in
place. It never loads the engine, so whatever a model does to the engine ends up as a line of the
report.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import queue
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from megdump_ci import __version__, output, packed, protocol, report
from megdump_ci.errors import (
    EngineError,
    ExitStatus,
    InputError,
    Interrupted,
    MegdumpError,
    Problem,
)
from megdump_ci.options import Options, PackOptions, VerifyOptions, checked, to_argv
from megdump_ci.testcase.spec import TestcaseSpec, read_specs
from megdump_ci.worker import Event, Events, Exited, Stopped, Worker

WINDOW = 4
"""Testcases that packing may be ahead of verifying: what bounds memory and scratch space."""

FAILED_SUFFIX = ".failed"
"""A packed file that did not pass is kept under its name and this, beside an earlier good one."""

_POLL = 0.2


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


@dataclasses.dataclass
class State:
    """What is known of a run so far."""

    engine: report.Engine | None = None
    model: report.Graph | None = None
    packed: report.Graph | None = None
    deploy: report.Graph | None = None
    strip_info: list[report.StripInfo] = dataclasses.field(default_factory=list)
    testcases: list[report.Testcase] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    phases: list[report.Phase] = dataclasses.field(default_factory=list)
    exit_status: ExitStatus = ExitStatus.INTERNAL


def run(options: Options, observer: Observer | None = None) -> report.Report:
    """Do what the options ask for and report on it.

    What goes wrong with the input or the engine is in the report; an exception that leaves this
    function is a fault of the program.
    """
    start = time.monotonic()
    state = State()
    watcher = observer or Silent()
    try:
        checked(options)
        if options.report:
            output.make_folder(options.report)
        with _scratch() as scratch, _session(scratch, options, watcher) as session:
            if isinstance(options, PackOptions):
                _pack(options, state, session)
            else:
                _verify(options, state, session)
    except MegdumpError as error:
        state.problems += error.problems
        state.exit_status = error.exit_status
        # What was begun is gone.
        state.packed = state.deploy = None
    result = _report(options, state, time.monotonic() - start)
    if options.report and Path(options.report).is_dir():
        try:
            output.write_whole(str(Path(options.report, "report.json")), report.to_json(result))
        except InputError as error:
            state.problems += error.problems
            state.exit_status = error.exit_status
            result = _report(options, state, time.monotonic() - start)
    return result


def _pack(options: PackOptions, state: State, session: Session) -> None:
    specs = _readable(options)
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(output.StagedFile(path))
            for name, path in (("packed", options.output), ("deploy", options.deploy_output))
            if path
        }
        packing = Packing(options, specs, state, session, files)
        packing.run()
        _place(options, state, files, packing.written)


def _readable(options: PackOptions) -> list[TestcaseSpec]:
    """The testcases asked for, once all that needs no engine to be found wrong is right."""
    specs: list[TestcaseSpec] = []
    problems: list[Problem] = []
    checks: list[Callable[[], object]] = [
        lambda: packed.check_model(options.model),
        lambda: specs.extend(read_specs(options.data)),
    ]
    for path in filter(None, (options.output, options.deploy_output)):
        checks.append(lambda path=path: output.check_writable(path))
    for check in checks:
        try:
            check()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return specs


def _place(
    options: PackOptions,
    state: State,
    files: dict[str, output.StagedFile],
    written: protocol.GraphWritten,
) -> None:
    """Move the files into place; what failed goes beside an earlier good file."""
    suffix = "" if state.exit_status == ExitStatus.PASSED else FAILED_SUFFIX
    assert state.packed is not None
    path = files["packed"].commit(suffix)
    state.packed = msgspec.structs.replace(state.packed, path=path)
    if options.output_strip_info:
        _write_strip_info(state, path, "packed", written.strip_info, written.hash)
    if "deploy" in files and state.deploy is not None:
        path = files["deploy"].commit(suffix)
        state.deploy = msgspec.structs.replace(state.deploy, path=path)
        if options.output_strip_info:
            _write_strip_info(state, path, "deploy", written.deploy_strip_info, written.deploy_hash)


def _write_strip_info(
    state: State, path: str, describes: Any, info: dict[str, list[str]], hash: int
) -> None:
    # In the form that tools/gen_header_for_bin_reduce.py of MegEngine reads.
    target = f"{path}.json"
    output.write_whole(target, msgspec.json.encode({**info, "hash": hash}) + b"\n")
    state.strip_info.append(report.StripInfo(path=target, describes=describes, hash=hash))


class Session:
    """The engine processes of a run, their events, and the signals that end it."""

    def __init__(self, scratch: Path, options: Options, observer: Observer) -> None:
        self.scratch = scratch
        self.observer = observer
        self._options = options
        self._events: Events = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._peaks: dict[str, int] = {}

    def start(self, phase: str) -> Worker:
        """Start an engine process."""
        worker = Worker(phase, self.scratch, self._events, self._options.threads)
        self._workers.append(worker)
        return worker

    def stop(self, number: int, _frame: object = None) -> None:
        """Signal handler: the run ends at its next event."""
        # SimpleQueue.put may be called from a signal handler.
        self._events.put((None, Stopped(number)))

    def close(self) -> None:
        """End all engine processes."""
        for worker in self._workers:
            worker.kill()

    def events(self) -> Iterator[tuple[Worker, Event]]:
        """Events as they come, until no process is left.

        Raises :class:`Interrupted` when asked to stop and :class:`EngineError` when a process
        dies, fails or is busy for longer than a phase may take.
        """
        running = set(self._workers)
        while running:
            try:
                worker, event = self._events.get(timeout=_POLL)
            except queue.Empty:
                self._check_clocks(running)
                continue
            if isinstance(event, Stopped):
                name = signal.Signals(event.signal).name
                raise Interrupted(f"stopped by {name}", "nothing was written")
            assert worker is not None
            if isinstance(event, Exited):
                running.discard(worker)
                self._check_exit(worker, event)
            elif isinstance(event, protocol.Failed):
                _raise(event)
            elif isinstance(event, protocol.Finished):
                worker.busy(False)
                self._peaks[worker.phase] = event.peak_memory
            else:
                yield worker, event
                self._check_clocks(running)

    def phases(self) -> list[report.Phase]:
        """How long each process was busy, and its largest memory."""
        return [
            report.Phase(
                name=worker.phase,
                seconds=round(worker.clock, 3),
                peak_memory=self._peaks.get(worker.phase, 0),
            )
            for worker in self._workers
        ]

    def _check_clocks(self, running: set[Worker]) -> None:
        for worker in running:
            if worker.clock > self._options.timeout:
                raise EngineError(
                    f"the engine was stopped: {worker.phase} took longer than"
                    f" {self._options.timeout:g} s",
                    "it hangs, or the work is large: --timeout SECONDS gives it longer",
                )

    def _check_exit(self, worker: Worker, event: Exited) -> None:
        if worker.phase in self._peaks:
            return
        how = (
            f"was killed by {signal.Signals(-event.status).name}"
            if event.status < 0
            else f"ended with status {event.status}"
        )
        last = event.log.strip().splitlines()[-3:]
        raise EngineError(
            f"the engine {how} while {worker.phase}" + "".join(f"\n  {line}" for line in last),
            "the model is damaged, or MegEngine has a fault with it; a graph that it dumps anew"
            " may do",
        )


class Packing:
    """One pack run: two workers, and what they say to each other."""

    def __init__(
        self,
        options: PackOptions,
        specs: list[TestcaseSpec],
        state: State,
        session: Session,
        files: dict[str, output.StagedFile],
    ) -> None:
        self._options = options
        self._specs = specs
        self._state = state
        self._session = session
        self._files = files
        self._written: protocol.GraphWritten | None = None
        self._waiting = 0
        self._all_written = False

    @property
    def written(self) -> protocol.GraphWritten:
        """What was said of the graph when it was written."""
        assert self._written is not None
        return self._written

    def run(self) -> None:
        """Pack and verify; the state then holds the verdict."""
        self._session.observer.phase("pack and verify")
        self._packer = self._session.start("packing")
        self._checker = self._session.start("verifying")
        self._packer.send(self._pack_job())
        self._packer.busy(True)
        self._checker.send(self._check_job())
        try:
            for worker, event in self._session.events():
                self._take(worker, event)
        finally:
            self._state.phases = self._session.phases()
        _conclude(self._state, len(self._specs))

    def _take(self, worker: Worker, event: Event) -> None:
        state = self._state
        if isinstance(event, protocol.Ready):
            state.engine = event.engine
        elif isinstance(event, protocol.ModelLoaded):
            state.model = event.model
        elif isinstance(event, protocol.GraphWritten):
            self._written = event
            state.packed, state.deploy = event.packed, event.deploy
            state.warnings += event.warnings
            self._forward(event)
        elif isinstance(event, protocol.TestcaseWritten):
            self._forward(event)
        elif isinstance(event, protocol.AllWritten):
            self._all_written = True
            self._forward(event)
        elif isinstance(event, protocol.Checked):
            self._take_checked(event)
        elif isinstance(event, protocol.FileDigested) and state.packed is not None:
            state.packed = msgspec.structs.replace(
                state.packed, size=event.size, digest=event.digest
            )

    def _forward(self, event: protocol.ToWorker) -> None:
        self._checker.send(event)
        self._checker.busy(True)
        self._waiting += isinstance(event, protocol.TestcaseWritten)
        # With the window full it waits for the other process, which is not its time.
        self._packer.busy(self._waiting < WINDOW and not isinstance(event, protocol.AllWritten))

    def _take_checked(self, event: protocol.Checked) -> None:
        spec = self._specs[event.testcase.index]
        source = report.Source(spec=spec.text, file=spec.file, line=spec.line)
        self._state.testcases.append(msgspec.structs.replace(event.testcase, source=source))
        self._waiting -= 1
        self._checker.busy(self._waiting > 0 or self._all_written)
        if not self._all_written:
            self._packer.busy(True)
            self._packer.send(protocol.Taken())
        self._session.observer.advanced(len(self._state.testcases), len(self._specs))

    def _pack_job(self) -> protocol.PackJob:
        options = self._options
        deploy = self._files.get("deploy")
        return protocol.PackJob(
            model=options.model,
            specs=[dataclasses.asdict(spec) for spec in self._specs],
            repeat=options.repeat,
            resize_input=options.resize_input,
            input_transform=options.input_transform,
            seed=options.seed,
            packed=str(self._files["packed"].temporary),
            deploy=str(deploy.temporary) if deploy else "",
            format=options.format,
            optimize=options.optimize_for_inference,
            optimizations=list(options.optimizations),
            no_assert=options.no_assert,
            maxerr=options.maxerr,
            verbose=not options.silent,
            keep_names=not options.discard_var_name,
            scratch=str(self._session.scratch),
            window=WINDOW,
        )

    def _check_job(self) -> protocol.StreamCheckJob:
        deploy = self._files.get("deploy")
        return protocol.StreamCheckJob(
            packed=str(self._files["packed"].temporary),
            deploy=str(deploy.temporary) if deploy else "",
            no_assert=self._options.no_assert,
            maxerr=self._options.maxerr,
        )


def _verify(options: VerifyOptions, state: State, session: Session) -> None:
    session.observer.phase("verify")
    worker = session.start("verifying")
    worker.send(
        protocol.FileCheckJob(packed=options.packed, model=options.model, maxerr=options.maxerr)
    )
    worker.busy(True)
    count = 0
    try:
        for _, event in session.events():
            if isinstance(event, protocol.Ready):
                state.engine = event.engine
            elif isinstance(event, protocol.LayoutRead):
                state.packed, state.model, count = event.packed, event.model, event.count
            elif isinstance(event, protocol.Checked):
                state.testcases.append(event.testcase)
                session.observer.advanced(len(state.testcases), count)
            elif isinstance(event, protocol.FileDigested) and state.packed is not None:
                state.packed = msgspec.structs.replace(
                    state.packed, size=event.size, digest=event.digest
                )
    finally:
        state.phases = session.phases()
    _conclude(state, count)


def _conclude(state: State, count: int) -> None:
    """Passed only if every testcase there is was run, and passed."""
    run = [testcase.index for testcase in state.testcases]
    if run != list(range(count)) or not count:
        raise EngineError(
            f"{len(run)} of {count} testcases were checked",
            "this is a fault of megdump-ci: please report it",
        )
    passed = all(testcase.passed for testcase in state.testcases)
    state.exit_status = ExitStatus.PASSED if passed else ExitStatus.FAILED


def _raise(event: protocol.Failed) -> None:
    """Raise what ended an engine process."""
    if event.status == ExitStatus.INPUT:
        raise InputError(event.problems)
    if event.status == ExitStatus.ENGINE:
        raise EngineError(event.problems)
    raise InternalError(event.traceback)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for this run alone, removed at its end."""
    folder = tempfile.mkdtemp(prefix="megdump-ci-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _session(scratch: Path, options: Options, observer: Observer) -> Iterator[Session]:
    session = Session(scratch, options, observer)
    try:
        with _handling(session.stop):
            try:
                yield session
            finally:
                session.close()
    finally:
        session.close()


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, action in zip(numbers, earlier, strict=True):
            signal.signal(number, action)


def _report(options: Options, state: State, seconds: float) -> report.Report:
    errors = [
        value
        for testcase in state.testcases
        for item in testcase.outputs
        for value in _errors(item)
    ]
    verdict = _verdict(options, state)
    return report.Report(
        tool=report.Tool(version=__version__),
        command=command(options),
        options=dataclasses.asdict(options),
        verdict=verdict,
        exit_status=int(state.exit_status),
        headline=_headline(verdict, state, errors),
        problems=state.problems,
        warnings=state.warnings,
        machine=machine(),
        engine=state.engine,
        model=state.model,
        packed=state.packed,
        deploy=state.deploy,
        strip_info=state.strip_info,
        maxerr=options.maxerr,
        max_error=report.number(_largest(errors)) if errors else None,
        passing_maxerr=_passing(state, errors),
        testcases=state.testcases,
        phases=state.phases,
        seconds=round(seconds, 3),
    )


def command(options: Options) -> str:
    """The command line that repeats a run."""
    name = "pack" if isinstance(options, PackOptions) else "verify"
    return shlex.join(["megdump-ci", name, *to_argv(options)])


def machine() -> report.Machine:
    """The machine this process runs on."""
    return report.Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _errors(item: report.Output) -> list[float]:
    found: list[report.Number | None] = []
    if item.assertion is not None:
        found.append(item.assertion.error)
    for comparison in (item.against_expected, item.against_model):
        if comparison is not None:
            found.append(comparison.error)
    return [float(value) for value in found if value is not None]


def _largest(errors: list[float]) -> float:
    """The largest error, and NaN above all."""
    return next((value for value in errors if math.isnan(value)), max(errors))


def _verdict(options: Options, state: State) -> report.Verdict:
    if state.exit_status == ExitStatus.PASSED:
        skipped = isinstance(options, PackOptions) and options.no_assert
        return "not verified" if skipped else "passed"
    return "failed" if state.exit_status == ExitStatus.FAILED else "error"


def _headline(verdict: report.Verdict, state: State, errors: list[float]) -> str:
    if verdict == "error":
        rest = len(state.problems) - 1
        more = f" (and {rest} more)" if rest > 0 else ""
        return f"ERROR: {state.problems[0].message.splitlines()[0]}{more}"
    count = len(state.testcases)
    noun = "testcase" if count == 1 else "testcases"
    if verdict == "not verified":
        return f"NOT VERIFIED: {count} {noun} packed without assertions, nothing compared"
    passed = sum(testcase.passed for testcase in state.testcases)
    largest = f", max error {_largest(errors):.3g}" if errors else ""
    return f"{'PASS' if verdict == 'passed' else 'FAIL'}: {passed} of {count} {noun}{largest}"


def _passing(state: State, errors: list[float]) -> report.Number | None:
    """The smallest maxerr with which a failed run would pass, if there is one."""
    if state.exit_status != ExitStatus.FAILED or not errors:
        return None
    explained = all(
        not testcase.reason and all(map(_only_too_large, testcase.outputs))
        for testcase in state.testcases
    )
    largest = _largest(errors)
    if not math.isfinite(largest) or not explained:
        return None
    return largest


def _only_too_large(item: report.Output) -> bool:
    """Whether an output passed, or failed for no other reason than its error."""
    found = (item.against_expected, item.against_model)
    return item.passed or item.reason in [comparison.reason for comparison in found if comparison]
