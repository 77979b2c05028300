"""Where a packed graph first goes wrong, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from megdump_ci.present.text import number_text, one_line
from megdump_ci.report import Altered, Location, Operator, Tensor

_ARROW = " \u2192 "
_LONG = 6
"""Steps of a chain that are shown whole; of a longer one, the ends are."""


def lines(location: Location) -> list[Text]:
    """The first wrong operator, or that there is none, and what else was found."""
    found: list[tuple[str, str]] = []
    if location.wrong:
        found += _operator(location.wrong[0])
    else:
        found.append((_nothing(location), ""))
        found += [(f"  {_altered(item)}", "") for item in location.altered[:3]]
    more = sum(step.status == "source" for step in location.operators) - 1
    if more > 0:
        named = [item.name for item in location.wrong[1:4]]
        rest = f" and {more - len(named)} more" if more > len(named) else ""
        found.append((f"  wrong by themselves, too: {', '.join(named)}{rest}", ""))
    if location.kernels == "naive":
        found.append(("  looked for with naive kernels", "dim"))
    found += [(f"  note: {note}", "dim") for note in location.notes]
    return [Text(one_line(text, 400), style) for text, style in found]


def headline(operator: Operator) -> str:
    """The operator with its types, shape and errors."""
    kind = operator.type
    if operator.covers:
        what = "fused" if operator.fused else "compared together"
        kind = f"{operator.optimized_type}, {what}: {_elided(operator.covers, ', ')}"
    elif operator.optimized_type != operator.type:
        kind = f"{operator.type}, now {operator.optimized_type}"
    metrics = operator.comparison.metrics
    sqnr = f", SQNR {float(metrics.sqnr):.3g} dB" if metrics is not None else ""
    return (
        f"{operator.name} ({kind}), {_form(operator)}, error"
        f" {number_text(operator.comparison.error)}{sqnr}"
    )


def _operator(operator: Operator) -> list[tuple[str, str]]:
    agree = "its inputs agree" if operator.inputs_agree else "its inputs differ already"
    found = [(f"first wrong operator: {headline(operator)}; {agree}", "red")]
    strange = operator.comparison.computed_non_finite
    if strange is not None:
        found.append((f"  {strange.nan} of its values are NaN and {strange.inf} infinite", ""))
    if operator.beyond_rounding is not None:
        times = number_text(operator.beyond_rounding)
        by = {"right": "; right with naive kernels", "wrong": "; with naive kernels too"}
        naive = by.get(operator.naive or "", "")
        found.append((f"  by itself off by {times} times what rounding explains{naive}", ""))
    found.append((f"  leads from: {_elided(operator.chain, _ARROW)}", ""))
    found += [(f"  {_altered(item)}", "red") for item in operator.altered[:3]]
    return found


def _form(operator: Operator) -> str:
    """The dtype that it is computed in, and the shape that the model gives it."""
    was, now = operator.output, operator.optimized
    dtype = now.dtype if now.dtype == was.dtype else f"{was.dtype} as {now.dtype}"
    layout = f" as {operator.layout}" if operator.layout not in ("", "NCHW") else ""
    return f"{dtype} {_shape(was)}{layout}"


def _shape(tensor: Tensor) -> str:
    return f"({','.join(map(str, tensor.shape))})" if tensor.shape is not None else "(open)"


def _altered(item: Altered) -> str:
    if item.kind == "parameter":
        return (
            f"{item.operator} has {item.name} {item.found} in the file, optimising the model gives"
            f" {item.expected}"
        )
    if not item.size:
        return (
            f"constant {item.name} of {item.operator} has shape {item.found} in the file,"
            f" optimising the model gives {item.expected}"
        )
    place = ", ".join(map(str, item.index))
    return (
        f"constant {item.name} of {item.operator} is not what optimising the model gives:"
        f" {item.differing} of {item.size} elements differ, at [{place}]"
        f" {float(item.expected):.6g} became {float(item.found):.6g}"
    )


def _nothing(location: Location) -> str:
    """What it means that no operator was wrong."""
    compared = [step for step in location.operators if step.error is not None]
    if not compared:
        return "no operator could be compared with the model's"
    first = next((step for step in compared if step.status == "follows"), None)
    if first is None:
        return f"no wrong operator: all {len(compared)} results that were compared agree"
    largest = location.nearest
    most = f"; most of it comes from {largest.name} ({largest.type})" if largest else ""
    return (
        f"no operator is wrong by itself: rounding adds up, from {first.name} ({first.type}) on"
        f" beyond what passes{most}"
    )


def _elided(names: Sequence[str], between: str) -> str:
    if len(names) <= _LONG:
        return between.join(names)
    hidden = len(names) - _LONG + 1
    return between.join([*names[:2], f"({hidden} more)", *names[-(_LONG - 3) :]])
