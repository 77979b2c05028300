"""What changed from a base model, and how far outputs drift, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from megdump_ci.baseline import parameter_name, parameter_text, sqnr_text, tensor_text
from megdump_ci.present.text import number_text, one_line, size_text
from megdump_ci.report import Baseline, Drift, Edit, OperatorChange, ParameterChange

SHOWN = 10
"""Operators and parameters that are named, of each; the rest is in report.json."""

_EDITS = 3
_NAME = 60
_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def lines(found: Baseline) -> list[Text]:
    """The kind of change, what changed, and the drift of each output."""
    parts = [Text(one_line(found.headline, 400), "bold")]
    changes = [*_tensors(found), *_operators(found), *_parameters(found)]
    parts += [Text(f"  {one_line(line)}", _STYLES.get(line[0], "dim")) for line in changes]
    parts += [Text(f"  {one_line(line)}") for line in (*_sizes(found), *found.notes)]
    return parts + [Text(one_line(line)) for line in _drifts(found)]


def _tensors(found: Baseline) -> Iterator[str]:
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        for change in tensors[:SHOWN]:
            yield f"{_MARKS[change.how]} {what} {tensor_text(change)}"
        yield from _more(len(tensors), what)


def _operators(found: Baseline) -> Iterator[str]:
    """Those that changed by themselves; how many have other results alone, since others did."""
    telling = [change for change in found.operators if not _follows(change)]
    for change in telling[:SHOWN]:
        yield f"{_MARKS[change.how]} {_operator(change)}"
    totals = found.operator_totals
    rest = totals.changed + totals.added + totals.removed - len(telling[:SHOWN])
    if rest:
        alone = len(telling) <= SHOWN and len(telling) < len(found.operators)
        why = ", in shape or dtype of results alone" if alone else ""
        yield f"  and {rest} more {'operator' if rest == 1 else 'operators'}{why}"


def _follows(change: OperatorChange) -> bool:
    """Whether only shapes and dtypes of results differ, as they do behind any that changed."""
    return bool(change.edits) and all(
        edit.what.startswith(("shape", "dtype")) for edit in change.edits
    )


def _operator(change: OperatorChange) -> str:
    shown = change.edits[:_EDITS]
    more = [f"and {len(change.edits) - _EDITS} more"] if len(change.edits) > _EDITS else []
    edits = ", ".join([*map(_edit, shown), *more])
    name = one_line(change.name, _NAME)
    was = f", was {one_line(change.base_name, _NAME)}" if change.base_name else ""
    return f"{change.type} {name}{was}{f': {edits}' if edits else ''}"


def _edit(edit: Edit) -> str:
    before, after = (one_line(text, _NAME) or "none" for text in (edit.before, edit.after))
    return f"{edit.what} {after}, was {before}"


def _parameters(found: Baseline) -> Iterator[str]:
    totals = found.parameter_totals
    counts = {"changed": totals.changed, "added": totals.added, "removed": totals.removed}
    for how, count in counts.items():
        for change in [item for item in found.parameters if item.how == how][:SHOWN]:
            yield f"{_MARKS[how]} {_parameter(change)}"
        yield from _more(count, f"parameter {how}")


def _parameter(change: ParameterChange) -> str:
    name = one_line(parameter_name(change), 2 * _NAME)
    was = f", was {one_line(change.base_name, _NAME)}" if change.base_name else ""
    text = f"parameter {name}{was}: {parameter_text(change)}"
    if change.metrics is not None:
        text += f", max absolute {number_text(change.max_abs_error)}"
    return text


def _more(count: int, noun: str) -> Iterator[str]:
    if count > SHOWN:
        rest = count - SHOWN
        yield f"  and {rest} more {noun if rest == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    first, _, rest = noun.partition(" ")
    return f"{first}s {rest}".strip()


def _sizes(found: Baseline) -> Iterator[str]:
    base, model = found.base, found.model
    if base.size != model.size:
        yield f"size {size_text(model.size)}, was {size_text(base.size)}"
    if base.parameters != model.parameters:
        yield f"{model.parameters} elements in parameters, were {base.parameters}"


def _drifts(found: Baseline) -> Iterator[str]:
    if found.reason:
        yield f"drift: {found.reason}"
        return
    noun = "testcase" if found.testcases == 1 else "testcases"
    same = [drift for drift in found.drift if _is_same(drift)]
    for drift in found.drift:
        if drift not in same:
            yield f"drift on {found.testcases} {noun}: {drift_text(drift)}"
    if same:
        names = ", ".join(_output(drift) for drift in same[:SHOWN])
        more = f" and {len(same) - SHOWN} more" if len(same) > SHOWN else ""
        yield f"no drift on {found.testcases} {noun}: {names}{more}"


def _is_same(drift: Drift) -> bool:
    return not drift.reason and drift.max_error == 0


def _output(drift: Drift) -> str:
    was = f" (was {one_line(drift.base_output, _NAME)})" if drift.base_output else ""
    return one_line(drift.output, _NAME) + was


def drift_text(drift: Drift) -> str:
    """How far an output drifts, by the worst of all testcases."""
    name = _output(drift)
    if not drift.compared:
        return f"{name} not compared: {drift.reason}"
    parts = [f"max error {number_text(drift.max_error)}"]
    if drift.max_error != "nan":
        # These are over what is a number on both sides.
        parts += [f"cosine {float(drift.cosine or 0):.4g}", f"SQNR {sqnr_text(drift.sqnr)}"]
    if drift.top_k is not None:
        parts.append(f"top-1 agreement {drift.top_k.top1} of {drift.top_k.rows}")
    if drift.reason:
        parts.append(f"compared in {drift.compared}: {drift.reason}")
    return f"{name} {', '.join(parts)}"
