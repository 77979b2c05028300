"""Arrays handed from one engine process to another, through a file each testcase.

A line of JSON has dtype and shape of each; their bytes follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci.decoding import decode
from megdump_ci.spans import span

Array = npt.NDArray[np.generic]
_Size = Annotated[int, msgspec.Meta(ge=0)]
_Head = list[tuple[str, list[_Size]]]


@span("hand over arrays")
def write(path: Path, arrays: Iterable[Array]) -> None:
    """Write arrays, without their quantisation."""
    plain = [np.ascontiguousarray(array).view(np.dtype(array.dtype.str)) for array in arrays]
    head: _Head = [(array.dtype.str, list(array.shape)) for array in plain]
    with path.open("wb") as file:
        file.write(msgspec.json.encode(head) + b"\n")
        for array in plain:
            # By Python and not by numpy, whose error on a full disk has no reason in it.
            file.write(array.data)


@span("take arrays")
def read(path: Path, count: int, *, keep: bool = False) -> list[Array]:
    """Read ``count`` arrays back and, if it is not to be kept, remove the file."""
    with path.open("rb") as file:
        head = decode(file.readline(), _Head)
        if len(head) != count:
            raise ValueError(f"{path} holds {len(head)} arrays, not {count}")
        arrays = [_read(file, np.dtype(dtype), shape) for dtype, shape in head]
    if not keep:
        path.unlink()
    return arrays


def _read(file: BinaryIO, dtype: np.dtype[np.generic], shape: list[int]) -> Array:
    # It may have been written by a process that ran anybody's code: no pointers.
    if dtype.kind not in "biuf":
        raise ValueError(f"{dtype} is no dtype of a tensor")
    return np.fromfile(file, dtype, math.prod(shape)).reshape(shape)
