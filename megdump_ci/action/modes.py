"""The modes of the action for many models: plan a matrix of jobs, run entries, merge reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from megdump_ci import merged as merging
from megdump_ci.action import bundle, inputs, paths, showing
from megdump_ci.action.annotations import Annotation, of_problems, of_report
from megdump_ci.action.commands import Log
from megdump_ci.action.inputs import Inputs
from megdump_ci.action.outcome import Outcome
from megdump_ci.action.ownership import Handover
from megdump_ci.action.places import NOWHERE, Places
from megdump_ci.action.progress import Phases
from megdump_ci.errors import InputError, Problem
from megdump_ci.merged import Merged
from megdump_ci.options import PackOptions, specs
from megdump_ci.present.many import plan_lines
from megdump_ci.present.markdown import merged as markdown
from megdump_ci.project import commands, matrix, running
from megdump_ci.project.file import Entry, Project
from megdump_ci.project.options import MergeOptions, PlanOptions, RunOptions


def run(given: Inputs, environ: Mapping[str, str], root: Path, log: Log) -> Outcome:
    """Do what the mode says; :class:`InputError` for what is wrong with the inputs."""
    if given.action.mode == "plan":
        return _plan(given, log)
    job = _Job(given, environ, root)
    try:
        return _merge(job, log) if given.action.mode == "merge" else _run(job, log)
    finally:
        job.hand_over(log)


def _plan(given: Inputs, log: Log) -> Outcome:
    action = given.action
    plan = commands.plan(
        PlanOptions(
            entries=action.entry,
            config=action.config,
            changed_since=action.changed_since,
            max_jobs=action.max_jobs,
        )
    )
    with log.group("Planned entries"):
        for entry in plan.changes.entries:
            reason = plan.changes.reasons.get(entry.name)
            log.line(f"{entry.name}: {reason}" if reason else entry.name)
    if plan.changes.note:
        log.line(plan.changes.note)
    headline = f"PLAN: {plan_lines(plan)[-1]}"
    return Outcome(
        verdict="passed",
        exit_status=0,
        headline=headline,
        page=markdown.blocks_of_plan(plan, headline),
        outputs={
            # Nothing is verified by a plan.
            "verdict": "",
            "matrix": matrix.to_json(plan.matrix),
            "count": str(len(plan.changes.entries)),
        },
    )


def _merge(job: _Job, log: Log) -> Outcome:
    options = MergeOptions(reports=job.given.action.reports, report=job.given.pack.report)
    merged = commands.merge(options, matrix.planned_in(job.given.action.matrix))
    return job.outcome(merged, log, artifact="merged")


def _run(job: _Job, log: Log) -> Outcome:
    action = job.given.action
    options = RunOptions(
        entries=action.entry,
        config=action.config,
        changed_since=action.changed_since,
        jobs=action.jobs,
        report=job.given.pack.report,
        profile=job.given.pack.profile,
    )
    with Phases(log) as phases:
        merged = commands.run(options, _Watcher(phases), job.prepared)
    whole = merged.entries and merged.entries[0].report is not None and not merged.problems
    if len(action.entry) == 1 and whole:
        return job.alone(merged, log)
    names = [entry.name for entry in merged.entries]
    more = f" and {len(names) - 1} more" if names[1:] else ""
    return job.outcome(merged, log, artifact=f"{names[0]}{more}" if names else "none")


class _Watcher:
    """Says how a run goes on, in one phase of the log."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._total = self._done = 0

    def chosen(self, names: Sequence[str]) -> None:
        """These entries will be run."""
        self._total = len(names)
        noun = "model" if self._total == 1 else "models"
        self._phases.phase(f"pack and verify {self._total} {noun}")

    def began(self, name: str) -> None:
        """Nothing: it is told when it has ended."""

    def ended(self, entry: merging.Entry) -> None:
        """One more is done."""
        self._done += 1
        self._phases.told(f"{entry.name}: {entry.headline}")
        self._phases.advanced(self._done, self._total)


