"""``megdump-ci sweep``: pack a model optimised in every way, and see what each way gives.

Each configuration is a run of ``pack`` of its own into the scratch folder, several side by side.
What ran on the fast kernels is timed afterwards, one after the other and nothing beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from megdump_ci import protocol, report
from megdump_ci.commands import pack
from megdump_ci.configurations import Configuration, chosen
from megdump_ci.difference import working
from megdump_ci.errors import EngineError, ExitStatus
from megdump_ci.options import DataOptions, PackOptions, SweepOptions
from megdump_ci.session import Session, WorkerFailed
from megdump_ci.state import State
from megdump_ci.worker import cores

_MOST_JOBS = 4
"""Side by side where nothing else is asked for: each holds the model in memory several times."""

_ROUNDS = 3
_NOISE = 0.1
"""Latencies that differ by less are taken for equal."""


def execute(options: SweepOptions, state: State, session: Session) -> None:
    """Try every configuration; the state then holds the trials."""
    configurations = chosen(options.only)
    session.observer.phase("try without optimisation")
    # Alone and first: what is wrong with the input is said once.
    base = _Try(configurations[0], options, session, 0)
    base.run()
    if base.error is not None:
        raise base.error
    state.engine, state.model = base.state.engine, base.state.model
    tries = [base]
    try:
        tries += _side_by_side(configurations[1:], options, session)
        # One packed file of each graph, the first.
        packed = {item.digest: item.packed for item in reversed(tries) if item.packed}
        latencies = _timed(list(packed.values()), session)
    finally:
        state.processes = [process for item in tries for process in item.state.processes]
        state.processes += session.processes()
    trials = [
        msgspec.structs.replace(item.trial(), **latencies.get(packed.get(item.digest, ""), {}))
        for item in tries
    ]
    state.sweep = report.Sweep(
        trials=trials, fastest=best(trials, "latency", _NOISE), smallest=best(trials, "size")
    )
    state.exit_status = base.state.exit_status


def best(trials: Sequence[report.Trial], field: str, slack: float = 0.0) -> str:
    """Name of the first passed trial with the smallest value of ``field``, give or take ``slack``.

    The first has the fewest passes, which is what to take where more bring nothing.
    """
    found = [item for item in trials if item.status == "passed" and getattr(item, field)]
    least = min((getattr(item, field) for item in found), default=0)
    return next((item.name for item in found if getattr(item, field) <= least * (1 + slack)), "")


def _side_by_side(
    configurations: Sequence[Configuration], options: SweepOptions, session: Session
) -> list[_Try]:
    tries = [_Try(item, options, session, place) for place, item in enumerate(configurations, 1)]
    jobs = options.jobs or min(len(cores(options.threads)), _MOST_JOBS)
    session.observer.phase("try configurations")
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(item.run) for item in tries]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                session.observer.advanced(done, len(tries))
        except BaseException:
            # One that was stopped, or a fault of our own: the others are not waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            session.stop_children()
            raise
    return tries


@dataclass
class _Try:
    """One configuration: what it is, and how packing with it went."""

    configuration: Configuration
    options: SweepOptions
    parent: Session
    place: int

    def __post_init__(self) -> None:
        self.state = State()
        self.error: EngineError | None = None
        self.packed = ""
        """The packed file, as long as it is worth timing."""
        self.digest = ""
        """Of the deploy model; packed files whose deploy models are the same are as fast."""
        self._size: int | None = None
        self._folder = self.parent.folder / f"configuration-{self.place}"
        self._pack = _pack_options(self.options, self.configuration, self._folder)
        # Made here, in the thread that is told when the run has to stop.
        self._session = self.parent.child(self._folder, self._pack)
        self._session.label = f"{self.configuration.name}: "

    def run(self) -> None:
        """Pack and verify. Raises what is no failure of the engine."""
        # Engine processes pass through it where they run as another user.
        self._folder.mkdir(mode=0o711)
        try:
            pack.execute(self._pack, self.state, self._session)
        except EngineError as error:
            self.error = error
            self.state.exit_status = ExitStatus.ENGINE
        finally:
            self._session.close()
        if self.state.problems and self.error is None:
            self.error = EngineError(self.state.problems)
        self._tidy()

    def trial(self) -> report.Trial:
        """What the report says of it."""
        state = self.state
        operators = state.deploy.operators if state.deploy and self.error is None else None
        return report.Trial(
            name=self.configuration.name,
            options=self.configuration.flags,
            status=self._status(),
            reason=self._reason(),
            kernels=state.kernels,
            kernel_failures=state.kernel_failures,
            max_error=report.number(state.largest_error()) if state.errors() else None,
            size=self._size,
            digest=self.digest,
            operators=working(operators).total() if operators else None,
            change=state.change,
        )

    def _tidy(self) -> None:
        """Keep nothing but the packed file, and only to time it: a sweep writes many."""
        state = self.state
        if self.error is None and state.deploy is not None:
            self._size, self.digest = state.deploy.size, state.deploy.graph_digest
            # What failed by a little is worth its latency too: maxerr may have been too strict.
            if state.kernels == "fast" and state.packed is not None:
                self.packed = state.packed.path
                Path(state.deploy.path).unlink()
                return
        shutil.rmtree(self._folder)

    def _status(self) -> report.Status:
        if self.error is None:
            return "passed" if self.state.exit_status == ExitStatus.PASSED else "failed"
        if self.state.kernel_failures:
            return self.state.kernel_failures[0].how
        how = self.error.how if isinstance(self.error, WorkerFailed) else "failed"
        return "error" if how == "failed" else how

    def _reason(self) -> str:
        if self.error is not None:
            return self.error.problems[0].message
        reasons = (
            text
            for case in self.state.testcases
            for text in (case.reason, *(output.reason for output in case.outputs))
            if text
        )
        gates = (f"{gate.name}: {gate.reason}" for gate in self.state.gates if gate.reason)
        return next(chain(reasons, gates), "")


def _pack_options(options: SweepOptions, configuration: Configuration, folder: Path) -> PackOptions:
    shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(DataOptions)}
    fields: dict[str, Any] = {
        **shared,
        "model": options.model,
        "output": str(folder / "packed.mge"),
        "deploy_output": str(folder / "deploy.mge"),
        # What is to be seen of it stands in the sweep's own report.
        "report": "",
        "profile": "",
        "silent": True,
        **configuration.fields,
    }
    return PackOptions(**fields)


def _timed(packed: Sequence[str], session: Session) -> dict[str, dict[str, float | int]]:
    """Median, shortest and number of runs of each packed file that could be timed."""
    runs: dict[str, list[float]] = {path: [] for path in packed}
    # In rounds: what else the machine does comes and goes, and so touches all of them.
    left = [path for _ in range(_ROUNDS) for path in runs]
    total = len(left)
    session.observer.phase("measure latency")
    while left:
        for timed in _timed_by_one(left, session):
            runs[left.pop(0)] += timed.runs
            session.observer.advanced(total - len(left), total)
        # One that ends the process costs its own row only.
        left = [path for path in left if path != left[0]]
    return {
        path: {
            "latency": round(statistics.median(found), 4),
            "latency_best": round(min(found), 4),
            "runs": len(found),
        }
        for path, found in runs.items()
        if found
    }


def _timed_by_one(paths: Sequence[str], session: Session) -> Iterator[protocol.Timed]:
    """Time one file after the other in one process, up to one that ends it."""
    worker = session.start("timing", laps=len(paths))
    worker.send(protocol.TimeJob(list(paths)))
    worker.busy(True)
    with contextlib.suppress(WorkerFailed):
        for _, event in session.events():
            if isinstance(event, protocol.Timed):
                worker.lap()
                yield event
    session.give_up()
