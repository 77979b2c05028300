import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import rounding
from megdump_ci.rounding import UNIT, Own, own_error

SCALES = st.floats(-30, 30).map(lambda power: 10.0**power)
UNITS = st.sampled_from([UNIT["float32"], UNIT["float16"]])


def values(seed: int, scale: float = 1.0, size: int = 500) -> np.ndarray:
    """Values around zero."""
    drawn = np.random.default_rng(seed).standard_normal(size)
    return (drawn * scale).astype(np.float32)


def judged(expected: np.ndarray, computed: np.ndarray, unit: float, **options: object) -> Own:
    """The judgement of an operator that hands its input on."""
    off = rounding.rounded_off(expected, unit)
    return own_error(expected, computed, off, unit=unit, fused=False, **options)  # type: ignore[arg-type]


@given(st.integers(0, 99), SCALES, UNITS)
def test_one_rounding_is_explained_at_any_scale(seed: int, scale: float, unit: float) -> None:
    expected = values(seed, scale)
    assert not judged(expected, rounding.rounded_off(expected, unit, seed), unit).wrong
    own = judged(expected, expected, unit)
    assert (own.relative, own.largest, own.times) == (0, 0, 0)


@given(st.integers(0, 99), SCALES, UNITS)
def test_one_element_that_is_off_by_much_more_is_not(seed: int, scale: float, unit: float) -> None:
    expected = values(seed, scale)
    computed = expected.copy()
    computed[7] += np.float32(200 * unit) * np.abs(expected).max()
    own = judged(expected, computed, unit)
    assert own.wrong
    assert own.times > 1


def test_where_terms_cancel_a_rounding_is_much_of_the_result() -> None:
    terms = values(1) + 1000
    small = values(2)

    def difference(first: np.ndarray) -> np.ndarray:
        return first - (terms - small)

    unit = UNIT["float32"]
    expected = difference(terms)
    noisy = difference(rounding.rounded_off(terms, unit, 5))
    assert rounding.relative_error(expected, noisy) > 1e-5
    off = difference(rounding.rounded_off(terms, unit))
    assert not own_error(expected, noisy, off, unit=unit, fused=False).wrong
    assert own_error(expected, expected * 1.5, off, unit=unit, fused=False).wrong


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_a_value_that_is_none_is_wrong_on_one_side_only(strange: float) -> None:
    expected = values(1)
    computed = expected.copy()
    computed[3] = strange
    assert rounding.relative_error(expected, computed) == math.inf
    assert judged(expected, computed, UNIT["float16"]).wrong
    assert rounding.relative_error(computed, computed) == 0
    # What the model's own operator makes of bad inputs says nothing.
    assert not judged(computed, expected, UNIT["float16"]).wrong
    nothing = np.full(3, strange, np.float32)
    assert not judged(nothing, nothing, UNIT["float16"]).wrong


@given(st.integers(0, 99), SCALES)
def test_the_relative_error_is_that_of_sqnr(seed: int, scale: float) -> None:
    expected, noise = values(seed, scale), values(seed + 1, scale * 0.01)
    computed = expected + noise
    error = rounding.relative_error(expected, computed)
    wide, other = expected.astype(np.float64), computed.astype(np.float64)
    sqnr = 10 * np.log10((wide @ wide) / ((wide - other) @ (wide - other)))
    assert error == pytest.approx(10 ** (-sqnr / 20))


def test_nothing_where_all_is_zero() -> None:
    zero = np.zeros(4, np.float32)
    assert rounding.relative_error(zero, zero) == 0
    assert rounding.relative_error(zero, zero + 1) == math.inf
    assert not judged(zero, zero, UNIT["float32"]).wrong
    assert judged(zero, zero + 1e-20, UNIT["float32"]).times == math.inf


def test_quantised_results_may_be_a_step_off() -> None:
    expected = np.arange(20, dtype=np.float32) / 4
    computed = expected.copy()
    computed[4] += 0.25
    assert judged(expected, computed, UNIT["float32"]).wrong
    assert not judged(expected, computed, UNIT["float32"], step=0.25).wrong
    computed[4] += 0.25
    assert judged(expected, computed, UNIT["float32"], step=0.25).wrong


def test_whole_numbers_differ_or_not() -> None:
    expected = np.arange(1000)
    computed = expected.copy()
    computed[3] = 0
    for fused in (False, True):
        own = own_error(expected, computed, expected, unit=UNIT["float16"], fused=fused)
        assert own.wrong is not fused
        assert own.largest == pytest.approx(1e-3)
    wrong = own_error(expected, expected + 1, expected, unit=UNIT["float16"], fused=True)
    assert wrong.wrong
    assert rounding.rounded_off(expected, UNIT["float16"]) is expected


def test_the_coarsest_dtype_decides() -> None:
    assert rounding.coarsest(["float32", "float16", "int32"]) == "float16"
    assert rounding.coarsest(["int32", "QuantizedS8(scale=0.5)"]) == "float32"


def test_altered_constants() -> None:
    expected = values(3, size=30).reshape(5, 6)
    assert rounding.altered(expected, expected, "float32") == (0, 0)
    near = rounding.rounded_off(expected, UNIT["float32"])
    assert rounding.altered(expected, near, "float32")[0] == 0
    wrong = expected.copy()
    wrong[1, 2] *= 1.001
    wrong[4, 5] *= 3
    differing, worst = rounding.altered(expected, wrong, "float32")
    assert (differing, worst) == (2, 29)
    assert rounding.altered(expected, wrong, "float16") == (1, 29)
    wrong[0, 0] = np.nan
    assert rounding.altered(expected, wrong, "float32") == (3, 0)
    assert rounding.altered(wrong, wrong, "float32")[0] == 0
    assert rounding.altered(np.arange(4), np.array([0, 1, 5, 3]), "int32") == (1, 2)