class _Job:
    """What a run or the merging of reports writes, and what is told of it."""

    def __init__(self, given: Inputs, environ: Mapping[str, str], root: Path) -> None:
        self.given = given
        self._environ = environ
        self._root = root
        self._folder = given.pack.report
        self._before: dict[str, bundle.Marks] = {}
        self._folders: dict[str, str] = {}
        # Now: the folder itself is made before the entries are known.
        self._profile = given.pack.profile
        self._trace_before = bundle.marks("", self._profile)
        self._handovers = [
            Handover(root, (self._profile,), (self._folder,) if self._folder else ())
        ]

    def prepared(self, project: Project, entries: Sequence[Entry]) -> list[Entry]:
        """The entries as they are to be run; :class:`InputError` for what would be lost."""
        found, problems = [], []
        outputs: list[str] = []
        for entry in entries:
            mixed = replace(entry, options=_mixed(entry, self.given.pack))
            ready = running.reporting(mixed, project, self._folder)
            found.append(ready)
            options = _from_here(project, ready.options)
            problems += _problems(entry.name, options, self._environ)
            self._folders[entry.name] = options.report
            self._before[entry.name] = bundle.marks(options.report)
            outputs += [path for path in (options.output, options.deploy_output) if path]
        if problems:
            raise InputError(problems)
        folders = {*self._folders.values(), *map(os.path.dirname, outputs)} - {""}
        self._handovers.append(Handover(self._root, outputs, folders))
        return found

    def hand_over(self, log: Log) -> None:
        """Give what was written to the owner of the workspace."""
        for text in [text for handover in self._handovers for text in handover.give()]:
            log.warning(f"cannot give a file to the owner of the workspace: {text}")

    def alone(self, merged: Merged, log: Log) -> Outcome:
        """The outcome of one entry, which is told like a run of its own."""
        (entry,) = merged.entries
        assert entry.report is not None
        showing.show_report(entry.report, log, silent=self.given.pack.silent)
        folder = self._folders[entry.name]
        return Outcome(
            verdict=entry.verdict,
            exit_status=entry.exit_status,
            headline=entry.headline,
            problems=entry.all_problems,
            options=replace(self.given.pack, model=entry.model, report=folder),
            result=entry.report,
            job=self.given.action,
            written=self._written(merged),
            artifact=entry.name,
            outputs={"count": "1"},
        )

    def outcome(self, merged: Merged, log: Log, artifact: str) -> Outcome:
        """The outcome of several entries."""
        showing.show_merged(merged, log)
        # Without an entry it came to nothing that could be told or kept.
        began = bool(merged.entries) or not merged.problems
        return Outcome(
            verdict=merged.verdict,
            exit_status=merged.exit_status,
            headline=merged.headline,
            problems=merged.problems,
            options=self.given.pack,
            job=self.given.action if began else None,
            written=self._written(merged),
            artifact=artifact,
            annotations=list(_annotations(merged, self._environ, self._root)),
            page=markdown.blocks(merged),
            outputs=self._outputs(merged),
        )

    def _written(self, merged: Merged) -> list[bundle.Entry]:
        found = []
        for entry in merged.entries:
            if entry.name in self._before and entry.report is not None:
                before, folder = self._before[entry.name], self._folders[entry.name]
                found += bundle.entries(entry.report, folder, before, self._root)
        traces = bundle.marks("", self._profile)
        written = [path for path in traces if traces[path] != self._trace_before.get(path)]
        shown = (
            paths.shown(path, self._root) for path in (*self._files(merged).values(), *written)
        )
        return found + [bundle.Entry(name=path, path=path) for path in shown]

    def _files(self, merged: Merged) -> dict[str, str]:
        """The files of the merged report by their names, if they are of this one."""
        whole = os.path.join(self._folder, "merged.json")
        try:
            own = bool(self._folder) and Path(whole).read_bytes() == merging.to_json(merged)
        except OSError:
            own = False
        return {name: os.path.join(self._folder, name) for name in commands.FILES if own}

    def _outputs(self, merged: Merged) -> dict[str, str]:
        reports = [entry.report for entry in merged.entries if entry.report is not None]
        cases = [case for report in reports for case in report.testcases]
        files = {name: paths.shown(path, self._root) for name, path in self._files(merged).items()}
        return {
            "report": files.get("merged.json", ""),
            "markdown": files.get("merged.md", ""),
            "testcases": str(len(cases)),
            "failed-testcases": str(sum(not case.passed for case in cases)),
            "max-error": "" if merged.max_error is None else str(merged.max_error),
            "count": str(len(merged.entries)),
        }


def _mixed(entry: Entry, pack: PackOptions) -> PackOptions:
    """The options of an entry with the inputs of the step.

    The runner gives an input that nobody named its default, so that one only stands for what the
    file does not say.
    """
    changes: dict[str, Any] = {}
    for spec in specs(PackOptions):
        # The trace is one of all of them.
        if spec.field in (*inputs.OF_ENTRY, "report", "profile"):
            continue
        value = getattr(pack, spec.field)
        if value != inputs.default_of(spec) or spec.field not in entry.given:
            changes[spec.field] = value
    return replace(entry.options, **changes)


def _from_here(project: Project, options: PackOptions) -> PackOptions:
    """The options with the paths of what is written as seen from the workspace."""

    def moved(path: str) -> str:
        return os.path.normpath(project.folder / path) if path else ""

    return replace(
        options,
        output=moved(options.output),
        deploy_output=moved(options.deploy_output),
        report=moved(options.report),
    )


def _problems(name: str, options: PackOptions, environ: Mapping[str, str]) -> list[Problem]:
    found = [*options.problems(), *paths.lost(options, environ)]
    return [replace(problem, message=f"entry '{name}': {problem.message}") for problem in found]


def _annotations(merged: Merged, environ: Mapping[str, str], root: Path) -> Iterator[Annotation]:
    """What there is to say of each entry: first one thing of each, then all the rest."""
    rest: list[Annotation] = []
    for entry in sorted(merged.entries, key=lambda entry: entry.passed):
        found = list(_of_entry(entry, Places(environ, root, entry.model)))
        yield from found[:1]
        rest += found[1:]
    yield from rest


def _of_entry(entry: merging.Entry, places: Places) -> Iterator[Annotation]:
    found = [*of_problems(entry.all_problems, entry.exit_status, places)]
    if entry.report is not None:
        found += of_report(entry.report, places)
    for item in found:
        place = places.model if item.place == NOWHERE else item.place
        title = item.title if entry.report is not None else "no report"
        yield replace(item, title=f"{entry.name}: {title}", place=place)
