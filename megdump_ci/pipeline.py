"""``run(options) -> Report``: the whole job, knowing neither terminal nor GitHub.

The engine runs in processes of its own; this one passes their messages on, watches the clocks and
puts the files in place. It never loads the engine, so whatever a model does to the engine ends up
as a line of the report.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from megdump_ci import __version__, baseline, output, processor, report, scrutiny, stopping
from megdump_ci.commands import diff, locate, pack, verify
from megdump_ci.errors import ExitStatus, InputError, Interrupted, MegdumpError
from megdump_ci.options import (
    COMMANDS,
    DiffOptions,
    ExportOptions,
    Options,
    PackOptions,
    SweepOptions,
    VerifyOptions,
    checked,
    to_argv,
    to_facts,
)
from megdump_ci.present import files
from megdump_ci.session import Observer, Session, Silent, opened, scratch_folder
from megdump_ci.stages import Stages
from megdump_ci.state import State
from megdump_ci.trace import Trace

_READ = ("model", "packed", "base", "new", "baseline", "target")
_WRITTEN = ("output", "deploy_output")
"""Options whose values are paths of files."""


def run(
    options: Options,
    observer: Observer | None = None,
    began: float | None = None,
    aside: Callable[[], object] | None = None,
) -> report.Report:
    """Do what the options ask for and report on it.

    ``began`` is when the command did, if that is part of the time to account for, in seconds of
    :func:`time.monotonic`. ``aside`` is what else there is to do, once, while the engine works.

    What goes wrong with the input or the engine is in the report; an exception that leaves this
    function is a fault of the program.
    """
    stages = Stages("start megdump-ci", began)
    state = State()
    watcher = _Staged(observer or Silent(), stages)
    with stopping.handling(), _traced(options, stages) as trace:
        stages.enter("check the inputs")
        _attempt(options, state, watcher, trace, aside)
        if options.report:
            watcher.phase("write the reports")
        return _reported(options, state, stages, trace)


@contextlib.contextmanager
def _traced(options: Options, stages: Stages) -> Iterator[Trace | None]:
    """A trace that hears of the stages, if one is wanted."""
    if not options.profile:
        yield None
        return
    trace = Trace(stages.began)
    stages.listen(trace.main.take)
    try:
        yield trace
    finally:
        trace.close()


def _check_profile(options: Options) -> None:
    """:class:`InputError` if the trace cannot be written, or would be over another file."""
    output.check_writable(options.profile)
    given = {name: str(getattr(options, name, "")) for name in (*_READ, *_WRITTEN)}
    written = [given[name] for name in _WRITTEN if given[name]]
    for path in filter(None, (given[name] for name in _READ)):
        output.check_apart([*written, options.profile], path)


@contextlib.contextmanager
def _isolated(state: State, session: Session) -> Iterator[None]:
    """However it ends, the state then holds how the engine processes were kept from the machine."""
    try:
        yield
    finally:
        state.isolation = session.isolation()


def _attempt(
    options: Options,
    state: State,
    watcher: _Staged,
    trace: Trace | None,
    aside: Callable[[], object] | None,
) -> None:
    """Do it; the state then holds what came of it."""
    try:
        checked(options)
        if options.report:
            output.make_folder(options.report)
        if trace is not None:
            _check_profile(options)
            trace.path = options.profile
        with (
            scratch_folder() as scratch,
            opened(scratch, options, watcher) as session,
            _isolated(state, session),
        ):
            session.trace, session.stages = trace, watcher.stages
            session.aside = partial(_do_aside, options, aside)
            if isinstance(options, PackOptions):
                pack.execute(options, state, session)
                state.concluded = True
                locate.execute(options, state, session)
            elif isinstance(options, ExportOptions):
                # Here, as for sweep: most runs do not need it, and it takes its time to load.
                from megdump_ci.commands import export

                export.execute(options, state, session)
            elif isinstance(options, SweepOptions):
                from megdump_ci.commands import sweep

                sweep.execute(options, state, session)
            elif isinstance(options, DiffOptions):
                diff.execute(options, state, session)
            else:
                verify.execute(options, state, session)
                state.concluded = True
                locate.execute(options, state, session)
            state.concluded = True
            stopping.check()
    except Interrupted as error:
        _stop(error, options, state)
    except MegdumpError as error:
        state.problems += error.problems
        state.exit_status = error.exit_status
        # What was begun is gone.
        state.exported = state.packed = state.deploy = None


def _stop(error: Interrupted, options: Options, state: State) -> None:
    """The run was stopped: no verdict, whatever is known by now."""
    state.stopped = True
    if state.concluded:
        known = f"what was known by then: {_headline(_verdict(options, state), state)}"
    else:
        known = "nothing was written"
        state.exported = state.packed = state.deploy = None
    state.problems += [replace(problem, hint=known) for problem in error.problems]
    state.exit_status = error.exit_status


def _do_aside(options: Options, aside: Callable[[], object] | None) -> None:
    """What there is time for while the engine works."""
    if options.report:
        files.load()
    if aside is not None:
        aside()


class _Staged:
    """Times the phases that an observer is told of."""

    def __init__(self, observer: Observer, stages: Stages) -> None:
        self._observer = observer
        self.stages = stages
        self.advanced = observer.advanced

    def phase(self, name: str) -> None:
        """A phase begins."""
        self.stages.enter(name)
        self._observer.phase(name)


def _reported(options: Options, state: State, stages: Stages, trace: Trace | None) -> report.Report:
    """The report, and its files in the folder that was asked for."""
    wanted = bool(options.report) and Path(options.report).is_dir()
    contents = _made(options, state, stages) if wanted else {}
    _write_trace(state, trace)
    # Anew and last: it tells the time that the others took, which cannot do so themselves.
    result = _report(options, state, stages)
    return _written(options, state, stages, result, contents) if wanted else result


def _made(options: Options, state: State, stages: Stages) -> dict[str, bytes]:
    """The contents of the report's files; what goes wrong with them is in the state."""
    contents, faults = files.made(_report(options, state, stages))
    if faults:
        state.problems += faults
        # What the run itself came to, if that is no pass, is the more important of the two.
        state.exit_status = state.exit_status or ExitStatus.INTERNAL
        contents, _ = files.made(_report(options, state, stages))
    return contents


