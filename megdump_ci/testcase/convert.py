"""From the values that were read to the input's dtype, without losing any of them."""

from __future__ import annotations

import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase.inputs import Array, InputType, check_size


def convert(array: Array, target: InputType) -> Array:
    """``array`` as a C-contiguous array of the input's storage dtype.

    Integers and booleans take integral values in range only; floats round as usual, but a finite
    value must not become infinite. Raises :class:`InputError` with the first value, or the
    smallest or largest, that does not fit, its index, and an ``--input-transform`` that helps.
    """
    check_size(array.shape, max(array.dtype.itemsize, target.dtype.itemsize))
    if target.integral:
        _check_integral(array, target)
        _check_range(array, target, target.integer_range())
    else:
        _check_floats(array, target)
    with np.errstate(all="ignore"):
        return np.asarray(array, target.dtype, order="C")


def _rounded(array: Array, target: InputType, data: str = "data") -> str:
    """A transform that brings ``array`` into an integral input."""
    low, high = target.integer_range()
    if array.dtype.kind == "f" and (array.dtype.type(low) != low or array.dtype.type(high) != high):
        # Such a bound would itself be rounded out of the range.
        data += ".astype(np.float64)"
    return f"np.clip(np.round({data}), {low}, {high})"


def _check_integral(array: Array, target: InputType) -> None:
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        transform = _rounded(array, target, "np.nan_to_num(data)")
        raise _refused(array, int(np.argmin(finite)), target, transform)
    whole = array == np.trunc(array)
    if not whole.all():
        raise _refused(array, int(np.argmin(whole)), target, _rounded(array, target))


def _check_range(array: Array, target: InputType, limits: tuple[int, int]) -> None:
    # Compared as Python numbers: exact for any dtype, with no copy of the array.
    low, high = limits
    smallest, largest = array.min().item(), array.max().item()
    if smallest >= low and largest <= high:
        return
    transform = _rounded(array, target)
    if array.dtype == np.uint8 and target.dtype == np.int8 and (low, high) == (-128, 127):
        transform = "data.astype(np.int16) - 128"
    where = array.argmin() if smallest < low else array.argmax()
    raise _refused(array, int(where), target, transform)


def _check_floats(array: Array, target: InputType) -> None:
    low, high = target.float_range()
    with np.errstate(all="ignore"):
        lost = np.isfinite(array) & ~np.isfinite(array.astype(target.dtype))
    if target.low is not None or target.high is not None:
        lost |= (array < low) | (array > high)
    if lost.any():
        clip = f"np.clip(data, {low:.8g}, {high:.8g})"
        raise _refused(array, int(np.argmax(lost)), target, clip)


def _refused(array: Array, flat_index: int, target: InputType, transform: str) -> InputError:
    index = tuple(int(i) for i in np.unravel_index(flat_index, array.shape))
    value = array[index].item()
    return InputError(
        f"the value {value!r} at index {index} does not fit {target.label}"
        + (" (0 or 1)" if target.dtype.kind == "b" else ""),
        f"change the values, for example with --input-transform '{transform}'",
    )
