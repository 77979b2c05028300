"""What differs between two graphs whose operators were matched, as the report has it.

Pure functions of an :class:`megdump_ci.alignment.Alignment`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from megdump_ci.alignment import Alignment, Constants, Side, params
from megdump_ci.compare import Difference
from megdump_ci.judging import metrics, non_finite
from megdump_ci.naming import is_stable
from megdump_ci.report import (
    Edit,
    OperatorChange,
    ParameterChange,
    Tensor,
    TensorChange,
    Totals,
    number,
)

_OWN, _NEW_OR_GONE, _WIRED, _RESULTS = range(4)
"""What a reader looks at first: changes of the operator itself, then what follows from others."""


def operators(alignment: Alignment) -> tuple[list[OperatorChange], Totals]:
    """The operators that changed, the most telling ones first, and how many are what."""
    ranked: list[tuple[int, OperatorChange]] = []
    alike = changed = renamed = 0
    for own, other in sorted(alignment.partners.items(), key=lambda pair: pair[1]):
        edits, rank = _edits(alignment, own, other)
        renamed += _renamed(_name(alignment.base, own), _name(alignment.model, other))
        if edits:
            changed += 1
            ranked.append((rank, _changed(alignment, own, other, edits)))
        else:
            alike += 1
    added = _alone(alignment.model, alignment.taken, "added")
    removed = _alone(alignment.base, alignment.partners.keys(), "removed")
    ranked += [(_NEW_OR_GONE, item) for item in (*added, *removed)]
    totals = Totals(
        alike=alike, changed=changed, added=len(added), removed=len(removed), renamed=renamed
    )
    # sorted() keeps the order of the graph among equals.
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])], totals


def _name(side: Side, place: int) -> str:
    return side.network.name(side.network.operators[place])


def _renamed(own: str, other: str) -> bool:
    """Whether a name is another one; what the engine makes up is always another one."""
    return own != other and (is_stable(own) or is_stable(other))


def _alone(side: Side, matched: Iterable[int], how: str) -> list[OperatorChange]:
    left = set(side.places).difference(matched)
    return [
        OperatorChange(
            how="added" if how == "added" else "removed",
            type=side.network.operators[place].type,
            name=_name(side, place),
        )
        for place in sorted(left)
    ]


def _changed(alignment: Alignment, own: int, other: int, edits: Sequence[Edit]) -> OperatorChange:
    names = _name(alignment.base, own), _name(alignment.model, other)
    return OperatorChange(
        how="changed",
        type=alignment.model.network.operators[other].type,
        name=names[1],
        base_name=names[0] if _renamed(*names) else "",
        edits=list(edits),
    )


def _edits(alignment: Alignment, own: int, other: int) -> tuple[list[Edit], int]:
    """What differs between two matched operators, and how telling it is."""
    groups = {
        _OWN: _own_edits(alignment, own, other),
        _WIRED: _input_edits(alignment, own, other),
        _RESULTS: _result_edits(alignment, own, other),
    }
    found = [edit for edits in groups.values() for edit in edits]
    return found, next((rank for rank, edits in groups.items() if edits), _RESULTS)


def _own_edits(alignment: Alignment, own: int, other: int) -> list[Edit]:
    base = alignment.base.network.operators[own]
    model = alignment.model.network.operators[other]
    if base.type != model.type:
        # The parameters of one are not those of the other.
        return [Edit(what="type", before=base.type, after=model.type)]
    before, after = params(base), params(model)
    return [
        Edit(what=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def _input_edits(alignment: Alignment, own: int, other: int) -> list[Edit]:
    base, model = alignment.base, alignment.model
    pairs = alignment.inputs(own, other)
    slots = base.network.operators[own].inputs, model.network.operators[other].inputs
    found = [
        Edit(
            what=f"input {slots[1].index(theirs)}",
            before=_value_name(base, mine),
            after=_value_name(model, theirs),
        )
        for mine, theirs in pairs
        if not _is_same(alignment, mine, theirs)
    ]
    first = len(pairs)
    for slot, value in enumerate(slots[0][first:], first):
        found.append(Edit(what=f"input {slot}", before=_value_name(base, value), after=""))
    for slot, value in enumerate(slots[1][first:], first):
        found.append(Edit(what=f"input {slot}", before="", after=_value_name(model, value)))
    return found


def _is_same(alignment: Alignment, mine: int, theirs: int) -> bool:
    """Whether two values come from the same place; what constants hold is another question."""
    constant = alignment.base.is_constant(mine), alignment.model.is_constant(theirs)
    return all(constant) or (not any(constant) and alignment.same(mine, theirs))


def _value_name(side: Side, value: int) -> str:
    name = side.network.values[value].name
    return f"constant {name}" if side.is_constant(value) else name


def _result_edits(alignment: Alignment, own: int, other: int) -> list[Edit]:
    base, model = alignment.base, alignment.model
    results = base.network.operators[own].outputs, model.network.operators[other].outputs
    used = [
        (index, mine, theirs)
        for index, (mine, theirs) in enumerate(zip(*results, strict=False))
        if mine in base.network.used or theirs in model.network.used
    ]
    found = []
    for index, mine, theirs in used:
        suffix = f" of result {index}" if len(used) > 1 else ""
        edits = form_edits(tensor(base, mine), tensor(model, theirs))
        found += [msgspec.structs.replace(edit, what=edit.what + suffix) for edit in edits]
    return found


def tensor(side: Side, value: int) -> Tensor:
    """A value as the report has it."""
    found = side.network.values[value]
    shape = list(found.shape) if found.shape is not None else None
    return Tensor(name=found.name, dtype=found.dtype, shape=shape)


def form_edits(before: Tensor, after: Tensor) -> list[Edit]:
    """How shape and dtype of a tensor differ."""
    pairs = {
        "shape": (shape_text(before.shape), shape_text(after.shape)),
        "dtype": (before.dtype, after.dtype),
    }
    return [Edit(what=what, before=a, after=b) for what, (a, b) in pairs.items() if a != b]


def shape_text(shape: Sequence[int] | None) -> str:
    """``(1, 3, 224, 224)``, or ``open``."""
    return "open" if shape is None else f"({', '.join(map(str, shape))})"


@dataclass(frozen=True)
class Parameters:
    """The constants of two graphs, by their values' numbers."""

    pairs: list[tuple[int, int]]
    added: list[int]
    removed: list[int]


