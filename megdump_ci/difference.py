"""What optimising changed in a graph, from counts of its operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from megdump_ci.report import Change, Graph

CONSTANTS = (
    "ImmutableTensor",
    "SharedDeviceTensor",
    "SharedDeviceTensorWithFormat",
    "MultipleDeviceTensorHolder",
    "MultipleDeviceTensorWithFormatHolder",
)
"""Operators that hold values; one can hold a single tensor or those of the whole graph."""

_FUSED = ("ConvBias", "BatchConvBiasForward", "ElemwiseMultiType", "FusedOpr")
"""Beginnings of the types that stand for several operators."""


def between(before: Graph, after: Graph, passes: Sequence[str]) -> Change:
    """What ``passes`` made of ``before``; both are without the operators of testcases."""
    earlier, later = working(before.operators), working(after.operators)
    added = dict(sorted((later - earlier).items()))
    return Change(
        passes=list(passes),
        operators_before=earlier.total(),
        operators_after=later.total(),
        removed=dict(sorted((earlier - later).items())),
        added=added,
        fused={kind: count for kind, count in added.items() if kind.startswith(_FUSED)},
        dtypes_before=before.dtypes,
        dtypes_after=after.dtypes,
        size_before=before.size,
        size_after=after.size,
    )


def working(operators: Mapping[str, int]) -> Counter[str]:
    """The counts without constants."""
    return Counter({kind: n for kind, n in operators.items() if kind not in CONSTANTS})
