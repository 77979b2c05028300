"""What in a packed graph is not what optimising the model gives: constants and parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from megdump_ci import report, rounding
from megdump_ci.difference import CONSTANTS
from megdump_ci.engine import graph
from megdump_ci.engine.packing import restore_names
from megdump_ci.engine.probing import Inside
from megdump_ci.matching import Network

_NAMES_TRIED = 8
_AT_ONCE = 1 << 25
"""Elements of constants that are read at a time, from each of the graphs."""


@dataclass(frozen=True)
class Alteration:
    """A difference, and the places of the operators that compute with it."""

    operators: tuple[int, ...]
    said: report.Altered


def names_kept(content: bytes, network: Network) -> bool:
    """Whether the file ``content`` holds the names of the graph's values.

    Loading makes up names where there are none, and these can be those of other values.
    """
    outputs = set(network.outputs)
    inner = [value for value in network.working if value not in outputs]
    names = [network.values[value].name.encode() for value in inner[:_NAMES_TRIED]]
    # Both formats are flatbuffers, which have a string's length before it.
    return all(len(name).to_bytes(4, "little") + name in content for name in names)


def anew(model: bytes, packed: graph.LoadedGraph, format: str) -> Inside:
    """The model optimised as the packed graph says it was, written and read as that was.

    Raises :class:`graph.EngineRefused` if the engine cannot.
    """
    loaded = graph.load(model, "the model")
    graph.keep_input_names(loaded)
    names = [var.name for var in loaded.outputs]
    passes = graph.applied_passes(packed.metadata)
    outputs = list(loaded.outputs) if passes is None else graph.optimize(loaded, passes)
    restore_names(outputs, names)
    content, _ = graph.dump(outputs, format, keep_names=True)
    written = graph.load(content, "the model optimised anew")
    return Inside.of(written, written.outputs)


def between(found: Inside, wanted: Inside, places: Mapping[int, int]) -> list[Alteration]:
    """The parameters and constants of ``found`` that are not those of ``wanted``.

    ``places`` has the values of ``wanted`` that those of ``found`` correspond to.
    """
    return [*_parameters(found, wanted, places), *_constants(found, wanted, places)]


def _parameters(found: Inside, wanted: Inside, places: Mapping[int, int]) -> Iterator[Alteration]:
    for place, operator in enumerate(found.network.operators):
        value = operator.outputs[0]
        if value not in places:
            continue
        other = wanted.network.maker(places[value])
        for name, expected, own in _fields(other.params, operator.params):
            said = report.Altered(
                kind="parameter",
                name=name,
                operator=wanted.network.name(other),
                expected=expected,
                found=own,
            )
            yield Alteration((place,), said)


def _fields(expected: str, found: str) -> list[tuple[str, str, str]]:
    """The fields of two parameters that differ: name and both values."""
    if expected == found:
        return []
    try:
        one, other = json.loads(expected), json.loads(found)
    except json.JSONDecodeError:
        one = other = None
    if not isinstance(one, dict) or not isinstance(other, dict):
        return [("parameters", expected, found)]
    return [
        (name, str(one.get(name)), str(other.get(name)))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def _constants(found: Inside, wanted: Inside, places: Mapping[int, int]) -> Iterator[Alteration]:
    for group in _groups(found.network, places):
        own = found.values(group, {})
        others = wanted.values([places[value] for value in group], {})
        for value, mine, other in zip(group, own, others, strict=True):
            differing, worst = 0, 0
            if mine.shape == other.shape:
                dtype = found.network.values[value].dtype
                differing, worst = rounding.altered(other, mine, dtype)
                if not differing:
                    continue
            readers = _readers(found.network, value)
            # Names of the one that has them in any case.
            used = [wanted.network.maker(places[v]) for v in _results(found.network, readers)]
            said = report.Altered(
                kind="constant",
                name=wanted.network.values[places[value]].name,
                operator=wanted.network.name(used[0]) if used else "",
                expected=str(other.shape),
                found=str(mine.shape),
            )
            if differing:
                said = _with_values(said, other, mine, differing, worst)
            yield Alteration(readers, said)


def _with_values(
    said: report.Altered, expected: graph.Array, found: graph.Array, differing: int, worst: int
) -> report.Altered:
    return msgspec.structs.replace(
        said,
        expected=report.number(float(expected.reshape(-1)[worst])),
        found=report.number(float(found.reshape(-1)[worst])),
        differing=differing,
        size=found.size,
        index=[int(place) for place in np.unravel_index(worst, found.shape)],
    )


def _groups(network: Network, places: Mapping[int, int]) -> Iterator[list[int]]:
    """The constants that are used, so many at a time that they fit into memory."""
    group: list[int] = []
    elements = 0
    for value in sorted(network.used):
        if network.maker(value).type not in CONSTANTS or value not in places:
            continue
        group.append(value)
        elements += int(np.prod(network.values[value].shape or ()))
        if elements >= _AT_ONCE:
            yield group
            group, elements = [], 0
    if group:
        yield group


def _readers(network: Network, constant: int) -> tuple[int, ...]:
    """Places of the operators that compute with a constant, or with what is made of it alone."""
    made, readers = {constant}, []
    for place, operator in enumerate(network.operators):
        if not any(value in made for value in operator.inputs):
            continue
        if any(value in network.flowing for value in operator.outputs):
            readers.append(place)
        else:
            made.update(operator.outputs)
    return tuple(readers)


def _results(network: Network, operators: Iterable[int]) -> list[int]:
    return [network.operators[place].outputs[0] for place in operators]
