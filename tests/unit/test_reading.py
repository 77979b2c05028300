"""Which files are opened, and which are not, whatever stands at their path."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from megdump_ci import packed, reading
from megdump_ci.errors import InputError
from megdump_ci.project import file, merging
from megdump_ci.testcase import files, listfile


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file in it and one beside it."""
    folder = tmp_path / "workspace"
    (folder / "sub").mkdir(parents=True)
    (folder / "inside").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "workspace2").mkdir()
    (tmp_path / "workspace2" / "file").write_bytes(b"secret")
    monkeypatch.chdir(folder)
    return folder


def opened(path: str, *, link: bool = True) -> bytes:
    with reading.opened(path, "a hint", link=link) as found:
        return found.read()


def make_links(folder: Path) -> None:
    """Links that lead out, directly and by others, and some that do not."""
    (folder / "link").symlink_to("../secret")
    (folder / "absolute").symlink_to(folder.parent / "secret")
    (folder / "chain").symlink_to("sub/second")
    (folder / "sub" / "second").symlink_to("../link")
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/proc/self/root")
    (folder / "good").symlink_to("sub/third")
    (folder / "sub" / "third").symlink_to("../inside")
    (folder / "here").symlink_to(".")


OUT = [
    "../secret",
    "sub/../../secret",
    "ABOVE/secret",
    "ABOVE/workspace2/file",
    "/etc/hostname",
    "/proc/self/environ",
    "/proc/self/cwd/inside",
    "/proc/self/root/etc/hostname",
    "/dev/zero",
    "link",
    "absolute",
    "chain",
    "up/secret",
    "up/workspace2/file",
    "here/here/link",
    "root/etc/hostname",
]
IN = ["inside", "./inside", "sub/../inside", "WORKSPACE/inside", "good", "here/inside"]


def places(path: str, workspace: Path) -> str:
    return path.replace("WORKSPACE", str(workspace)).replace("ABOVE", str(workspace.parent))


@pytest.mark.parametrize("path", OUT)
def test_what_leaves_the_workspace_is_refused(workspace: Path, path: str) -> None:
    make_links(workspace)
    with reading.confined([workspace]):
        for attempt in (reading.check, opened):
            with pytest.raises(InputError, match="the workspace") as caught:
                attempt(places(path, workspace))
            assert caught.value.problems[0].hint


@pytest.mark.parametrize("path", IN)
def test_what_stays_in_it_is_read(workspace: Path, path: str) -> None:
    make_links(workspace)
    with reading.confined([workspace]):
        reading.check(places(path, workspace))
        assert opened(places(path, workspace)) == b"inside"


@pytest.mark.parametrize("path", ["../secret", "ABOVE/secret", "link", "chain", "up/secret"])
def test_without_a_limit_every_file_is_read(workspace: Path, path: str) -> None:
    make_links(workspace)
    reading.check(places(path, workspace))
    assert opened(places(path, workspace)) == b"secret"


def test_the_limit_ends_with_its_block(workspace: Path) -> None:
    with reading.confined([workspace]):
        with reading.confined([workspace / "sub"]), pytest.raises(InputError):
            opened("inside")
        assert opened("inside") == b"inside"
    assert reading.FOLDERS not in os.environ


def test_a_workspace_that_is_reached_by_a_link_is_one(workspace: Path) -> None:
    link = workspace.parent / "by-link"
    link.symlink_to(workspace)
    with reading.confined([link]):
        assert opened("inside") == opened(str(link / "inside")) == b"inside"


def test_a_folder_of_git_is_not_read(workspace: Path) -> None:
    for folder in (workspace / ".git", workspace / "base" / ".git"):
        folder.mkdir(parents=True)
        (folder / "config").write_bytes(b"token")
    (workspace / "list.txt").symlink_to(".git/config")
    with reading.confined([workspace]):
        for path in (".git/config", "base/.git/config", "list.txt"):
            with pytest.raises(InputError, match="token"):
                opened(path)
    assert opened(".git/config") == b"token"


def test_a_link_is_no_list(workspace: Path) -> None:
    make_links(workspace)
    with reading.confined([workspace]), pytest.raises(InputError, match="is a link"):
        opened("good", link=False)
    assert opened("good", link=False) == b"inside"


def test_what_was_opened_counts_not_what_was_there(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def swapped(path: str, flags: int) -> int:
        """The link takes the file's place when its name has been looked at."""
        os.replace("link", "inside")
        return open_file(path, flags)

    (workspace / "link").symlink_to("../secret")
    monkeypatch.setattr(os, "open", swapped)
    with reading.confined([workspace]), pytest.raises(InputError, match="leads out"):
        opened("inside")


def make_special(folder: Path) -> None:
    """A pipe, a socket and links to devices, none of which ends."""
    os.mkfifo(folder / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    # Its path is longer than an address may be.
    here = os.getcwd()
    os.chdir(folder)
    listener.bind("socket")
    os.chdir(here)
    listener.close()
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "tty").symlink_to("/dev/tty")


READERS = {
    "model": packed.check_model,
    "packed": packed.check_packed,
    "list": listfile.read_lines,
    "data": lambda path: files.open_data(path, ""),
    "config": file.read,
    "plan": merging.planned_in,
    "report": lambda path: _problems(merging.merge([path], None)),
}


def _problems(found: tuple[object, list[object]]) -> None:
    raise InputError(found[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", ["pipe", "socket", "zero", "sub", "pipe-link"])
def test_what_is_no_file_is_told_and_not_waited_for(
    workspace: Path, path: str, reader: str
) -> None:
    make_special(workspace)
    (workspace / "pipe-link").symlink_to("pipe")
    with pytest.raises(InputError) as caught:
        READERS[reader](path)
    assert caught.value.problems[0].hint


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "path", ["a\0b", "x" * 300, "sub/" * 2000 + "x", "ä\udcff", "", "inside/x"]
)
def test_names_that_no_file_can_have_are_told(workspace: Path, path: str, reader: str) -> None:
    with pytest.raises(InputError):
        READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", ["link", "../secret", "up/secret"])
def test_no_reader_leaves_the_workspace(workspace: Path, path: str, reader: str) -> None:
    make_links(workspace)
    with reading.confined([workspace]), pytest.raises(InputError, match=r"workspace|is a link"):
        READERS[reader](path)


def test_a_lists_line_may_be_looked_up_from_its_folder(workspace: Path) -> None:
    (workspace / "sub" / "list.txt").write_text("../inside")
    (workspace / "inside").write_bytes(b"BM" + bytes(20))
    with reading.confined([workspace]):
        with files.open_data("../inside", "sub") as found:
            assert found.read(2) == b"BM"
        with pytest.raises(InputError, match="outside of the workspace"):
            files.open_data("../../secret", "sub")


def test_a_file_without_an_end_is_not_read_to_it(workspace: Path) -> None:
    (workspace / "large").touch()
    os.truncate(workspace / "large", 1 << 40)
    for reader in ("list", "config", "plan"):
        with pytest.raises(InputError, match="MiB"):
            READERS[reader]("large")
