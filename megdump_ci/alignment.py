"""Which operator of a base model is which of a new one.

Pure functions over graphs as plain data. If both have the same structure, walking them side by side
from their outputs tells. Otherwise operators are matched that are surely the same, by constants
with the same values, by their names, by inputs and outputs; from these the matching grows along
the graph to operators of the same type in the same place. What is left in between is new or gone.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from megdump_ci.difference import CONSTANTS
from megdump_ci.matching import Network, Operator
from megdump_ci.naming import is_stable

# Operators that may take their two inputs in any order, as the engine orders them by itself
# (dnn/src/common/elemwise/opr_impl_helper.cpp of MegEngine).
_COMMUTATIVE = (
    "ADD",
    "MUL",
    "MAX",
    "MIN",
    "EQ",
    "RMULH",
    "LOG_SUM_EXP",
    "FUSE_ADD_RELU",
    "FUSE_ADD_SIGMOID",
    "FUSE_ADD_TANH",
)

_EXACT, _LOOSE = 0, 1


@dataclass(frozen=True)
class Constant:
    """What a constant tensor holds."""

    digest: str
    """Of its dtype, shape and values."""
    telling: bool
    """Whether the same values elsewhere are no accident: they are many, and not all the same."""


Constants = Mapping[int, Constant]


def params(operator: Operator) -> dict[str, str]:
    """The parameters of an operator, as far as the engine tells them, by name.

    Nested ones have dots and indices in their names: ``desc[0].axisnum``.
    """
    try:
        return dict(_flat("", json.loads(operator.params or "{}")))
    except json.JSONDecodeError:
        return {"params": operator.params}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else key, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flat(f"{name}[{index}]", item)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Side:
    """One of the two graphs, with what matching asks of it.

    Operators are named by their places. Constants are none: they are part of those that take them,
    since the engine makes one of all constants with the same values.
    """

    network: Network

    def is_constant(self, value: int) -> bool:
        """Whether a value is that of a constant tensor."""
        return self.network.maker(value).type in CONSTANTS

    @cached_property
    def places(self) -> list[int]:
        """The operators, inputs included."""
        return [i for i, item in enumerate(self.network.operators) if item.type not in CONSTANTS]

    @cached_property
    def inputs(self) -> dict[int, str]:
        """The names of the inputs, by their operators."""
        values = self.network.values
        return {values[value].operator: values[value].name for value in self.network.inputs}

    @cached_property
    def constants(self) -> list[int]:
        """The values of the constant tensors, in the order in which they are used."""
        found = (
            value
            for operator in self.network.operators
            for value in operator.inputs
            if self.is_constant(value)
        )
        ends = (value for value in self.network.outputs if self.is_constant(value))
        return list(dict.fromkeys(itertools.chain(found, ends)))

    @cached_property
    def users(self) -> dict[int, list[tuple[int, int]]]:
        """The operators that take a value, each with the place of the value among its inputs."""
        found: dict[int, list[tuple[int, int]]] = {}
        for place, operator in enumerate(self.network.operators):
            for slot, value in enumerate(operator.inputs):
                found.setdefault(value, []).append((place, slot))
        return found

    @cached_property
    def is_commutative(self) -> list[bool]:
        """Whether each operator takes its two inputs in any order."""
        return [
            item.type == "Elemwise"
            and len(item.inputs) == 2
            and params(item).get("mode") in _COMMUTATIVE
            for item in self.network.operators
        ]

    @cached_property
    def signatures(self) -> list[tuple[object, ...]]:
        """What has to be the same for operators to be alike; not what they take."""
        return [
            (item.type, tuple(sorted(params(item).items())), *map(self.form, item.outputs))
            for item in self.network.operators
        ]

    def kind(self, place: int) -> tuple[str, int]:
        """What is the same for operators that do about the same.

        That is the type; of element-wise ones, which have one type for all that they do, also how
        many values they take.
        """
        operator = self.network.operators[place]
        return operator.type, len(operator.inputs) if operator.type == "Elemwise" else 0

    def form(self, value: int) -> tuple[str, tuple[int, ...] | None]:
        """Dtype and shape of a value."""
        found = self.network.values[value]
        return found.dtype, found.shape

    @cached_property
    def digests(self) -> dict[int, int]:
        """A number for each value that is the same for the same structure behind it."""
        found: dict[int, int] = {}
        for place, operator in enumerate(self.network.operators):
            behind = [found[value] for value in operator.inputs]
            if self.is_commutative[place]:
                behind.sort()
            kind = "" if operator.type in CONSTANTS else self.signatures[place]
            for index, value in enumerate(operator.outputs):
                found[value] = hash((kind, self.form(value), index, *behind))
        return found

    def source(self, value: int) -> tuple[int, int]:
        """The operator that makes a value, and the place of the value among its results."""
        place = self.network.values[value].operator
        return place, self.network.operators[place].outputs.index(value)

    @cached_property
    def named(self) -> dict[str, int]:
        """The operators by name, without names that are made up or there twice."""
        names = {place: self.network.name(self.network.operators[place]) for place in self.places}
        counts = Counter(names.values())
        return {
            name: place for place, name in names.items() if counts[name] == 1 and is_stable(name)
        }


@dataclass
class Alignment:
    """The operators of the base model and those of the new one that they are, by place."""

    base: Side
    model: Side
    partners: dict[int, int] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def match(self, own: int, other: int) -> bool:
        """Match two operators, if neither is matched yet and they are not inputs of other names."""
        if own in self.partners or other in self.taken or not self._may_be(own, other):
            return False
        self.partners[own] = other
        self.taken.add(other)
        return True

    def _may_be(self, own: int, other: int) -> bool:
        """Whether two operators are no inputs, or of one name, or of names that only one side has.

        Without that, inputs that change places would be the same operators under other names.
        """
        mine, theirs = self.base.inputs.get(own), self.model.inputs.get(other)
        if mine == theirs:
            return True
        return mine not in self.model.inputs.values() and theirs not in self.base.inputs.values()

    def same(self, own: int, other: int) -> bool:
        """Whether two values are the same result of matched operators."""
        (place, index), (found, other_index) = self.base.source(own), self.model.source(other)
        return index == other_index and self.partners.get(place) == found

    def inputs(self, own: int, other: int) -> list[tuple[int, int]]:
        """The values that two operators take in the same places, which may be told by the values.

        One operator may take more than the other; what is beyond is left out.
        """
        mine = self.base.network.operators[own].inputs
        theirs = self.model.network.operators[other].inputs
        straight = list(zip(mine, theirs, strict=False))
        if not (self.base.is_commutative[own] and self.model.is_commutative[other]):
            return straight
        crossed = list(zip(mine, reversed(theirs), strict=True))
        return max(straight, crossed, key=self._agreement)

    def _agreement(self, pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        # max() returns the first of equals.
        base, model = self.base, self.model
        names = base.network.values, model.network.values
        found = list(pairs)
        return (
            sum(self.same(a, b) for a, b in found),
            sum(base.digests[a] == model.digests[b] for a, b in found),
            sum(base.is_constant(a) == model.is_constant(b) for a, b in found),
            sum(names[0][a].name == names[1][b].name for a, b in found),
        )

    @cached_property
    def outputs(self) -> list[tuple[int, int]]:
        """Pairs of places of outputs: by name as far as there are such, the others in order."""
        base, model = self.base.network, self.model.network
        own = _numbered(base.values[value].name for value in base.outputs)
        other = _numbered(model.values[value].name for value in model.outputs)
        pairs = [(place, other[key]) for key, place in own.items() if key in other]
        rest = [place for key, place in own.items() if key not in other]
        left = [place for key, place in other.items() if key not in own]
        if len(rest) == len(left):
            pairs += zip(rest, left, strict=True)
        return sorted(pairs)


def _numbered(names: Iterable[str]) -> dict[tuple[str, int], int]:
    """Places by name, and by number among those of the same name."""
    seen: Counter[str] = Counter()
    found = {}
    for place, name in enumerate(names):
        found[name, seen[name]] = place
        seen[name] += 1
    return found


def aligned(
    base: Network, model: Network, constants: tuple[Constants, Constants] = ({}, {})
) -> Alignment:
    """Match the operators of two graphs; ``constants`` tells what the constants of each hold."""
    sides = Side(base), Side(model)
    return _walked(*sides) or _Growth(Alignment(*sides), constants).run()


def _walked(base: Side, model: Side) -> Alignment | None:
    """The alignment of two graphs with the same structure; ``None`` if they have another one."""
    found = Alignment(base, model)
    counts = len(base.network.outputs), len(model.network.outputs)
    waiting = [
        (base.network.outputs[own], model.network.outputs[other]) for own, other in found.outputs
    ]
    if counts != (len(waiting), len(waiting)) or len(base.places) != len(model.places):
        return None
    while waiting:
        own, other = waiting.pop()
        if base.is_constant(own) and model.is_constant(other):
            if base.form(own) != model.form(other):
                return None
            continue
        (place, index), (partner, other_index) = base.source(own), model.source(other)
        if not found.match(place, partner):
            if found.same(own, other):
                continue
            return None
        if index != other_index or base.signatures[place] != model.signatures[partner]:
            return None
        takes = base.network.operators[place].inputs, model.network.operators[partner].inputs
        if len(takes[0]) != len(takes[1]):
            return None
        waiting += found.inputs(place, partner)
    return found


class _Growth:
    """Matches what is surely the same, and grows along the graphs from there."""

    def __init__(self, alignment: Alignment, constants: tuple[Constants, Constants]) -> None:
        self._found = alignment
        self._base, self._model = alignment.base, alignment.model
        self._constants = constants
        self._order = itertools.count()
        # What is alike goes before what is only of the same type, wherever it was come upon.
        self._waiting: list[tuple[int, int, int, int]] = []

    def run(self) -> Alignment:
        """The alignment."""
        self._anchor()
        self._grow()
        while self._replace():
            self._grow()
        return self._found

    def _match(self, own: int, other: int) -> bool:
        if not self._found.match(own, other):
            return False
        for level in (_EXACT, _LOOSE):
            heapq.heappush(self._waiting, (level, next(self._order), own, other))
        return True

    def _match_alike(self, own: int, other: int, level: int = _LOOSE) -> bool:
        """Match two operators if they are of one kind, or exactly alike."""
        if self._base.kind(own) != self._model.kind(other):
            return False
        if level == _EXACT and self._base.signatures[own] != self._model.signatures[other]:
            return False
        return self._match(own, other)

    def _match_named(self, own: int, other: int) -> bool:
        """Match two operators of one name if they are of one type."""
        types = (
            self._base.network.operators[own].type,
            self._model.network.operators[other].type,
        )
        return types[0] == types[1] and self._match(own, other)

    def _anchor(self) -> None:
        base, model = self._base, self._model
        for own, other in self._same_constants():
            for mine, theirs in zip(base.users[own], model.users[other], strict=False):
                if mine[1] == theirs[1] or base.is_commutative[mine[0]]:
                    self._match_alike(mine[0], theirs[0])
        names = {name: place for place, name in model.inputs.items()}
        for place, name in base.inputs.items():
            if name in names:
                self._match_named(place, names[name])
        for name, place in base.named.items():
            if name in model.named:
                self._match_named(place, model.named[name])
        for own, other in self._found.outputs:
            ends = base.network.outputs[own], model.network.outputs[other]
            if not base.is_constant(ends[0]) and not model.is_constant(ends[1]):
                self._match_alike(base.source(ends[0])[0], model.source(ends[1])[0])

    def _same_constants(self) -> list[tuple[int, int]]:
        """Constants that hold the same values, which no other one does."""
        own, other = map(_by_digest, self._constants)
        pairs = [(own[digest], other[digest]) for digest in own if digest in other]
        base, model = self._base.users, self._model.users
        return [(a, b) for a, b in pairs if len(base.get(a, ())) == len(model.get(b, ()))]

    def _grow(self) -> None:
        while self._waiting:
            level, _, own, other = heapq.heappop(self._waiting)
            self._grow_back(own, other, level)
            self._grow_on(own, other, level)

    def _grow_back(self, own: int, other: int, level: int) -> None:
        for mine, theirs in self._found.inputs(own, other):
            if self._base.is_constant(mine) or self._model.is_constant(theirs):
                continue
            (place, index), (partner, found) = self._base.source(mine), self._model.source(theirs)
            if index == found:
                self._match_alike(place, partner, level)

    def _grow_on(self, own: int, other: int, level: int) -> None:
        results = (
            self._base.network.operators[own].outputs,
            self._model.network.operators[other].outputs,
        )
        for mine, theirs in zip(*results, strict=False):
            left = self._free_users(self._base, mine, level)
            right = self._free_users(self._model, theirs, level)
            for key, places in left.items():
                partners = right.get(key, [])
                # Which is which, others may still tell, unless there are as many.
                if level == _LOOSE or len(places) == len(partners):
                    for place, partner in zip(places, partners, strict=False):
                        self._match_alike(place, partner, level)

    def _free_users(self, side: Side, value: int, level: int) -> dict[object, list[int]]:
        """The operators without a partner that take a value, by how they do."""
        found: dict[object, list[int]] = {}
        for place, slot in side.users.get(value, ()):
            if self._is_free(side, place):
                kind = side.signatures[place] if level == _EXACT else side.kind(place)
                key = kind, None if side.is_commutative[place] else slot
                places = found.setdefault(key, [])
                if place not in places:
                    places.append(place)
        return found

    def _is_free(self, side: Side, place: int) -> bool:
        found = self._found
        return place not in (found.partners if side is self._base else found.taken)

    def _replace(self) -> bool:
        """Match operators of other types that stand between the same ones; whether there were."""
        left = [place for place in self._base.places if self._is_free(self._base, place)]
        replaced = [place for place in left if self._replace_one(place)]
        return bool(replaced)

    def _replace_one(self, place: int) -> bool:
        candidates = self._behind(place) & self._before(place)
        return len(candidates) == 1 and self._match(place, candidates.pop())

    def _behind(self, place: int) -> set[int]:
        """Operators without a partner that take what ``place`` takes."""
        found: set[int] = set()
        for slot, value in enumerate(self._base.network.operators[place].inputs):
            if not self._base.is_constant(value):
                source, index = self._base.source(value)
                if source in self._found.partners:
                    partner = self._model.network.operators[self._found.partners[source]]
                    users = self._model.users.get(_at(partner.outputs, index), ())
                    found.update(user for user, at in users if at == slot)
        return {user for user in found if self._is_free(self._model, user)}

    def _before(self, place: int) -> set[int]:
        """Operators whose results go where those of ``place`` go."""
        base, model = self._base, self._model
        found: set[int] = set()
        for value in base.network.operators[place].outputs:
            users = (user for user, _ in base.users.get(value, ()) if user in self._found.partners)
            goes = [
                theirs
                for user in users
                for mine, theirs in self._found.inputs(user, self._found.partners[user])
                if mine == value
            ]
            goes += [
                model.network.outputs[other]
                for own, other in self._found.outputs
                if base.network.outputs[own] == value
            ]
            found.update(model.source(item)[0] for item in goes if not model.is_constant(item))
        return found


def _at(values: Sequence[int], index: int) -> int:
    return values[index] if index < len(values) else -1


def _by_digest(constants: Constants) -> dict[str, int]:
    """Constants by their digests, without those that say little or are there twice."""
    counts = Counter(item.digest for item in constants.values())
    return {
        item.digest: value
        for value, item in constants.items()
        if item.telling and counts[item.digest] == 1
    }
