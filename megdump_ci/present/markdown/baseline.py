"""In markdown: what changed from a base model, and how far the outputs drift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from megdump_ci.present.markdown import markup
from megdump_ci.present.markdown.testcases import quality_text
from megdump_ci.present.text import number_text, size_text
from megdump_ci.report import (
    Baseline,
    Drift,
    Edit,
    OperatorChange,
    ParameterChange,
    Report,
    TensorChange,
    Totals,
)

_ROWS = 30


def baseline(report: Report) -> Iterator[str]:
    """What a reviewer asks of a change: its kind, its drift, and each thing that it touches."""
    found = report.baseline
    if found is None:
        return
    base = f"{markup.code(found.base.path)}, {size_text(found.base.size)}"
    yield markup.paragraph(f"<b>{markup.escaped(found.headline)}</b><br>against {base}")
    yield markup.bullets(markup.escaped(note) for note in _notes(found))
    yield _drift(found)
    yield _tensors("Inputs", found.inputs)
    yield _tensors("Outputs", found.outputs)
    yield markup.folded(
        f"Operators: {_counted(found.operator_totals)}",
        markup.table(
            ("", "type", "operator", "what"),
            [_operator(item) for item in found.operators[:_ROWS]],
        )
        + _more(len(found.operators)),
    )
    yield markup.folded(
        f"Parameters: {_counted(found.parameter_totals)}",
        markup.table(
            ("", "parameter", "used by", "was", "is", "max abs. error", "SQNR, dB"),
            [_parameter(item) for item in found.parameters[:_ROWS]],
        )
        + _more(len(found.parameters)),
    )


def _notes(found: Baseline) -> list[str]:
    return [*found.notes, *([f"outputs not compared: {found.reason}"] if found.reason else [])]


def _drift(found: Baseline) -> str:
    rows = [_drift_row(item) for item in found.drift[:_ROWS]]
    titles = ("output", "max error", "max abs. error", "cosine", "SQNR, dB", "same best class", "")
    return markup.table(titles, rows) + _more(len(found.drift))


def _drift_row(item: Drift) -> str:
    where = f"worst in testcase {item.testcase}" if item.max_error else ""
    top = "" if item.top_k is None else f"{item.top_k.top1} of {item.top_k.rows}"
    return markup.row(
        (
            _renamed(item.output, item.base_output),
            number_text(item.max_error),
            number_text(item.max_abs_error),
            quality_text(item.cosine),
            number_text(item.sqnr),
            top,
            "; ".join(filter(None, (where, markup.escaped(item.reason)))),
        )
    )


def _renamed(name: str, before: str) -> str:
    was = f" (was {markup.code(before, 60)})" if before else ""
    return markup.code(name, 60) + was


def _tensors(title: str, changes: Sequence[TensorChange]) -> str:
    items = [_tensor(item) for item in changes[:_ROWS]]
    return markup.paragraph(f"{title}:") + markup.bullets(items) if items else ""


def _tensor(item: TensorChange) -> str:
    tensor = item.model or item.base
    name = markup.code(tensor.name, 60) if tensor is not None else ""
    fits = "what uses it goes on to work" if item.compatible else "what uses it has to change"
    return f"{name} {item.how}: {_edits(item.edits) or fits}{f', {fits}' if item.edits else ''}"


def _edits(edits: Sequence[Edit]) -> str:
    return "; ".join(
        f"{markup.escaped(edit.what, 60)} {_side(edit.before)} to {_side(edit.after)}"
        for edit in edits[:10]
    )


def _side(text: str) -> str:
    return markup.code(text, 60) if text else "none"


def _operator(item: OperatorChange) -> str:
    name = _renamed(item.name, item.base_name)
    return markup.row((item.how, markup.escaped(item.type, 60), name, _edits(item.edits)))


def _parameter(item: ParameterChange) -> str:
    def shown(side: str) -> str:
        tensor = item.base if side == "base" else item.model
        if tensor is None:
            return ""
        shape = "" if tensor.shape is None else f" ({', '.join(map(str, tensor.shape))})"
        return f"{markup.escaped(tensor.dtype)}{shape}"

    return markup.row(
        (
            item.how,
            _renamed(item.name, item.base_name),
            markup.escaped(item.used_by, 80),
            shown("base"),
            shown("model"),
            number_text(item.max_abs_error),
            number_text(item.metrics.sqnr if item.metrics is not None else None),
        )
    )


def _counted(totals: Totals) -> str:
    named = ("changed", "added", "removed", "renamed", "alike")
    counts = [f"{getattr(totals, name)} {name}" for name in named if getattr(totals, name)]
    return ", ".join(counts) or "none"


def _more(count: int) -> str:
    return markup.paragraph(f"{count - _ROWS} more in report.json.") if count > _ROWS else ""
