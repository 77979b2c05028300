"""Whether the result of an operator differs by more than rounding explains. Pure numpy.

An operator inside a graph cannot be held to a fixed error: its values may be large or tiny, and
where they nearly cancel each other a rounding of the inputs is much of the result. So rounding is
tried out: the operator is run once more on inputs that are each a rounding off, and what that
changes is the measure. docs/locating.md has the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Wide = npt.NDArray[np.float64]

UNIT = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""The largest relative error of one rounding, by dtype."""

EXPLAINED = 64
"""How many times the change by one rounding of the inputs still is rounding: results are sums."""

FLIPPED = 0.01
"""Share of whole numbers or truth values that may differ where operators were fused: next to a
border a rounding flips them."""

LIMITS = {"float32": 1e-5, "float16": 3e-2, "bfloat16": 0.2}
"""Relative error at which a result fails, by the coarsest dtype that it was computed with: rounding
adds up along a graph."""

_BLOCK = 1 << 20
"""Elements looked at at a time, so that a large tensor costs no copies of its size."""


def coarsest(dtypes: Iterator[str] | list[str]) -> str:
    """The float dtype that rounds most; ``float32`` where there is none."""
    return max((d for d in dtypes if d in UNIT), key=UNIT.__getitem__, default="float32")


def relative_error(expected: Array, computed: Array) -> float:
    """``sqrt(sum((e-g)**2) / sum(e**2))`` of two arrays of one shape: ``10**(-SQNR/20)``.

    Infinite where one side alone is not finite, or where all expected values are 0 and the
    computed ones are not. Elements that are not finite on both sides do not count.
    """
    signal = noise = 0.0
    for e, g in _blocks(expected, computed):
        sound = np.isfinite(e)
        if not np.array_equal(sound, np.isfinite(g)):
            return math.inf
        left = e[sound]
        gap = left - g[sound]
        signal += float(left @ left)
        noise += float(gap @ gap)
    if noise == 0:
        return 0.0
    return math.sqrt(noise / signal) if signal else math.inf


def rounded_off(value: Array, unit: float, seed: int = 0) -> Array:
    """``value`` with each element off by the relative error ``unit``, up or down at random.

    What is not a float stays as it is.
    """
    if value.dtype.kind != "f":
        return value
    random = np.random.default_rng(seed)
    found = np.empty(value.shape, value.dtype)
    flat, place = found.reshape(-1), 0
    for (block,) in _blocks(value):
        signs = random.integers(0, 2, block.shape, np.int8) * 2.0 - 1
        with np.errstate(all="ignore"):
            flat[place : place + block.size] = block * (1 + signs * unit)
        place += block.size
    return found


@dataclass(frozen=True)
class Own:
    """The error that an operator makes itself, and how large it may be for rounding.

    ``largest`` and ``allowed`` are absolute errors, or shares of the elements where these are
    whole numbers or truth values. ``relative`` is :func:`relative_error`.
    """

    relative: float
    largest: float
    allowed: float

    @property
    def wrong(self) -> bool:
        """Whether the error is more than rounding explains."""
        return not self.largest <= self.allowed

    @property
    def times(self) -> float:
        """The error in what rounding explains: wrong above 1."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.allowed if self.allowed else math.inf


def own_error(
    expected: Array, computed: Array, off: Array, *, unit: float, step: float = 0.0, fused: bool
) -> Own:
    """Judge ``computed`` by what the model's operator makes of the same inputs: ``expected``.

    ``off`` is what it makes of them :func:`rounded_off` by ``unit``. ``step`` is the distance of
    the numbers that a quantised result can be. Where ``expected`` is not finite nothing is judged.
    """
    relative = _finite_error(expected, computed)
    if expected.dtype.kind != "f":
        flipped, by_rounding = _share(expected, computed), _share(expected, off)
        spare = FLIPPED if fused and flipped <= FLIPPED else 0.0
        return Own(relative, flipped, max(spare, EXPLAINED * by_rounding))
    largest = noise = peak = 0.0
    for e, g, o in _blocks(expected, computed, off):
        sound = np.isfinite(e)
        if not sound.any():
            continue
        largest = max(largest, _gap(e[sound], g[sound], math.inf))
        noise = max(noise, _gap(e[sound], o[sound], 0.0))
        peak = max(peak, float(np.abs(e[sound]).max()))
    # A result on a grid may end up on the next point of it.
    return Own(relative, largest, EXPLAINED * max(noise, unit * peak) + 1.001 * step)


def _gap(expected: Wide, computed: Wide, strange: float) -> float:
    """The largest difference from finite values; that of one that is none is ``strange``."""
    sound = np.isfinite(computed)
    gap = np.abs(expected - np.where(sound, computed, expected))
    return float(np.where(sound, gap, strange).max())


def _finite_error(expected: Array, computed: Array) -> float:
    """The relative error where ``expected`` is finite."""
    sound = np.isfinite(expected)
    if sound.all():
        return relative_error(expected, computed)
    return relative_error(expected[sound], computed[sound])


def _share(expected: Array, computed: Array) -> float:
    return float(np.mean(expected != computed)) if expected.size else 0.0


def _blocks(*arrays: Array) -> Iterator[tuple[Wide, ...]]:
    """The elements of arrays of one shape, some at a time, in float64."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, _BLOCK):
        yield tuple(array[start : start + _BLOCK].astype(np.float64) for array in flat)


SAME = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}
"""Relative difference that two constants may have which were computed in the same way, by dtype."""


def altered(expected: Array, found: Array, dtype: str) -> tuple[int, int]:
    """How many elements of a constant differ by more than rounding, and the place of the worst.

    Both have one shape; ``dtype`` is theirs in the graph. The place is among all elements.
    """
    if expected.dtype.kind != "f":
        differing = np.flatnonzero(expected.reshape(-1) != found.reshape(-1))
        return len(differing), int(differing[0]) if len(differing) else 0
    e, f = (array.reshape(-1).astype(np.float64) for array in (expected, found))
    peak = np.abs(e[np.isfinite(e)]).max(initial=0.0)
    with np.errstate(all="ignore"):
        gap = np.where((e == f) | (np.isnan(e) & np.isnan(f)), 0.0, np.abs(e - f))
        spare = SAME.get(dtype, SAME["float32"]) * np.maximum(np.abs(e), peak / 10)
        beyond = (gap != 0) & ~(gap <= spare)
    worst = int(np.argmax(np.where(beyond, np.nan_to_num(gap, nan=np.inf), -1.0)))
    return int(beyond.sum()), worst
