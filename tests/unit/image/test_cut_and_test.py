"""The build's step around the cut: any difference, and any program that fails, ends the build."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# In place of Python: notes what it is asked for, and plays the self-test.
_PYTHON = """#!/bin/sh
program=$(basename "$2")
echo "$program $3 ${MGB_USE_MEGDNN_DBG-unset}" >> "$NOTES"
if [ "$program" = selftest.py ]; then
  step=$(basename "$3")
  [ "$step" != "$CRASHES" ] || kill -SEGV $$
  echo "the digest with kernels ${step#*.}" > "$3"
  [ "$step" != "$DIFFERS" ] || echo "of something else" > "$3"
elif [ "$3" = "$REFUSES" ]; then
  exit 1
fi
"""


def run(folder: Path, **faults: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(_PYTHON)
    python.chmod(0o755)
    library = folder / "lib/python3.10/site-packages/megengine/core/lib/libmegengine_shared.so"
    library.parent.mkdir(parents=True)
    library.touch()
    temporary = folder / "temporary"
    temporary.mkdir()
    notes = folder / "notes"
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(temporary),
        "NOTES": str(notes),
        **dict.fromkeys(("CRASHES", "DIFFERS", "REFUSES"), ""),
        **faults,
    }
    done = subprocess.run(
        [str(ROOT / "image" / "cut_and_test.sh"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    lines = (line.split(" ") for line in notes.read_text().splitlines())
    return done, [" ".join([program, Path(what).name, kernels]) for program, what, kernels in lines]


def test_the_steps(tmp_path: Path) -> None:
    done, steps = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert steps == [
        "selftest.py wheel.0 0",
        "selftest.py wheel.2 2",
        "cut_device_code.py cut unset",
        "selftest.py unmapped.0 0",
        "selftest.py unmapped.2 2",
        "cut_device_code.py fill unset",
        "selftest.py filled.0 0",
        "selftest.py filled.2 2",
    ]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("step", ["wheel.2", "unmapped.0", "unmapped.2", "filled.0", "filled.2"])
def test_a_digest_that_differs_ends_the_build(tmp_path: Path, step: str) -> None:
    done, _ = run(tmp_path, DIFFERS=step)
    assert done.returncode == 1
    assert "of something else" in done.stdout


@pytest.mark.parametrize("step", ["wheel.0", "unmapped.0", "unmapped.2", "filled.2"])
def test_a_self_test_that_crashes_ends_the_build(tmp_path: Path, step: str) -> None:
    done, steps = run(tmp_path, CRASHES=step)
    assert done.returncode != 0
    assert steps[-1].split(" ")[1] == step


@pytest.mark.parametrize("step", ["cut", "fill"])
def test_a_library_that_is_refused_ends_the_build(tmp_path: Path, step: str) -> None:
    done, steps = run(tmp_path, REFUSES=step)
    assert done.returncode != 0
    assert steps[-1] == f"cut_device_code.py {step} unset"
