"""How the engine processes of a run were kept from the machine, in one line."""

from __future__ import annotations

from megdump_ci.present.text import size_text
from megdump_ci.report import Isolation

_LIMITS = ("memory", "threads", "file size", "processor time")


def line(isolation: Isolation | None) -> str:
    """What holds, and what is missing with the reason; empty if there were no such processes."""
    if isolation is None:
        return ""
    held: list[str] = [measure for measure in isolation.held if measure not in _LIMITS]
    limited = [measure for measure in isolation.held if measure in _LIMITS]
    if limited:
        words = [_limit(measure, isolation.memory_limit) for measure in limited]
        held.append(f"limits of {', '.join(words)}")
    missing = ", ".join(f"{lack.measure} ({lack.reason})" for lack in isolation.missing)
    return ", ".join(held) + (f"; missing: {missing}" if missing else "")


def _limit(measure: str, memory: int) -> str:
    return f"{measure} ({size_text(memory)})" if measure == "memory" else measure
