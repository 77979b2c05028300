"""Files appear whole or not at all."""

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
