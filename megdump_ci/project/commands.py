"""What ``megdump-ci plan``, ``run`` and ``merge`` do."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from megdump_ci import __version__, merged, output, trace
from megdump_ci.errors import InputError, MegdumpError
from megdump_ci.options import to_argv
from megdump_ci.project import changes, file, matrix, merging, running
from megdump_ci.project.changes import Changes
from megdump_ci.project.file import Entry, Project
from megdump_ci.project.matrix import Matrix
from megdump_ci.project.options import (
    EntryOptions,
    MergeOptions,
    PlanOptions,
    ProjectOptions,
    RunOptions,
)
from megdump_ci.report import Tool


def _markdown(result: merged.Merged) -> bytes:
    from megdump_ci.present.markdown.merged import page

    return page(result).encode(errors="replace")


FILES: dict[str, Callable[[merged.Merged], bytes]] = {
    "merged.json": merged.to_json,
    "merged.md": _markdown,
}
"""The files of a merged report; none is called as one that is merged."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The matrix, and how it came about."""

    matrix: Matrix
    changes: Changes
    total: int
    """How many entries there were to choose from."""


def plan(options: PlanOptions) -> Plan:
    """The jobs that run the entries; :class:`InputError` with all that is wrong."""
    _check(options)
    project = file.read(options.config)
    entries = project.chosen(options.entries)
    found = _changed(project, entries, options)
    return Plan(
        matrix=matrix.matrix_of(project, found.entries, options.max_jobs),
        changes=found,
        total=len(entries),
    )


Prepared = Callable[[Project, Sequence[Entry]], Sequence[Entry]]


def run(
    options: RunOptions, watcher: running.Watcher, prepared: Prepared = lambda _, entries: entries
) -> merged.Merged:
    """Run the entries here; what is wrong is in the merged report.

    ``prepared`` may make others of them once they are known.
    """
    began = time.monotonic()
    outcome = merged.Outcome()
    try:
        _check(options)
        project = file.read(options.config)
        found = _changed(project, project.chosen(options.entries), options)
        outcome.warnings += [found.note] if found.note else []
        if options.report:
            output.make_folder(options.report)
        if options.profile:
            output.check_writable(options.profile)
        if found.entries:
            entries = prepared(project, found.entries)
            watcher.chosen([entry.name for entry in entries])
            traces: dict[str, bytes] | None = {} if options.profile else None
            outcome.entries = running.run(
                project, entries, options.jobs, options.report, watcher, traces=traces
            )
            if traces is not None:
                output.write_whole(options.profile, trace.merged(traces))
        else:
            outcome.idle = f"nothing has changed since {options.changed_since}"
    except MegdumpError as error:
        outcome.add(error)
    return _written(outcome, "run", options, time.monotonic() - began)


def merge(options: MergeOptions, planned: Mapping[str, str] | None = None) -> merged.Merged:
    """Merge reports; what is wrong is in the merged report.

    ``planned`` are the models by the names of their entries, if the plan is not a file.
    """
    outcome = merged.Outcome()
    try:
        _check(options)
        if options.plan:
            planned = merging.planned_in(options.plan)
        outcome.entries, outcome.problems = merging.merge(options.reports, planned)
    except MegdumpError as error:
        outcome.add(error)
    seconds = sum(entry.report.seconds for entry in outcome.entries if entry.report)
    return _written(outcome, "merge", options, seconds)


def _check(options: ProjectOptions) -> None:
    problems = options.problems()
    if problems:
        raise InputError(problems)


def _changed(project: Project, entries: Sequence[Entry], options: EntryOptions) -> Changes:
    if not options.changed_since:
        return Changes(entries=tuple(entries))
    return changes.since(project, entries, options.changed_since)


def _written(
    outcome: merged.Outcome, command: str, options: RunOptions | MergeOptions, seconds: float
) -> merged.Merged:
    """The merged report, once its files are in their folder, if that is wanted."""

    def result() -> merged.Merged:
        return merged.merge(
            outcome,
            tool=Tool(version=__version__),
            command=shlex.join(["megdump-ci", command, *to_argv(options)]),
            seconds=seconds,
        )

    if not options.report:
        return result()
    try:
        output.make_folder(options.report)
        for name, make in FILES.items():
            output.write_whole(os.path.join(options.report, name), make(result()))
    except InputError as error:
        outcome.add(error)
    return result()
