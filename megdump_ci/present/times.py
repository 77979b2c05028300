"""Where the time of a run went, in words and numbers."""

from __future__ import annotations

from megdump_ci.report import Phase, Process, Report

LONG = 10.0
"""Seconds from which on a run says in a terminal where they went."""

_NAMED = 4
"""Phases that it names then, the longest ones."""


def share(phase: Phase, report: Report) -> str:
    """How much of the run's time a phase took."""
    return f"{phase.seconds / report.seconds:.0%}" if report.seconds else "-"


def parts(process: Process) -> str:
    """What a process spent its time on, the most first."""
    found = sorted(process.parts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in found if seconds >= 0.005)


def line(report: Report) -> str:
    """Where the time of a long run went; empty for a short one."""
    if report.seconds < LONG:
        return ""
    found = sorted(report.phases, key=lambda phase: -phase.seconds)
    texts = [f"{phase.name} {phase.seconds:.1f} s" for phase in found[:_NAMED]]
    rest = sum(phase.seconds for phase in found[_NAMED:])
    return ", ".join([*texts, *([f"other {rest:.1f} s"] if rest >= 0.05 else [])])
