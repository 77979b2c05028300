"""The testcase file: a model and its testcases in one file, as ``load_and_run`` reads it.

Layout (``lite/load_and_run/src/models/model_mdl.cpp`` of MegEngine)::

    b"mgbtest0"  uint32 count  graph  testcase graph * count

with nothing between the parts. A reader knows where a graph ends only from the graph itself, so
this module reads the two serialisation formats far enough to find their ends. Values in a testcase
graph belong, by position, to the inputs of the main graph sorted by name (as bytes). All integers
are little-endian.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

from megdump_ci import lfs, reading
from megdump_ci.errors import InputError

MAGIC = b"mgbtest0"
HEADER_SIZE = len(MAGIC) + 4
EXPECT_SUFFIX = ":expect"
"""An input ``NAME:expect`` of the main graph holds the expected value of output ``NAME``."""

# First bytes of FBS (src/serialization/impl/serializer_oss.cpp): with and without the 64-bit
# feature mask that MegEngine 1.x puts behind the magic.
_FBS_FEATURES = b"MGBC"
_FBS_PLAIN = b"MGBS"
# flatbuffers file identifier of FBS_V2 (src/serialization/impl/schema_v2.fbs).
_FBS_V2_ID = b"mgv2"

LIMITS = {"fbs_v2": 2**31 - 1}
"""Bytes that a graph can have by its format. FBS_V2 is one flatbuffer, whose offsets have 31 bits;
in FBS the tensors are outside of it. The engine writes larger ones, and cannot load them."""
NO_SUCH_LIMIT = (
    "format fbs has no such limit: dump the model with dump_format='FBS', or pack with --format fbs"
)
_BLOCK = 1 << 20


class Extent(NamedTuple):
    """A part of a file, in bytes."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind the part."""
        return self.offset + self.size


class Layout(NamedTuple):
    """Where the parts of a packed file are."""

    format: str
    """``fbs`` or ``fbs_v2``, the same for all parts."""
    graph: Extent
    testcases: tuple[Extent, ...]


class FormatError(InputError):
    """The file is not what its place in a packed file, or its use as a model, asks for."""


def opened(path: str, what: str) -> BinaryIO:
    """``path``, opened to be read; :class:`InputError` if it is no readable file."""
    hint = f"give the path of {what}"
    try:
        return reading.opened(path, hint)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {path}: {reason}", hint) from None


def header(count: int) -> bytes:
    """The first bytes of a packed file with ``count`` testcases."""
    return MAGIC + struct.pack("<I", count)


def is_packed(file: BinaryIO) -> bool:
    """Whether ``file`` starts as a packed file does."""
    file.seek(0)
    return file.read(len(MAGIC)) == MAGIC


def graph_format(head: bytes) -> str:
    """``fbs``, ``fbs_v2``, or ``""`` if no graph starts with these (at least 12) bytes."""
    if head[:4] in (_FBS_FEATURES, _FBS_PLAIN):
        return "fbs"
    if head[8:12] == _FBS_V2_ID:
        return "fbs_v2"
    return ""


def check_packed(path: str) -> None:
    """:class:`InputError` if ``path`` is no file with the parts of a packed model."""
    with opened(path, "a packed model") as file:
        read_layout(file, path)


def check_model(path: str) -> None:
    """:class:`InputError` if ``path`` is no file that looks like a bare model."""
    with opened(path, "a dumped model (.mge)") as file:
        model_format(file, path)


