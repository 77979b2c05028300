"""A model against a base model, in words and summed up: pure functions of what the report has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from megdump_ci.naming import is_stable
from megdump_ci.report import (
    Baseline,
    ChangeKind,
    Comparison,
    Drift,
    Graph,
    Metrics,
    Number,
    ParameterChange,
    TensorChange,
    Testcase,
    TopK,
    Totals,
    number,
)

SHOWN = 100
"""How many operators and parameters of those that changed a report has."""

KINDS: dict[ChangeKind, str] = {
    "identical": "identical files",
    "equivalent": "same operators and parameters, other bytes",
    "weights": "other weights",
    "structure": "other structure",
}
"""The kinds of change in few words."""

_FACE = ("name", "shape", "dtype")


def kind(
    base: Graph,
    model: Graph,
    operators: Totals,
    parameters: Sequence[ParameterChange],
    tensors: Iterable[TensorChange],
) -> ChangeKind:
    """How much of a change there is."""
    if base.digest == model.digest:
        return "identical"
    edited = any(change.how != "changed" or _more_than_name(change) for change in tensors)
    reshaped = any(change.metrics is None or not _same_dtype(change) for change in parameters)
    if edited or reshaped or operators.changed or operators.added or operators.removed:
        return "structure"
    return "weights" if parameters else "equivalent"


def _more_than_name(change: TensorChange) -> bool:
    return any(edit.what != "name" for edit in change.edits)


def _same_dtype(change: ParameterChange) -> bool:
    return bool(change.base and change.model and change.base.dtype == change.model.dtype)


def headline(found: Baseline) -> str:
    """What changed, in one line."""
    operators, parameters = found.operator_totals, found.parameter_totals
    if found.change == "identical":
        return "identical: the same bytes"
    if found.change == "equivalent":
        return f"{KINDS['equivalent']}: {'; '.join(_other_bytes(found))}"
    if found.change == "weights":
        whole = parameters.alike + parameters.changed
        return (
            f"other weights: {parameters.changed} of {_counted(whole, 'parameter')} changed"
            f"{_largest(found.parameters)}; {_counted(operators.alike, 'operator')} alike"
        )
    parts = [f"operators {totals_text(operators)}", f"parameters {totals_text(parameters)}"]
    faces = [f"input {tensor_text(item)}" for item in found.inputs if _is_face(item)]
    faces += [f"output {tensor_text(item)}" for item in found.outputs if _is_face(item)]
    return "; ".join([f"other structure: {parts[0]}", parts[1], *faces])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def totals_text(totals: Totals) -> str:
    """``2 changed, 1 added, 12 alike``."""
    counts = {
        "changed": totals.changed,
        "added": totals.added,
        "removed": totals.removed,
    }
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([*parts, f"{totals.alike} alike"])


def _is_face(change: TensorChange) -> bool:
    """Whether it is to be seen from outside of the model."""
    return change.how != "changed" or any(edit.what in _FACE for edit in change.edits)


def _other_bytes(found: Baseline) -> list[str]:
    parts = []
    if found.base.format != found.model.format:
        parts.append(f"format {found.model.format}, was {found.base.format}")
    names = found.operator_totals.renamed + found.parameter_totals.renamed
    if names:
        parts.append(f"{_counted(names, 'other name')} of operators and parameters")
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        count = sum(any(edit.what == "name" for edit in item.edits) for item in tensors)
        parts += [f"{_counted(count, what)} renamed"] if count else []
    return parts or ["metadata, or names that the engine made up"]


def _largest(changes: Sequence[ParameterChange]) -> str:
    if not changes:
        return ""
    first = changes[0]
    return f" (largest: {parameter_name(first)}, {parameter_text(first)})"


def parameter_name(change: ParameterChange) -> str:
    """The name of a parameter, and of what takes it if the engine made the name up."""
    if is_stable(change.name) or not change.used_by:
        return change.name
    return f"{change.name} of {change.used_by}"


def parameter_text(change: ParameterChange) -> str:
    """How much a parameter has changed, in short."""
    if change.metrics is None:
        sides = (change.base, change.model)
        texts = [f"{item.dtype} {tuple(item.shape or ())}" for item in sides if item is not None]
        return " to ".join(texts)
    parts = []
    if not _same_dtype(change) and change.base and change.model:
        parts.append(f"{change.base.dtype} to {change.model.dtype}")
    if change.non_finite is not None:
        counts = change.non_finite
        parts.append(f"{counts.nan} NaN and {counts.inf} infinite")
    if change.metrics.sqnr != "inf" or not parts:
        sqnr = sqnr_text(change.metrics.sqnr)
        parts.append(f"relative change {relative(change.metrics):.2g}, SQNR {sqnr}")
    return ", ".join(parts)


def size(change: ParameterChange) -> float:
    """A number that is smaller for a larger change."""
    if change.metrics is None or change.non_finite is not None:
        return -math.inf
    return float(change.metrics.sqnr)


def relative(metrics: Metrics) -> float:
    """The length of the difference as a share of that of the values: what SQNR says in dB."""
    return 10 ** (-float(metrics.sqnr) / 20)


def sqnr_text(value: Number | None) -> str:
    """``28 dB``, or ``infinite`` where nothing differs."""
    if value is None:
        return "-"
    return "infinite" if value == "inf" else f"{float(value):.3g} dB"


def tensor_text(change: TensorChange) -> str:
    """What became of an input or output."""
    tensor = change.model or change.base
    name = tensor.name if tensor else ""
    if change.how != "changed":
        return f"{name} {change.how}"
    return f"{name}: {', '.join(f'{e.what} {e.after}, was {e.before}' for e in change.edits)}"


def warnings(found: Baseline) -> list[str]:
    """What may break those who feed the model, or read its outputs, as they do the base model."""
    return [
        f"{what} {tensor_text(change)}: not compatible with the base model"
        for what, changes in (("input", found.inputs), ("output", found.outputs))
        for change in changes
        if not change.compatible
    ]


def drifted(outputs: Sequence[Drift], testcases: Sequence[Testcase]) -> list[Drift]:
    """How far each of ``outputs`` drifts over all testcases, which have them in that order."""
    return [
        _drift(output, [_comparison(testcase, place) for testcase in testcases])
        for place, output in enumerate(outputs)
    ]


def _comparison(testcase: Testcase, place: int) -> Comparison:
    found = testcase.outputs[place].against_base if testcase.outputs else None
    return found or Comparison(passed=False, reason=testcase.reason)


def _drift(output: Drift, comparisons: Sequence[Comparison]) -> Drift:
    done = [item for item in comparisons if item.error is not None and item.metrics]
    reasons = [item.reason for item in comparisons if item.error is None]
    found = msgspec.structs.replace(
        output,
        reason=next(iter(reasons), ""),
        compared=len(done),
        errors=[item.error for item in comparisons],
    )
    if not done:
        return found
    worst = max(done, key=lambda item: _rank(item.error))
    metrics = [item.metrics for item in done if item.metrics]
    return msgspec.structs.replace(
        found,
        max_error=worst.error,
        max_abs_error=_most([item.max_abs_error for item in done], max),
        cosine=_most([item.cosine for item in metrics], min),
        sqnr=_most([item.sqnr for item in metrics], min),
        testcase=comparisons.index(worst),
        worst=worst.metrics,
        top_k=_summed([item.top_k for item in metrics if item.top_k]),
    )


def _rank(value: Number | None) -> float:
    found = float(value if value is not None else math.nan)
    return math.inf if math.isnan(found) else found


def _most(values: Sequence[Number | None], choose: Callable[[list[float]], float]) -> Number:
    """The worst of the values; NaN is worse than any."""
    found = [float(value) for value in values if value is not None]
    return number(next((value for value in found if math.isnan(value)), choose(found)))


def _summed(found: Sequence[TopK]) -> TopK | None:
    if not found:
        return None
    rows = sum(item.rows for item in found)
    fives = [item.top5 * item.rows for item in found if item.top5 is not None]
    return TopK(
        rows=rows,
        top1=sum(item.top1 for item in found),
        top5=sum(fives) / rows if len(fives) == len(found) else None,
    )
