"""What is known of a run while it goes on."""

from __future__ import annotations

import dataclasses
import math

import msgspec

from megdump_ci import report, scrutiny
from megdump_ci.errors import EngineError, ExitStatus, Problem
from megdump_ci.gates import Gates
from megdump_ci.testcase.spec import TestcaseSpec


@dataclasses.dataclass
class State:
    """What is known of a run so far."""

    engine: report.Engine | None = None
    lite: report.Engine | None = None
    isolation: report.Isolation | None = None
    model: report.Graph | None = None
    exported: report.Graph | None = None
    packed: report.Graph | None = None
    deploy: report.Graph | None = None
    change: report.Change | None = None
    strip_info: list[report.StripInfo] = dataclasses.field(default_factory=list)
    testcases: list[report.Testcase] = dataclasses.field(default_factory=list)
    gates: list[report.Gate] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    processes: list[report.Process] = dataclasses.field(default_factory=list)
    kernels: report.Kernels | None = None
    kernel_failures: list[report.KernelFailure] = dataclasses.field(default_factory=list)
    location: report.Location | None = None
    sweep: report.Sweep | None = None
    baseline: report.Baseline | None = None
    unverified: str = ""
    """Why nothing could be verified, where that is allowed."""
    exit_status: ExitStatus = ExitStatus.INTERNAL
    concluded: bool = False
    """Whether the verdict is there and the files are in place; what comes then adds to it."""
    stopped: bool = False
    """Whether a signal has ended it."""

    def add(self, testcase: report.Testcase, spec: TestcaseSpec) -> None:
        """Take in a testcase that was checked, with where it was asked for."""
        source = report.Source(spec=spec.text, file=spec.file, line=spec.line)
        self.testcases.append(msgspec.structs.replace(testcase, source=source))

    def errors(self) -> list[float]:
        """All errors there are, of assertions and comparisons."""
        return [
            value
            for testcase in self.testcases
            for item in testcase.outputs
            for value in _errors(item)
        ]

    def largest_error(self) -> float:
        """The largest of them, and NaN above all; there must be one."""
        errors = self.errors()
        return next((value for value in errors if math.isnan(value)), max(errors))

    def conclude(self, count: int, gates: Gates) -> None:
        """Passed only if every testcase there is was run, and passed, and so did every gate."""
        run = [testcase.index for testcase in self.testcases]
        if run != list(range(count)) or not count:
            raise EngineError(
                f"{len(run)} of {count} testcases were checked",
                "this is a fault of megdump-ci: please report it",
            )
        self.gates = scrutiny.judged(self.testcases, gates)
        found = scrutiny.warnings(self.testcases, gates)
        self.warnings += [text for text in found if text not in self.warnings]
        passed = all(testcase.passed for testcase in self.testcases)
        passed = passed and all(gate.passed for gate in self.gates)
        self.exit_status = ExitStatus.PASSED if passed else ExitStatus.FAILED


def _errors(item: report.Output) -> list[float]:
    found = [comparison.error for comparison in item.comparisons]
    if item.assertion is not None:
        found.append(item.assertion.error)
    return [float(value) for value in found if value is not None]
