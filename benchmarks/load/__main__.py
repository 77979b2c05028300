"""The command under load: time, memory of each process, reports, and the limits that it names.

    .venv/bin/python -m benchmarks.load
    .venv/bin/python -m benchmarks.load --scale 0.01 --only testcases --only inputs

Inputs are made in a temporary folder, one case after the other, and the real command is run on
them. A case that takes more than ``--memory`` is stopped before the machine runs out of it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.load import inputs
from benchmarks.measuring import COMMAND, PYTHON, ROOT, Run, folder, machine_text, measured
from megdump_ci.present.text import size_text

_OPTIMIZED = ("--optimize-for-inference", "--enable-fuse-conv-bias-nonlinearity")
_HALVES = ("--optimize-for-inference", "--enable-io16xc32", "--maxerr", "1e-9")
_WORKSPACE = "GITHUB_WORKSPACE"
_FILES = ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_STATE")


@dataclass(frozen=True)
class Setting:
    """Where a case has its files, and how large it is of what its name says."""

    folder: Path
    scale: float
    memory: int

    def count(self, whole: int) -> int:
        """So many of ``whole``, at least two."""
        return max(2, round(whole * self.scale))

    def model(self, kind: str, number: float, format: str = "fbs_v2") -> str:
        """The path of a model, which is made."""
        path = self.folder / f"{kind}.mge"
        made = models.make(f"{kind}:{number}", path, format=format, memory_limit=self.memory)
        made.checked()
        return str(path)


@dataclass(frozen=True)
class Case:
    """A load: what makes its arguments, what it may end with, and what it says then."""

    make: Callable[[Setting], Sequence[str]]
    statuses: tuple[int, ...] = (0,)
    says: str = ""
    action: bool = False
    """Whether it is the action that is run, and not the command."""


def _testcases(setting: Setting) -> Sequence[str]:
    data = inputs.mixed(setting.folder, (1, 8, 8, 8), setting.count(10_000))
    return ("pack", setting.model("chain", 100), "-d", f"@{data}", "-o", "packed.mge")


def _size(format: str) -> Callable[[Setting], Sequence[str]]:
    def make(setting: Setting) -> Sequence[str]:
        model = setting.model("size", 2000 * setting.scale, format)
        return ("pack", model, "-d", "#rand(-1,1)", "-o", "packed.mge")

    return make


def _beyond(setting: Setting) -> Sequence[str]:
    model = inputs.oversized(setting.folder / "beyond.mge", 2_200_000_000)
    return ("pack", str(model), "-d", "#rand(-1,1)", "-o", "packed.mge")


def _converted(setting: Setting) -> Sequence[str]:
    model = setting.model("size", 2200, "fbs")
    return ("pack", model, "-d", "#rand(-1,1)", "-o", "packed.mge", "--format", "fbs_v2")


def _input(megabytes: float, format: str = "fbs_v2") -> Callable[[Setting], Sequence[str]]:
    def make(setting: Setting) -> Sequence[str]:
        scale = setting.scale if megabytes <= 500 else 1.0
        values = round(megabytes * scale * 1e6 / 4 / 250) * 250
        data = inputs.array(setting.folder / "data.npy", (1, values))
        model = setting.model("wide", megabytes * scale, format)
        return ("pack", model, "-d", str(data), "-o", "packed.mge")

    return make


def _output(setting: Setting) -> Sequence[str]:
    model = setting.model("outer", 100 * setting.scale)
    return ("pack", model, "-d", "#rand(-1,1)", "-o", "packed.mge")


def _ports(setting: Setting) -> Sequence[str]:
    count = setting.count(200)
    items = ";".join(f"{models.port(i, count)}:#rand({-1 - i},1)" for i in range(count))
    return ("pack", setting.model("ports", count), "-d", items, "-o", "packed.mge")


def _operators(*options: str) -> Callable[[Setting], Sequence[str]]:
    def make(setting: Setting) -> Sequence[str]:
        model = setting.model("chain", setting.count(5000))
        return ("pack", model, "-d", "#rand(0,1)", "-o", "packed.mge", *options)

    return make


def _wrong(data: Callable[[Path, int], Path]) -> Callable[[Setting], Sequence[str]]:
    def make(setting: Setting) -> Sequence[str]:
        found = data(setting.folder, setting.count(10_000))
        return ("pack", setting.model("chain", 10), "-d", f"@{found}", "-o", "packed.mge")

    return make


def _failing(setting: Setting) -> Sequence[str]:
    return (*_testcases(setting), *_HALVES)


CASES = {
    "testcases": Case(_testcases),
    "testcases that fail": Case(_failing, (1,)),
    "testcases that fail, action": Case(_failing, (1,), action=True),
    "problems of lines": Case(_wrong(inputs.wrong), (2,), "more problems like these"),
    "problems of files": Case(_wrong(inputs.missing), (2,), "more problems like these"),
    "operators": Case(_operators()),
    "operators, optimised": Case(_operators(*_OPTIMIZED)),
    "inputs and outputs": Case(_ports),
    "output": Case(_output),
    "input": Case(_input(500)),
    "input beyond FBS_V2": Case(_input(2200), (2,), "2147483647"),
    "model beyond FBS_V2": Case(_beyond, (2,), "2147483647"),
    "model in FBS": Case(_size("fbs")),
    "model in FBS_V2": Case(_size("fbs_v2")),
    "model beyond FBS_V2 once converted": Case(_converted, (2,), "2147483647"),
}
"""By what there is much of."""


@dataclass
class Outcome:
    """What a case came to; sizes are bytes, times seconds."""

    case: str
    status: int
    seconds: float
    processor: float
    peak: int
    parent: int
    processes: list[int]
    written: dict[str, int]
    last: str
    wrong: str = ""
    """What it should not have done; empty if it did as it should."""
    phases: list[dict[str, Any]] = field(default_factory=list)


def measure(name: str, case: Case, setting: Setting) -> Outcome:
    """Make a case's inputs and run it."""
    arguments = case.make(setting)
    run = _action(arguments, setting) if case.action else _command(arguments, setting)
    said = run.errors.strip().splitlines() if run.status == 2 else run.output.strip().splitlines()
    return Outcome(
        case=name,
        status=run.status,
        seconds=round(run.seconds, 2),
        processor=round(run.processor, 2),
        peak=run.peak,
        parent=run.own_peak,
        processes=[process.peak for process in run.processes[1:]],
        written=_written(setting.folder, run),
        last=next(iter(said if run.status == 2 else said[::-1]), ""),
        wrong=_judged(case, run),
        phases=_phases(setting.folder),
    )


