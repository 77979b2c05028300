"""Packing and verifying against the old way to pack: times and memory, side by side.

    .venv/bin/python -m benchmarks.peers
    .venv/bin/python -m benchmarks.peers --network shufflenet --count 1 --count 100 --rounds 5

The peers are a plain script of the engine's own calls (``old_way.py``) and, for one testcase of
Python code, ``trace.dump(input_data=...)`` of MegEngine 1.13. A round runs each way once, in turn;
of several rounds the median counts. The peer is also run with the variables that engine processes
are given (``megdump_ci/processor.py``), which nobody who packs the old way sets.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import COMMAND, PYTHON, ROOT, folder, machine_text, measured
from megdump_ci import processor
from megdump_ci.present.text import size_text

HERE = Path(__file__).resolve().parent
SPEC = "#rand(0,255)"
_QUIET = ("-W", "ignore")
_MEMORY_COUNTS = (10, 1000)
_WRITTEN = ("old.mge", "alone.mge", "packed.mge", "traced.mge")


@dataclass(frozen=True)
class Way:
    """One way to do the work."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]

    def seconds(self, cwd: Path) -> float:
        """Run it once: wall time."""
        # A new file takes pages of memory that one written over has already.
        for name in _WRITTEN:
            (cwd / name).unlink(missing_ok=True)
        start = time.perf_counter()
        done = subprocess.run(
            self.command,
            check=False,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            capture_output=True,
            text=True,
        )
        taken = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{self.name}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return taken


def ways(model: str, count: int, cwd: Path) -> Iterator[Way]:
    """The ways to pack ``model`` with so many testcases; the first is the peer."""
    old = (PYTHON, *_QUIET, str(HERE / "old_way.py"), model, "old.mge", str(count))
    yield Way("old way", old, {})
    same = processor.environment()
    if same:
        yield Way("old way, same kernels", old, same)
    alone = (PYTHON, "-m", "benchmarks.peers.pack_alone", model, "alone.mge", str(count))
    yield Way("pack alone", alone, {})
    yield Way("pack and verify", pack(model, count, cwd), {})


def pack(model: str, count: int, cwd: Path) -> tuple[str, ...]:
    """The command that packs ``model`` with so many testcases."""
    specs = cwd / f"{count}.txt"
    specs.write_text(f"{SPEC}\n" * count)
    return (*COMMAND, "pack", model, "--data", f"@{specs}", "--output", "packed.mge")


def compare(network: str, count: int, rounds: int, cwd: Path) -> None:
    """Print a row for each way."""
    model = str(cwd / f"{network}.mge")
    all_ways = list(ways(model, count, cwd))
    times = [[way.seconds(cwd) for way in all_ways] for _ in range(rounds)]
    taken = [statistics.median(column) for column in zip(*times, strict=True)]
    for way, seconds in zip(all_ways, taken, strict=True):
        ratio = seconds / taken[0]
        print(f"{network:11}{count:>6}  {way.name:24}{seconds:9.2f}{ratio:8.2f}", flush=True)


def compare_code(network: str, cwd: Path) -> None:
    """Print what MegEngine's own packing of Python code takes, and ``pack`` of the dumped model."""
    dumping = (PYTHON, *_QUIET, str(HERE / "networks.py"), network, "traced.mge")
    peer = Way("trace.dump(input_data)", (*dumping, "--data", SPEC), {})
    model = str(cwd / f"{network}.mge")
    ours = Way("dump, pack and verify", pack(model, 1, cwd), {})
    first = peer.seconds(cwd)
    second = Way("trace.dump", dumping, {}).seconds(cwd) + ours.seconds(cwd)
    for way, seconds in ((peer, first), (ours, second)):
        print(f"{network:11}{1:>6}  {way.name:24}{seconds:9.2f}{seconds / first:8.2f}", flush=True)


def compare_memory(network: str, cwd: Path) -> None:
    """Print the peak memory of few and of many testcases."""
    model = str(cwd / f"{network}.mge")
    for name in ("old way", "pack and verify"):
        peaks = []
        for count in _MEMORY_COUNTS:
            way = next(way for way in ways(model, count, cwd) if way.name == name)
            run = measured(way.command, cwd=cwd, environment=way.environment).checked()
            peaks.append(run.peak)
        texts = "  ".join(
            f"{count}: {size_text(peak)}" for count, peak in zip(_MEMORY_COUNTS, peaks, strict=True)
        )
        print(f"{network:11}memory  {name:24}{peaks[1] / peaks[0]:9.2f}  {texts}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=("resnet50", "shufflenet"))
    parser.add_argument("--count", action="append", type=int, help="testcases (1, 100, 1000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true")
    arguments = parser.parse_args()
    print(machine_text())
    print(f"{'network':11}{'cases':>6}  {'way':24}{'seconds':>9}{'ratio':>8}")
    with folder() as cwd:
        for network in arguments.network or ("shufflenet", "resnet50"):
            subprocess.run(
                [PYTHON, *_QUIET, str(HERE / "networks.py"), network, str(cwd / f"{network}.mge")],
                check=True,
                capture_output=True,
            )
            for count in arguments.count or (1, 100, 1000):
                # A long run evens out by itself what shakes short ones.
                compare(network, count, 1 if count >= 1000 else arguments.rounds, cwd)
            compare_code(network, cwd)
            if not arguments.no_memory:
                compare_memory(network, cwd)


if __name__ == "__main__":
    main()
