"""The fuzzing itself: that it finds what is there to find, and says so."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.fuzz import __main__ as program
from tests.fuzz import alter, files, inside, outside, targets
from tests.fuzz.outside import Altered, Ended
from tests.fuzz.result import CRASH, EXIT, HANG, LEFT, Finding, Tally, table
from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]


def tried(check: object, tmp_path: Path, count: int = 60) -> inside.Run:
    """A run of a target with this check."""
    run = inside.Run(Target("x", st.integers(0, 999), check), tmp_path / "case")  # type: ignore[arg-type]
    for seed in range(2):
        run.batch(seed, count // 2)
    return run


def test_an_exception_is_found_once_and_made_small(tmp_path: Path) -> None:
    def check(case: int) -> bool:
        if case > 100:
            raise ZeroDivisionError("planted")
        return True

    run = tried(check, tmp_path)
    ((place, text),) = run.findings.items()
    assert place.startswith("ZeroDivisionError test_fuzz.py:")
    assert "planted" in text
    assert "of 101 (seed" in text
    assert run.tried >= 2


def test_much_memory_is_found(tmp_path: Path) -> None:
    def check(case: int) -> bool:
        return case == 0 or len(b"x" * (inside.MEMORY + (1 << 20))) > 0

    assert any("Excess" in place for place in tried(check, tmp_path, 8).findings)


def test_what_is_right_is_counted(tmp_path: Path) -> None:
    run = tried(lambda case: case % 2 == 0, tmp_path)
    assert run.findings == {}
    assert 0 < run.accepted < run.tried
    run.tell()
    numbers = json.loads((tmp_path / "case.json").read_text())
    assert (numbers["tried"], numbers["accepted"]) == (run.tried, run.accepted)


def test_a_case_that_hangs_ends_the_process_and_is_there_to_be_told(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from hypothesis import strategies as st\n"
        "from tests.fuzz import inside; from tests.fuzz.target import Target; import time\n"
        "inside.SECONDS = 0.2\n"
        "target = Target('x', st.just('the case'), lambda _: time.sleep(60))\n"
        "inside.Run(target, Path('case')).batch(0, 1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Timeout (" in done.stderr
    assert (tmp_path / "case").read_text() == "'the case'"


@pytest.mark.parametrize("name", targets.BY_NAME)
def test_each_target_tries_the_same_again(name: str, tmp_path: Path) -> None:
    """A seed stands for its cases; so few of each find nothing."""

    def cases() -> list[str]:
        found: list[str] = []
        target = targets.BY_NAME[name]
        kept = Target(name, target.cases, lambda case: bool(found.append(repr(case))))
        inside.Run(kept, tmp_path / "case").batch(3, 10)
        return found

    first = cases()
    assert len(set(first)) > 1
    assert cases() == first
    run = inside.Run(targets.BY_NAME[name], tmp_path / "case")
    run.batch(3, 10)
    assert run.findings == {}


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (Ended(0, "PASS"), ""),
        (Ended(3, "ERROR: the engine failed"), ""),
        (Ended(4, "a fault"), EXIT),
        (Ended(139, "said"), EXIT),
        (Ended(2, "Traceback (most recent call last):\n  File"), EXIT),
        (Ended(1, " \n"), EXIT),
        (Ended(-signal.SIGSEGV, "said"), CRASH),
        (Ended(-signal.SIGALRM, "said"), HANG),
    ],
)
def test_how_a_command_may_end(ended: Ended, kind: str) -> None:
    assert [finding.kind for finding in outside.judged(ended)] == ([kind] if kind else [])


PACK = Altered(b"", "model.mge", ("pack", "FILE", "-o", "OUT"))


@pytest.mark.parametrize(
    ("status", "files", "kinds"),
    [
        (0, ["out/out.mge", "out/out.mge.json"], []),
        (1, ["out/out.mge.failed", "out/out.mge.failed.json"], []),
        (3, ["out/out.mge.unverified"], []),
        (2, [], []),
        (0, [], [EXIT]),
        (2, ["out/out.mge"], [LEFT]),
        (1, ["out/.out.mge.1234.tmp"], [LEFT]),
        (3, ["tmp/megdump-ci-1"], [LEFT]),
    ],
)
def test_what_a_command_may_leave(
    status: int, files: list[str], kinds: list[str], tmp_path: Path
) -> None:
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name).touch()
    found = list(outside.left(tmp_path, Ended(status, "said"), PACK))
    assert [finding.kind for finding in found] == kinds


def test_a_process_that_is_left_is_found_and_ended(tmp_path: Path) -> None:
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    process = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(tmp_path / "tmp")})
    (found,) = outside.left(tmp_path, Ended(2, "said"), PACK)
    assert found.kind == LEFT
    assert f"process {process.pid}: sleep 60" in found.text
    assert process.wait() == -signal.SIGKILL


def test_alterations_are_repeated_by_their_seed() -> None:
    content, other = bytes(range(200)) * 5, bytes(1000)
    for change in (*alter.BYTES, alter.model, alter.data):
        made = [change(content, other, random.Random(seed)) for seed in range(12)]
        assert made == [change(content, other, random.Random(seed)) for seed in range(12)]
        assert sum(item != content for item in made) >= 6


@pytest.mark.parametrize("kind", files.KINDS)
def test_an_image_claims_what_it_is_told_to(kind: str) -> None:
    content = files.encoded(kind)
    # The sizes of a TIFF become wider.
    assert files.lie(kind, 48, 36) == content or kind == ".tiff"
    pixels = [
        cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR)
        for made in (content, files.lie(kind, 48, 36))
    ]
    assert np.array_equal(*pixels)
    assert files.lie(kind, 480, 360) != files.encoded(kind)


def test_the_table_adds_up() -> None:
    first = Tally("specs", 10, 4, [Finding(CRASH, ""), Finding(HANG, "")])
    lines = table([first, Tally("models", 5, 1, [Finding(LEFT, "")])]).splitlines()
    assert lines[1].split() == ["specs", "10", "4", "1", "1", "0", "0"]
    assert lines[3].split() == ["all", "15", "5", "1", "1", "0", "1"]


def test_no_such_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--only", "nothing"]) == 2
    assert "packed files" in capsys.readouterr().err
