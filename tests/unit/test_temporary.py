"""What a run that died has left is told from what a living one needs."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from megdump_ci import temporary

HOLDER = """
import os, signal, sys
from pathlib import Path
from megdump_ci import temporary
held = temporary.file(Path(sys.argv[1])), temporary.folder()
Path(held[1].path, "something").write_text("x")
print(held[0].path, held[1].path, flush=True)
signal.pause()
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is to be written, with a TMPDIR of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / "out.mge"


def holder(target: Path) -> tuple[subprocess.Popen[str], list[Path]]:
    """Another process, and what it holds."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, target], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        return process, [Path(path) for path in process.stdout.readline().split()]


def again(target: Path) -> None:
    """Another run with the same target."""
    for made in (temporary.file(target), temporary.folder()):
        assert made.path.exists()
        made.release()


def test_what_is_held_stays_and_what_a_killed_run_left_goes(target: Path) -> None:
    process, paths = holder(target)
    assert [path.parent for path in paths] == [target.parent, target.parent / "tmp"]
    again(target)
    assert all(path.exists() for path in paths)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again(target)
    assert not any(path.exists() for path in paths)


def test_only_what_has_the_same_target_is_looked_at(target: Path) -> None:
    for other in (target.with_name("out.mge.json"), target.with_name("mge")):
        made = temporary.file(other)
        made.release()
        again(target)
        assert made.path.exists()


@pytest.mark.parametrize("boot", ["0123abcd", "00000000", "", "ABCDEF01"])
def test_what_another_machine_may_hold_stays(
    boot: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_boot_id", lambda: boot)
    left = [temporary.file(target), temporary.folder()]
    for made in left:
        made.release()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(target.parent / "tmp"))
    again(target)
    assert all(made.path.exists() for made in left)


def test_where_there_are_no_locks_nothing_is_taken_for_dead(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = [temporary.file(target), temporary.folder()]
    again(target)
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(target.parent / "tmp"))
    again(target)
    assert all(made.path.exists() for made in left)


def test_what_is_no_file_of_ours_is_neither_followed_nor_waited_for(target: Path) -> None:
    made = temporary.file(target)
    made.release()
    made.path.unlink()
    precious = target.with_name("precious")
    precious.write_text("x")
    for make in (
        lambda: os.mkfifo(made.path),
        lambda: made.path.symlink_to(precious),
        made.path.mkdir,
    ):
        make()
        again(target)
        assert made.path.is_dir() or os.path.lexists(made.path)
        assert precious.read_text() == "x"
        made.path.rmdir() if made.path.is_dir() else made.path.unlink()


@pytest.mark.parametrize("taken", ["before", "held", "after"])
def test_what_another_run_takes_before_it_is_locked_is_made_anew(
    taken: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, makes = temporary._lock, []

    def make(token: str) -> Path:
        makes.append(target.with_name(token))
        makes[-1].touch()
        if len(makes) == 1 and taken == "before":
            makes[-1].unlink()
        return makes[-1]

    def meet(descriptor: int) -> Any:
        if len(makes) == 1 and taken == "held":
            return False
        if len(makes) == 1:
            makes[-1].unlink()
        return lock(descriptor)

    monkeypatch.setattr(temporary, "_lock", meet)
    made = temporary.Temporary(make)
    assert made.path == makes[1]
    assert made.path.exists()
    assert not makes[0].exists()
