"""What a process may write to, with each version of Landlock's interface."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from megdump_ci.sandbox import landlock

SCRIPT = """
import os, sys
from megdump_ci.sandbox import landlock, system
found = landlock.version()
landlock.version = lambda: min(int(sys.argv[1]), found)
system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
landlock.enter(["own"], ["given"], [os.path.realpath("deep/hidden")])
def tried(name, call):
    try:
        call()
        print(name, "done")
    except OSError:
        print(name, "refused")
tried("read", lambda: open("other").read())
tried("list", lambda: os.listdir("."))
tried("given", lambda: open("given", "w").write("new"))
tried("own", lambda: (os.mkdir("own/a"), open("own/a/b", "w").close(), os.unlink("own/a/b")))
tried("null", lambda: open(os.devnull, "w").write("gone"))
tried("beside", lambda: (open("deep/shown/a").read(), os.listdir("deep"), os.stat("deep/hidden")))
tried("hidden", lambda: open("deep/hidden/a").read())
tried("link", lambda: open("link/a").read())
tried("write", lambda: open("other", "r+"))
tried("make", lambda: open("made", "w"))
tried("remove", lambda: os.unlink("given"))
tried("move", lambda: os.rename("given", "own/given"))
tried("cut", lambda: os.truncate("other", 0))
"""


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7])
def test_only_what_is_named_can_be_written(tmp_path: Path, version: int) -> None:
    (tmp_path / "own").mkdir()
    for name in ("given", "other"):
        (tmp_path / name).write_text("old")
    for name in ("hidden", "shown"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        (tmp_path / "deep" / name / "a").write_text("a")
    (tmp_path / "link").symlink_to("deep/hidden")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(version)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(landlock.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    answers = dict(line.split() for line in done.stdout.splitlines())
    able = {"read", "list", "given", "own", "null", "beside"}
    # The first two versions do not know of truncate(2).
    able |= {"cut"} if version < landlock.WHOLE else set()
    assert {name for name, answer in answers.items() if answer == "done"} == able, done.stderr
    assert {name for name, answer in answers.items() if answer == "refused"} >= {
        "write",
        "make",
        "link",
    }
    assert (tmp_path / "given").read_text() == "new"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "own").symlink_to("/")
    script = SCRIPT.replace('["given"]', "[]")
    done = subprocess.run(
        [sys.executable, "-c", script, "7"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(landlock.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert "own is a link" in done.stderr


def test_what_is_hidden_costs_rules_only_around_it(tmp_path: Path) -> None:
    hidden = tmp_path / "a" / "hidden"
    for path in (hidden / "x", tmp_path / "a" / "b" / "c", tmp_path / "d" / "e"):
        path.mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    found = set(landlock.readable(str(tmp_path), frozenset([str(hidden)])))
    assert found == {str(tmp_path / name) for name in ("a/b", "a/file", "d")}
    assert list(landlock.readable("/", frozenset())) == ["/"]
    assert list(landlock.readable(str(tmp_path), frozenset(["/elsewhere"]))) == [str(tmp_path)]


def test_no_version_is_asked_for_more_than_it_knows() -> None:
    # linux/landlock.h: LANDLOCK_ACCESS_FS_REFER, TRUNCATE and IOCTL_DEV; NET; SCOPED.
    found = [landlock.handled(version) for version in range(1, 8)]
    assert [access.bit_length() for access, _, _ in found] == [13, 14, 15, 15, 16, 16, 16]
    assert [bool(ports) for _, ports, _ in found] == [False] * 3 + [True] * 4
    assert [bool(scope) for _, _, scope in found] == [False] * 5 + [True] * 2
