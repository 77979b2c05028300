"""What optimising changed, from counts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.difference import CONSTANTS, between
from megdump_ci.report import Graph

KINDS = ("Elemwise", "ConvolutionForward", "ConvBiasForward", "TypeCvt", *CONSTANTS)
counts = st.dictionaries(st.sampled_from(KINDS), st.integers(1, 9))


def graph(operators: dict[str, int], size: int = 1) -> Graph:
    return Graph(
        path="",
        size=size,
        digest="",
        format="fbs",
        inputs=[],
        outputs=[],
        operators=operators,
        parameters=0,
        parameter_bytes=0,
        dtypes={"float32": size},
    )


@given(counts, counts)
def test_what_was_added_and_removed_makes_one_graph_of_the_other(
    before: dict[str, int], after: dict[str, int]
) -> None:
    change = between(graph(before), graph(after), [])
    made = Counter(before)
    made.subtract(change.removed)
    made.update(change.added)
    for kind in set(KINDS) - set(CONSTANTS):
        assert made[kind] == after.get(kind, 0)
    assert not set(change.added) & set(change.removed)
    assert not set(CONSTANTS) & {*change.added, *change.removed}
    total = sum(change.added.values()) - sum(change.removed.values())
    assert change.operators_after - change.operators_before == total


def test_a_fused_operator_is_told_from_an_inserted_one() -> None:
    before = graph({"ConvolutionForward": 2, "Elemwise": 4, "ImmutableTensor": 6}, 100)
    after = graph({"ConvBiasForward": 2, "Elemwise": 1, "RelayoutFormat": 2}, 80)
    change = between(before, after, ["enable_nchw4"])
    assert change.fused == {"ConvBiasForward": 2}
    assert change.added == {"ConvBiasForward": 2, "RelayoutFormat": 2}
    assert change.removed == {"ConvolutionForward": 2, "Elemwise": 3}
    assert (change.operators_before, change.operators_after) == (6, 5)
    assert (change.size_before, change.size_after) == (100, 80)
    assert (change.dtypes_before, change.dtypes_after) == ({"float32": 100}, {"float32": 80})