def parameters(alignment: Alignment, constants: tuple[Constants, Constants]) -> Parameters:
    """Which constant of one graph is which of the other one.

    It is the one that the same operator takes in the same place; of those left, the one of the
    same name, or else of the same values.
    """
    base, model = alignment.base, alignment.model
    pairs = list(dict.fromkeys(_used_alike(alignment)))
    own = _without(base.constants, [a for a, _ in pairs])
    other = _without(model.constants, [b for _, b in pairs])
    for keys in (
        (partial(_stable_name, base), partial(_stable_name, model)),
        (partial(_digest, constants[0]), partial(_digest, constants[1])),
    ):
        found = _joined(own, other, keys)
        pairs += found
        own = _without(own, [a for a, _ in found])
        other = _without(other, [b for _, b in found])
    return Parameters(pairs, added=other, removed=own)


def _without(values: Iterable[int], gone: Iterable[int]) -> list[int]:
    left_out = set(gone)
    return [value for value in values if value not in left_out]


def _used_alike(alignment: Alignment) -> Iterator[tuple[int, int]]:
    """Constants that matched operators take in the same place, or that are the same output."""
    base, model = alignment.base, alignment.model
    ends = [
        (base.network.outputs[own], model.network.outputs[other])
        for own, other in alignment.outputs
    ]
    pairs = (alignment.inputs(*pair) for pair in sorted(alignment.partners.items()))
    for mine, theirs in itertools.chain(*pairs, ends):
        if base.is_constant(mine) and model.is_constant(theirs):
            yield mine, theirs


def _stable_name(side: Side, value: int) -> str:
    name = side.network.values[value].name
    return name if is_stable(name) else ""


def _digest(constants: Constants, value: int) -> str:
    return constants[value].digest if value in constants else ""


_Key = Callable[[int], str]


def _joined(
    own: Sequence[int], other: Sequence[int], keys: tuple[_Key, _Key]
) -> list[tuple[int, int]]:
    """Pairs of values with the same key, which no other one has."""
    left, right = (_unique(*item) for item in zip((own, other), keys, strict=True))
    return [(left[key], right[key]) for key in left if key in right]


def _unique(values: Sequence[int], key: _Key) -> dict[str, int]:
    found = {value: key(value) for value in values}
    counts = Counter(found.values())
    return {text: value for value, text in found.items() if text and counts[text] == 1}


def inputs(alignment: Alignment) -> list[TensorChange]:
    """The inputs that are new, gone or not what they were."""
    base, model = alignment.base, alignment.model
    own = {base.network.values[value].operator: value for value in base.network.inputs}
    other = {model.network.values[value].operator: value for value in model.network.inputs}
    found = []
    for place, value in own.items():
        before = tensor(base, value)
        if place not in alignment.partners:
            found.append(TensorChange(how="removed", base=before))
            continue
        after = tensor(model, other[alignment.partners[place]])
        edits = [*_name_edits(before, after), *form_edits(before, after)]
        if edits:
            found.append(TensorChange(how="changed", base=before, model=after, edits=edits))
    new = [value for place, value in other.items() if place not in alignment.taken]
    return found + [TensorChange(how="added", model=tensor(model, value)) for value in new]


