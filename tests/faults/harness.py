"""Runs the product on planted faults and on clean files, and judges what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from megdump_ci import pipeline
from megdump_ci.options import PackOptions, VerifyOptions
from megdump_ci.present import locate
from megdump_ci.report import Report
from tests.faults.clean import Clean
from tests.faults.planted import Fault, Folder

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How one run went; ``wrong`` is what is wrong with the product, empty if nothing is."""

    kind: str
    name: str
    said: str
    """The line that names the fault, or what else there is to say."""
    wrong: str = ""


def made(folder: Path) -> Folder:
    """The models, made anew in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults.models", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    return Folder(folder)


def plant(fault: Fault, folder: Folder, scratch: Path) -> Outcome:
    """Plant a fault, run, and judge."""
    file = scratch / f"{re.sub(r'[^a-z0-9]+', '-', f'{fault.kind} {fault.name}')}.mge"
    file.write_bytes(fault.make(folder))
    return judged(fault, run(fault, file, folder))


def run(fault: Fault, file: Path, folder: Folder) -> Report:
    """The report on a file with a fault in it."""
    if fault.command == "pack":
        data = tuple(str(folder.path / f"data{index}.npy") for index in range(2))
        out = str(file.with_suffix(".out.mge"))
        return pipeline.run(
            PackOptions(model=str(file), data=data, output=out, silent=True, **fault.options)
        )
    model = str(folder.model(fault.model)) if fault.model else ""
    return pipeline.run(VerifyOptions(packed=str(file), model=model, **fault.options))


def judged(fault: Fault, report: Report) -> Outcome:
    """Caught is what fails, and named is what a line says of it."""
    lines = report.warnings if fault.warns else list(failures(report))
    named = [next((line for line in lines if re.search(said, line)), "") for said in fault.said]
    wrong = ""
    if fault.warns:
        if report.verdict != "passed":
            wrong = f"it should pass with a warning, and does not: {report.headline}"
    elif report.exit_status not in (1, 2, 3) or report.verdict not in ("failed", "error"):
        wrong = f"not caught: {report.headline}"
    if not wrong and not all(named):
        wrong = f"not named: {'; '.join(lines) or report.headline}"
    return Outcome(fault.kind, fault.name, "; ".join(dict.fromkeys(named)), wrong)


def failures(report: Report) -> Iterator[str]:
    """The lines that say what is wrong, as a person reads them."""
    yield from (problem.message for problem in report.problems)
    for testcase in report.testcases:
        where = f"testcase {testcase.index}"
        if testcase.reason:
            yield f"{where}: {testcase.reason}"
        for output in testcase.outputs:
            if output.reason:
                yield f"{where}: {output.name}: {output.reason}"
    if report.location is not None:
        yield from (line.plain for line in locate.lines(report.location))


def check(item: Clean, folder: Folder) -> Outcome:
    """Verify a clean file; a false alarm is anything but a pass without a warning of its values."""
    file = folder.path / f"{item.name}.packed.mge"
    report = pipeline.run(
        VerifyOptions(packed=str(file), model=str(folder.model(item.model)), silent=True)
    )
    wrong = ""
    if report.verdict != "passed":
        wrong = f"{report.headline}; {'; '.join(failures(report))}"
    # What the fast kernels cannot run is said, and rightly; the file's own limit for float16, too.
    known = ("verified with MegEngine's naive kernels", "passes by the file's own maxerr")
    alarms = [text for text in report.warnings if not any(words in text for words in known)]
    return Outcome("clean", item.name, report.headline, wrong or "; ".join(alarms))


def together(
    runs: Sequence[Callable[[], Outcome]], jobs: int, tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """The outcomes of all runs, ``jobs`` at a time, in their order; each is told as it comes."""
    with ThreadPoolExecutor(jobs) as pool:
        found = []
        for outcome in pool.map(lambda item: item(), runs):
            tell(outcome)
            found.append(outcome)
    return found


def wrong(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those with which something is wrong."""
    return [outcome for outcome in outcomes if outcome.wrong]
