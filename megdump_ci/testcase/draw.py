"""``#rand(...)``: seeded random arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase.grammar import RandomSpec
from megdump_ci.testcase.inputs import Array, InputType, check_ndim, check_size

_CHUNK = 1 << 13


def check(value: RandomSpec, target: InputType) -> int:
    """Bytes of the array that :func:`draw` makes; :class:`InputError` if it cannot make it."""
    shape = _shape(value, target)
    check_size(shape, target.dtype.itemsize)
    if target.integral:
        _integers(value, target)
    else:
        _check_floats(value, target)
    return math.prod(shape) * target.dtype.itemsize


def draw(value: RandomSpec, target: InputType, seed: int, spawn_key: tuple[int, int]) -> Array:
    """Random values that depend on nothing but the arguments.

    Floats are uniform in ``[low, high)``, computed as float64 and rounded to the input's dtype.
    Integers and booleans are uniform in ``ceil(low)..floor(high)``, both ends included. The
    result has the input's storage dtype and the shape of the spec, filled from the model's.
    ``--repeat``, ``--resize-input`` and ``--input-transform`` do not touch it.
    """
    check(value, target)
    sequence = np.random.SeedSequence(seed, spawn_key=spawn_key)
    generator = np.random.Generator(np.random.PCG64(sequence))
    array: Array = np.empty(_shape(value, target), target.dtype)
    flat = array.reshape(-1)
    # In pieces that stay in the cache: float64 and int64 values take up to eight times the memory.
    for start in range(0, flat.size, _CHUNK):
        piece = flat[start : start + _CHUNK]
        piece[:] = _values(generator, value, target, piece.size)
    return array


def _values(
    generator: np.random.Generator, value: RandomSpec, target: InputType, count: int
) -> np.ndarray[Any, Any]:
    if target.integral:
        low, high = _integers(value, target)
        return generator.integers(low, high, count, dtype=np.int64, endpoint=True)
    values = generator.random(count)
    # In place: a second array of this size costs as much as the numbers.
    values *= value.high - value.low
    values += value.low
    return values


def _shape(value: RandomSpec, target: InputType) -> tuple[int, ...]:
    model = target.shape
    if value.dims is not None and not value.rest:
        hint = "give as many dimensions as the model has, or end the shape with '...'"
        check_ndim(value.dims, model, hint)
        return value.dims
    if model is None:
        raise InputError(
            "the model declares no shape for this input, so #rand needs all dimensions",
            "write them out, for example #rand(0,1,1,3,224,224)",
        )
    dims = value.dims or ()
    if len(dims) > len(model):
        raise InputError(
            f"shape ({', '.join(map(str, dims))}, ...) does not fit the model's input {model}:"
            " it has more dimensions",
            "leave dimensions out",
        )
    return (*dims, *model[len(dims) :])


def _integers(value: RandomSpec, target: InputType) -> tuple[int, int]:
    low, high = math.ceil(value.low), math.floor(value.high)
    least, largest = target.integer_range()
    if low < least or high > largest:
        raise InputError(
            f"{value.low:g} to {value.high:g} goes beyond what {target.label} holds:"
            f" {least} to {largest}",
            f"give a range inside it, at most #rand({least},{largest})",
        )
    if low > high:
        raise InputError(
            f"there is no integer between {value.low:g} and {value.high:g} for {target.label}",
            f"give a range with integers in it, such as #rand({least},{largest})",
        )
    return low, high


def _check_floats(value: RandomSpec, target: InputType) -> None:
    least, largest = target.float_range()
    if value.low < least or value.high > largest:
        raise InputError(
            f"{value.low:g} to {value.high:g} goes beyond what {target.label} holds:"
            f" {least:g} to {largest:g}",
            "give a range inside it",
        )
