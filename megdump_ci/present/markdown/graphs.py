"""The models in markdown: what they are, what optimising changed, what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from megdump_ci.difference import working
from megdump_ci.present.markdown import markup
from megdump_ci.present.text import size_text
from megdump_ci.report import Graph, Report, Tensor

_TENSORS = 20
"""Inputs or outputs that are listed."""
_KINDS = 30
"""Types of operators that are listed."""


def models(report: Report) -> Iterator[str]:
    """The graphs of the run: each with its file, its size, its inputs and outputs."""
    named = [
        ("model", report.model),
        ("exported", report.exported),
        ("packed", report.packed),
        ("deploy", report.deploy),
    ]
    graphs = [(name, graph) for name, graph in named if graph is not None]
    if not graphs:
        return
    files = markup.table(
        ("", "file", "size", "format", "operators", "parameters", "digest"),
        [_graph_row(name, graph) for name, graph in graphs] + _strip_info_rows(report),
    )
    graph = graphs[0][1]
    facts = markup.facts(
        [
            ("inputs", _tensors(graph.inputs)),
            ("outputs", _tensors(graph.outputs)),
            ("operators", _counts(working(graph.operators))),
            ("dtypes between operators", _counts(graph.dtypes)),
        ]
    )
    yield markup.folded(_in_short(graph), files + facts)


def _in_short(graph: Graph) -> str:
    operators = working(graph.operators).total()
    facts = f"{size_text(graph.size)}, {markup.escaped(graph.format)}, {operators} operators"
    return f"Files: {markup.code(graph.path)}, {facts}"


def _graph_row(name: str, graph: Graph) -> str:
    return markup.row(
        (
            name,
            markup.code(graph.path),
            size_text(graph.size),
            markup.escaped(graph.format),
            str(working(graph.operators).total()),
            f"{graph.parameters} ({size_text(graph.parameter_bytes)})",
            markup.code(graph.digest),
        )
    )


def _strip_info_rows(report: Report) -> list[str]:
    return [
        markup.row(
            (
                f"strip info ({info.describes})",
                markup.code(info.path),
                *[""] * 4,
                f"hash {info.hash}",
            )
        )
        for info in report.strip_info
    ]


def _tensors(tensors: Sequence[Tensor]) -> str:
    shown = [f"{markup.code(item.name, 100)} {_type(item)}" for item in tensors[:_TENSORS]]
    if len(tensors) > _TENSORS:
        shown.append(f"and {len(tensors) - _TENSORS} more")
    return "<br>".join(shown)


def _type(tensor: Tensor) -> str:
    shape = "of any shape" if tensor.shape is None else f"({', '.join(map(str, tensor.shape))})"
    return f"{markup.escaped(tensor.dtype)} {shape}"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{count} {markup.escaped(kind, 60)}" for kind, count in ordered[:_KINDS]]
    if len(ordered) > _KINDS:
        shown.append(f"and {len(ordered) - _KINDS} more types")
    return ", ".join(shown)


def change(report: Report) -> Iterator[str]:
    """What optimising changed."""
    found = report.change
    if found is None:
        return
    added = {kind: count for kind, count in found.added.items() if kind not in found.fused}
    yield markup.folded(
        f"Optimised: {found.operators_before} to {found.operators_after} operators,"
        f" {size_text(found.size_before)} to {size_text(found.size_after)}",
        markup.facts(
            [
                ("passes", ", ".join(markup.code(name) for name in found.passes)),
                ("fused", _counts(found.fused)),
                ("new", _counts(added)),
                ("gone", _counts(found.removed)),
                ("dtypes before", _counts(found.dtypes_before)),
                ("dtypes after", _counts(found.dtypes_after)),
            ]
        ),
    )
