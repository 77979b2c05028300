"""How the action ended: what the log, the summary, the outputs and the artifact are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from megdump_ci.action.options import ActionOptions
from megdump_ci.errors import Problem
from megdump_ci.options import PackOptions

if TYPE_CHECKING:
    from megdump_ci.action.annotations import Annotation
    from megdump_ci.action.bundle import Entry
    from megdump_ci.report import Report, Verdict


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the action ended; ``result`` is ``None`` if it is not one run that came to a report."""

    verdict: Verdict
    exit_status: int
    headline: str
    problems: Sequence[Problem] = ()
    options: PackOptions | None = None
    result: Report | None = None
    job: ActionOptions | None = None
    written: Sequence[Entry] = ()
    """What goes into an artifact."""
    artifact: str = ""
    """What the artifact is about, where that is not one model."""
    annotations: Sequence[Annotation] = ()
    """What there is to annotate beside the problems and the result."""
    page: Sequence[str] = ()
    """The blocks of the job summary, where they are not those of the result."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Outputs beside those of the result, or in their place."""
