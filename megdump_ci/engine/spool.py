"""Arrays handed from the packing to the verifying worker, through a file each testcase."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megdump_ci.spans import span

Array = npt.NDArray[np.generic]


@span("hand over arrays")
def write(path: Path, arrays: Iterable[Array]) -> None:
    """Write arrays behind each other, each in ``.npy`` form without its quantisation."""
    with path.open("wb") as file:
        for array in arrays:
            plain = np.ascontiguousarray(array).view(np.dtype(array.dtype.str))
            header = np.lib.format.header_data_from_array_1_0(plain)
            np.lib.format.write_array_header_1_0(file, header)
            # By Python and not by numpy, whose error on a full disk has no reason in it.
            file.write(plain.data)


@span("take arrays")
def read(path: Path, count: int, *, keep: bool = False) -> list[Array]:
    """Read ``count`` arrays back and, if it is not to be kept, remove the file."""
    with path.open("rb") as file:
        arrays = [np.lib.format.read_array(file, allow_pickle=False) for _ in range(count)]
    if not keep:
        path.unlink()
    return arrays
