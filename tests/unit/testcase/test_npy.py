import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import npy
from megdump_ci.testcase.inputs import Array

NUMBERS = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?")
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npy") / "array"


def read(path: Path) -> Array:
    with path.open("rb") as file:
        return npy.read(file)


def saved(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def crafted(header: str, values: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


@given(hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_side=4)), st.booleans())
def test_round_trip(path: Path, array: Array, fortran: bool) -> None:
    path.write_bytes(saved(np.asarray(array, order="F" if fortran else "C")))
    result = read(path)
    assert result.dtype == array.dtype.newbyteorder("=")
    assert result.dtype.isnative
    assert result.shape == array.shape
    assert result.flags.c_contiguous
    assert np.array_equal(result, array, equal_nan=array.dtype.kind == "f")


@given(st.data())
def test_any_alteration_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    content = bytearray(saved(np.arange(6, dtype=np.float32).reshape(2, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(6, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(7, len(content)))])
    try:
        result = read(path)
    except InputError:
        return
    assert result.nbytes == 24


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000)}"
BIG = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000000)}"
NEGATIVE = "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -4)}"
NESTED = "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}"
MANY = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 33 + ")}"
SMALL = saved(np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (saved(np.zeros(3, complex)), "complex numbers"),
        (saved(np.array(["a"])), "strings"),
        (saved(np.array([b"a"])), "bytes strings"),
        (saved(np.zeros(3, [("a", "f4")])), "structured"),
        (saved(np.zeros(3, "M8[s]")), "dates"),
        (saved(np.array([None, {}])), "never loaded"),
        (saved(np.zeros((0, 3))), "no element"),
        (SMALL[:-1], "takes 16 bytes, but the file has 15"),
        (SMALL + SMALL, "but the file has"),
        (SMALL[:20], "damaged"),
        (crafted(HUGE), "10000000000 elements"),
        (crafted(BIG), "7.5 GiB"),
        (crafted(NEGATIVE, bytes(16)), "impossible shape"),
        (crafted(NESTED, bytes(8)), "structured"),
        (crafted(MANY, bytes(4)), "impossible shape"),
        (crafted("(" * 900 + ")" * 900), "damaged"),
        (crafted("__import__('os').abort()"), "damaged"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{", "claims 4294967295 bytes"),
    ],
)
def test_what_is_refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert words in caught.value.problems[0].message
    assert caught.value.problems[0].hint


def test_an_array_that_shrinks_while_it_is_read_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(saved(np.arange(100, dtype=np.float32)))
    look = npy.read_header

    def cut(file: BinaryIO) -> npy.Header:
        """Somebody cuts the file when its header has been looked at."""
        found = look(file)
        os.truncate(path, found.offset + 10)
        return found

    monkeypatch.setattr(npy, "read_header", cut)
    with pytest.raises(InputError, match="cut short while it was read"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "model", "wanted"),
    [
        ((3, 4), (1, 3, 4), (1, 3, 4)),
        ((3, 4), (8, 3, 4), (1, 3, 4)),
        ((3, 5), (1, 3, 4), (3, 5)),
        ((2, 3, 4), (1, 3, 4), (2, 3, 4)),
        ((3, 4), None, (3, 4)),
        ((), (1,), (1,)),
        ((), (), ()),
    ],
)
def test_a_missing_batch_axis_is_added(
    shape: tuple[int, ...], model: tuple[int, ...] | None, wanted: tuple[int, ...]
) -> None:
    assert npy.batch_shape(shape, model) == wanted