def _write_trace(state: State, trace: Trace | None) -> None:
    """Write the trace, if one is wanted and may be; if it cannot be, the state says so."""
    if trace is None or not trace.path:
        return
    try:
        output.write_whole(trace.path, trace.content())
    except InputError as error:
        state.problems += error.problems
        state.exit_status = state.exit_status or error.exit_status


def _written(
    options: Options,
    state: State,
    stages: Stages,
    result: report.Report,
    contents: dict[str, bytes],
) -> report.Report:
    """``result``, or a report of what went wrong, once the files are in their folder."""
    try:
        files.write(options.report, files.with_report(contents, result))
        if not state.stopped:
            stopping.check()
    except Interrupted as error:
        _stop(error, options, state)
        result = _report(options, state, stages)
        files.write(options.report, files.made(result)[0])
    except InputError as error:
        state.problems += error.problems
        state.exit_status = state.exit_status or error.exit_status
        result = _report(options, state, stages)
        # Those that are there already say less than is known now, or are of another run. What is
        # removed first makes room for report.json.
        for anew in ({}, files.made(result)[0]):
            with contextlib.suppress(InputError):
                files.write(options.report, anew)
    return result


def _report(options: Options, state: State, stages: Stages) -> report.Report:
    phases, seconds = stages.phases()
    errors = state.errors()
    verdict = _verdict(options, state)
    return report.Report(
        tool=report.Tool(version=__version__),
        name=options.name if isinstance(options, PackOptions) else "",
        command=command(options),
        options=to_facts(options),
        verdict=verdict,
        exit_status=int(state.exit_status),
        headline=_headline(verdict, state),
        problems=state.problems,
        warnings=state.warnings,
        machine=machine(),
        isolation=state.isolation,
        engine=state.engine,
        lite=state.lite,
        model=state.model,
        exported=state.exported,
        packed=state.packed,
        deploy=state.deploy,
        change=state.change,
        strip_info=state.strip_info,
        kernels=state.kernels,
        kernel_failures=state.kernel_failures,
        maxerr=options.maxerr.default,
        max_error=report.number(state.largest_error()) if errors else None,
        gates=state.gates,
        passing=_passing(verdict, options, state),
        testcases=state.testcases,
        location=state.location,
        sweep=state.sweep,
        baseline=state.baseline,
        phases=phases,
        processes=state.processes,
        seconds=seconds,
    )


