"""In markdown: the operator that goes wrong first, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from megdump_ci.present import locate
from megdump_ci.present.markdown import markup
from megdump_ci.present.text import number_text
from megdump_ci.report import Operator, Report, Step

_CHAIN = 8
"""Operators of a chain that are drawn, the last ones."""
_OUTPUTS = 3

_STYLES = {
    "ok": "fill:#1a7f37,stroke:#1a7f37,color:#fff",
    "source": "fill:#cf222e,stroke:#cf222e,color:#fff",
    "follows": "fill:none,stroke:#cf222e",
    "unknown": "fill:none,stroke:#6e7781,stroke-dasharray:4",
}
"""What a node looks like, by the status of its operator; both themes show these."""


def location(report: Report) -> Iterator[str]:
    """Where the optimised graph first computes something else than the model."""
    found = report.location
    if found is None:
        return
    first, *rest = [line.plain.strip() for line in locate.lines(found)]
    yield markup.paragraph(f"<b>{markup.escaped(first, 400)}</b>")
    rest.append(f"on testcase {found.testcase}; what fails: {found.criterion}")
    yield markup.bullets(markup.escaped(line, 400) for line in rest)
    if found.wrong:
        yield _flow(found.wrong[0], {step.name: step for step in found.operators})


def _flow(operator: Operator, steps: dict[str, Step]) -> str:
    """The way to an operator, and on to the outputs: where it stands says more than its name."""
    names = operator.chain[-_CHAIN:]
    # A node alone says nothing more.
    if len(names) < 2:
        return ""
    last = len(names) - 1
    lines = ["flowchart LR"]
    if len(operator.chain) > len(names):
        lines.append(f'  before["{len(operator.chain) - len(names)} more"]:::unknown --> n0')
    for place, name in enumerate(names):
        lines.append(_node(f"n{place}", name, steps.get(name), wrong=place == last))
        if place:
            lines.append(f"  n{place - 1} --> n{place}")
    for place, name in enumerate(_behind(operator)):
        lines += [_node(f"o{place}", name, steps.get(name)), f"  n{last} -.-> o{place}"]
    lines += [f"  classDef {name} {style}" for name, style in _STYLES.items()]
    return markup.chart(lines)


def _behind(operator: Operator) -> Sequence[str]:
    return [name for name in operator.outputs if name != operator.name][:_OUTPUTS]


def _node(key: str, name: str, step: Step | None, *, wrong: bool = False) -> str:
    texts = [name]
    if step is not None:
        texts.append(step.type)
        texts += [f"error {number_text(step.error)}"] if step.error is not None else []
    status = step.status if step is not None else "unknown"
    style = "source" if wrong else status if status in _STYLES else "unknown"
    return f'  {key}["{"<br/>".join(map(markup.label, texts))}"]:::{style}'
