from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from megdump_ci.action.ownership import Handover
from megdump_ci.output import StagedFile

Run = Callable[..., set[str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs something as root would, and returns which files were given to the owner."""
    given: set[str] = set()

    def record(descriptor: int, user: int, group: int) -> None:
        owner = workspace.stat()
        assert (user, group) == (owner.st_uid, owner.st_gid)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        given.add(os.path.relpath(path, workspace))

    def run(write: Callable[[], object], *files: str, folder: str = "report") -> set[str]:
        handover = Handover(workspace, files, (folder,))
        write()
        handover.give()
        return given

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", record)
    return run


def test_what_a_run_wrote_is_given_away_and_nothing_else(workspace: Path, run: Run) -> None:
    (workspace / "report").mkdir()
    for name in ("report/earlier.json", "other", "out.mge.earlier"):
        (workspace / name).touch()
    written = {"out.mge", "out.mge.json", "out.mge.failed", "report/report.json"}

    def write() -> None:
        for name in (*written, "unrelated"):
            (workspace / name).touch()

    assert run(write, "out.mge") == written


def test_what_another_run_is_writing_in_the_same_folder_is_its_own(
    workspace: Path, run: Run
) -> None:
    (workspace / "report").mkdir()
    with StagedFile(str(workspace / "report" / "other, one.mge")) as other:

        def write() -> None:
            (workspace / "report" / ".out.mge.tmp").touch()
            assert other.temporary.is_file()
            # It is written to while this run works.
            other.temporary.write_bytes(b"half")

        assert run(write) == {"report/.out.mge.tmp"}


def test_folders_that_a_run_made_are_given_away(workspace: Path, run: Run) -> None:
    def write() -> None:
        (workspace / "a" / "b").mkdir(parents=True)
        (workspace / "a" / "b" / "report.json").touch()

    assert run(write, folder=str(workspace / "a" / "b")) == {"a", "a/b", "a/b/report.json"}


def test_a_replaced_file_is_given_away(workspace: Path, run: Run) -> None:
    old = workspace / "out.mge"
    old.write_text("old")

    def write() -> None:
        (workspace / "new").write_text("new")
        os.replace(workspace / "new", old)

    assert run(write, "out.mge") == {"out.mge"}


def test_files_outside_the_workspace_are_left_alone(workspace: Path, run: Run) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (workspace / "link").symlink_to(outside)

    def write() -> None:
        for name in ("out.mge", "report.json"):
            (outside / name).touch()

    assert run(write, "link/out.mge", str(outside / "out.mge"), folder="link") == set()


def test_no_link_is_followed(workspace: Path, run: Run) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "passwd").touch()

    def write() -> None:
        (workspace / "out.mge").symlink_to(outside / "passwd")
        (workspace / "report").symlink_to(outside)
        os.link(outside / "passwd", workspace / "out.mge.json")

    assert run(write, "out.mge") == set()


def test_a_folder_that_becomes_a_link_is_not_entered(workspace: Path, run: Run) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (workspace / "report").mkdir()

    def write() -> None:
        (outside / "report.json").touch()
        (workspace / "report").rmdir()
        (workspace / "report").symlink_to(outside)

    assert run(write) == set()


def test_a_link_inside_the_workspace_is_no_hindrance(workspace: Path, run: Run) -> None:
    (workspace / "build").mkdir()
    (workspace / "link").symlink_to("build")
    assert run((workspace / "build" / "out.mge").touch, "link/out.mge") == {"build/out.mge"}


def test_what_cannot_be_given_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    handover = Handover(workspace, ("out.mge",), ())
    (workspace / "out.mge").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", refuse)
    assert handover.give() == ["out.mge: Operation not permitted"]


def test_who_is_not_root_gives_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handover = Handover(workspace, ("out.mge",), ())
    (workspace / "out.mge").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delattr(os, "fchown")
    assert handover.give() == []
