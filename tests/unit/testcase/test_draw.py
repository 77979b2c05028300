import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.testcase import draw
from megdump_ci.testcase.grammar import RandomSpec, parse_value
from megdump_ci.testcase.inputs import InputType

FLOATS = ["float32", "float16"]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "bool"]


def random_spec(text: str) -> RandomSpec:
    value = parse_value(text)
    assert isinstance(value, RandomSpec)
    return value


def target(shape: tuple[int, ...] | None, dtype: str = "float32") -> InputType:
    return InputType("data", shape, np.dtype(dtype), dtype)


@given(
    st.sampled_from(FLOATS),
    st.floats(-60000, 60000, width=16),
    st.floats(-60000, 60000, width=16),
    st.integers(0, 2**64),
)
def test_floats_are_in_range_and_reproducible(
    dtype: str, one: float, other: float, seed: int
) -> None:
    value = RandomSpec("", min(one, other), max(one, other))
    array = draw.draw(value, target((3, 50), dtype), seed, (1, 0))
    assert array.dtype == dtype
    assert array.shape == (3, 50)
    assert ((array >= value.low) & (array <= value.high)).all()
    assert np.array_equal(array, draw.draw(value, target((3, 50), dtype), seed, (1, 0)))


@given(st.sampled_from(INTEGERS), st.floats(0, 0.99), st.data())
def test_integers_are_in_range(dtype: str, fraction: float, data: st.DataObject) -> None:
    least, largest = target((1,), dtype).integer_range()
    low = data.draw(st.integers(least, largest))
    high = data.draw(st.integers(low, largest))
    value = RandomSpec("", max(low - fraction, -(2.0**40)), high + fraction)
    array = draw.draw(value, target((100,), dtype), 0, (0, 0))
    assert array.dtype == dtype
    assert math.ceil(value.low) <= array.min() <= array.max() <= math.floor(value.high)


def test_both_ends_of_an_integer_range_are_drawn() -> None:
    for dtype, text in (("uint8", "#rand(0,255)"), ("bool", "#rand(0,1)")):
        array = draw.draw(random_spec(text), target((20000,), dtype), 0, (0, 0))
        assert (array.min(), array.max()) == target((1,), dtype).integer_range()


def test_seed_testcase_and_input_change_the_values() -> None:
    drawn = [
        draw.draw(random_spec("#rand(0,1)"), target((8,)), seed, key).tobytes()
        for seed, key in ((0, (0, 0)), (0, (0, 1)), (0, (1, 0)), (1, (0, 0)))
    ]
    assert len(set(drawn)) == 4


def test_the_values_are_those_of_numpys_generator() -> None:
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(2, 1))))
    wanted = generator.random((1 << 20) + 9) * 4 - 1
    array = draw.draw(random_spec("#rand(-1,3)"), target(((1 << 20) + 9,)), 5, (2, 1))
    assert np.array_equal(array, wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "model", "shape"),
    [
        ("#rand(0,1)", (1, 3, 4, 5), (1, 3, 4, 5)),
        ("#rand(0,1,...)", (1, 3, 4, 5), (1, 3, 4, 5)),
        ("#rand(0,1,2,...)", (1, 3, 4, 5), (2, 3, 4, 5)),
        ("#rand(0,1,2,6,7,8,...)", (1, 3, 4, 5), (2, 6, 7, 8)),
        ("#rand(0,1,2,6)", (1, 3), (2, 6)),
        ("#rand(0,1,2,6)", None, (2, 6)),
    ],
)
def test_the_shape(text: str, model: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    assert draw.draw(random_spec(text), target(model), 0, (0, 0)).shape == shape


@pytest.mark.parametrize(
    ("text", "model", "dtype", "words"),
    [
        ("#rand(0,1,4)", (1, 3), "float32", ["(4,)", "(1, 3)"]),
        ("#rand(0,1,4,5,6,...)", (1, 3), "float32", ["(4, 5, 6, ...)", "(1, 3)"]),
        ("#rand(0,1)", None, "float32", ["no shape"]),
        ("#rand(0,1,1,...)", None, "float32", ["no shape"]),
        ("#rand(0,1)", (1, 0), "float32", ["no element"]),
        ("#rand(0,1,65536,65536)", None, "int8", ["4294967296 elements"]),
        ("#rand(0,1,65536,20000)", None, "float32", ["4.9 GiB"]),
        ("#rand(0,65520)", (1,), "float16", ["65504"]),
        ("#rand(0,256)", (1,), "uint8", ["0 to 256", "#rand(0,255)"]),
        ("#rand(0,2)", (1,), "bool", ["#rand(0,1)"]),
        ("#rand(0.1,0.9)", (1,), "int8", ["no integer"]),
    ],
)
def test_what_cannot_be_drawn_is_named(
    text: str, model: tuple[int, ...] | None, dtype: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        draw.check(random_spec(text), target(model, dtype))
    for word in words:
        assert word in str(caught.value)


def test_the_narrow_range_of_a_quantised_input_holds() -> None:
    int4 = InputType("data", (1,), np.dtype("int8"), "QuantizedS4", low=-8, high=7)
    draw.check(random_spec("#rand(-8,7)"), int4)
    with pytest.raises(InputError, match=r"QuantizedS4 holds: -8 to 7"):
        draw.check(random_spec("#rand(-8,8)"), int4)
