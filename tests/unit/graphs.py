"""Made-up graphs, and what may happen to them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st

from megdump_ci.matching import Network, Operator, Value

CONSTANT = "ImmutableTensor"
INPUT = "Host2DeviceCopy"
SHAPE = (1, 8)


@dataclasses.dataclass
class Node:
    """An operator with one result, before it is in a graph."""

    type: str
    name: str
    inputs: list[int] = dataclasses.field(default_factory=list)
    """Places of other nodes, all of which come before it."""
    params: dict[str, object] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = SHAPE


def network(nodes: Sequence[Node], outputs: Sequence[int], first: int = 0) -> Network:
    """A graph of the nodes; its values are numbered in steps of 2, from ``first``."""
    return Network(
        operators=[
            Operator(
                type=node.type,
                inputs=tuple(first + 2 * place for place in node.inputs),
                outputs=(first + 2 * index,),
                params=json.dumps(node.params),
            )
            for index, node in enumerate(nodes)
        ],
        values={
            first + 2 * index: Value(node.name, "float32", node.shape, index)
            for index, node in enumerate(nodes)
        },
        inputs=[first + 2 * index for index, node in enumerate(nodes) if node.type == INPUT],
        outputs=[first + 2 * index for index in outputs],
    )


def copied(nodes: Sequence[Node]) -> list[Node]:
    """The same nodes, to be altered."""
    return [
        dataclasses.replace(node, inputs=list(node.inputs), params=dict(node.params))
        for node in nodes
    ]


def renamed(nodes: Sequence[Node], name: Callable[[int, Node], str]) -> list[Node]:
    """The same with other names, but for the inputs."""
    return [
        node if node.type == INPUT else dataclasses.replace(node, name=name(index, node))
        for index, node in enumerate(copied(nodes))
    ]


def made_up(index: int, node: Node) -> str:
    """A name as the engine makes it up, of the operator's number."""
    return f"{node.type}(x)[{2 * index}]"


def reordered(nodes: Sequence[Node], order: Sequence[int]) -> tuple[list[Node], dict[int, int]]:
    """The nodes in another order that still has each behind its inputs; ``order`` are wishes."""
    places: dict[int, int] = {}
    found: list[Node] = []

    def put(place: int) -> None:
        if place not in places:
            for other in nodes[place].inputs:
                put(other)
            places[place] = len(found)
            found.append(copied(nodes)[place])

    for wish in (*order, *range(len(nodes))):
        put(wish % len(nodes))
    for node in found:
        node.inputs = [places[place] for place in node.inputs]
    return found, places


def inserted(nodes: Sequence[Node], place: int, node: Node) -> tuple[list[Node], int]:
    """The nodes with one more, which takes the result of ``place`` to all that took it."""
    found = copied(nodes)
    for other in found:
        other.inputs = [len(nodes) if item == place else item for item in other.inputs]
    found.append(dataclasses.replace(node, inputs=[place]))
    ordered, places = reordered(found, [])
    return ordered, places[len(nodes)]


TYPES: Mapping[str, int] = {"RELU": 1, "CONV": 2, "SUB": 2, "ADD": 2, "CONCAT": 3}


@st.composite
def graphs(draw: st.DrawFn, least: int = 2) -> tuple[list[Node], list[int]]:
    """Nodes and outputs of a graph in which each operator has a name, and leads to an output."""
    nodes = [Node(INPUT, f"in{i}") for i in range(draw(st.integers(1, 2)))]
    nodes += [Node(CONSTANT, f"w{i}") for i in range(draw(st.integers(0, 3)))]
    for index in range(draw(st.integers(least, 12))):
        kind = draw(st.sampled_from(sorted(TYPES)))
        inputs = [draw(st.integers(0, len(nodes) - 1)) for _ in range(TYPES[kind])]
        is_constant = all(nodes[place].type == CONSTANT for place in inputs)
        if is_constant:
            inputs[0] = 0
        elemwise = kind in ("ADD", "SUB")
        params: dict[str, object] = (
            {"mode": kind} if elemwise else {"axis": draw(st.integers(0, 1))}
        )
        nodes.append(Node("Elemwise" if elemwise else kind, f"op{index}.{kind}", inputs, params))
    taken = {place for node in nodes for place in node.inputs}
    ends = [i for i, node in enumerate(nodes) if i not in taken and node.type != CONSTANT]
    kept = [i for i, node in enumerate(nodes) if i in taken or i in ends]
    places = {place: index for index, place in enumerate(kept)}
    found = copied([nodes[i] for i in kept])
    for node in found:
        node.inputs = [places[place] for place in node.inputs]
    return found, [places[place] for place in ends]
