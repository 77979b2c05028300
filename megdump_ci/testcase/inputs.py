"""What the arrays are made for: the model's inputs and the settings of the run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdump_ci.errors import InputError

Array = NDArray[Any]

ELEMENT_LIMIT = 2**31
"""Elements that an array may have."""
BYTE_LIMIT = 4 << 30
"""Bytes that an array may have (4 GiB)."""


@dataclass(frozen=True)
class InputType:
    """One input of the model."""

    name: str
    shape: tuple[int, ...] | None
    """The shape that the model declares, None if it has none."""
    dtype: np.dtype[Any]
    """What its values are stored as: float32 float16 int8 uint8 int16 uint16 int32 bool."""
    label: str
    """The dtype as the user knows it, such as ``float32`` or ``QuantizedS8(scale=0.5)``."""
    low: float | None = None
    """The least value, where it is above that of ``dtype`` (4-bit: -8)."""
    high: float | None = None
    """The largest value, where it is below that of ``dtype`` (4-bit: 7)."""

    @property
    def integral(self) -> bool:
        """Whether it holds integers or booleans."""
        return self.dtype.kind in "iub"

    def integer_range(self) -> tuple[int, int]:
        """The least and the largest integer that it takes; for integral inputs only."""
        if self.dtype.kind == "b":
            low, high = 0, 1
        else:
            info = np.iinfo(self.dtype)
            low, high = int(info.min), int(info.max)
        if self.low is not None:
            low = max(low, math.ceil(self.low))
        if self.high is not None:
            high = min(high, math.floor(self.high))
        return low, high

    def float_range(self) -> tuple[float, float]:
        """The least and the largest finite value that it takes; for float inputs only."""
        info = np.finfo(self.dtype)
        low = float(info.min) if self.low is None else self.low
        high = float(info.max) if self.high is None else self.high
        return low, high


def check_size(shape: tuple[int, ...], itemsize: int) -> None:
    """:class:`InputError` if an array of ``shape`` would be empty or above the limits."""
    count = math.prod(shape)
    size = count * itemsize
    if count <= 0:
        raise InputError(f"shape {shape} has no element", "every dimension has to be above 0")
    if count > ELEMENT_LIMIT:
        excess = f"has {count} elements, more than the {ELEMENT_LIMIT} allowed"
    elif size > BYTE_LIMIT:
        excess = f"takes {size / 2**30:.1f} GiB, more than the {BYTE_LIMIT >> 30} GiB allowed"
    else:
        return
    raise InputError(f"shape {shape} {excess}", "give less data, or split it into testcases")


def check_ndim(shape: tuple[int, ...], model: tuple[int, ...] | None, hint: str) -> None:
    """:class:`InputError` with ``hint`` if the model's shape has another number of dimensions."""
    if model is not None and len(shape) != len(model):
        raise InputError(
            f"shape {shape} does not fit the model's input {model}: the number of dimensions"
            " differs",
            hint,
        )
