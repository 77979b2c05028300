"""What the reviewer sees beside the files: annotations of what is wrong, each at its place.

A cause is told once, however many testcases it fails. The runner keeps ten errors and ten warnings
of a step; the most important come first, and the last one says how many more there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from megdump_ci.action.commands import Log
from megdump_ci.action.places import NOWHERE, Place, Places
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.present.reasons import failed_comparison, output_reason, reason, subject
from megdump_ci.present.text import one_line
from megdump_ci.report import Output, Report, Testcase

_TITLE = 120
_SINGLE = 3
"""Testcases of one file and cause that have an annotation each; more share one."""
_LISTED = 20
"""Testcases that a shared one lists."""

_NUMBERS = re.compile(r"\[[^]]*\]|\([^)]*\)|[-+]?(?:\d[\d.e+-]*|\bnan\b|\binf\b)")

_TITLES: dict[int, str] = {
    ExitStatus.INPUT: "wrong input",
    ExitStatus.ENGINE: "the engine failed",
    ExitStatus.INTERNAL: "megdump-ci has a fault",
}

Kind = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One annotation; without a place it is one of the job."""

    kind: Kind
    title: str
    message: str
    place: Place = NOWHERE


@dataclass(frozen=True)
class _Failure:
    """An output of a testcase that failed."""

    testcase: Testcase
    output: Output


def of_problems(
    problems: Iterable[Problem], exit_status: int, places: Places
) -> Iterator[Annotation]:
    """What ended a run."""
    for problem in problems:
        yield Annotation(
            kind="error",
            title=_title(problem, exit_status),
            message=f"{problem.message}\n{problem.hint}" if problem.hint else problem.message,
            place=places.problem(problem, exit_status),
        )


def _title(problem: Problem, exit_status: int) -> str:
    if problem.message.startswith("stopped by "):
        return "the run was stopped"
    return _TITLES.get(exit_status, "megdump-ci")


def of_report(report: Report, places: Places) -> Iterator[Annotation]:
    """What a run came to, its problems apart: why it failed, and what it warns of."""
    if report.verdict == "failed":
        found = [*_causes(report, places), *_testcases(report, places)]
        found = found or [_error("the run failed", [], places.model)]
        # The verdict itself stands in the first one that is read.
        yield _error(found[0].title, [report.headline, found[0].message], found[0].place)
        yield from found[1:]
    elif report.verdict == "not verified":
        yield Annotation(
            kind="warning", title="not verified", message=report.headline, place=places.model
        )
    for text in report.warnings:
        title = one_line(f"megdump-ci warns of {subject(report) or 'the run'}", _TITLE)
        yield Annotation(kind="warning", title=title, message=text, place=places.model)


def tell(annotations: Iterable[Annotation], log: Log) -> None:
    """Write the annotations, those that the runner would not keep as lines of the log."""
    found = list(annotations)
    kinds: tuple[Kind, ...] = ("error", "warning")
    for kind in kinds:
        own = [item for item in found if item.kind == kind]
        # One is left for the upload, which comes after.
        room = max(log.room(kind) - 1, 1)
        kept = own if len(own) <= room else own[: room - 1]
        for item in kept:
            _tell(item, log)
        rest = own[len(kept) :]
        if rest:
            last = f"{len(rest)} more {kind}s are in the log above and in the job summary"
            for item in rest:
                log.line(f"{kind}: {item.title}: {item.message}")
            _tell(Annotation(kind=kind, title="and more", message=last), log)


def _tell(item: Annotation, log: Log) -> None:
    write = log.error if item.kind == "error" else log.warning
    title = one_line(item.title, _TITLE)
    write(item.message, title=title, file=item.place.file, line=item.place.line)


def _error(title: str, lines: Iterable[str], place: Place) -> Annotation:
    text = "\n".join(line for line in lines if line)
    return Annotation(kind="error", title=title, message=text, place=place)


