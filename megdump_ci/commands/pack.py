"""``megdump-ci pack``: two engine processes, one that packs and one that verifies.

They work at the same time, the second on what the first has written. A model that is Python code
is exported before, in a third one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from megdump_ci import inputs, output, packed, protocol, report, stopping, target
from megdump_ci.commands import baseline, crosscheck, fallback
from megdump_ci.commands.usercode import Exported, run_code
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.gates import Gates
from megdump_ci.options import PackOptions
from megdump_ci.session import Session
from megdump_ci.state import State
from megdump_ci.testcase.spec import TestcaseSpec
from megdump_ci.worker import Event, Worker

WINDOW = 8
"""Testcases that packing may be ahead of verifying: what bounds memory and scratch space."""

FAILED_SUFFIX = ".failed"
"""A packed file that did not pass is kept under its name and this, beside an earlier good one."""

UNVERIFIED_SUFFIX = ".unverified"
"""So is one that could not be run here at all."""

_PHASES: dict[report.Kernels | None, str] = {
    "fast": "pack and verify",
    "naive": "pack and verify with naive kernels",
    None: "pack",
}
_STEPS: dict[type, str] = {
    protocol.Ready: "load the model",
    protocol.ModelLoaded: "make the packed graph",
    protocol.GraphWritten: "",
}
"""What the packing process does next, as long as the other one waits for it."""
_SUFFIXES = {
    ExitStatus.PASSED: "",
    ExitStatus.FAILED: FAILED_SUFFIX,
    ExitStatus.ENGINE: UNVERIFIED_SUFFIX,
}


def execute(options: PackOptions, state: State, session: Session) -> None:
    """Pack, verify what was written, and put the files in place."""
    specs = inputs.read(options)
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(output.StagedFile(path))
            for name, path in (("packed", options.output), ("deploy", options.deploy_output))
            if path
        }
        # Before the files are removed: a process that still writes would make them anew.
        stack.callback(session.close)
        exported = None
        if target.is_code(options.model):
            exported = run_code(
                options, target.parse(options.model), specs, state=state, session=session
            )
        written = _attempted(options, specs, state, session, files, exported=exported)
        if options.cross_check:
            job = protocol.LiteJob(
                packed=str(files["packed"].temporary),
                deploy=_deploy_path(options, session, files),
                model="",
                gates=options.gates,
            )
            crosscheck.run(job, state, session)
        if options.baseline:
            diff_job = protocol.DiffJob(
                base=options.baseline,
                model=exported.path if exported else options.model,
                shown=options.model,
                gates=Gates(),
                packed=str(files["packed"].temporary),
            )
            baseline.run(diff_job, specs, state, session)
        # The last moment at which nothing has been written.
        stopping.check()
        session.step("put the files in place")
        _place(options, state, files, written)


def _deploy_path(
    options: PackOptions, session: Session, files: dict[str, output.StagedFile]
) -> str:
    """Where the deploy model is written; empty if nobody wants it."""
    if "deploy" in files:
        return str(files["deploy"].temporary)
    return str(session.scratch / "deploy.mge") if options.cross_check else ""


def _attempted(
    options: PackOptions,
    specs: list[TestcaseSpec],
    state: State,
    session: Session,
    files: dict[str, output.StagedFile],
    *,
    exported: Exported | None,
) -> protocol.GraphWritten:
    """Pack and verify; pack only where no kernels can run what was packed."""
    packings: list[Packing] = []

    def attempt(chosen: report.Kernels | None) -> None:
        # From the start: the same bytes are written again, and their testcases handed over again.
        packings.append(
            Packing(options, specs, state, session, files, exported=exported, kernels=chosen)
        )
        packings[-1].run()

    ran = fallback.verify(attempt, state, session)
    if options.no_assert:
        state.kernels = None
    if not ran:
        attempt(None)
        where = options.output + ("" if options.allow_unverified else UNVERIFIED_SUFFIX)
        message = f"{fallback.NOT_RUN}, so {where} is not verified: {fallback.reasons(state)}"
        if options.allow_unverified:
            state.unverified = message
            state.warnings.append(message)
            state.exit_status = ExitStatus.PASSED
        else:
            state.problems.append(Problem(message, fallback.HINT))
            state.exit_status = ExitStatus.ENGINE
    return packings[-1].written


def _place(
    options: PackOptions,
    state: State,
    files: dict[str, output.StagedFile],
    written: protocol.GraphWritten,
) -> None:
    """Move the files into place; what failed goes beside an earlier good file."""
    suffix = _SUFFIXES[state.exit_status]
    assert state.packed is not None
    with contextlib.ExitStack() as stack:
        infos = _strip_infos(files, suffix, written) if options.output_strip_info else []
        texts = [stack.enter_context(output.staged(info.path, text)) for info, text in infos]
        # There is room for all of them before the first one takes the place of an earlier file.
        for file in (*files.values(), *texts):
            file.settle()
        _clear_aside(options)
        path = files["packed"].commit(suffix)
        state.packed = msgspec.structs.replace(state.packed, path=path)
        if "deploy" in files and state.deploy is not None:
            path = files["deploy"].commit(suffix)
            state.deploy = msgspec.structs.replace(state.deploy, path=path)
        for file in texts:
            file.commit()
        state.strip_info += [info for info, _ in infos]


def _clear_aside(options: PackOptions) -> None:
    """Remove what an earlier run kept aside: this run knows better."""
    for path in filter(None, (options.output, options.deploy_output)):
        for suffix in (FAILED_SUFFIX, UNVERIFIED_SUFFIX):
            for name in (path + suffix, f"{path}{suffix}.json"):
                output.remove(name)


def _strip_infos(
    files: dict[str, output.StagedFile], suffix: str, written: protocol.GraphWritten
) -> list[tuple[report.StripInfo, bytes]]:
    """The strip info of each file, with its text.

    That has the form which ``tools/gen_header_for_bin_reduce.py`` of MegEngine reads.
    """
    facts: dict[str, tuple[Any, dict[str, list[str]], int]] = {
        "packed": ("packed", written.strip_info, written.hash),
        "deploy": ("deploy", written.deploy_strip_info, written.deploy_hash),
    }
    found = []
    for name, file in files.items():
        describes, info, hash = facts[name]
        text = msgspec.json.encode({**info, "hash": hash}) + b"\n"
        path = f"{file.path}{suffix}.json"
        found.append((report.StripInfo(path=path, describes=describes, hash=hash), text))
    return found


class Packing:
    """One pack run: two workers, and what they say to each other.

    Without ``kernels`` to verify with there is one worker, and nothing is verified.
    """

    def __init__(
        self,
        options: PackOptions,
        specs: list[TestcaseSpec],
        state: State,
        session: Session,
        files: dict[str, output.StagedFile],
        *,
        exported: Exported | None,
        kernels: report.Kernels | None,
    ) -> None:
        self._options = options
        self._specs = specs
        self._exported = exported
        self._state = state
        self._session = session
        self._files = files
        self._kernels = kernels
        self._checker: Worker | None = None
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
        self._session.observer.phase(_PHASES[self._kernels])
        writes = [str(file.temporary) for file in self._files.values()]
        self._packer = self._session.start("packing", writes=writes)
        if self._kernels is not None:
            self._checker = fallback.start(self._session, self._kernels)
            self._checker.send(self._check_job())
        self._packer.send(self._pack_job())
        self._packer.busy(True)
        try:
            for worker, event in self._session.events():
                if worker is self._packer and type(event) in _STEPS:
                    self._session.step(_STEPS[type(event)])
                self._take(worker, event)
        finally:
            self._state.processes = self._session.processes()
        if self._checker is not None:
            self._state.conclude(len(self._specs), self._options.gates)

    def _take(self, worker: Worker, event: Event) -> None:
        state = self._state
        if isinstance(event, protocol.Ready):
            state.engine = event.engine
        elif isinstance(event, protocol.ModelLoaded):
            state.model = event.model
            if self._options.cross_check:
                crosscheck.check_dtypes(event.model)
        elif isinstance(event, protocol.GraphWritten):
            self._written = event
            state.deploy = event.deploy if "deploy" in self._files else None
            state.change = event.change
            state.warnings += [text for text in event.warnings if text not in state.warnings]
            self._forward(event)
        elif isinstance(event, protocol.PackedRead):
            state.packed = event.packed
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
        if self._checker is None:
            self._let_go(event)
            return
        self._checker.send(event)
        self._checker.busy(True)
        self._waiting += isinstance(event, protocol.TestcaseWritten)
        # With the window full it waits for the other process, which is not its time.
        self._packer.busy(self._waiting < WINDOW and not isinstance(event, protocol.AllWritten))

    def _let_go(self, event: protocol.ToWorker) -> None:
        """Do what a verifying process does, but for the verifying."""
        if isinstance(event, protocol.TestcaseWritten):
            # By its name alone: what the process says is not to lead out of the folder.
            (self._session.scratch / Path(event.spool).name).unlink()
            self._packer.send(protocol.Taken())
        elif isinstance(event, protocol.AllWritten):
            path = str(self._files["packed"].temporary)
            with packed.opened(path, "a packed model") as file:
                packed.read_layout(file, path)
                digest = packed.digest(file)
            self._take(self._packer, protocol.FileDigested(event.size, digest))

    def _take_checked(self, event: protocol.Checked) -> None:
        self._state.add(event.testcase, self._specs[event.testcase.index])
        self._waiting -= 1
        assert self._checker is not None
        self._checker.busy(self._waiting > 0 or self._all_written)
        if not self._all_written:
            self._packer.busy(True)
            self._packer.send(protocol.Taken())
        self._session.observer.advanced(len(self._state.testcases), len(self._specs))

    def _pack_job(self) -> protocol.PackJob:
        options = self._options
        exported = self._exported
        return protocol.PackJob(
            model=exported.path if exported else options.model,
            shown=options.model,
            samples=exported.samples if exported else [],
            specs=self._specs,
            settings=options.settings,
            packed=str(self._files["packed"].temporary),
            deploy=_deploy_path(options, self._session, self._files),
            format=options.format,
            optimize=options.optimize_for_inference,
            optimizations=list(options.optimizations),
            no_assert=options.no_assert,
            gates=options.gates,
            verbose=not options.silent,
            keep_names=not options.discard_var_name,
            strip=bool(options.output_strip_info),
            scratch=str(self._session.scratch),
            window=WINDOW,
            alone=self._kernels is None,
        )

    def _check_job(self) -> protocol.StreamCheckJob:
        return protocol.StreamCheckJob(
            packed=str(self._files["packed"].temporary),
            deploy=_deploy_path(self._options, self._session, self._files),
            no_assert=self._options.no_assert,
            gates=self._options.gates,
            trusted=self._kernels == "fast" and not self._options.optimize_for_inference,
            testcases=len(self._specs),
        )
