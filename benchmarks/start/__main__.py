"""What it takes to start: help and wrong input without the engine, the engine, a first verdict.

    .venv/bin/python -m benchmarks.start
    .venv/bin/python -m benchmarks.start --rounds 5

Every command runs once in each round, beside those that it is compared with, so that what else the
machine does touches all of them. Printed are medians, and ratios of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import COMMAND, PYTHON, ROOT, Run, machine_text, measured

_MODEL = str(ROOT / "samples" / "digits.mge")
_DATA = "#rand(0,1,1,...)"
_LEAN = "from megdump_ci.engine import lean; lean.load()"
# One inference, as MegEngine's own tools do it, without packing or checking anything.
_OWN = f"""
import numpy as np
from megengine.utils.comp_graph_tools import GraphInference
GraphInference({_MODEL!r}).run(inp_dict={{"data": np.zeros((1, 1, 8, 8), np.float32)}})
"""


@dataclass(frozen=True)
class Case:
    """A command, the one that it is compared with, and the exit status that it has to have."""

    name: str
    command: Sequence[str]
    peer: str = ""
    status: int = 0


def _cases(folder: Path) -> list[Case]:
    python, nothing, engine = (PYTHON, "-W", "ignore", "-c"), "python -c pass", "import megengine"
    packed = ("-d", _DATA, "-o", str(folder / "out.mge"))
    pack = (*COMMAND, "pack", _MODEL, *packed)
    return [
        Case(nothing, (PYTHON, "-c", "pass")),
        Case("--help", (*COMMAND, "--help"), nothing),
        Case("pack without data", (*COMMAND, "pack", _MODEL), nothing, 2),
        Case("pack of no file", (*COMMAND, "pack", "none.mge", *packed), nothing, 2),
        Case(engine, (*python, engine)),
        Case("the same, as engine processes do", (*python, _LEAN), engine),
        Case("one inference by MegEngine", (*python, _OWN), engine),
        Case("pack and verify", pack, "one inference by MegEngine"),
        Case(
            "pack and verify, with reports",
            (*pack, "--report", str(folder / "report")),
            "one inference by MegEngine",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cases and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="how often each runs (default: 11)")
    rounds = parser.parse_args(arguments).rounds
    print(machine_text())
    with tempfile.TemporaryDirectory() as name:
        cases = _cases(Path(name))
        runs: dict[str, list[Run]] = {case.name: [] for case in cases}
        # One more than is counted: the first one finds nothing in the system's cache.
        for place in range(rounds + 1):
            for case in cases:
                run = measured(case.command, cwd=ROOT).checked(case.status)
                if place:
                    runs[case.name].append(run)
    print("\n| command | seconds | processor seconds | memory, MB | seconds against |")
    print("|---|---|---|---|---|")
    for case in cases:
        print(_row(case, runs))


def _row(case: Case, runs: dict[str, list[Run]]) -> str:
    own = runs[case.name]
    seconds = statistics.median(run.seconds for run in own)
    processor = statistics.median(run.processor for run in own)
    memory = statistics.median(run.peak for run in own) / 1e6
    against = ""
    if case.peer:
        peer = statistics.median(run.seconds for run in runs[case.peer])
        against = f"{seconds / peer:.2f} of `{case.peer}`"
    return f"| `{case.name}` | {seconds:.3f} | {processor:.3f} | {memory:.0f} | {against} |"


if __name__ == "__main__":
    main()
