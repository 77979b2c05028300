"""What is said of two arrays, and why an output fails."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci import judging
from megdump_ci.gates import Bounds
from megdump_ci.report import Assertion, Metrics, Output

EXACT = Bounds(output="x", maxerr=0.0)
SMALL = np.array([[1e-5, 2e-5, -3e-5, 4e-5]], np.float32)


def test_equal_values_pass_and_leave_nothing_out_of_the_ordinary() -> None:
    found = judging.compared(SMALL, SMALL, EXACT)
    assert found.passed
    assert found.metrics == Metrics(size=4)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(output="x", maxerr=1e-4), []),
        (Bounds(output="x", maxerr=1e-5), ["is above maxerr 1e-05"]),
        (Bounds(output="x", maxerr=1e-4, min_cosine=0.0), ["cosine -1 is below min-cosine 0"]),
        (Bounds(output="x", maxerr=1e-4, min_sqnr=10), ["SQNR -6.021 dB is below min-sqnr 10"]),
        (
            Bounds(output="x", maxerr=0.0, min_cosine=1.0, min_sqnr=0.0),
            ["is above maxerr 0", "min-cosine 1", "min-sqnr 0"],
        ),
    ],
)
def test_each_bound_is_kept_or_named(bounds: Bounds, words: list[str]) -> None:
    found = judging.compared(SMALL, -SMALL, bounds)
    assert found.passed is not bool(words)
    assert found.reason.count(";") == max(len(words) - 1, 0)
    for word in words:
        assert word in found.reason


@pytest.mark.parametrize(
    ("left", "right", "word"),
    [((2, 3), (3, 2), "shape is (3, 2), expected (2, 3)"), ((0,), (0,), "nothing to compare")],
)
def test_what_cannot_be_compared_fails(
    left: tuple[int, ...], right: tuple[int, ...], word: str
) -> None:
    found = judging.compared(np.zeros(left, np.float32), np.zeros(right, np.float32), EXACT)
    assert not found.passed
    assert word in found.reason
    assert (found.error, found.metrics) == (None, None)


def test_scores_are_judged_where_they_look_like_it_or_are_said_to_be() -> None:
    scores = np.array([[0.1, 0.9, 0.3, -2]], np.float32)
    for bounds, there in (
        (Bounds(output="embedding", maxerr=1.0), False),
        (Bounds(output="logits", maxerr=1.0), True),
        (Bounds(output="embedding", maxerr=1.0, scores=True), True),
    ):
        metrics = judging.compared(scores, scores[:, ::-1], bounds).metrics
        assert metrics is not None
        assert (metrics.top_k is not None) is there


def test_an_output_with_nothing_to_compare_with_fails() -> None:
    bare = Output(name="x", dtype="float32", shape=[1], passed=False)
    assert "nothing to compare with" in judging.failure(bare)
    asserted = Output(
        name="x",
        dtype="float32",
        shape=[1],
        passed=False,
        assertion=Assertion(passed=False, error=0.5),
    )
    assert judging.failure(asserted).startswith("AssertEqual in the file failed: error 0.5 is")


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.int8, np.bool_]), hnp.array_shapes(min_side=0, max_side=3)
)


@given(ARRAYS, ARRAYS)
def test_same_is_same_bits(left: np.ndarray, right: np.ndarray) -> None:
    assert judging.same(left, left.copy())
    alike = left.dtype == right.dtype and left.shape == right.shape
    assert judging.same(left, right) is (alike and left.tobytes() == right.tobytes())
    if alike and left.tobytes() == right.tobytes():
        assert judging.digest(left) == judging.digest(right)


def test_constant_is_more_than_one_element_of_one_value() -> None:
    assert judging.is_constant(np.zeros((2, 2), np.float32))
    assert not judging.is_constant(np.zeros(1, np.float32))
    assert not judging.is_constant(np.array([0, 1], np.float32))
    assert not judging.is_constant(np.full(3, np.nan, np.float32))
