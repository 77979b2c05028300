import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import layouts
from megdump_ci.layouts import LAYOUTS, NCHW, Layout

layout = st.sampled_from(list(LAYOUTS.values()))
shape = st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 3), st.integers(1, 3))


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """An array with another value at each place, none of them zero."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def shape_of(layout: Layout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a tensor of NCHW ``shape`` has in a layout."""
    sizes = dict(zip("NCHW", shape, strict=True))
    sizes["C"], sizes["c"] = -(-sizes["C"] // layout.block), layout.block
    return tuple(sizes[axis] for axis in layout.axes)


def blocked(layout: Layout, value: np.ndarray) -> np.ndarray:
    """An NCHW array in a layout, element by element, padded with zeros."""
    found = np.zeros(shape_of(layout, value.shape), value.dtype)
    for n, c, h, w in np.ndindex(*value.shape):
        place = {"N": n, "C": c // layout.block, "H": h, "W": w, "c": c % layout.block}
        found[tuple(place[axis] for axis in layout.axes)] = value[n, c, h, w]
    return found


@given(layout, shape)
def test_blocking_and_unblocking_is_identity(layout: Layout, shape: tuple[int, ...]) -> None:
    value = numbered(shape)
    found = blocked(layout, value)
    assert layout.holds(shape, found.shape)
    assert np.array_equal(layout.unblocked(found, shape[1]), value)


@given(layout, shape)
def test_the_layout_is_found_or_it_is_not_unique(layout: Layout, shape: tuple[int, ...]) -> None:
    found = layouts.fitting(shape, shape_of(layout, shape), layout)
    assert found is not None
    assert shape_of(found, shape) == shape_of(layout, shape)
    value = numbered(shape)
    if found == layout:
        restored = layouts.restored(blocked(layout, value), shape, found)
        assert restored is not None
        assert np.array_equal(restored, value)


@pytest.mark.parametrize(
    ("format", "name"),
    {
        "NCHW": "NCHW",
        "NCHW44": "NCHW4",
        "NCHW44_DOT": "NCHW4",
        "NCHW88_WINOGRAD": "NCHW8",
        "NCHW4_NCHW32": "NCHW32",
        "NCHW4_NCHW": "NCHW",
        "NCHW_NCHW4_IC_SMALL": "NCHW4",
        "NCHW_NHWCD4I": "NHWCD4",
        "NHWCD4_NCHW": "NCHW",
        "NCHW4_CHWN4": "CHWN4",
    }.items(),
)
def test_names_of_operators_formats(format: str, name: str) -> None:
    assert layouts.named(format) == LAYOUTS[name]


def test_what_is_no_layout() -> None:
    assert layouts.named("INTER_WEIGHT_DENSE") is None
    assert layouts.told("Elemwise", '{"mode": "ADD"}') is None
    assert layouts.told("MatrixMul", '{"format": "DEFAULT"}') is None
    assert layouts.told("Subtensor", '[{"axis": 0}]') is None
    assert layouts.told("Other", "no json") is None
    assert layouts.told("Reshape", "") is None
    assert layouts.told("RelayoutFormat", '{"mode": "NCHW_NHWCD4"}') == LAYOUTS["NHWCD4"]


def test_a_shape_that_leaves_a_choice_is_no_layout() -> None:
    # Batch and blocks of channels have the same size: (N, C/4, ...) or (C/4, ..., N, ...).
    shape = (2, 8, 2, 2)
    assert layouts.fitting(shape, (2, 2, 2, 2, 4), None) is None
    assert layouts.fitting(shape, (2, 2, 2, 2, 4), LAYOUTS["CHWN4"]) == LAYOUTS["CHWN4"]
    assert layouts.fitting(shape, (2, 3, 2, 2, 4), LAYOUTS["CHWN4"]) == LAYOUTS["NCHW4"]
    assert layouts.fitting(shape, shape, None) == NCHW
    assert layouts.fitting((2, 8), (2, 2, 4), None) is None
    assert layouts.restored(numbered((2, 2)), (2, 8), None) is None


def test_arrays_of_another_layout_are_refused() -> None:
    with pytest.raises(ValueError, match="axes"):
        LAYOUTS["NCHW4"].unblocked(numbered((1, 2, 3, 4)), 2)
    with pytest.raises(ValueError, match="channels"):
        LAYOUTS["NCHW4"].unblocked(numbered((1, 1, 3, 4, 4)), 5)
