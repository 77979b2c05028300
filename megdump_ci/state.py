"""What is known of a run while it goes on."""

from __future__ import annotations

import dataclasses

from megdump_ci import report
from megdump_ci.errors import EngineError, ExitStatus, Problem


@dataclasses.dataclass
class State:
    """What is known of a run so far."""

    engine: report.Engine | None = None
    model: report.Graph | None = None
    packed: report.Graph | None = None
    deploy: report.Graph | None = None
    strip_info: list[report.StripInfo] = dataclasses.field(default_factory=list)
    testcases: list[report.Testcase] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    phases: list[report.Phase] = dataclasses.field(default_factory=list)
    exit_status: ExitStatus = ExitStatus.INTERNAL

    def conclude(self, count: int) -> None:
        """Passed only if every testcase there is was run, and passed."""
        run = [testcase.index for testcase in self.testcases]
        if run != list(range(count)) or not count:
            raise EngineError(
                f"{len(run)} of {count} testcases were checked",
                "this is a fault of megdump-ci: please report it",
            )
        passed = all(testcase.passed for testcase in self.testcases)
        self.exit_status = ExitStatus.PASSED if passed else ExitStatus.FAILED
