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


def test_whole_numbers_that_are_the_same_float32_differ() -> None:
    expected, computed = np.array([7, 2**24]), np.array([7, 2**24 + 1])
    for dtype in (np.int32, np.uint32):
        found = compare.difference(expected.astype(dtype), computed.astype(dtype), 0.0)
        assert (found.differing, found.beyond, found.index) == (1, 1, (1,))
        assert (found.expected, found.computed) == (2**24, 2**24 + 1)
        assert not found.passes(0)
        assert found.error == np.float32(2**-24)
    # The values in the file are float32, and so cannot tell.
    assert compare.difference(expected.astype(np.float32), computed, 0.0).passes(0)


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


def differing(data: st.DataObject, elements: st.SearchStrategy[float]) -> tuple[np.ndarray, ...]:
    """Two arrays of a shape, of ``elements``."""
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=6))
    return tuple(data.draw(hnp.arrays(np.float32, shape, elements=elements)) for _ in range(2))


MODERATE = st.floats(-1e3, 1e3, width=32)
ANY = st.floats(width=32)


@given(st.data())
def test_metrics_are_their_definitions(data: st.DataObject) -> None:
    expected, computed = differing(data, MODERATE)
    found = compare.difference(expected, computed, 1.0)
    e, g = expected.astype(np.float64).ravel(), computed.astype(np.float64).ravel()
    gap = np.abs(expected - computed).ravel()
    errors = compare.assert_equal_error(expected, computed).ravel()
    assert found.size == e.size == sum(found.histogram)
    assert found.beyond == (errors > 1).sum()
    assert found.differing == (expected != computed).sum()
    assert found.mean_abs_error == pytest.approx(np.abs(e - g).mean())
    assert found.max_abs_error == gap.max() == gap.reshape(expected.shape)[found.max_abs_index]
    # Each percentile is the smallest of the errors that so many are not above.
    for share, value in zip((0.5, 0.9, 0.99), found.percentiles, strict=True):
        assert value in gap
        assert (gap <= value).mean() >= share
        assert (gap < value).mean() < share
    noise = ((e - g) ** 2).sum()
    if noise and (e**2).sum():
        assert found.sqnr == pytest.approx(10 * np.log10((e**2).sum() / noise), abs=1e-3)
    if (e**2).sum() and (g**2).sum():
        cosine = e @ g / np.sqrt(e @ e) / np.sqrt(g @ g)
        assert found.cosine == pytest.approx(cosine, abs=1e-6)
    floor = np.float32(1e-3) * np.abs(expected).max()
    if floor > 1e-30:
        relative = gap / np.maximum(np.abs(expected).ravel(), floor)
        assert found.max_rel_error == pytest.approx(relative.max(), rel=1e-3)


@given(st.data(), st.integers(1, 7))
def test_metrics_do_not_depend_on_the_blocks(data: st.DataObject, size: int) -> None:
    expected, computed = differing(data, ANY)
    whole = compare.difference(expected, computed, 1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_BLOCK", size)
        parts = compare.difference(expected, computed, 1e-4)
    for name, value in vars(whole).items():
        other = vars(parts)[name]
        # Sums in float64 depend on their order, at the far end of it.
        sums = name in ("mean_abs_error", "cosine", "sqnr")
        assert (
            other == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True)
            if sums
            else (str(other) == str(value))
        )


@given(st.data())
def test_the_worst_elements_are_the_worst(data: st.DataObject) -> None:
    expected, computed = differing(data, ANY)
    found = compare.difference(expected, computed, 1e-4)
    errors = compare.assert_equal_error(expected, computed)
    key = np.where(np.isnan(errors), np.inf, errors)
    best = sorted((value for value in key.ravel() if value > 0), reverse=True)[: compare.WORST]
    assert [key[item.index] for item in found.worst] == best
    assert len({item.index for item in found.worst}) == len(best)
    for item in found.worst:
        assert str(item.expected) == str(float(expected[item.index]))
        assert str(item.computed) == str(float(computed[item.index]))


def test_what_is_not_finite_is_told_apart() -> None:
    nan, inf = np.nan, np.inf
    expected = np.array([1, nan, inf, -inf, nan, 2, inf], np.float32)
    computed = np.array([1, nan, inf, inf, 3, nan, 5], np.float32)
    found = compare.difference(expected, computed, 1e-4)
    assert found.expected_non_finite == compare.NonFinite(2, 3)
    assert found.computed_non_finite == compare.NonFinite(2, 2)
    assert found.non_finite_matched == 2
    # The finite pair is equal, and the metrics are over that.
    assert (found.cosine, found.sqnr, found.mean_abs_error) == (1.0, np.inf, 0.0)
    assert not found.passes(1e30)


def test_zeros_have_no_direction_and_no_signal() -> None:
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert compare.difference(zeros, zeros, 0.0).cosine == 1
    found = compare.difference(zeros, ones, 0.0)
    assert (found.cosine, found.sqnr) == (0, -np.inf)
    found = compare.difference(ones, zeros, 0.0)
    assert (found.cosine, found.sqnr) == (0, 0)


SCORES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(3, 9)),
    elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
)


@given(SCORES)
def test_scores_agree_with_themselves(scores: np.ndarray) -> None:
    found = compare.top_k(scores, scores)
    assert found is not None
    assert (found.rows, found.top1) == (len(scores), len(scores))
    assert found.top5 in (None, 1.0)


@given(SCORES, st.integers(0, 8))
def test_a_better_class_is_a_disagreement(scores: np.ndarray, place: int) -> None:
    place %= scores.shape[1]
    other = scores.copy()
    other[0, place] = 9
    found = compare.top_k(scores, other)
    assert found is not None
    # Equal scores are ties: any of the best counts.
    assert found.top1 == len(scores) - (scores[0, place] < scores[0].max())


def test_scores_that_all_became_equal_are_a_disagreement() -> None:
    expected = np.array([[3, 2, 1, 5, 4, 0, -1], [1] * 7], np.float32)
    for level in (0, np.inf):
        found = compare.top_k(expected, np.full((2, 7), level, np.float32))
        # The second row has no best class on either side.
        assert found == compare.TopK(rows=2, top1=1, top5=0.5)


def test_a_score_that_is_no_number_is_not_among_the_best() -> None:
    expected = np.array([[3, 2, 1]], np.float32)
    for computed in ([np.nan, 2, 1], [np.nan, np.nan, np.nan], [-np.inf, -np.inf, -np.inf]):
        found = compare.top_k(expected, np.array([computed], np.float32))
        assert found is not None
        assert found.top1 == 0


@pytest.mark.parametrize(
    ("name", "shape", "fits"),
    [
        ("logits", (2, 10), True),
        ("resnet.fc.ADD", (2, 1000, 1, 1), True),
        ("classifier", (1, 3), True),
        ("embedding", (1, 128), False),
        ("fcn", (1, 128), False),
        ("logits", (1, 10, 7, 7), False),
        ("logits", (1, 2), False),
        ("logits", (10,), False),
    ],
)
def test_class_scores_are_told_by_shape_and_name(
    name: str, shape: tuple[int, ...], fits: bool
) -> None:
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    assert compare.looks_like_scores(name, values) is fits


def test_rows_that_sum_to_one_are_class_scores_by_any_name() -> None:
    values = np.full((2, 4), 0.25, np.float32)
    assert compare.looks_like_scores("x", values)
    assert not compare.looks_like_scores("x", values * 2)
    assert not compare.looks_like_scores("x", np.array([[2, -1, 0]], np.float32))
    assert not compare.looks_like_scores("logits", values.astype(np.int32))
