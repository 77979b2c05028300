"""Comparing what a graph computed with what it should have computed. Pure numpy.

docs/metrics.md defines each number. Values are compared in float32, as MegEngine's AssertEqual
operator compares them; sums are kept in float64. Whole numbers on both sides are compared as such:
from 2**24 on, neighbours are the same float32.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float32] | npt.NDArray[np.float64]

WORST = 5
"""How many of the worst elements are named."""

HISTOGRAM_EDGES = (*(10.0**power for power in range(-9, 2)),)
"""Borders of the error histogram. Its first bin counts elements that are equal, its last one those
whose error is no finite number; the others lie below, between and above these."""

RELATIVE_FLOOR = 1e-3
"""Share of the largest expected magnitude, below which an element's relative error is taken
against that floor: next to zero a relative error says nothing."""

_BLOCK = 1 << 20
"""Elements compared at a time, so that a large output costs no copies of its size."""
# The smallest float32 above 0 comes first. Taken from a float32, it is 0 in a process in which
# MegEngine has made the processor treat denormal numbers so.
_EDGES = np.array([2.0**-149, *HISTOGRAM_EDGES, np.inf])
_SCORES = re.compile(r"(?i)logit|prob|softmax|score|class|(?<![a-z])(fc|cls)(?![a-z])")
_SUMS_TO_ONE = 1e-2


@dataclass(frozen=True)
class NonFinite:
    """How many values of an array are NaN and how many infinite."""

    nan: int = 0
    inf: int = 0

    def __add__(self, other: NonFinite) -> NonFinite:
        return NonFinite(self.nan + other.nan, self.inf + other.inf)

    @classmethod
    def count(cls, values: Numbers) -> NonFinite:
        """Count them in an array."""
        # One cheap pass in the usual case, that there are none.
        if np.isfinite(values).all():
            return cls()
        return cls(int(np.isnan(values).sum()), int(np.isinf(values).sum()))


@dataclass(frozen=True)
class Element:
    """One element of two arrays, with its AssertEqual error."""

    index: tuple[int, ...]
    expected: float
    computed: float
    error: float


@dataclass(frozen=True)
class TopK:
    """Agreement of class scores over the rows of an output."""

    rows: int
    top1: int
    """Rows whose best class is the same."""
    top5: float | None
    """Mean share of the five best classes that are among the five best of the other side; ``None``
    where there are no more than five classes."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two arrays of one shape.

    ``error`` is that of MegEngine's AssertEqual operator (``src/opr/impl/utility.cpp``),
    ``max(|e-g| / max(min(|e|,|g|), 1))`` in float32, and NaN as soon as one element is NaN.
    ``worst`` holds the elements where it is largest, or not a number, the worst first. All other
    metrics are over the elements that are finite on both sides.
    """

    size: int
    error: float
    max_abs_error: float
    index: tuple[int, ...]
    expected: float
    computed: float
    expected_non_finite: NonFinite
    computed_non_finite: NonFinite
    non_finite_matched: int
    """Elements that are the same NaN or infinity on both sides."""
    worst: tuple[Element, ...]
    beyond: int
    """Elements whose error is not within ``maxerr``."""
    differing: int
    """Elements that are not equal in value; NaN differs from all."""
    max_abs_index: tuple[int, ...]
    mean_abs_error: float
    percentiles: tuple[float, float, float]
    """The 50th, 90th and 99th of the absolute errors."""
    max_rel_error: float
    """``max(|e-g| / max(|e|, floor))``, with the floor ``RELATIVE_FLOOR * max(|e|)``; infinite if
    that is zero."""
    cosine: float
    """Of the angle between the arrays as vectors; 1 if both are zero, 0 if one is."""
    sqnr: float
    """Signal to quantisation noise, ``10 log10(sum(e**2) / sum((e-g)**2))``, in dB; infinite if
    they are equal."""
    histogram: tuple[int, ...]
    """How many elements have an error in each bin of :data:`HISTOGRAM_EDGES`."""

    def passes(self, maxerr: float) -> bool:
        """Whether AssertEqual with this ``maxerr`` passes; NaN never does."""
        return bool(np.float32(self.error) <= np.float32(maxerr))


def assert_equal_error(expected: Numbers, computed: Numbers) -> Floats:
    """The AssertEqual error of each element, in float32, step by step as the operator has it."""
    with np.errstate(all="ignore"):
        scale = np.minimum(np.abs(expected), np.abs(computed))
        error = np.abs(expected - computed) / np.maximum(scale, np.float32(1))
    found: Floats = error.astype(np.float32, copy=False)
    return found


def difference(expected: Array, computed: Array, maxerr: float) -> Difference:
    """Compare two arrays of the same, non-empty shape in float32.

    Takes one copy of the size of an array, for the percentiles.

    Raises :class:`ValueError` if the shapes differ or there is nothing to compare.
    """
    if expected.shape != computed.shape or expected.size == 0:
        raise ValueError(f"nothing to compare: shapes {expected.shape} and {computed.shape}")
    sums = _Sums(expected.reshape(-1), computed.reshape(-1), np.float32(maxerr))
    for start in range(0, expected.size, _BLOCK):
        sums.add(start)
    worst = tuple(sums.element(at, error, expected.shape) for at, error in sums.worst)
    at = sums.at
    return Difference(
        size=expected.size,
        error=sums.error,
        max_abs_error=sums.max_abs,
        index=_place(at, expected.shape),
        expected=float(sums.left[at]),
        computed=float(sums.right[at]),
        expected_non_finite=sums.strange[0],
        computed_non_finite=sums.strange[1],
        non_finite_matched=sums.matched,
        worst=worst,
        beyond=sums.beyond,
        differing=sums.differing,
        max_abs_index=_place(sums.max_abs_at, expected.shape),
        mean_abs_error=sums.total / sums.finite if sums.finite else 0.0,
        percentiles=sums.percentiles(),
        max_rel_error=sums.relative(),
        cosine=sums.cosine(),
        sqnr=sums.sqnr(),
        histogram=tuple(int(count) for count in sums.histogram),
    )


def _place(at: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(at, shape))


@dataclass
class _Sums:
    """What is known of two flat arrays after some of their blocks."""

    left: Array
    right: Array
    maxerr: np.float32
    error: float = 0.0
    at: int = 0
    max_abs: float = 0.0
    max_abs_at: int = 0
    strange: tuple[NonFinite, NonFinite] = (NonFinite(), NonFinite())
    matched: int = 0
    beyond: int = 0
    differing: int = 0
    finite: int = 0
    total: float = 0.0
    signal: float = 0.0
    other: float = 0.0
    product: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    worst: list[tuple[int, float]] = field(default_factory=list)
    histogram: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(_EDGES) + 1, np.int64)
    )
    # Absolute errors of the finite elements; made when the first element differs.
    absolute: Floats | None = None

    def block(self, start: int) -> tuple[Numbers, Numbers]:
        """The next elements of both arrays in float32, or in float64 if both are whole numbers."""
        left, right = self.left[start : start + _BLOCK], self.right[start : start + _BLOCK]
        if left.dtype.kind in "iu" and right.dtype.kind in "iu":
            return left.astype(np.float64), right.astype(np.float64)
        return left.astype(np.float32), right.astype(np.float32)

    def add(self, start: int) -> None:
        """Take in the block at ``start``."""
        e, g = self.block(start)
        differing = int(np.count_nonzero(e != g))
        counts = NonFinite.count(e), NonFinite.count(g)
        if not differing and counts[0] == NonFinite():
            self._add_equal(e)
            return
        self.differing += differing
        self.strange = self.strange[0] + counts[0], self.strange[1] + counts[1]
        self._add_errors(start, e, g)
        if any(count != NonFinite() for count in counts):
            same = (e == g) | (np.isnan(e) & np.isnan(g))
            self.matched += int(np.count_nonzero(same & ~np.isfinite(e)))
            both = np.isfinite(e) & np.isfinite(g)
            e, g = e[both], g[both]
        if e.size:
            self._add_sums(e, g)

    def _add_equal(self, e: Numbers) -> None:
        """Take in a block without a difference, which is the usual case."""
        wide = e.astype(np.float64)
        signal = float(wide @ wide)
        self.signal += signal
        self.other += signal
        self.product += signal
        self.largest = max(self.largest, float(np.abs(e).max()))
        self.histogram[0] += e.size
        # Their absolute errors are the zeros that the array is made of.
        self.finite += e.size

    def _add_errors(self, start: int, e: Numbers, g: Numbers) -> None:
        error = assert_equal_error(e, g)
        # argmax returns the first NaN if there is one.
        worst = int(np.argmax(error))
        if not math.isnan(self.error) and not error[worst] <= self.error:
            self.error, self.at = float(error[worst]), start + worst
        with np.errstate(all="ignore"):
            absolute = np.abs(e - g)
        largest = int(np.argmax(absolute))
        if not math.isnan(self.max_abs) and not absolute[largest] <= self.max_abs:
            self.max_abs, self.max_abs_at = float(absolute[largest]), start + largest
        self.beyond += int(error.size - np.count_nonzero(error <= self.maxerr))
        self.histogram += np.bincount(np.digitize(error, _EDGES), minlength=len(_EDGES) + 1)
        self._add_worst(start, error)

    def _add_worst(self, start: int, error: Floats) -> None:
        key = np.where(np.isnan(error), np.float32(np.inf), error)
        least = min((_key(value) for _, value in self.worst), default=0.0)
        floor = least if len(self.worst) == WORST else 0.0
        if not key.max() > floor:
            return
        count = min(WORST, key.size)
        border = np.partition(key, -count)[-count]
        found = [*np.flatnonzero(key > border), *np.flatnonzero(key == border)[:count]]
        new = [(start + int(i), float(error[i])) for i in found if key[i] > 0]
        # sorted() is stable, so the first of equals stays the first.
        self.worst = sorted(self.worst + new, key=lambda item: -_key(item[1]))[:WORST]

    def _add_sums(self, e: Numbers, g: Numbers) -> None:
        with np.errstate(over="ignore"):
            gap = np.abs(e - g)
        wide, other = e.astype(np.float64), g.astype(np.float64)
        noise = wide - other
        self.signal += float(wide @ wide)
        self.other += float(other @ other)
        self.product += float(wide @ other)
        self.noise += float(noise @ noise)
        self.total += float(np.abs(noise).sum())
        self.largest = max(self.largest, float(np.abs(e).max()))
        if self.absolute is None:
            self.absolute = np.zeros(self.left.size, np.float32)
        self.absolute[self.finite : self.finite + gap.size] = gap
        self.finite += gap.size

    def percentiles(self) -> tuple[float, float, float]:
        """The 50th, 90th and 99th of the absolute errors, each one of them (no mean of two)."""
        if self.absolute is None or self.noise == 0:
            return 0.0, 0.0, 0.0
        found = self.absolute[: self.finite]
        ranks = [math.ceil(share * self.finite) - 1 for share in (0.5, 0.9, 0.99)]
        found.partition(ranks)
        first, second, third = (float(found[rank]) for rank in ranks)
        return first, second, third

    def relative(self) -> float:
        """The largest relative error with its floor; a second pass, once the floor is known."""
        if self.noise == 0:
            return 0.0
        floor = np.float32(RELATIVE_FLOOR * self.largest)
        if not floor:
            return math.inf
        found = 0.0
        for start in range(0, self.left.size, _BLOCK):
            e, g = self.block(start)
            with np.errstate(all="ignore"):
                relative = np.abs(e - g) / np.maximum(np.abs(e), floor)
            finite = relative[np.isfinite(e) & np.isfinite(g)]
            found = max(found, float(finite.max(initial=0)))
        return found

    def cosine(self) -> float:
        """The cosine of the angle between the arrays."""
        if self.noise == 0:
            return 1.0
        scale = math.sqrt(self.signal) * math.sqrt(self.other)
        # Rounding must not make more than 1 of it.
        return max(-1.0, min(1.0, self.product / scale)) if scale else 0.0

    def sqnr(self) -> float:
        """Signal to noise in dB."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    def element(self, at: int, error: float, shape: tuple[int, ...]) -> Element:
        """One of the worst, with its values."""
        return Element(_place(at, shape), float(self.left[at]), float(self.right[at]), error)


