"""Comparing what a graph computed with what it should have computed. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]

_BLOCK = 1 << 20
"""Elements compared at a time, so that a large output costs no copies of its size."""


@dataclass(frozen=True)
class NonFinite:
    """How many values of an array are NaN and how many infinite."""

    nan: int = 0
    inf: int = 0

    def __add__(self, other: NonFinite) -> NonFinite:
        return NonFinite(self.nan + other.nan, self.inf + other.inf)

    @classmethod
    def count(cls, values: Floats) -> NonFinite:
        """Count them in an array."""
        # One cheap pass in the usual case, that there are none.
        if np.isfinite(values).all():
            return cls()
        return cls(int(np.isnan(values).sum()), int(np.isinf(values).sum()))


@dataclass(frozen=True)
class Difference:
    """The difference of two arrays of one shape.

    ``error`` is that of MegEngine's AssertEqual operator (``src/opr/impl/utility.cpp``),
    ``max(|e-g| / max(min(|e|,|g|), 1))`` in float32, and NaN as soon as one element is NaN.
    ``index`` is where it is largest, or the first NaN; ``expected`` and ``computed`` are the
    values there.
    """

    error: float
    max_abs_error: float
    index: tuple[int, ...]
    expected: float
    computed: float
    expected_non_finite: NonFinite
    computed_non_finite: NonFinite

    def passes(self, maxerr: float) -> bool:
        """Whether AssertEqual with this ``maxerr`` passes; NaN never does."""
        return bool(np.float32(self.error) <= np.float32(maxerr))


def assert_equal_error(expected: Floats, computed: Floats) -> Floats:
    """The AssertEqual error of each element, in float32, step by step as the operator has it."""
    with np.errstate(all="ignore"):
        scale = np.minimum(np.abs(expected), np.abs(computed))
        error: Floats = np.abs(expected - computed) / np.maximum(scale, np.float32(1))
    return error


def difference(expected: Array, computed: Array) -> Difference:
    """Compare two arrays of the same, non-empty shape in float32.

    Raises :class:`ValueError` if the shapes differ or there is nothing to compare.
    """
    if expected.shape != computed.shape or expected.size == 0:
        raise ValueError(f"nothing to compare: shapes {expected.shape} and {computed.shape}")
    left, right = expected.reshape(-1), computed.reshape(-1)
    error, max_abs, at = 0.0, 0.0, 0
    strange = [NonFinite(), NonFinite()]
    for start in range(0, left.size, _BLOCK):
        e = left[start : start + _BLOCK].astype(np.float32)
        g = right[start : start + _BLOCK].astype(np.float32)
        strange = [sum_ + NonFinite.count(side) for sum_, side in zip(strange, (e, g), strict=True)]
        block = assert_equal_error(e, g)
        # argmax returns the first NaN if there is one.
        worst = int(np.argmax(block))
        if not np.isnan(error) and not block[worst] <= error:
            error, at = float(block[worst]), start + worst
        with np.errstate(all="ignore"):
            # np.maximum keeps a NaN once there is one.
            max_abs = float(np.maximum(max_abs, np.max(np.abs(e - g))))
    index = tuple(int(i) for i in np.unravel_index(at, expected.shape))
    return Difference(error, max_abs, index, float(left[at]), float(right[at]), *strange)
