"""AssertEqual's formula, and where a difference is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci import compare

FLOATS = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6, width=32)
)


def plainly(expected: np.ndarray, computed: np.ndarray) -> float:
    """The formula one element at a time, as MegEngine's operator documents it."""
    worst = 0.0
    for e, g in zip(expected.ravel(), computed.ravel(), strict=True):
        worst = max(worst, abs(e - g) / max(min(abs(e), abs(g)), np.float32(1)))
    return float(worst)


@given(FLOATS, st.data())
def test_error_is_the_formula_of_assert_equal(expected: np.ndarray, data: st.DataObject) -> None:
    computed = data.draw(
        hnp.arrays(np.float32, expected.shape, elements=st.floats(-1e6, 1e6, width=32))
    )
    found = compare.difference(expected, computed, 1e-4)
    assert found.error == plainly(expected, computed)
    at = compare.assert_equal_error(expected, computed)[found.index]
    assert found.error in (0.0, at)


@given(FLOATS)
def test_equal_arrays_pass_at_zero(values: np.ndarray) -> None:
    assert compare.difference(values, values.copy(), 0.0).passes(0.0)


@given(FLOATS, st.data())
def test_one_changed_element_is_found(expected: np.ndarray, data: st.DataObject) -> None:
    index = tuple(data.draw(st.integers(0, side - 1)) for side in expected.shape)
    computed = expected.copy()
    computed[index] = computed[index] * 3 + 10
    found = compare.difference(expected, computed, 1e-4)
    assert found.index == index
    assert (found.expected, found.computed) == (expected[index], computed[index])
    assert not found.passes(1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("both", [True, False])
def test_what_is_not_finite_never_passes(value: float, both: bool) -> None:
    expected = np.zeros(5, np.float32)
    computed = expected.copy()
    computed[3] = value
    found = compare.difference(computed if both else expected, computed, 1e-4)
    assert found.index == (3,)
    assert not found.passes(1e30)


def test_the_first_nan_is_named_even_when_blocks_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_BLOCK", 4)
    expected = np.zeros(12, np.float32)
    computed = expected.copy()
    computed[[1, 6, 9]] = [50, np.nan, 100]
    found = compare.difference(expected, computed, 1e-4)
    assert found.index == (6,)
    assert np.isnan(found.error)
    assert np.isnan(found.max_abs_error)


def test_the_tolerance_is_a_float32_as_in_the_engine() -> None:
    found = compare.difference(np.zeros(1, np.float32), np.full(1, 0.1, np.float32), 0.1)
    assert found.passes(0.1)


@pytest.mark.parametrize(("left", "right"), [((2, 3), (3, 2)), ((0,), (0,)), ((1,), ())])
def test_nothing_to_compare_is_an_error(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare.difference(np.zeros(left, np.float32), np.zeros(right, np.float32), 0.0)


@given(st.lists(st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf]), min_size=1, max_size=9))
def test_what_is_not_finite_is_counted_on_each_side(values: list[float]) -> None:
    computed = np.array(values, np.float32)
    found = compare.difference(np.zeros_like(computed), computed, 1e-4)
    nan, inf = int(np.isnan(computed).sum()), int(np.isinf(computed).sum())
    assert found.expected_non_finite == compare.NonFinite(0, 0)
    assert found.computed_non_finite == compare.NonFinite(nan, inf)