def command(options: Options) -> str:
    """The command line that repeats a run."""
    name = next(name for name, (kind, _) in COMMANDS.items() if type(options) is kind)
    return shlex.join(["megdump-ci", name, *to_argv(options)])


def machine() -> report.Machine:
    """The machine this process runs on."""
    return report.Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=processor.name(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
    )


def _verdict(options: Options, state: State) -> report.Verdict:
    if state.exit_status == ExitStatus.PASSED:
        skipped = isinstance(options, PackOptions) and options.no_assert
        return "not verified" if skipped or state.unverified else "passed"
    return "failed" if state.exit_status == ExitStatus.FAILED else "error"


def _headline(verdict: report.Verdict, state: State) -> str:
    if verdict == "error":
        rest = len(state.problems) - 1
        more = f" (and {rest} more)" if rest > 0 else ""
        return f"ERROR: {state.problems[0].message.splitlines()[0]}{more}"
    count = len(state.testcases)
    noun = "testcase" if count == 1 else "testcases"
    if state.sweep is not None:
        return _sweep_headline(verdict, state.sweep)
    if state.unverified:
        return f"NOT VERIFIED: {state.unverified}"
    if verdict == "not verified":
        return f"NOT VERIFIED: {count} {noun} packed without assertions, nothing compared"
    passed = sum(testcase.passed for testcase in state.testcases)
    largest = f", max error {state.largest_error():.3g}" if state.errors() else ""
    kernels = " (naive kernels)" if state.kernels == "naive" else ""
    missed = dict.fromkeys(gate.name for gate in state.gates if not gate.passed)
    # What fails a testcase is told by the testcase; this is what only all of them together tell.
    gates = f", {', '.join(missed)} missed" if passed == count and missed else ""
    word = "PASS" if verdict == "passed" else "FAIL"
    if state.baseline is not None and state.packed is None:
        what = baseline.KINDS[state.baseline.change]
        if verdict == "passed":
            # Without a limit, there was nothing to pass.
            word = "PASS" if state.gates else "DIFF"
            return f"{word}: {what}{largest} on {count} {noun}{kernels}"
        gates += f", {what}"
    return f"{word}: {passed} of {count} {noun}{gates}{largest}{kernels}"


def _passing(verdict: report.Verdict, options: Options, state: State) -> list[str]:
    """Options with which a failed run would pass, if there are such."""
    if verdict != "failed":
        return []
    packed = options.maxerr if isinstance(options, VerifyOptions) else None
    return scrutiny.passing(state.testcases, state.gates, packed=packed)


def _sweep_headline(verdict: report.Verdict, sweep: report.Sweep) -> str:
    if verdict == "failed":
        return "FAIL: the model does not pass without optimisation"
    passed = sum(trial.status == "passed" for trial in sweep.trials)
    best = [f"fastest {sweep.fastest}"] if sweep.fastest else []
    best += [f"smallest {sweep.smallest}"] if sweep.smallest else []
    return f"PASS: {passed} of {len(sweep.trials)} configurations; {', '.join(best)}"