def _key(error: float) -> float:
    return math.inf if math.isnan(error) else error


def looks_like_scores(name: str, expected: Array) -> bool:
    """Whether an output looks like class scores: (N, C), and named so or rows that sum to 1."""
    rows = _rows(expected)
    if rows is None or rows.dtype.kind != "f":
        return False
    if _SCORES.search(name):
        return True
    values = rows.astype(np.float64)
    return bool(np.all(values >= 0) and np.all(np.abs(values.sum(axis=1) - 1) < _SUMS_TO_ONE))


def top_k(expected: Array, computed: Array) -> TopK | None:
    """Agreement of class scores of shape (N, C) or (N, C, 1, ...), three classes or more.

    A class of ``expected`` counts if no more than k - 1 classes have a higher score in
    ``computed``, so that equal scores are no disagreement; but in a row where all of them are equal
    on that side alone, none counts. ``None`` for other shapes.
    """
    left, right = _rows(expected), _rows(computed)
    if left is None or right is None or left.shape != right.shape:
        return None
    if np.array_equal(left, right) and np.isfinite(left).all():
        # The usual case, for which nothing need be sorted.
        return TopK(len(left), len(left), 1.0 if left.shape[1] > 5 else None)
    agreeing = _overlap(left, right, 1)
    top5 = float(_overlap(left, right, 5).mean()) if left.shape[1] > 5 else None
    return TopK(len(left), int(np.count_nonzero(agreeing == 1)), top5)


