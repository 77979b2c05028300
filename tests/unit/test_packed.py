"""Finding the parts of a packed file, and refusing what is none."""

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import packed


def fbs_v2(body: bytes) -> bytes:
    content = struct.pack("<I", 28) + b"mgv2" + body
    return struct.pack("<I", len(content)) + content


def fbs(tensors: bytes, table: bytes) -> bytes:
    head = b"MGBC" + bytes(12) + struct.pack("<Q", len(tensors))
    return head + tensors + struct.pack("<I", len(table)) + table


def graphs(format: str) -> st.SearchStrategy[bytes]:
    if format == "fbs":
        return st.builds(fbs, st.binary(max_size=40), st.binary(max_size=40))
    return st.builds(fbs_v2, st.binary(min_size=4, max_size=40))


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    format = draw(st.sampled_from(["fbs", "fbs_v2"]))
    return format, draw(st.lists(graphs(format), min_size=1, max_size=5))


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.mge"
    path.write_bytes(content)
    return path


def read(path: Path) -> packed.Layout:
    with path.open("rb") as file:
        return packed.read_layout(file, str(path))


@given(files())
def test_every_part_is_found(tmp_path_factory: pytest.TempPathFactory, made: object) -> None:
    format, parts = made  # type: ignore[misc]
    path = write(tmp_path_factory.mktemp("packed"), packed.header(len(parts) - 1) + b"".join(parts))
    layout = read(path)
    content = path.read_bytes()
    found = [layout.graph, *layout.testcases]
    assert layout.format == format
    assert [content[part.offset : part.end] for part in found] == parts


@given(files(), st.data())
def test_a_changed_length_is_refused(
    tmp_path_factory: pytest.TempPathFactory, made: object, data: st.DataObject
) -> None:
    _, parts = made  # type: ignore[misc]
    content = packed.header(len(parts) - 1) + b"".join(parts)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content += data.draw(st.binary(min_size=1, max_size=30))
    with pytest.raises(packed.FormatError):
        read(write(tmp_path_factory.mktemp("packed"), content))


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_with_a_format_error(content: bytes) -> None:
    for magic in (b"", packed.MAGIC, b"MGBC", packed.MAGIC + struct.pack("<I", 1) + b"MGBC"):
        file = _Named(magic + content)
        for reader in (packed.read_layout, packed.model_format):
            try:
                reader(file, "x.mge")  # type: ignore[operator]
            except packed.FormatError as error:
                assert error.problems[0].hint


class _Named(io.BytesIO):
    """Bytes that claim a file descriptor, for the size."""

    def fileno(self) -> int:
        return self._descriptor

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        import os

        self._descriptor = os.memfd_create("x")
        os.ftruncate(self._descriptor, len(content))

    def __del__(self) -> None:
        import os

        os.close(self._descriptor)


def test_another_format_among_the_testcases_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, packed.header(1) + fbs(b"", b"x") + fbs_v2(b"abcd"))
    with pytest.raises(packed.FormatError, match=r"testcase 0 of 1 is in format fbs_v2"):
        read(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (packed.header(0), "already packed"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (fbs_v2(b"abcd") + b"x", "1 bytes behind the end"),
        (fbs_v2(b"abcdefgh")[:-3], "cut short"),
    ],
)
def test_what_is_no_bare_model_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = write(tmp_path, content)
    with path.open("rb") as file, pytest.raises(packed.FormatError, match=says):
        packed.model_format(file, str(path))


def test_a_model_that_shrinks_while_it_is_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = fbs_v2(b"abcdefgh")
    path = write(tmp_path, content)
    look = packed.model_format

    def cut(file: BinaryIO, name: str) -> str:
        """Somebody cuts the file when its head has been looked at."""
        found = look(file, name)
        os.truncate(path, 15)
        return found

    with packed.opened(str(path), "a model") as file:
        assert packed.model_content(file, str(path)) == ("fbs_v2", content)
        monkeypatch.setattr(packed, "model_format", cut)
        with pytest.raises(packed.FormatError, match=r"cut short while it was read: .* byte 15"):
            packed.model_content(file, str(path))


def test_a_packed_file_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    part = fbs_v2(b"abcdefgh")
    path = write(tmp_path, packed.header(1) + part + part)
    with packed.opened(str(path), "a packed model") as file:
        layout = packed.read_layout(file, str(path))
        os.truncate(path, layout.testcases[0].offset + 3)
        with pytest.raises(packed.FormatError, match="cut short while it was read"):
            packed.read(file, layout.testcases[0])


def test_a_pointer_in_place_of_a_packed_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(packed.FormatError, match="Git LFS pointer") as caught:
        packed.check_packed(str(path))
    assert "git lfs pull" in caught.value.problems[0].hint


@given(st.sampled_from(["fbs", "fbs_v2"]), st.integers(1, 2**34))
def test_room_is_what_the_offsets_of_a_format_reach(format: str, size: int) -> None:
    if format == "fbs" or size < 2**31:
        packed.check_room(size, format, "the model")
        return
    with pytest.raises(packed.FormatError, match=rf"^the model takes {size} bytes.* 2147483647 "):
        packed.check_room(size, format, "the model")


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 - 5])
def test_a_model_that_the_engine_wrote_and_cannot_load_is_named(tmp_path: Path, size: int) -> None:
    path = write(tmp_path, fbs_v2(b"abcd"))
    with path.open("r+b") as file:
        file.write(struct.pack("<I", size - 4))
        # It takes no room on the disk.
        file.truncate(size)
    if size < 2**31:
        packed.check_model(str(path))
        return
    with pytest.raises(packed.FormatError, match=f"takes {size} bytes") as caught:
        packed.check_model(str(path))
    assert "FBS" in caught.value.problems[0].hint


def test_tensors_of_the_format_without_that_limit_may_take_more(tmp_path: Path) -> None:
    head = b"MGBC" + bytes(12) + struct.pack("<Q", 5 << 30)
    path = write(tmp_path, head)
    with path.open("r+b") as file:
        file.seek((5 << 30) + len(head))
        file.write(struct.pack("<I", 1) + b"x")
    packed.check_model(str(path))