def _command(arguments: Sequence[str], setting: Setting) -> Run:
    command = [*COMMAND, *arguments, "--report", "report"]
    environment = {"PYTHONPATH": str(ROOT)}
    return measured(
        command, cwd=setting.folder, environment=environment, memory_limit=setting.memory
    )


def _action(arguments: Sequence[str], setting: Setting) -> Run:
    """The same as a runner asks for it, by variables of the environment."""
    variables = {"INPUT_MODEL": arguments[1], "INPUT_REPORT": "report", "INPUT_UPLOAD": "false"}
    options = iter(arguments[2:])
    for name in options:
        word = {"-d": "data", "-o": "output"}.get(name, name.lstrip("-"))
        switch = word.startswith(("enable", "optimize"))
        variables[f"INPUT_{word.upper()}"] = "true" if switch else next(options)
    for name in _FILES:
        variables[name] = str(setting.folder / name)
        Path(variables[name]).touch()
    variables |= {"GITHUB_ACTIONS": "true", _WORKSPACE: str(setting.folder)}
    return measured(
        [PYTHON, str(ROOT / "entrypoint.py")],
        cwd=setting.folder,
        environment={"PYTHONPATH": str(ROOT), **variables},
        memory_limit=setting.memory,
    )


def _judged(case: Case, run: Run) -> str:
    if run.stopped:
        return run.stopped
    if run.status not in case.statuses:
        return f"exit status {run.status}, not {case.statuses[0]}: {run.errors[-400:]}"
    said = f"{run.output}{run.errors}"
    return "" if case.says in said else f"it does not say {case.says!r}: {said[-400:]}"


def _written(folder: Path, run: Run) -> dict[str, int]:
    """Sizes of the reports and of what is printed, and how many annotations there are."""
    found = {path.name: path.stat().st_size for path in sorted((folder / "report").glob("*"))}
    found["printed"] = len(run.output.encode()) + len(run.errors.encode())
    summary = folder / _FILES[0]
    if summary.exists():
        found["job summary"] = summary.stat().st_size
        lines = run.output.splitlines()
        found["annotations"] = sum(line.startswith(("::error ", "::warning ")) for line in lines)
    return found


def _phases(folder: Path) -> list[dict[str, Any]]:
    path = folder / "report" / "report.json"
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["phases"] if path.exists() else []
    return found


def show(outcome: Outcome) -> None:
    """Print what a case came to."""
    processes = " + ".join(size_text(peak) for peak in outcome.processes) or "no other process"
    print(
        f"{outcome.case}: status {outcome.status}, {outcome.seconds:.1f} s"
        f" ({outcome.processor:.1f} s of processor), peak {size_text(outcome.peak)}"
        f" (itself {size_text(outcome.parent)}; {processes})"
    )
    counted = {"annotations"}
    print(
        "  "
        + ", ".join(
            f"{name} {size if name in counted else size_text(size)}"
            for name, size in outcome.written.items()
        )
    )
    print(f"  {outcome.wrong or outcome.last}", flush=True)


def main() -> None:
    """Measure the cases that the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the counts and sizes")
    parser.add_argument("--only", action="append", choices=CASES, help="all of them by default")
    parser.add_argument("--memory", type=float, help="GB that a case may take")
    parser.add_argument("--folder", default="", help="where temporary files go")
    parser.add_argument("--json", help="file for the numbers")
    given = parser.parse_args()
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    memory = int(given.memory * 1e9) if given.memory else free * 9 // 10
    print(machine_text())
    outcomes = []
    for name in given.only or CASES:
        with folder(given.folder) as place:
            outcomes.append(measure(name, CASES[name], Setting(place, given.scale, memory)))
        show(outcomes[-1])
    if given.json:
        found = {"machine": machine_text(), "outcomes": [vars(outcome) for outcome in outcomes]}
        Path(given.json).write_text(json.dumps(found, indent=1) + "\n")
    raise SystemExit(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    main()
