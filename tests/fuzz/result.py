"""What came of the fuzzing, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

CRASH, HANG, EXIT, LEFT = "parent crashes", "hangs", "unexpected exits", "leftovers"
CLASSES = (CRASH, HANG, EXIT, LEFT)


@dataclass(frozen=True)
class Finding:
    """Something that must not happen."""

    kind: str
    """One of :data:`CLASSES`."""
    text: str
    """What happened, and how to see it again."""


@dataclass
class Tally:
    """What was tried of one target."""

    name: str
    tried: int = 0
    accepted: int = 0
    """How many ended as a sound input would."""
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Findings of that kind."""
        return sum(finding.kind == kind for finding in self.findings)


def table(tallies: Iterable[Tally]) -> str:
    """The numbers of each target, and their sums."""
    rows: list[tuple[str, ...]] = [("", "tried", "accepted", *CLASSES)]
    total = Tally("all")
    for tally in tallies:
        rows.append(_row(tally))
        total.tried += tally.tried
        total.accepted += tally.accepted
        total.findings += tally.findings
    rows.append(_row(total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])],
        )
        for row in rows
    )


def _row(tally: Tally) -> tuple[str, ...]:
    counts = (tally.tried, tally.accepted, *map(tally.count, CLASSES))
    return (tally.name, *map(str, counts))
