"""Limits as a user writes them, and which outputs they hold for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.gates import DEFAULT_MAXERR, Gates, Limits, apart

NAMES = st.text(min_size=1, max_size=8).map(str.strip).filter(bool)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.none() | NUMBERS, st.dictionaries(NAMES, NUMBERS, max_size=3))
def test_limits_are_read_as_they_are_written(
    default: float | None, outputs: dict[str, float]
) -> None:
    limits = Limits(default, outputs)
    assert Limits.parse(limits.texts()) == limits
    assert limits.given is (default is not None or bool(outputs))
    for name, value in outputs.items():
        assert limits.of(name) == value


def test_an_output_without_a_limit_of_its_own_has_the_one_for_all() -> None:
    limits = Limits.parse(["logits=1e-3", "a=b=2"], 0.5)
    assert (limits.of("logits"), limits.of("a=b"), limits.of("other")) == (1e-3, 2, 0.5)
    assert Limits.parse(["7"], 0.5).of("other") == 7
    assert Limits.parse(["logits=1"]).of("other") is None


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x"], "'x' is no limit"),
        (["logits=small"], "'logits=small' is no limit"),
        (["logits="], "'logits=' is no limit"),
        (["1_0"], "'1_0' is no limit"),
        (["=1"], "'=1' has no output's name before '='"),
        (["1", "2"], "'2' is a second limit for all outputs"),
        (["a=1", "a=1"], "'a=1' is a second limit for output a"),
    ],
)
def test_what_is_no_limit_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Limits.parse(texts)
    assert caught.value.problems[0].message == message
    assert caught.value.problems[0].hint


def test_the_bounds_of_an_output() -> None:
    gates = Gates(
        maxerr=Limits(None, {"a": 0.5}),
        min_cosine=Limits(0.9),
        top_k_agreement=Limits(0.99, {"a": 1.0}),
    )
    bounds = gates.bounds("a", 0.25)
    assert (bounds.output, bounds.maxerr, bounds.min_cosine, bounds.min_sqnr) == (
        "a",
        0.5,
        0.9,
        None,
    )
    assert bounds.scores
    # Without another limit it is the file's own, or else that of AssertEqual.
    assert gates.bounds("b", 0.25).maxerr == 0.25
    assert gates.bounds("b").maxerr == DEFAULT_MAXERR
    assert not gates.bounds("b").scores


def test_a_limit_for_an_output_that_is_not_there_is_refused() -> None:
    gates = Gates(maxerr=Limits(1.0, {"a": 1.0}), min_sqnr=Limits(None, {"b": 1.0, "c": 1.0}))
    gates.check_names(["a", "b", "c"], "the model")
    with pytest.raises(InputError) as caught:
        gates.check_names(["a", "d"], "the model")
    assert [problem.message for problem in caught.value.problems] == [
        "min-sqnr has a limit for output 'b', which the model does not have",
        "min-sqnr has a limit for output 'c', which the model does not have",
    ]
    assert caught.value.problems[0].hint == "its outputs are a, d"


@pytest.mark.parametrize(
    ("gates", "named"),
    [
        (Gates(maxerr=Limits(-1.0)), "maxerr is -1"),
        (Gates(maxerr=Limits(0.0, {"a": math.inf})), "maxerr is inf"),
        # Infinite as a float32: an infinite error would pass.
        (Gates(maxerr=Limits(1e39)), "maxerr is 1e+39"),
        (Gates(min_cosine=Limits(1.5)), "min-cosine is 1.5"),
        (Gates(min_sqnr=Limits(math.nan)), "min-sqnr is nan"),
        (Gates(top_k_agreement=Limits(99.0)), "top-k-agreement is 99"),
    ],
)
def test_limits_that_make_no_sense_are_said(gates: Gates, named: str) -> None:
    (problem,) = gates.problems()
    assert problem.message == named
    assert problem.hint
    assert Gates(maxerr=Limits(0.0), min_sqnr=Limits(-3.0)).problems() == []


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(4, 6))
def test_a_value_and_the_limit_that_it_misses_are_told_apart(
    value: float, limit: float, digits: int
) -> None:
    texts = apart(value, limit, digits)
    assert (texts[0] != texts[1]) is (f"{value:.17g}" != f"{limit:.17g}")
    assert float(texts[0]) == pytest.approx(value, rel=1e-3)
    assert apart(0.99999996, 1.0) == ("0.99999996", "1")
    assert apart(36.5512, 40, 4) == ("36.55", "40")
