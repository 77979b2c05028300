"""Which value of an optimised graph stands for which of the model, and what lies between them.

Pure functions over graphs as plain data. Optimising keeps the name of a value that it computes in
another way (``OptState::on_var_replaced`` of ``src/gopt/impl/framework.cpp`` in MegEngine), and
gives what it makes up new names. A value of the model whose name is gone was computed together
with others: it belongs to the *region* of the next value that is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from megdump_ci import layouts
from megdump_ci.layouts import Layout

Kind = Literal["name", "output"]

CONVERSIONS = ("TypeCvt", "RelayoutFormat", "Dimshuffle", "Reshape")
"""Types of operators that optimising puts between others, to give the same values another form."""

_SHAPES = "GetVarShape"
_REAL = ("float", "Quantized", "bfloat")


@dataclass(frozen=True)
class Operator:
    """An operator: the values it takes and makes, by number."""

    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: str = ""


@dataclass(frozen=True)
class Value:
    """What an operator makes. ``shape`` is ``None`` where the graph leaves it open."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    operator: int
    """Place of the operator that makes it."""


@dataclass(frozen=True)
class Network:
    """A graph: its operators, each behind those it depends on, and their values by number."""

    operators: Sequence[Operator]
    values: Mapping[int, Value]
    inputs: Sequence[int]
    outputs: Sequence[int]

    def maker(self, value: int) -> Operator:
        """The operator that makes a value."""
        return self.operators[self.values[value].operator]

    def name(self, operator: Operator) -> str:
        """The name of an operator: that of its first result that is used."""
        used = (value for value in operator.outputs if value in self.used)
        return self.values[next(used, operator.outputs[0])].name

    @cached_property
    def flowing(self) -> frozenset[int]:
        """The values that depend on those of the inputs; constants and shapes do not."""
        found = set(self.inputs)
        for operator in self.operators:
            if operator.type != _SHAPES and any(value in found for value in operator.inputs):
                found.update(operator.outputs)
        return frozenset(found)

    @cached_property
    def used(self) -> frozenset[int]:
        """The values that an operator takes, and the outputs."""
        taken = {value for operator in self.operators for value in operator.inputs}
        return frozenset(taken.union(self.outputs))

    @cached_property
    def working(self) -> list[int]:
        """The values that operators compute from those of the inputs, in order."""
        inputs = set(self.inputs)
        return [
            value
            for operator in self.operators
            for value in operator.outputs
            if value in self.flowing and value in self.used and value not in inputs
        ]

    @cached_property
    def told(self) -> dict[int, Layout]:
        """The layouts of values, as far as the operators tell.

        A conversion that does not say what it makes is told by the shapes, and by what others say.
        An operator without a format keeps that of its first input of as many axes that has one.
        """
        own = [layouts.told(operator.type, operator.params) for operator in self.operators]
        spoken = {layout for layout in own if layout is not None}
        found: dict[int, Layout] = {}
        for operator, layout in zip(self.operators, own, strict=True):
            for output in operator.outputs:
                made = layout or self._converted(operator, output, spoken)
                made = made or self._handed_on(operator, output, found)
                if made is not None:
                    found[output] = made
        return found

    def _converted(self, operator: Operator, output: int, spoken: set[Layout]) -> Layout | None:
        if operator.type != "RelayoutFormat":
            return None
        before, after = self.values[operator.inputs[0]].shape, self.values[output].shape
        if before is None or after is None:
            return None
        if len(after) == 4 and len(before) == 5:
            return layouts.NCHW
        choice = [layout for layout in layouts.LAYOUTS.values() if layout.holds(before, after)]
        likely = [layout for layout in choice if layout in spoken] or choice
        return likely[0] if len(likely) == 1 else None

    def _handed_on(
        self, operator: Operator, output: int, found: Mapping[int, Layout]
    ) -> Layout | None:
        axes = _axes(self.values[output])
        alike = (found.get(i) for i in operator.inputs if _axes(self.values[i]) == axes)
        return next((layout for layout in alike if layout is not None), None)

    def back(self, start: int, ends: Callable[[int], bool]) -> tuple[list[int], list[int]]:
        """Operators that ``start`` is computed by, back to values that are ``ends``, and these.

        Both in the order of the graph; the operator of ``start`` is the last. ``start`` itself is
        no end. Operators that do not depend on the inputs, or only give a shape, are left out.
        """
        operators, _ = self._back(start, lambda value: ends(value) or value not in self.flowing)
        _, given = self._back(start, ends)
        return sorted(operators), sorted(given, key=lambda value: self.values[value].operator)

    def _back(self, start: int, ends: Callable[[int], bool]) -> tuple[set[int], set[int]]:
        operators: set[int] = set()
        given: set[int] = set()
        waiting = [start]
        while waiting:
            place = self.values[waiting.pop()].operator
            if place in operators:
                continue
            operators.add(place)
            for value in self.operators[place].inputs:
                (given.add if ends(value) else waiting.append)(value)
        return operators, given


def _axes(value: Value) -> int | None:
    return len(value.shape) if value.shape is not None else None


@dataclass(frozen=True)
class Match:
    """The value of the optimised graph that stands for one of the model."""

    value: int
    kind: Kind
    layout: Layout | None = None
    """How it lies in memory; ``None`` for what is no image."""