def outputs(alignment: Alignment) -> list[TensorChange]:
    """The outputs that are new, gone or not what they were."""
    base, model = alignment.base, alignment.model
    pairs = output_pairs(alignment)
    found = []
    for place, value in enumerate(base.network.outputs):
        if place not in pairs:
            found.append(TensorChange(how="removed", base=tensor(base, value)))
            continue
        theirs = model.network.outputs[pairs[place]]
        before, after = tensor(base, value), tensor(model, theirs)
        faces = [*_name_edits(before, after), *form_edits(before, after)]
        if pairs[place] != place:
            faces.append(Edit(what="place", before=str(place), after=str(pairs[place])))
        edits = [*faces, *_origin_edits(alignment, value, theirs)]
        if edits:
            found.append(
                TensorChange(
                    how="changed", base=before, model=after, edits=edits, compatible=not faces
                )
            )
    new = [i for i in range(len(model.network.outputs)) if i not in pairs.values()]
    # One between the others changes the places of these, which is said of them.
    return found + [
        TensorChange(how="added", model=tensor(model, model.network.outputs[i]), compatible=True)
        for i in new
    ]


def output_pairs(alignment: Alignment) -> dict[int, int]:
    """The outputs of the base model and those of the new one that they are, by place.

    They have the same name, or else the same operator computes them.
    """
    base, model = alignment.base.network, alignment.model.network
    found: dict[int, int] = {}
    for own, other in alignment.outputs:
        names = base.values[base.outputs[own]].name, model.values[model.outputs[other]].name
        if names[0] == names[1]:
            found[own] = other
    for own, value in enumerate(base.outputs):
        for other, theirs in enumerate(model.outputs):
            free = own not in found and other not in found.values()
            if free and _is_same(alignment, value, theirs):
                found[own] = other
    return found


def _name_edits(before: Tensor, after: Tensor) -> list[Edit]:
    if before.name == after.name:
        return []
    return [Edit(what="name", before=before.name, after=after.name)]


def _origin_edits(alignment: Alignment, mine: int, theirs: int) -> list[Edit]:
    """How an output is computed by another operator than it was."""
    if _is_same(alignment, mine, theirs):
        return []
    types = alignment.base.network.maker(mine).type, alignment.model.network.maker(theirs).type
    return [Edit(what="computed by", before=types[0], after=types[1])]


def parameter_change(
    alignment: Alignment, own: int, other: int, found: Difference | None
) -> ParameterChange:
    """A constant that is not what it was; ``found`` is ``None`` where the shapes differ."""
    base, model = alignment.base, alignment.model
    before, after = tensor(base, own), tensor(model, other)
    change = ParameterChange(
        how="changed",
        name=after.name,
        base_name=before.name if _renamed(before.name, after.name) else "",
        used_by=_user(model, other),
        base=before,
        model=after,
    )
    if found is None:
        return change
    return msgspec.structs.replace(
        change,
        max_abs_error=number(found.max_abs_error),
        metrics=msgspec.structs.replace(metrics(found), worst=[], histogram=[]),
        base_non_finite=non_finite(found.expected_non_finite),
        non_finite=non_finite(found.computed_non_finite),
    )


def lone_parameters(alignment: Alignment, found: Parameters) -> list[ParameterChange]:
    """The constants that only one of the graphs has."""
    base, model = alignment.base, alignment.model
    changes = []
    for value in found.added:
        new = tensor(model, value)
        changes.append(
            ParameterChange(how="added", name=new.name, model=new, used_by=_user(model, value))
        )
    for value in found.removed:
        old = tensor(base, value)
        changes.append(
            ParameterChange(how="removed", name=old.name, base=old, used_by=_user(base, value))
        )
    return changes


def _user(side: Side, value: int) -> str:
    """The first operator that takes a constant, and as what."""
    users = side.users.get(value, [])
    if not users:
        return ""
    place, slot = users[0]
    return f"{side.network.operators[place].type} {_name(side, place)}, input {slot}"


def parameter_totals(alignment: Alignment, found: Parameters, changed: int) -> Totals:
    """How many constants are what; so many of the pairs are not alike."""
    base, model = alignment.base.network.values, alignment.model.network.values
    return Totals(
        alike=len(found.pairs) - changed,
        changed=changed,
        added=len(found.added),
        removed=len(found.removed),
        renamed=sum(_renamed(base[a].name, model[b].name) for a, b in found.pairs),
    )