def _causes(report: Report, places: Places) -> Iterator[Annotation]:
    """One annotation for each thing that is wrong with the model, at the model."""
    total = f"{len(report.testcases)} testcase{'s' if len(report.testcases) != 1 else ''}"
    located, remedy = _located(report), _remedy(report)
    for place, failures in enumerate(_grouped(report)):
        worst = min(failures, key=_sqnr)
        comparison = failed_comparison(worst.output)
        verb = "differs" if comparison and comparison.metrics else "fails"
        yield _error(
            f"{worst.output.name} {verb} in {len(failures)} of {total}",
            [_worst(worst), *_numbers(worst.output), "" if place else located, remedy],
            places.model,
        )
    for gate in report.gates:
        # The other gates fail a testcase.
        if not gate.passed and gate.testcase is None:
            title = f"{gate.output or 'the model'} misses {gate.name}"
            yield _error(title, [f"{gate.name}: {gate.reason}", remedy], places.model)


def _grouped(report: Report) -> list[list[_Failure]]:
    """The failures by output and kind of reason, the most frequent first."""
    found: dict[tuple[str, str], list[_Failure]] = {}
    for testcase in report.testcases:
        for output in testcase.outputs:
            if not output.passed:
                cause = _NUMBERS.sub("", output_reason(output))
                found.setdefault((output.name, cause), []).append(_Failure(testcase, output))
    return sorted(found.values(), key=len, reverse=True)


def _sqnr(failure: _Failure) -> float:
    comparison = failed_comparison(failure.output)
    metrics = comparison.metrics if comparison is not None else None
    return float(metrics.sqnr) if metrics is not None else float("inf")


def _worst(failure: _Failure) -> str:
    return f"worst in {_called(failure.testcase)}: {output_reason(failure.output)}"


def _numbers(output: Output) -> list[str]:
    from megdump_ci.present.worst import metrics_lines

    comparison = failed_comparison(output)
    return metrics_lines(comparison.metrics) if comparison and comparison.metrics else []


def _located(report: Report) -> str:
    from megdump_ci.present import locate

    lines = locate.lines(report.location) if report.location is not None else []
    return "\n".join(line.plain for line in lines[:3])


def _remedy(report: Report) -> str:
    """The inputs with which the run would pass, as a workflow has them."""
    pairs = zip(report.passing[::2], report.passing[1::2], strict=False)
    inputs = [f"{name.lstrip('-')}: {value}" for name, value in pairs]
    return f"it would pass with: {', '.join(inputs)}" if inputs else ""


def _testcases(report: Report, places: Places) -> Iterator[Annotation]:
    """Where the testcases that failed are asked for, as far as that is known."""
    failed = [(places.testcase(case.source), case) for case in report.testcases if not case.passed]
    found = [(place, case) for place, case in failed if place.line or case.reason]
    # Those of one file, and there those of one cause, in the order of the first of each.
    order: dict[tuple[str, str], list[tuple[Place, Testcase]]] = {}
    for place, case in found:
        order.setdefault((place.file, _NUMBERS.sub("", reason(case))), []).append((place, case))
    for group in order.values():
        if len(group) <= _SINGLE:
            yield from (_testcase(place, case) for place, case in group)
        else:
            yield _several(group)


def _testcase(place: Place, testcase: Testcase) -> Annotation:
    return _error(f"{_called(testcase)} fails", [reason(testcase)], place)


def _several(group: Sequence[tuple[Place, Testcase]]) -> Annotation:
    first = group[0][0]
    lines = [_lines([place.line for place, _ in group])] if first.line else []
    lines += [f"{_called(case)}: {reason(case)}" for _, case in group[:_LISTED]]
    if len(group) > _LISTED:
        lines.append(f"and {len(group) - _LISTED} more")
    where = f" of {first.file}" if first.file else ""
    return _error(f"{len(group)} testcases{where} fail", lines, first)


def _lines(numbers: Iterable[int]) -> str:
    """``lines 1, 3 to 5``."""
    parts = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda item: item[1] - item[0]):
        found = [number for _, number in run]
        parts.append(str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}")
    return f"lines {', '.join(parts)}"


def _called(testcase: Testcase) -> str:
    spec = f" ({one_line(testcase.source.spec, 80)})" if testcase.source else ""
    return f"testcase {testcase.index}{spec}"