def _rows(values: Array) -> Array | None:
    """``values`` as (N, C), if that is their shape but for ones behind it."""
    if values.ndim < 2 or any(size != 1 for size in values.shape[2:]):
        return None
    return values.reshape(values.shape[:2]) if values.shape[1] >= 3 and len(values) else None


def _overlap(left: Array, right: Array, k: int) -> npt.NDArray[np.float64]:
    """Share of the ``k`` best of each row of ``left`` that are among those of ``right``."""
    e = np.nan_to_num(left.astype(np.float32), nan=-np.inf)
    # A class that is no number on this side is not among the best.
    g = np.where(np.isnan(right.astype(np.float32)), -np.inf, right.astype(np.float32))
    # Of equal ones, those that the other side has as the best.
    best = np.lexsort((-g, -e), axis=1)[:, :k]
    border = np.partition(g, -k, axis=1)[:, -k][:, None]
    scores = np.take_along_axis(g, best, axis=1)
    # Where all classes are tied, nothing is left of the scores.
    lost = _is_level(g) & ~_is_level(e)
    found: npt.NDArray[np.float64] = (
        (scores >= border) & (scores > -np.inf) & ~lost[:, None]
    ).mean(axis=1)
    return found


def _is_level(scores: Floats) -> npt.NDArray[np.bool_]:
    """Which rows have the same value everywhere."""
    found: npt.NDArray[np.bool_] = scores.min(axis=1) == scores.max(axis=1)
    return found