def matched(
    model: Network, optimized: Network, outputs: Sequence[int] | None = None
) -> dict[int, Match]:
    """The counterparts of the model's values: its outputs by their order, others by name.

    ``outputs`` are those of the optimised graph, if they are not its own. A name that is there
    twice tells nothing, unless all but one of the optimised values are conversions of it.
    """
    found: dict[int, Match] = {}
    ends = optimized.outputs if outputs is None else outputs
    if len(ends) == len(model.outputs):
        for own, other in zip(model.outputs, ends, strict=True):
            _add(found, model, optimized, own, Match(other, "output"))
    names = _unique(optimized, optimized.working)
    for name, value in _unique(model, model.working, strictly=True).items():
        if name and name in names and value not in found:
            _add(found, model, optimized, value, Match(names[name], "name"))
    return found


def _add(
    found: dict[int, Match], model: Network, optimized: Network, value: int, match: Match
) -> None:
    own, other = model.values[value], optimized.values[match.value]
    if value not in model.flowing or match.value not in optimized.flowing:
        return
    if own.dtype != other.dtype and not (_is_real(own.dtype) and _is_real(other.dtype)):
        return
    layout = None
    if own.shape is not None and other.shape is not None:
        layout = layouts.fitting(own.shape, other.shape, optimized.told.get(match.value))
        if layout is None and own.shape != other.shape:
            return
    found[value] = Match(match.value, match.kind, layout)


def _is_real(dtype: str) -> bool:
    return dtype.startswith(_REAL)


def _unique(network: Network, values: Sequence[int], *, strictly: bool = False) -> dict[str, int]:
    """Values by name, without names that stand for several."""
    named: dict[str, list[int]] = {}
    for value in values:
        named.setdefault(network.values[value].name, []).append(value)
    found = {}
    for name, group in named.items():
        own = [v for v in group if network.maker(v).type not in CONVERSIONS]
        left = group if strictly or len(group) == 1 else own
        if len(left) == 1:
            found[name] = left[0]
    return found


@dataclass(frozen=True)
class Region:
    """What lies between a value of the model that has a counterpart and those it depends on."""

    value: int
    given: tuple[int, ...]
    """Matched values and inputs that it is computed from."""
    operators: tuple[int, ...]
    """Operators of the model that compute it from these; its own is the last."""
    optimized: tuple[int, ...]
    """Those of the optimised graph that compute the counterpart."""
    reads: frozenset[int]
    """All that these take, constants included, and the counterpart."""

    @property
    def covers(self) -> tuple[int, ...]:
        """Operators of the model that have no counterpart of their own."""
        return self.operators[:-1]


def regions(model: Network, optimized: Network, matches: Mapping[int, Match]) -> list[Region]:
    """The regions of all matched values, in the order of the model."""
    others = {match.value for match in matches.values()} | set(optimized.inputs)
    inputs = set(model.inputs)
    found = []
    for value in model.working:
        if value not in matches:
            continue
        own, given = model.back(value, lambda v: v in matches or v in inputs)
        counterpart = matches[value].value
        other, _ = optimized.back(counterpart, others.__contains__)
        reads = {v for place in other for v in optimized.operators[place].inputs}
        found.append(
            Region(
                value,
                tuple(given),
                tuple(own),
                tuple(other),
                frozenset(reads | {counterpart}),
            )
        )
    return found


def is_fused(optimized: Network, region: Region) -> bool:
    """Whether fewer operators compute the counterpart than compute the value in the model."""
    kinds = [optimized.operators[place].type for place in region.optimized]
    return sum(kind not in CONVERSIONS for kind in kinds) < len(region.operators)


def chain(model: Network, value: int) -> list[int]:
    """A shortest chain of values from an input to ``value``, both included."""
    inputs = set(model.inputs)
    before: dict[int, int | None] = {value: None}
    waiting = [value]
    for current in waiting:
        if current in inputs:
            return _followed(before, current)
        for earlier in model.maker(current).inputs:
            if earlier in model.flowing and earlier not in before:
                before[earlier] = current
                waiting.append(earlier)
    return [value]


def _followed(after: Mapping[int, int | None], start: int) -> list[int]:
    found = [start]
    step = after[start]
    while step is not None:
        found.append(step)
        step = after[step]
    return found


def reached(model: Network, values: Sequence[int]) -> set[int]:
    """All values that depend on one of ``values``, these included."""
    found = set(values)
    for operator in model.operators:
        if any(value in found for value in operator.inputs):
            found.update(operator.outputs)
    return found


def aligned(left: Network, right: Network) -> dict[int, int] | None:
    """The values of two graphs that are put together alike, one to one; ``None`` if they are not.

    The parameters of operators may differ, and so may the values of constants.
    """
    if len(left.outputs) != len(right.outputs):
        return None
    found: dict[int, int] = {}
    waiting = list(zip(left.outputs, right.outputs, strict=True))
    while waiting:
        one, other = waiting.pop()
        if one in found:
            if found[one] != other:
                return None
            continue
        mine, theirs = left.maker(one), right.maker(other)
        if mine.type != theirs.type or not _same_form(mine, theirs):
            return None
        if mine.outputs.index(one) != theirs.outputs.index(other):
            return None
        found.update(zip(mine.outputs, theirs.outputs, strict=True))
        waiting += zip(mine.inputs, theirs.inputs, strict=True)
    return found


def _same_form(one: Operator, other: Operator) -> bool:
    return (len(one.inputs), len(one.outputs)) == (len(other.inputs), len(other.outputs))
