"""Pack and verify every sample, as a user would: ``make demo``.

For each sample out/ gets the packed model NAME.mge, its strip info NAME.mge.json and
NAME/report.json. The last line says PASS or FAIL, and so does the exit status.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from megdump_ci import report

ROOT = Path(__file__).parent.parent
OUT = Path("out")

SAMPLES = {
    "digits": ("--data", "@samples/digits.txt", "--input-transform", "data / 255"),
    "photo": (
        *("--data", "samples/images/china.png", "--data", "samples/images/flower.png"),
        *("--data", "#rand(0,255)", "--resize-input"),
    ),
    "two_inputs": (
        *("--data", "alpha:samples/two_inputs_alpha.npy;zeta:samples/two_inputs_zeta.npy"),
        *("--data", "alpha:#rand(0.5,2);zeta:#rand(-1,1)"),
    ),
    "heads": ("--data", "samples/heads_data.npy", "--data", "#rand(0,100)"),
    "tokens": ("--data", "samples/tokens_ids.npy", "--data", "#rand(0,64)"),
}


def pack(name: str, data: tuple[str, ...], console: Console) -> report.Report | None:
    """The report of one run; None, with what the run printed, if it left none."""
    written = ROOT / OUT / name / "report.json"
    written.unlink(missing_ok=True)
    arguments = [
        *("pack", f"samples/{name}.mge", *data, "--output", f"{OUT}/{name}.mge"),
        *("--output-strip-info", "--report", f"{OUT}/{name}"),
    ]
    console.print(Text(shlex.join(["megdump-ci", *arguments]), style="dim"))
    done = subprocess.run(
        [sys.executable, "-m", "megdump_ci", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    found = report.from_json(written.read_bytes()) if written.is_file() else None
    if done.returncode or found is None:
        console.print(Text(done.stdout))
        console.print(f"exit status {done.returncode}")
    return found


def row(name: str, found: report.Report | None) -> tuple[str, ...]:
    """What the table shows of one sample."""
    if found is None:
        return name, "", "", "", "", "no report"
    outputs = ", ".join(tensor.name for tensor in found.model.outputs) if found.model else ""
    error = "" if found.max_error is None else f"{float(found.max_error):.3g}"
    return name, outputs, str(len(found.testcases)), error, f"{found.seconds:.1f}", found.verdict


def main() -> int:
    """Run all samples; the exit status is 0 if every one passed."""
    console = Console(soft_wrap=True)
    (ROOT / OUT).mkdir(parents=True, exist_ok=True)
    table = Table("sample", "outputs", "testcases", "max error", "seconds", "verdict")
    for column in table.columns[2:5]:
        column.justify = "right"
    failed = []
    for name, data in SAMPLES.items():
        found = pack(name, data, console)
        passed = found is not None and found.verdict == "passed" and found.exit_status == 0
        if not passed:
            failed.append(name)
        table.add_row(*map(Text, row(name, found)), style="" if passed else "bold red")
    console.print(table)
    count = f"{len(SAMPLES) - len(failed)} of {len(SAMPLES)} samples"
    if failed:
        console.print(f"FAIL {count} passed, not {', '.join(failed)}", style="bold red")
        return 1
    console.print(f"PASS {count}, results in {OUT}/", style="bold green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
