"""Files appear whole or not at all."""

import resource
from pathlib import Path

import pytest

from megdump_ci import output
from megdump_ci.errors import InputError


def test_an_earlier_file_stays_until_commit(tmp_path: Path) -> None:
    target = tmp_path / "out.mge"
    target.write_bytes(b"good")
    with output.StagedFile(str(target)) as staged:
        staged.temporary.write_bytes(b"half")
        assert target.read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge"]
    assert target.read_bytes() == b"good"


def test_commit_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.mge"
    target.write_bytes(b"old")
    with output.StagedFile(str(target)) as staged:
        staged.temporary.write_bytes(b"new")
        assert staged.commit() == str(target)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge"]
    assert target.read_bytes() == b"new"


def test_commit_with_a_suffix_leaves_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "out.mge"
    target.write_bytes(b"good")
    with output.StagedFile(str(target)) as staged:
        staged.temporary.write_bytes(b"bad")
        assert staged.commit(".failed") == f"{target}.failed"
    assert target.read_bytes() == b"good"
    assert Path(f"{target}.failed").read_bytes() == b"bad"


@pytest.mark.parametrize("name", ["missing/out.mge", "file/out.mge"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        output.write_whole(str(tmp_path / name), b"x")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out.mge").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        output.write_whole(str(tmp_path / "out.mge"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge"]


def test_where_there_is_no_room_nothing_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.mge"
    target.write_bytes(b"good")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(InputError, match="File too large"):
            output.write_whole(str(target), b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge"]
    assert target.read_bytes() == b"good"


def test_another_file_in_its_place_is_not_committed(tmp_path: Path) -> None:
    target = tmp_path / "out.mge"
    target.write_bytes(b"good")
    with output.StagedFile(str(target)) as staged:
        staged.temporary.unlink()
        staged.temporary.write_bytes(b"of somebody else")
        with pytest.raises(InputError, match="something else was put in its place"):
            staged.commit()
    assert target.read_bytes() == b"good"


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        output.remove(str(tmp_path / "folder"))
    output.remove(str(tmp_path / "nothing"))