def model_format(file: BinaryIO, path: str) -> str:
    """The format of the bare model in ``file``.

    Raises :class:`FormatError` for a packed file, an empty one, and one that is no model.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise FormatError(f"{path} is empty", "give a model that trace.dump wrote")
    if is_packed(file):
        raise FormatError(
            f"{path} is already packed with testcases",
            f"check it with 'megdump-ci verify {path}', or give the model it was made from",
        )
    file.seek(0)
    head = file.read(24)
    found = graph_format(head)
    if head.startswith(lfs.MAGIC):
        raise FormatError(f"{path} {lfs.WHAT}", lfs.HINT)
    if not found:
        raise FormatError(
            f"{path} is not a MegEngine model: it begins with {head[:12]!r}",
            "give a file that trace.dump or dump_graph of MegEngine wrote (.mge)",
        )
    whole = Extent(0, _graph_size(file, 0, size, path, "the model"))
    if whole.end < size:
        raise FormatError(
            f"{path} has {size - whole.end} bytes behind the end of its graph",
            "dump the model again, or cut the file to its graph",
        )
    return found


def read_layout(file: BinaryIO, path: str) -> Layout:
    """Find the parts of a packed file.

    Raises :class:`FormatError` if it is none, is cut short, holds parts of different formats, or
    goes on behind its last testcase.
    """
    size = os.fstat(file.fileno()).st_size
    if not is_packed(file):
        file.seek(0)
        if file.read(len(lfs.MAGIC)) == lfs.MAGIC:
            raise FormatError(f"{path} {lfs.WHAT}", lfs.HINT)
        raise FormatError(
            f"{path} is not a packed model: it does not begin with {MAGIC.decode()}",
            f"pack it first: megdump-ci pack {path} -d DATA -o OUT",
        )
    file.seek(0)
    head = file.read(HEADER_SIZE)
    if len(head) < HEADER_SIZE:
        raise FormatError(f"{path} ends inside its header", "pack the model again")
    (count,) = struct.unpack_from("<I", head, len(MAGIC))
    parts: list[Extent] = []
    formats: list[str] = []
    offset = HEADER_SIZE
    for index in range(-1, count):
        what = "the model" if index < 0 else f"testcase {index} of {count}"
        if offset >= size:
            raise FormatError(
                f"{path} ends at byte {size}, before {what}",
                f"its header promises {count} testcases: pack the model again",
            )
        file.seek(offset)
        found = graph_format(file.read(12))
        _check_part_format(path, what, offset, found, formats)
        parts.append(Extent(offset, _graph_size(file, offset, size, path, what)))
        formats.append(found)
        offset = parts[-1].end
    if offset < size:
        raise FormatError(
            f"{path} has {size - offset} bytes behind its last testcase",
            f"its header promises {count} testcases: pack the model again",
        )
    return Layout(formats[0], parts[0], tuple(parts[1:]))


def read(file: BinaryIO, extent: Extent) -> bytes:
    """The bytes of one part; :class:`FormatError` if the file became shorter meanwhile."""
    file.seek(extent.offset)
    content = file.read(extent.size)
    if len(content) < extent.size:
        raise FormatError(
            f"the file was cut short while it was read: it ends at byte"
            f" {extent.offset + len(content)}, and ended at {extent.end} before",
            "run again once nothing writes to it any more",
        )
    return content


def model_content(file: BinaryIO, path: str) -> tuple[str, bytes]:
    """The format of the bare model in ``file``, and all its bytes.

    Raises what :func:`model_format` and :func:`read` raise.
    """
    size = os.fstat(file.fileno()).st_size
    found = model_format(file, path)
    return found, read(file, Extent(0, size))


def digest(file: BinaryIO) -> str:
    """``sha256:<hex>`` of a whole file."""
    # Here, because it takes its time to load, and a file that is not right has no digest.
    import hashlib

    found = hashlib.sha256()
    file.seek(0)
    for block in iter(lambda: file.read(_BLOCK), b""):
        found.update(block)
    return f"sha256:{found.hexdigest()}"


def check_room(size: int, format: str, what: str, hint: str = NO_SUCH_LIMIT) -> None:
    """:class:`FormatError` with ``hint`` if ``format`` cannot hold a graph of ``size`` bytes."""
    limit = LIMITS.get(format, size)
    if size > limit:
        message = f"{what} takes {size} bytes, more than the {limit} that format {format} can hold"
        raise FormatError(message, hint)


def _check_part_format(path: str, what: str, offset: int, found: str, formats: list[str]) -> None:
    if not found:
        raise FormatError(
            f"{path}: no graph begins at byte {offset}, where {what} should be",
            "the file was altered or written by a faulty tool: pack the model again",
        )
    if formats and found != formats[0]:
        raise FormatError(
            f"{path}: {what} is in format {found}, the model in {formats[0]}; load_and_run"
            " refuses that",
            "pack the model again",
        )


def _graph_size(file: BinaryIO, offset: int, limit: int, path: str, what: str) -> int:
    """Bytes of the graph at ``offset`` in a file of ``limit`` bytes."""
    file.seek(offset)
    head = file.read(24)
    try:
        if graph_format(head) == "fbs_v2":
            size = 4 + int(struct.unpack_from("<I", head)[0])
        else:
            size = _fbs_size(file, head, offset, limit)
    except struct.error:
        size = limit - offset + 1
    if offset + size > limit:
        raise FormatError(
            f"{path} is cut short: {what} should end at byte {offset + size}, the file ends at"
            f" {limit}",
            "copy or dump it again (was it fetched whole, and not as a Git LFS pointer?)",
        )
    check_room(size, graph_format(head), f"{path}: {what}")
    return size


def _fbs_size(file: BinaryIO, head: bytes, offset: int, limit: int) -> int:
    # magic, [feature mask: 8], padding: 4, bytes of tensor data: 8, tensors, size: 4, flatbuffer
    tensors_at = 24 if head[:4] == _FBS_FEATURES else 16
    tensor_bytes = int(struct.unpack_from("<Q", head, tensors_at - 8)[0])
    table_at = offset + tensors_at + tensor_bytes
    file.seek(min(table_at, limit))
    table_bytes: int = struct.unpack("<I", file.read(4))[0]
    return table_at - offset + 4 + table_bytes
