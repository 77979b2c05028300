import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import transform
from megdump_ci.testcase.convert import convert
from megdump_ci.testcase.inputs import Array, InputType

TARGETS = ["float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "bool"]
NUMBERS = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes()
ARRAYS = hnp.arrays(NUMBERS | hnp.floating_dtypes(), hnp.array_shapes(max_dims=3, max_side=4))


def target(dtype: str, low: float | None = None, high: float | None = None) -> InputType:
    return InputType("data", None, np.dtype(dtype), dtype, low, high)


@given(ARRAYS, st.sampled_from(TARGETS))
def test_nothing_is_lost_without_a_word(array: Array, dtype: str) -> None:
    try:
        result = convert(array, target(dtype))
    except InputError as error:
        assert "--input-transform" in str(error)
        with np.errstate(all="ignore"):
            cast = array.astype(dtype)
        if np.dtype(dtype).kind == "f":
            assert (np.isfinite(array) & ~np.isfinite(cast)).any()
        else:
            assert [int(x) for x in cast.flat] != list(array.flat)
        return
    assert result.dtype == dtype
    assert result.dtype.isnative
    assert result.flags.c_contiguous
    assert result.shape == array.shape
    if np.dtype(dtype).kind == "f":
        assert np.array_equal(np.isfinite(array), np.isfinite(result))
    else:
        assert [int(x) for x in result.flat] == list(array.flat)


@example(np.array([np.nan, 2.5, np.inf]), "int8")
@example(np.array([3e9], np.float32), "int32")
@example(np.array([-np.inf, 3e9], np.float32), "int32")
@example(np.array([40000], np.float16), "int16")
@given(ARRAYS, st.sampled_from(TARGETS))
def test_the_transform_of_the_hint_helps(array: Array, dtype: str) -> None:
    try:
        convert(array, target(dtype))
    except InputError as error:
        expression = error.problems[0].hint.split("'")[1]
        convert(transform.parse(expression)(array), target(dtype))


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        (np.array([[1.0, 2.5]]), "int8", ["2.5", "(0, 1)", "np.round"]),
        (np.array([1.0, np.nan]), "int32", ["nan", "(1,)", "nan_to_num"]),
        (np.array([2147483648.0], np.float32), "int32", ["2147483648.0"]),
        (np.array([0, 2]), "bool", ["2", "(1,)", "0 or 1"]),
        (np.array([2**64 - 1], np.uint64), "int32", ["18446744073709551615"]),
        (np.array([1.0, 1e6]), "float16", ["1000000.0", "(1,)", "65504"]),
        (np.array([[7, 200]], np.uint8), "int8", ["200", "data.astype(np.int16) - 128"]),
    ],
)
def test_the_value_and_its_place_are_named(values: Array, dtype: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        convert(values, target(dtype))
    for word in words:
        assert word in str(caught.value)


def test_a_narrow_range_is_kept() -> None:
    assert convert(np.array([-8, 7]), target("int8", -8, 7)).tolist() == [-8, 7]
    for value in (-9, 8):
        with pytest.raises(InputError, match=str(value)):
            convert(np.array([0, value]), target("int8", -8, 7))
    with pytest.raises(InputError, match=r"1\.5"):
        convert(np.array([0, 1.5]), target("float32", -1, 1))


def test_no_values_are_refused() -> None:
    with pytest.raises(InputError, match="no element"):
        convert(np.zeros((2, 0)), target("float32"))
