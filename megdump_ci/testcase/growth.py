"""How large the result of a step of a transform can get, told before it is computed.

The bounds count elements; they are exact or too high. A step whose result would have more than
:data:`LIMIT` elements is refused, and a matrix product of more than :data:`PRODUCT_LIMIT`
multiplications, the one step whose time is not about that of its operands and its result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase.inputs import BYTE_LIMIT

LIMIT = BYTE_LIMIT // 8
"""Elements; numpy computes in float64 where it is not told otherwise."""

HELD_LIMIT = 4 * BYTE_LIMIT
"""Bytes of all the values that are kept for later steps, such as the items of a list."""

PRODUCT_LIMIT = 1 << 32
"""Multiplications; numpy has no BLAS for integers, and takes seconds for as many."""


def check_call(rule: str, arguments: Mapping[str, Any]) -> None:
    """:class:`InputError` if the call with these arguments by name would give too much."""
    if rule == "matmul":
        check_product(arguments["x1"] if "x1" in arguments else arguments["a"], arguments["x2"])
    else:
        check(_RULES[rule](arguments))


def check(count: int) -> None:
    """:class:`InputError` if ``count`` elements are too many."""
    if count > LIMIT:
        raise InputError(
            f"a step would give {count} elements, more than the {LIMIT} allowed",
            "transform less data at once",
        )


def check_held(size: int) -> None:
    """:class:`InputError` if values of ``size`` bytes are too much to keep at once."""
    if size > HELD_LIMIT:
        raise InputError(
            f"the steps keep {size >> 20} MiB at once, more than the {HELD_LIMIT >> 20} allowed",
            "transform less data at once",
        )


def check_product(left: Any, right: Any) -> None:
    """:class:`InputError` if ``np.dot`` or ``left @ right`` would give or take too much."""
    count = matmul(left, right)
    check(count)
    work = count * (np.shape(left)[-1] if np.ndim(left) else 1)
    if work > PRODUCT_LIMIT:
        raise InputError(
            f"a product would take {work} multiplications, more than the {PRODUCT_LIMIT} allowed",
            "multiply smaller matrices",
        )


def broadcast(*values: Any) -> int:
    """Elements of the broadcast of all ``values``."""
    return int(math.prod(np.broadcast_shapes(*(np.shape(value) for value in values))))


def matmul(left: Any, right: Any) -> int:
    """An upper bound of the elements of ``np.dot`` and of ``left @ right``."""
    a, b = np.shape(left), np.shape(right)
    if not a or not b:
        return broadcast(left, right)
    return math.prod(a[:-1]) * math.prod(b[:-2]) * (b[-1] if len(b) > 1 else 1)


def indexed(array: Any, index: Any) -> int:
    """An upper bound of the elements of ``array[index]``."""
    parts = index if isinstance(index, tuple) else (index,)
    picked = [part for part in parts if isinstance(part, np.ndarray)]
    if not picked:
        return int(array.size)
    axes = sum(part.ndim if part.dtype == bool else 1 for part in picked)
    shapes = [(part.size,) if part.dtype == bool else part.shape for part in picked]
    # Which axes are taken away depends on the whole index; the smallest give the upper bound.
    kept = sorted(array.shape)[axes:]
    return int(math.prod(_stretched(shapes)) * math.prod(kept))


def _stretched(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """At least as large as the broadcast of ``shapes``, some of which shrink when masks do."""
    ndim = max(len(shape) for shape in shapes)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def _elements(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(_elements(item) for item in value)
    return int(np.size(value))


def _same(arguments: Mapping[str, Any]) -> int:
    return sum(_elements(value) for value in arguments.values())


def _broadcast(arguments: Mapping[str, Any]) -> int:
    return broadcast(*(value for name, value in arguments.items() if name != "dtype"))


def _clip(arguments: Mapping[str, Any]) -> int:
    return broadcast(*arguments.values())


def _shape(arguments: Mapping[str, Any]) -> int:
    shape = arguments["new_shape"] if "new_shape" in arguments else arguments.get("shape", ())
    return math.prod(abs(int(size)) for size in np.atleast_1d(shape))


def _arange(arguments: Mapping[str, Any]) -> int:
    start, stop = float(arguments.get("start", 0)), arguments.get("stop")
    if stop is None:
        start, stop = 0.0, start
    count = (float(stop) - start) / float(arguments.get("step", 1))
    return math.ceil(max(count, 0)) if math.isfinite(count) else LIMIT + 1


def _linspace(arguments: Mapping[str, Any]) -> int:
    ends = broadcast(arguments.get("start", 0), arguments.get("stop", 0))
    return abs(int(arguments.get("num", 50))) * ends


def _eye(arguments: Mapping[str, Any]) -> int:
    rows, columns = arguments.get("N", 0), arguments.get("M")
    return abs(int(rows)) * abs(int(rows if columns is None else columns))


def _take(arguments: Mapping[str, Any]) -> int:
    count, axis = _elements(arguments.get("indices", ())), arguments.get("axis")
    if axis is None:
        return count
    kept = list(np.shape(arguments["a"]))
    del kept[axis]
    return count * math.prod(kept)


def _outer(arguments: Mapping[str, Any]) -> int:
    other = arguments["b"] if "b" in arguments else arguments.get("q", ())
    return _elements(arguments.get("a", ())) * _elements(other)


def _repeat(arguments: Mapping[str, Any]) -> int:
    repeats = np.asarray(arguments.get("repeats", 1))
    return _elements(arguments["a"]) * max(int(repeats.max(initial=0)), 0)


def _tile(arguments: Mapping[str, Any]) -> int:
    reps = np.atleast_1d(arguments.get("reps", 1))
    return _elements(arguments["a"]) * math.prod(abs(int(count)) for count in reps)


def _pad(arguments: Mapping[str, Any]) -> int:
    shape = np.shape(arguments["a"])
    widths = np.asarray(arguments.get("pad_width", 0))
    widest = max(int(widths.max(initial=0)), 0)
    if widths.shape == (len(shape), 2):
        return math.prod(
            size + abs(int(pair[0])) + abs(int(pair[1]))
            for size, pair in zip(shape, widths, strict=True)
        )
    return math.prod(size + 2 * widest for size in shape)


_RULES = {
    "same": _same,
    "broadcast": _broadcast,
    "clip": _clip,
    "shape": _shape,
    "arange": _arange,
    "repeat": _repeat,
    "tile": _tile,
    "pad": _pad,
    "linspace": _linspace,
    "eye": _eye,
    "take": _take,
    "outer": _outer,
}
