"""The merged report: what became of several entries, and the one verdict on all of them.

``merged.json`` is :func:`to_json` of a :class:`Merged`; ``docs/merged.schema.json`` is its JSON
schema. It passes if every entry does, and there is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from megdump_ci.decoding import decode
from megdump_ci.errors import ExitStatus, MegdumpError, Problem
from megdump_ci.report import Number, Report, Tool, Verdict, json_of, number

VERSION = 1
"""Raised when a field is taken away or changes its meaning; a new field does not raise it."""

_NAMED = 10
"""So many entries are named in one line."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, and its report if it left one."""

    name: str
    model: str = ""
    verdict: Verdict
    exit_status: int
    headline: str
    """The verdict in one line."""
    problems: list[Problem] = []
    """What is wrong beside what its report says."""
    file: str = ""
    """Where its report stands."""
    report: Report | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with it; what was not verified on purpose has not failed."""
        return self.exit_status == ExitStatus.PASSED

    @property
    def all_problems(self) -> list[Problem]:
        """What is wrong, whoever says it."""
        return [*self.problems, *(self.report.problems if self.report else ())]


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to say about several runs."""

    version: int = VERSION
    kind: Literal["merged"] = "merged"
    tool: Tool
    command: str
    """The command line that repeats the run, or the merging of its reports."""
    verdict: Verdict
    exit_status: int
    """The largest of the entries' and of its own problems': 4 before 3 before 2 before 1."""
    headline: str
    problems: list[Problem] = []
    """What is wrong with no single entry."""
    warnings: list[str] = []
    max_error: Number | None = None
    """The largest error of all entries."""
    entries: list[Entry]
    seconds: float = 0.0
    """What it took: the run, or all entries together where reports were merged."""


def entry_of(name: str, report: Report, file: str) -> Entry:
    """The entry that a report is about."""
    model = report.options.get("model", "")
    problems = []
    status, verdict = report.exit_status, report.verdict
    unlike = _unlike(report)
    if unlike:
        problems.append(
            Problem(f"{file} {unlike}", "do not change reports, or trust what changed this one")
        )
        status, verdict = ExitStatus.INPUT, "error"
    return Entry(
        name=name,
        model=model if isinstance(model, str) else "",
        verdict=verdict,
        exit_status=status,
        headline=f"ERROR: {problems[0].message}" if problems else report.headline,
        problems=problems,
        file=file,
        report=report,
    )


def failed_entry(
    name: str, model: str, status: int, problems: Sequence[Problem], file: str = ""
) -> Entry:
    """An entry without a report."""
    return Entry(
        name=name,
        model=model,
        verdict="error",
        exit_status=status,
        headline=f"ERROR: {problems[0].message.splitlines()[0]}",
        problems=list(problems),
        file=file,
    )


@dataclass
class Outcome:
    """What came of a run, or of merging reports."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with no single entry."""
    status: int = ExitStatus.INPUT
    """The exit status that the problems end with."""
    warnings: list[str] = field(default_factory=list)
    idle: str = ""
    """Why there was nothing to do, where that is in order."""

    def add(self, error: MegdumpError) -> None:
        """Take in what ended it."""
        self.problems += error.problems
        self.status = error.exit_status

    @property
    def exit_status(self) -> int:
        """The worst of all."""
        own = [self.status] if self.problems else []
        return int(max([entry.exit_status for entry in self.entries] + own, default=0))

    @property
    def verdict(self) -> Verdict:
        """The one on all of them. Nothing that was run is no pass."""
        found = {entry.verdict for entry in self.entries}
        if self.problems or "error" in found:
            return "error"
        if "failed" in found:
            return "failed"
        return "passed" if found == {"passed"} else "not verified"

    @property
    def max_error(self) -> Number | None:
        """The largest error, and NaN above all."""
        errors = [entry.report.max_error for entry in self.entries if entry.report]
        found = [float(error) for error in errors if error is not None]
        if not found:
            return None
        return number(next((value for value in found if math.isnan(value)), max(found)))

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        count = f"{len(self.entries)} {'model' if len(self.entries) == 1 else 'models'}"
        passed = sum(entry.verdict == "passed" for entry in self.entries)
        done = f"{passed} of {count} passed"
        if self.max_error is not None:
            done += f", max error {float(self.max_error):.3g}"
        if self.verdict == "passed":
            return f"PASS: {done}"
        if self.verdict == "not verified":
            left = [entry.name for entry in self.entries if entry.verdict == "not verified"]
            return f"NOT VERIFIED: {self.idle or f'{done}; not verified: {_named(left)}'}"
        failed = [entry.name for entry in self.entries if not entry.passed]
        what = [done] if self.entries else []
        what += [problem.message.splitlines()[0] for problem in self.problems[:1]]
        what += [f"not {_named(failed)}"] if failed else []
        return f"{'ERROR' if self.verdict == 'error' else 'FAIL'}: {'; '.join(what)}"


def merge(outcome: Outcome, *, tool: Tool, command: str, seconds: float) -> Merged:
    """The merged report of an outcome, which has an entry, a problem or a reason for neither."""
    assert outcome.entries or outcome.problems or outcome.idle
    return Merged(
        tool=tool,
        command=command,
        verdict=outcome.verdict,
        exit_status=outcome.exit_status,
        headline=outcome.headline,
        problems=outcome.problems,
        warnings=outcome.warnings,
        max_error=outcome.max_error,
        entries=outcome.entries,
        seconds=round(seconds, 3),
    )


def to_json(merged: Merged) -> bytes:
    """The merged report as JSON, indented."""
    return json_of(merged)


def from_json(data: bytes) -> Merged:
    """What :func:`to_json` wrote; :class:`msgspec.ValidationError` if it is something else."""
    found: Merged = decode(data, Merged)
    return found


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of :class:`Merged`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"megdump-ci merged report, version {VERSION}",
        **msgspec.json.schema(Merged),
    }


_STATUSES: dict[Verdict, tuple[ExitStatus, ...]] = {
    "passed": (ExitStatus.PASSED,),
    "not verified": (ExitStatus.PASSED,),
    "failed": (ExitStatus.FAILED,),
    "error": (ExitStatus.INPUT, ExitStatus.ENGINE, ExitStatus.INTERNAL),
}


def _unlike(report: Report) -> str:
    """How a report does not go with its own verdict; empty if it does."""
    if report.exit_status not in _STATUSES[report.verdict]:
        return f"has the verdict '{report.verdict}' with exit status {report.exit_status}"
    if not report.exit_status and not _shows_it(report):
        return f"says '{report.headline}', and nothing in it shows that"
    return ""


def _shows_it(report: Report) -> bool:
    """Whether what a report holds goes with its success."""
    judged = [case.passed for case in report.testcases]
    judged += [output.passed for case in report.testcases for output in case.outputs]
    judged += [gate.passed for gate in report.gates]
    if report.problems or not all(judged):
        return False
    held = report.testcases or (report.sweep is not None and report.sweep.trials)
    return report.verdict == "not verified" or bool(held)


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
