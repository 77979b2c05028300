"""What the report says of two arrays, and why an output fails. Needs no engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import compare, report
from megdump_ci.gates import Bounds, apart

Array = npt.NDArray[np.generic]


def compared(expected: Array, computed: Array, bounds: Bounds) -> report.Comparison:
    """Compare the values of an output that has to keep to ``bounds``."""
    if expected.shape != computed.shape:
        return report.Comparison(
            passed=False,
            reason=f"shape is {tuple(computed.shape)}, expected {tuple(expected.shape)}",
        )
    if expected.size == 0:
        return report.Comparison(passed=False, reason="the output is empty: nothing to compare")
    found = compare.difference(expected, computed, bounds.maxerr)
    reason = "; ".join(filter(None, (_too_large(found, bounds), *_too_low(found, bounds))))
    return report.Comparison(
        passed=not reason,
        reason=reason,
        error=report.number(found.error),
        max_abs_error=report.number(found.max_abs_error),
        index=list(found.index),
        expected=report.number(found.expected),
        computed=report.number(found.computed),
        expected_non_finite=non_finite(found.expected_non_finite),
        computed_non_finite=non_finite(found.computed_non_finite),
        metrics=metrics(found, _top_k(expected, computed, bounds)),
    )


def compared_with_python(own: Array, computed: Array, bounds: Bounds) -> report.Comparison:
    """The Python code's own result against that of what was exported, the dtype included."""
    if own.dtype != computed.dtype:
        reason = f"dtype is {computed.dtype}, what the Python code returns is {own.dtype}"
        return report.Comparison(passed=False, reason=reason)
    found = compared(own, computed, bounds)
    if found.passed:
        return found
    return msgspec.structs.replace(found, reason=f"unlike the Python code: {found.reason}")


def drifted(before: Array, after: Array, bounds: Bounds, *, limited: bool) -> report.Comparison:
    """Compare what a base model computes with what the new one does.

    Where ``limited`` is false, no limit was given for the output, and the ``maxerr`` of ``bounds``
    is infinite: then values that are no longer finite fail it, and nothing else.
    """
    found = compared(before, after, bounds)
    if found.error is None and not limited:
        return msgspec.structs.replace(found, passed=True)
    return found


def failure(output: report.Output) -> str:
    """Why an output does not pass, by what was said of it; empty if it does.

    The file's own assertion and the comparisons all have to pass: disagreement does not.
    """
    if output.assertion is None and output.against_model is None:
        return "nothing to compare with: no assertion in the file and no result of the model"
    for comparison in output.comparisons:
        if not comparison.passed:
            return comparison.reason
    if output.assertion is not None and not output.assertion.passed:
        return (
            f"AssertEqual in the file failed: error {float(output.assertion.error):.6g} is above"
            " the maxerr that it was packed with"
        )
    return ""


def metrics(found: compare.Difference, top_k: compare.TopK | None = None) -> report.Metrics:
    """The metrics of a difference as the report has them."""
    alike = report.Metrics(size=found.size, top_k=_reported(top_k))
    if not found.worst:
        return alike
    first, second, third = (report.number(value) for value in found.percentiles)
    return msgspec.structs.replace(
        alike,
        beyond=found.beyond,
        differing=found.differing,
        mean_abs_error=report.number(found.mean_abs_error),
        max_abs_index=list(found.max_abs_index),
        percentiles=(first, second, third),
        max_rel_error=report.number(found.max_rel_error),
        cosine=report.number(found.cosine),
        sqnr=report.number(found.sqnr),
        non_finite_matched=found.non_finite_matched,
        worst=[_element(item) for item in found.worst],
        histogram=list(found.histogram),
    )


def digest(values: Array) -> str:
    """``sha256:<hex>`` of an array's values."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return f"sha256:{hashlib.sha256(flat.data).hexdigest()}"


def is_constant(values: Array) -> bool:
    """Whether all elements, more than one, have the same value."""
    flat = values.reshape(-1)
    return flat.size > 1 and bool((flat == flat[0]).all())


def same(left: Array, right: Array) -> bool:
    """Whether two arrays are the same in dtype, shape and bits."""
    if left is right:
        return True
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    one, other = (np.ascontiguousarray(item).reshape(-1).view(np.uint8) for item in (left, right))
    return np.array_equal(one, other)


def same_all(left: Sequence[Array], right: Sequence[Array]) -> bool:
    """Whether as many arrays are pairwise the same."""
    return len(left) == len(right) and all(map(same, left, right))


def _too_large(found: compare.Difference, bounds: Bounds) -> str:
    """How a difference is above what may be, with the values where it is worst; or empty."""
    if math.isinf(bounds.maxerr):
        return _no_longer_finite(found)
    if found.passes(bounds.maxerr):
        return ""
    values = f"expected {found.expected:.9g}, computed {found.computed:.9g}"
    place = f"[{', '.join(map(str, found.index))}]"
    strange = found.computed_non_finite
    if strange.nan or strange.inf:
        counts = f"{strange.nan} of {found.size} values are NaN and {strange.inf} infinite"
        return f"{counts}; at {place} {values}"
    error, limit = apart(found.error, bounds.maxerr)
    return f"error {error} at {place} is above maxerr {limit}: {values}"


def _no_longer_finite(found: compare.Difference) -> str:
    """How many values are NaN or infinite that were not so before; empty if none are."""
    counts = found.computed_non_finite
    new = counts.nan + counts.inf - found.non_finite_matched
    return f"{new} of {found.size} values are NaN or infinite that were not" if new else ""


def _too_low(found: compare.Difference, bounds: Bounds) -> list[str]:
    reasons = []
    if bounds.min_cosine is not None and not found.cosine >= bounds.min_cosine:
        cosine, limit = apart(found.cosine, bounds.min_cosine)
        reasons.append(f"cosine {cosine} is below min-cosine {limit}")
    if bounds.min_sqnr is not None and not found.sqnr >= bounds.min_sqnr:
        sqnr, limit = apart(found.sqnr, bounds.min_sqnr, digits=4)
        reasons.append(f"SQNR {sqnr} dB is below min-sqnr {limit}")
    return reasons


def _top_k(expected: Array, computed: Array, bounds: Bounds) -> compare.TopK | None:
    if bounds.scores or compare.looks_like_scores(bounds.output, expected):
        return compare.top_k(expected, computed)
    return None


def _reported(found: compare.TopK | None) -> report.TopK | None:
    if found is None:
        return None
    return report.TopK(rows=found.rows, top1=found.top1, top5=found.top5)


def _element(found: compare.Element) -> report.Element:
    return report.Element(
        index=list(found.index),
        expected=report.number(found.expected),
        computed=report.number(found.computed),
        error=report.number(found.error),
    )


def non_finite(found: compare.NonFinite) -> report.NonFinite | None:
    """The counts as the report has them; ``None`` if all values are finite."""
    return report.NonFinite(nan=found.nan, inf=found.inf) if found.nan or found.inf else None
