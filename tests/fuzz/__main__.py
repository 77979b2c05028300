"""``make fuzz``: try altered and made-up inputs, and count what must not happen.

Exit status 1 if anything was found. ``--seed N --only NAME`` tries the same cases again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import inside, outside, targets
from tests.fuzz.result import CRASH, HANG, LEFT, Finding, Tally, table

GUIDED = "guided "
_OWN = ("case", "case.json", "corpus")
INSIDE = tuple(targets.BY_NAME)
NAMES = (*INSIDE, *(GUIDED + name for name in INSIDE), *outside.TARGETS)
ROOT = Path(__file__).parents[2]


def main(argv: Sequence[str]) -> int:
    """Fuzz what is asked for; the exit status."""
    options = parsed(argv)
    chosen = [name for name in NAMES if any(only in name for only in options.only or [""])]
    # A target's whole name means it alone.
    chosen = [name for name in chosen if name in (options.only or NAMES)] or chosen
    if not chosen:
        sys.stderr.write(f"no target has that in its name; there are: {', '.join(NAMES)}\n")
        return 2
    if any(name.startswith(GUIDED) for name in chosen) and not find_spec("atheris"):
        sys.stderr.write("atheris is not installed: run it by 'make fuzz'\n")
        return 2
    print(f"seed {options.seed}: {', '.join(chosen)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        tallies = Fuzzing(options, Path(scratch)).run(chosen)
    print(table(tallies))
    return 1 if any(tally.findings for tally in tallies) else 0


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The options of this program."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first case or batch of cases")
    parser.add_argument("--only", action="append", help="targets that have this in their name")
    parser.add_argument("--seconds", type=float, default=60, help="how long, in all (default: 60)")
    parser.add_argument("--cases", type=int, default=0, help="so many of each target in a process")
    parser.add_argument("--runs", type=int, default=0, help="so many of each target of the command")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", default="out/fuzz", help="folder for files with a finding")
    return parser.parse_args(argv)


class Fuzzing:
    """One run of this program."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self._options = options
        self._scratch = scratch
        self._lock = threading.Lock()

    def run(self, chosen: Sequence[str]) -> list[Tally]:
        """Fuzz these targets; the numbers of each."""
        within = [name for name in chosen if name not in outside.TARGETS]
        commands = [name for name in chosen if name in outside.TARGETS]
        # Half of the time for each of the two, if there are both.
        seconds = self._options.seconds / (bool(within) + bool(commands))
        share = seconds * self._options.jobs / max(len(within), 1)
        with ThreadPoolExecutor(self._options.jobs) as pool:
            tallies = list(pool.map(lambda name: self._within(name, share), within))
        return tallies + self._commands(commands, seconds)

    def _within(self, name: str, seconds: float) -> Tally:
        """Fuzz a target in a process of its own."""
        folder = self._scratch / name.replace(" ", "-")
        folder.mkdir()
        current = folder / "case"
        if self._options.cases:
            seconds = 0
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", *self._words(name, seconds, folder)],
            cwd=ROOT,
            env={
                **os.environ,
                "FUZZ_CURRENT": str(current),
                "TMPDIR": str(folder),
                "OPENCV_IO_MAX_IMAGE_PIXELS": str(inside.PIXELS),
            },
            capture_output=True,
            text=True,
            errors="replace",
        )
        tally = Tally(name)
        with contextlib.suppress(FileNotFoundError):
            numbers = json.loads(current.with_suffix(".json").read_text())
            tally.tried, tally.accepted = numbers["tried"], numbers["accepted"]
            tally.findings += [Finding(CRASH, text) for text in numbers["findings"]]
            print(
                f"{name}: {tally.tried} tried, the slowest took {numbers['slowest']} s, the largest"
                f" {numbers['largest'] / 2**20:.1f} MiB",
                flush=True,
            )
        if done.returncode:
            case = current.read_text(errors="replace")[:2000] if current.exists() else ""
            hung = "Timeout (" in done.stderr or "libFuzzer: timeout" in done.stderr
            # atheris tells the exception on one of the two, libFuzzer the rest on the other.
            said = _last(done.stdout) if EXCEPTION in done.stdout else done.stderr[-1500:]
            text = f"exit status {done.returncode}\n{said}\n    of {case}"
            tally.findings.append(Finding(HANG if hung else CRASH, text))
            tally.tried = max(tally.tried, 1)
        for path in [*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")]:
            Path(self._options.keep).mkdir(parents=True, exist_ok=True)
            shutil.move(path, Path(self._options.keep) / f"{folder.name}-{path.name}")
        left = [path for path in folder.iterdir() if path.name not in _OWN]
        if left:
            names = ", ".join(sorted(path.name for path in left)[:5])
            tally.findings.append(Finding(LEFT, f"files: {names}"))
        for finding in tally.findings:
            self._tell(name, self._options.seed, finding)
        return tally

    def _words(self, name: str, seconds: float, folder: Path) -> list[str]:
        """The module to run, and its arguments."""
        options = self._options
        if not name.startswith(GUIDED):
            return ["tests.fuzz.inside", name, str(options.seed), str(options.cases), f"{seconds}"]
        # libFuzzer takes a seed of 0 for none.
        words = [f"-seed={options.seed + 1}", f"-timeout={inside.SECONDS}", "-rss_limit_mb=2048"]
        words += [f"-runs={options.cases}"] if options.cases else [f"-max_total_time={seconds:.0f}"]
        return [
            "tests.fuzz.guided",
            name.removeprefix(GUIDED),
            *words,
            f"-artifact_prefix={folder}/",
        ]

    def _commands(self, names: Sequence[str], seconds: float) -> list[Tally]:
        """Run the command, on cases of each target in turn."""
        if not names:
            return []
        material = outside.Material(self._scratch / "material")
        tallies = {name: Tally(name) for name in names}
        begin, runs = self._options.seed, self._options.runs
        seeds = range(begin, begin + runs) if runs else itertools.count(begin)
        cases = ((seed, name) for seed in seeds for name in names)
        end = time.monotonic() + seconds

        def work() -> None:
            while runs or time.monotonic() < end:
                with self._lock:
                    found = next(cases, None)
                if found is None:
                    return
                seed, name = found
                ended, findings = self._command(name, seed, material)
                with self._lock:
                    tallies[name].tried += 1
                    tallies[name].accepted += ended.status == 0
                    tallies[name].findings += findings

        with ThreadPoolExecutor(self._options.jobs) as pool:
            for future in [pool.submit(work) for _ in range(self._options.jobs)]:
                future.result()
        return list(tallies.values())

    def _command(
        self, name: str, seed: int, material: outside.Material
    ) -> tuple[outside.Ended, list[Finding]]:
        """Run the command on one case."""
        altered = outside.case(name, seed, material)
        folder = self._scratch / f"{name.replace(' ', '-')}-{seed}"
        ended, findings = outside.run(altered, folder)
        for finding in findings:
            kept = Path(self._options.keep) / f"{folder.name}-{altered.name}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(altered.content)
            words = " ".join(altered.words)
            self._tell(
                name, seed, Finding(finding.kind, f"{words}, FILE is {kept}\n{finding.text}")
            )
        shutil.rmtree(folder, ignore_errors=True)
        return ended, findings

    def _tell(self, name: str, seed: int, finding: Finding) -> None:
        again = f"make fuzz ARGS='--seed {seed} --only \"{name}\"'"
        print(f"FOUND {name}: {finding.kind}: {finding.text}\n    {again}", flush=True)


EXCEPTION = "Uncaught Python exception: ==="


def _last(log: str) -> str:
    """The exception that a process ended with."""
    return log.rpartition(EXCEPTION)[2].strip()[:1500]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
