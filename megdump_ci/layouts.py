"""The layouts that optimising gives to tensors of images, and the way back from them.

In a blocked layout channels stand in blocks, the place inside a block being the last axis; a last
block that is not full is padded. Read in ``dnn/scripts/opr_param_defs.py`` (``Format`` of
ConvolutionV0) and ``src/gopt/impl/tensor_reformat.cpp`` of MegEngine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Shape = tuple[int, ...]

_MOST_PADDING = 64
"""Channels that padding adds at most, exclusive: the largest block (``padding_channel.cpp``)."""


@dataclass(frozen=True)
class Layout:
    """An order of axes: those of NCHW, and ``c`` for the place inside a block of channels."""

    name: str
    axes: str
    block: int = 1

    def holds(self, shape: Shape, found: Shape) -> bool:
        """Whether ``found`` is that of a tensor of NCHW ``shape``, padding channels allowed."""
        if len(found) != len(self.axes) or len(shape) != 4:
            return False
        sizes = dict(zip(self.axes, found, strict=True))
        padding = sizes["C"] * sizes.get("c", 1) - shape[1]
        same = (sizes["N"], *(sizes[axis] for axis in "HW")) == (shape[0], *shape[2:])
        return same and sizes.get("c", 1) == self.block and 0 <= padding < _MOST_PADDING

    def unblocked(self, value: Array, channels: int) -> Array:
        """The NCHW array of ``channels`` that ``value`` is in this layout; the padding is left out.

        Raises :class:`ValueError` if ``value`` has another number of axes, or too few channels.
        """
        if value.ndim != len(self.axes):
            raise ValueError(f"{self.name} has {len(self.axes)} axes, the array {value.ndim}")
        axes = [self.axes.index(axis) for axis in "NCcHW" if axis in self.axes]
        parts = value.transpose(axes)
        count, (height, width) = parts.shape[0], parts.shape[-2:]
        whole = parts.reshape(count, -1, height, width)
        if whole.shape[1] < channels:
            raise ValueError(f"{whole.shape[1]} channels, {channels} wanted")
        return whole[:, :channels]


NCHW = Layout("NCHW", "NCHW")
LAYOUTS = {
    layout.name: layout
    for layout in (
        NCHW,
        Layout("NHWC", "NHWC"),
        Layout("NCHW4", "NCHWc", 4),
        Layout("NCHW8", "NCHWc", 8),
        Layout("NCHW32", "NCHWc", 32),
        Layout("NCHW64", "NCHWc", 64),
        Layout("NHWCD4", "NHCWc", 4),
        Layout("CHWN4", "CHWNc", 4),
    )
}

IMAGE = LAYOUTS["NHWCD4"]
"""The layout that MegEngine keeps in the memory of images."""

# A repeated digit is the block of both input and output channels of the weights; dot product and
# Winograd are ways to compute; an I stands for memory of images.
_SAME = {"NCHW44": "NCHW4", "NCHW88": "NCHW8", "NHWCD4I": "NHWCD4"}
_WAYS = re.compile(r"_(DOT|WINOGRAD|IC_SMALL)$")


def named(format: str) -> Layout | None:
    """The layout of what an operator with this ``format`` (or a relayout with this mode) makes.

    ``FROM_TO`` makes ``TO``. ``None`` if it is no layout of images.
    """
    last = _WAYS.sub("", format).rpartition("_")[2]
    return LAYOUTS.get(_SAME.get(last, last))


def told(kind: str, params: str) -> Layout | None:
    """The layout that an operator of type ``kind`` says it makes, if it says so."""
    try:
        fields = json.loads(params or "{}")
    except json.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    format = fields.get("mode" if kind == "RelayoutFormat" else "format")
    return named(format) if isinstance(format, str) else None


def fitting(shape: Shape, found: Shape, told: Layout | None) -> Layout | None:
    """The layout in which a tensor of ``shape`` has the shape ``found``.

    What the operator says is believed if the shape fits; otherwise the shape has to leave no
    choice.
    """
    if told is not None and told.holds(shape, found):
        return told
    if NCHW.holds(shape, found):
        return NCHW
    choice = [layout for layout in LAYOUTS.values() if layout.holds(shape, found)]
    return choice[0] if len(choice) == 1 else None


def restored(value: Array, shape: Sequence[int], layout: Layout | None) -> Array | None:
    """``value`` in the plain ``shape``; ``None`` if it cannot be brought there.

    It is in ``layout``, or in plain NCHW already.
    """
    wanted = tuple(shape)
    for candidate in (layout, NCHW if layout is not None else None):
        if candidate is not None and candidate.holds(wanted, value.shape):
            return candidate.unblocked(value, wanted[1])
    return value if value.shape == wanted else None
