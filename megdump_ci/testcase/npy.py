"""Arrays from ``.npy`` files, which are untrusted: nothing in them is executed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase.files import size_of
from megdump_ci.testcase.inputs import Array, check_size

_HEADER_LIMIT = 10_000
_DIMENSIONS = 32
_NUMERIC = "biuf"
_WORDS = {
    "O": "Python objects, which are never loaded",
    "V": "structured or raw values",
    "c": "complex numbers",
    "S": "bytes strings",
    "U": "strings",
    "M": "dates",
    "m": "time spans",
}


@dataclass(frozen=True)
class Header:
    """What an ``.npy`` file says that it holds."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    """The byte at which the values begin."""


def read_header(file: BinaryIO) -> Header:
    """The checked header of ``file``.

    Raises :class:`InputError` for a bad header, values that are not numbers, no or too many
    values, and a file that is shorter or longer than its header says.
    """
    header = _parse(file)
    if header.dtype.kind not in _NUMERIC:
        raise InputError(
            f"the array is of dtype {header.dtype}: {_WORDS[header.dtype.kind]}",
            "save an array of numbers: numpy.save(path, array.astype('float32'))",
        )
    check_size(header.shape, header.dtype.itemsize)
    wanted = math.prod(header.shape) * header.dtype.itemsize
    present = size_of(file) - header.offset
    if present != wanted:
        raise InputError(
            f"shape {header.shape} of {header.dtype} takes {wanted} bytes, but the file has"
            f" {present}",
            "was it fetched whole, and saved as one array? Save it again with numpy.save",
        )
    return header


def read(file: BinaryIO) -> Array:
    """The array in ``file``, C-contiguous and in the machine's byte order."""
    header = read_header(file)
    file.seek(header.offset)
    count = math.prod(header.shape)
    values: Array = np.fromfile(file, header.dtype, count)
    if values.size != count:
        raise InputError("the file was cut short while it was read", "give a finished file")
    array = values.reshape(header.shape, order="F" if header.fortran else "C")
    # Not np.ascontiguousarray, which gives a single number an axis.
    return np.asarray(array, header.dtype.newbyteorder("="), order="C")


def batch_shape(shape: tuple[int, ...], model: tuple[int, ...] | None) -> tuple[int, ...]:
    """``shape``, with a batch axis of 1 in front if that is all it lacks to the model's shape."""
    return (1, *shape) if model and shape == model[1:] else shape


def _parse(file: BinaryIO) -> Header:
    file.seek(0)
    try:
        major, _ = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        kind = "<H" if major == 1 else "<I"
        here = file.tell()
        (length,) = struct.unpack(kind, file.read(struct.calcsize(kind)))
        if length > _HEADER_LIMIT:
            raise InputError(f"the header of the array claims {length} bytes", "save it again")
        file.seek(here)
        # Version 3 differs in field names alone, and fields are refused.
        read_header = (
            np.lib.format.read_array_header_1_0
            if major == 1
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)  # type: ignore[no-untyped-call]
    except InputError:
        raise
    except Exception as error:
        # The header is a Python literal; what numpy raises for a bad one is not documented.
        raise InputError(
            f"the header of the array is damaged: {_first_line(error)}",
            "save the array again with numpy.save",
        ) from error
    if len(shape) > _DIMENSIONS or any(size < 0 for size in shape):
        raise InputError(f"the array has the impossible shape {shape}", "save it again")
    return Header(tuple(int(size) for size in shape), fortran, dtype, file.tell())


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
