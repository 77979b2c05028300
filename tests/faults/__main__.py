"""``make faults``: plant every fault, check every clean file, print the score.

Exit status 1 if a fault was missed, or a clean file raised an alarm.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults import harness, planted
from tests.faults.clean import CLEAN
from tests.faults.harness import Outcome


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; the exit status."""
    options = parsed(argv)
    faults = [
        fault
        for fault in planted.FAULTS
        if options.only in f"{fault.kind}: {fault.name}" and not options.clean
    ]
    cleans = [item for item in CLEAN if options.only in item.name]
    print(f"{len(faults)} faults, {len(cleans)} clean files, {options.jobs} at a time", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        folder = harness.made(made_folder(Path(scratch), "models"))
        files = made_folder(Path(scratch), "files")
        runs = [partial(harness.plant, fault, folder, files) for fault in faults]
        runs_clean = [partial(harness.check, item, folder) for item in cleans]
        tell = telling(options.verbose)
        found = harness.together(runs, options.jobs, tell)
        found_clean = harness.together(runs_clean, options.jobs, tell)
    print(score(found, found_clean))
    return 1 if harness.wrong([*found, *found_clean]) or not found + found_clean else 0


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The options of this program."""
    parser = argparse.ArgumentParser(prog="make faults", description=main.__doc__)
    parser.add_argument("--only", default="", help="plant only what has this in its name")
    parser.add_argument("--clean", action="store_true", help="check clean files only")
    parser.add_argument("--verbose", action="store_true", help="print each fault's line")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args(argv)


def made_folder(parent: Path, name: str) -> Path:
    """A new folder."""
    path = parent / name
    path.mkdir()
    return path


def telling(verbose: bool) -> harness.Callable[[Outcome], None]:
    """What prints an outcome as it comes: those that are wrong, or all."""

    def tell(outcome: Outcome) -> None:
        if outcome.wrong:
            print(f"WRONG  {outcome.kind}: {outcome.name}: {outcome.wrong}", flush=True)
        elif verbose:
            print(f"ok     {outcome.kind}: {outcome.name}: {outcome.said}", flush=True)

    return tell


def score(found: Sequence[Outcome], clean: Sequence[Outcome]) -> str:
    """The table of what was caught, and the two numbers that count."""
    rows = []
    for kind in dict.fromkeys(outcome.kind for outcome in found):
        these = [outcome for outcome in found if outcome.kind == kind]
        rows.append((kind, f"{len(these) - len(harness.wrong(these))} / {len(these)}"))
    rows.append(("caught / planted", f"{len(found) - len(harness.wrong(found))} / {len(found)}"))
    rows.append(("false alarms / clean", f"{len(harness.wrong(clean))} / {len(clean)}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {count:>9}" for name, count in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
