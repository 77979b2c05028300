"""What the load is made of: lists, arrays and files of any size, the same on every machine."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

_FORMS = ("missing{}.npy", "#rand(1,0.{})", "nothing:#rand(0,{})")
"""Testcases that are wrong: a file that is not there, a range, an input."""


def array(path: Path, shape: Sequence[int], value: float | None = None) -> Path:
    """A float32 ``.npy`` file: all ``value``, or zeros that take no room on the disk."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    # Magic, version and length take 10 bytes; the values begin at a multiple of 64.
    header += " " * (-(len(header) + 11) % 64) + "\n"
    count = math.prod(shape)
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        if value is None:
            file.truncate(file.tell() + 4 * count)
        else:
            file.write(struct.pack("<f", value) * count)
    return path


def mixed(folder: Path, shape: Sequence[int], count: int) -> Path:
    """A list of testcases, half of them random and half arrays that differ."""
    lines = []
    for index in range(count):
        lines.append("#rand(0,1)" if index % 2 else f"{index}.npy")
        if index % 2 == 0:
            array(folder / lines[-1], shape, (index + 1) / count)
    return _written(folder / "mixed.txt", lines)


def wrong(folder: Path, count: int, forms: Sequence[str] = _FORMS) -> Path:
    """A list in which every line is wrong."""
    return _written(folder / "wrong.txt", (forms[i % len(forms)].format(i) for i in range(count)))


def missing(folder: Path, count: int) -> Path:
    """A list of files that are not there, which shows only once the model is read."""
    return wrong(folder, count, _FORMS[:1])


def oversized(path: Path, size: int) -> Path:
    """A file of ``size`` bytes that begins as a model in FBS_V2 does, and takes no room."""
    with path.open("wb") as file:
        file.write(struct.pack("<II4s", size - 4, 8, b"mgv2"))
        file.truncate(size)
    return path


def _written(path: Path, lines: Sequence[str] | Iterator[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
