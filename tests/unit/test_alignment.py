"""Matching the operators of two graphs: on made-up ones, with what may happen to a real one."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megdump_ci import changes
from megdump_ci.alignment import Constant, Side, aligned, params
from megdump_ci.matching import Network, Operator
from megdump_ci.report import OperatorChange, Totals
from tests.unit.graphs import (
    CONSTANT,
    INPUT,
    Node,
    copied,
    graphs,
    inserted,
    made_up,
    network,
    renamed,
    reordered,
)

ORDER = st.lists(st.integers(0, 50), max_size=12)


def compared(base: Network, model: Network) -> tuple[list[OperatorChange], Totals]:
    return changes.operators(aligned(base, model))


@given(graphs(), ORDER, st.booleans(), st.booleans())
def test_the_same_graph_written_in_another_way_has_no_change(
    graph: tuple[list[Node], list[int]], order: list[int], crossed: bool, nameless: bool
) -> None:
    nodes, outputs = graph
    other, places = reordered(nodes, order)
    for node in other:
        if node.params.get("mode") == "ADD" and crossed:
            node.inputs.reverse()
    if nameless:
        other = renamed(other, made_up)
    base = network(nodes, outputs)
    model = network(other, [places[place] for place in outputs], first=101)
    found, totals = compared(base, model)
    assert found == []
    assert totals.alike == sum(node.type != CONSTANT for node in nodes)
    assert totals.renamed == (totals.alike - len(base.inputs) if nameless else 0)


@given(graphs(), ORDER, st.data())
def test_a_parameter_of_an_operator_that_changed_is_all_that_changed(
    graph: tuple[list[Node], list[int]], order: list[int], data: st.DataObject
) -> None:
    nodes, outputs = graph
    other, places = reordered(nodes, order)
    operators = [i for i, node in enumerate(nodes) if "axis" in node.params]
    if not operators:
        return
    place = data.draw(st.sampled_from(operators))
    other[places[place]].params["axis"] = 7
    model = network(other, [places[item] for item in outputs])
    found, totals = compared(network(nodes, outputs), model)
    (change,) = found
    assert (change.how, change.name) == ("changed", nodes[place].name)
    (edit,) = change.edits
    assert (edit.what, edit.before, edit.after) == ("axis", str(nodes[place].params["axis"]), "7")
    assert totals.changed == 1


@given(graphs(), st.data(), st.booleans(), st.booleans())
def test_an_operator_that_is_new_or_gone_is_named_and_those_that_take_it(
    graph: tuple[list[Node], list[int]], data: st.DataObject, gone: bool, same_type: bool
) -> None:
    nodes, outputs = graph
    place = data.draw(
        st.sampled_from([i for i, n in enumerate(nodes) if n.type != CONSTANT and i not in outputs])
    )
    new = Node("RELU" if same_type else "NEW", "new", params={"axis": 0})
    other, at = inserted(nodes, place, new)
    ends = [
        next(i for i, node in enumerate(other) if node.name == nodes[end].name) for end in outputs
    ]
    pair = network(nodes, outputs), network(other, ends)
    found, totals = compared(*(reversed(pair) if gone else pair))
    users = {node.name for node in nodes if place in node.inputs}
    (alone,) = [item for item in found if item.how != "changed"]
    assert (alone.how, alone.name) == ("removed" if gone else "added", "new")
    changed = [item for item in found if item.how == "changed"]
    assert {item.name for item in changed} == users
    assert all(edit.what.startswith("input ") for item in changed for edit in item.edits)
    sides = [other[at].name, nodes[place].name]
    edits = [edit for item in changed for edit in item.edits]
    assert all(sorted((edit.before, edit.after)) == sorted(sides) for edit in edits)
    assert totals.alike == sum(n.type != CONSTANT for n in nodes) - len(users)


@given(graphs(), st.data())
def test_an_operator_of_another_type_in_the_same_place_is_that_operator_changed(
    graph: tuple[list[Node], list[int]], data: st.DataObject
) -> None:
    nodes, outputs = graph
    operators = [
        i
        for i, node in enumerate(nodes)
        if node.inputs and all(nodes[place].type != CONSTANT for place in node.inputs)
    ]
    if not operators:
        return
    place = data.draw(st.sampled_from(operators))
    other = copied(nodes)
    # A new type mostly comes with a new name.
    other[place] = dataclasses.replace(other[place], type="OTHER", params={})
    if place not in outputs:
        other[place].name = "other"
    found, _ = compared(network(nodes, outputs), network(other, outputs))
    (change,) = found
    (edit,) = change.edits
    assert (edit.what, edit.before, edit.after) == ("type", nodes[place].type, "OTHER")


@given(graphs(), graphs())
@settings(max_examples=200)
def test_any_two_graphs_are_matched_one_to_one_and_counted_whole(
    left: tuple[list[Node], list[int]], right: tuple[list[Node], list[int]]
) -> None:
    base, model = network(*left), network(*right)
    alignment = aligned(base, model)
    partners = alignment.partners
    assert len(set(partners.values())) == len(partners) == len(alignment.taken)
    found, totals = changes.operators(alignment)
    whole = [sum(node.type != CONSTANT for node in nodes) for nodes, _ in (left, right)]
    assert totals.alike + totals.changed + totals.removed == whole[0]
    assert totals.alike + totals.changed + totals.added == whole[1]
    assert len(found) == totals.changed + totals.added + totals.removed
    parameters = changes.parameters(alignment, ({}, {}))
    assert {a for a, _ in parameters.pairs} | set(parameters.removed) == set(Side(base).constants)
    assert {b for _, b in parameters.pairs} | set(parameters.added) == set(Side(model).constants)


def chain(count: int, name: str = "") -> list[Node]:
    """An input, and operators with a constant each, all alike."""
    nodes = [Node(INPUT, "x")]
    for index in range(count):
        nodes.append(Node(CONSTANT, f"const[{index}]"))
        last = 0 if index == 0 else len(nodes) - 2
        nodes.append(
            Node("CONV", f"{name}{index}" if name else f"CONV(x)[{index}]", [last, len(nodes) - 1])
        )
    return nodes


def test_a_block_more_among_equal_ones_is_found_by_what_the_constants_hold() -> None:
    base, model = network(chain(4), [8]), network(chain(5), [10])
    held = [
        {
            value: Constant(text, telling=True)
            for value, text in zip(side.constants, texts, strict=True)
        }
        for side, texts in ((Side(base), "abcd"), (Side(model), "abxcd"))
    ]
    alignment = aligned(base, model, (held[0], held[1]))
    found, totals = changes.operators(alignment)
    assert (totals.added, totals.removed, totals.changed) == (1, 0, 1)
    parameters = changes.parameters(alignment, (held[0], held[1]))
    assert [held[1][value].digest for value in parameters.added] == ["x"]
    assert all(held[0][a].digest == held[1][b].digest for a, b in parameters.pairs)
    assert found[0].name == "CONV(x)[2]"


@pytest.mark.parametrize("telling", [True, False])
def test_constants_that_say_little_do_not_move_operators(telling: bool) -> None:
    # Two graphs that are not the same as a whole, with operators that are.
    nodes = [*chain(2), Node("TANH", "out", [4])]
    base, model = network(nodes, [5]), network([*nodes, Node("RELU", "more", [5])], [6])
    first, second = Side(base).constants
    held = (
        {first: Constant("0", telling), second: Constant("1", telling)},
        {first: Constant("1", telling), second: Constant("0", telling)},
    )
    moved = aligned(base, model, held).partners[2] == 4
    assert moved is telling


def test_what_only_an_operator_of_another_type_takes_is_matched_behind_it() -> None:
    def made(kind: str) -> Network:
        nodes = [Node(INPUT, "x"), Node(CONSTANT, "w"), Node("TypeCvt", f"{kind}[2]", [1])]
        return network([*nodes, Node(kind, f"{kind}[3]", [0, 2]), Node("RELU", "y", [3])], [4])

    found, totals = compared(made("CONV"), made("OTHER"))
    assert [edit.what for item in found for edit in item.edits] == ["type"]
    assert (totals.alike, totals.changed) == (3, 1)


def test_weights_that_changed_places_are_the_same_operators_with_other_weights() -> None:
    base, model = network(chain(2), [4]), network(chain(2), [4])
    a, b = Side(base).constants
    held = (
        {a: Constant("0", telling=True), b: Constant("1", telling=True)},
        {a: Constant("1", telling=True), b: Constant("0", telling=True)},
    )
    alignment = aligned(base, model, held)
    assert changes.operators(alignment)[0] == []
    assert changes.parameters(alignment, held).pairs == [(a, a), (b, b)]


def test_inputs_that_changed_places_are_no_other_names() -> None:
    def made(first: int, second: int) -> Network:
        nodes = [Node(INPUT, "a"), Node(INPUT, "b")]
        return network([*nodes, Node("SUB", "out", [first, second])], [2])

    alignment = aligned(made(0, 1), made(1, 0))
    (change,) = changes.operators(alignment)[0]
    edits = [(edit.what, edit.before, edit.after) for edit in change.edits]
    assert edits == [("input 0", "a", "b"), ("input 1", "b", "a")]
    assert changes.inputs(alignment) == []


def test_an_input_under_another_name_is_renamed() -> None:
    base = network([Node(INPUT, "a"), Node("RELU", "out", [0])], [1])
    model = network([Node(INPUT, "b"), Node("RELU", "out", [0])], [1])
    alignment = aligned(base, model)
    (change,) = changes.inputs(alignment)
    (edit,) = change.edits
    assert (change.how, edit.what, edit.before, edit.after) == ("changed", "name", "a", "b")
    assert not change.compatible
    assert changes.operators(alignment)[0] == []


def outputs_of(*names: str) -> Network:
    """A graph with one operator of its own type for each output."""
    nodes = [Node(INPUT, "x"), *(Node(name.upper(), name, [0]) for name in names)]
    return network(nodes, range(1, len(nodes)))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (("a", "b"), ("a", "b"), []),
        (("a", "b"), ("b", "a"), [("a", "place", False), ("b", "place", False)]),
        (("a", "b"), ("a",), [("b", "removed", False)]),
        (("a",), ("a", "b"), [("b", "added", True)]),
        (("b",), ("a", "b"), [("b", "place", False), ("a", "added", True)]),
    ],
)
def test_what_became_of_outputs(
    before: tuple[str, ...], after: tuple[str, ...], said: list[tuple[str, str, bool]]
) -> None:
    found = changes.outputs(aligned(outputs_of(*before), outputs_of(*after)))
    names = [(item.model or item.base).name for item in found]  # type: ignore[union-attr]
    words = [item.edits[0].what if item.edits else item.how for item in found]
    assert [*zip(names, words, [item.compatible for item in found], strict=True)] == said


def test_an_output_that_is_computed_otherwise_is_still_the_output() -> None:
    base = network([Node(INPUT, "x"), Node("RELU", "out", [0])], [1])
    nodes = [Node(INPUT, "x"), Node("RELU", "r", [0]), Node("TANH", "out", [1])]
    (change,) = changes.outputs(aligned(base, network(nodes, [2])))
    assert change.compatible
    assert [(edit.what, edit.before, edit.after) for edit in change.edits] == [
        ("computed by", "RELU", "TANH")
    ]


def test_parameters_of_an_operator_by_name() -> None:
    text = '{"desc": [{"axis": 1, "method": "x"}], "scale": 0.5, "flag": true}'
    found = params(Operator("T", (), (), text))
    assert found == {
        "desc[0].axis": "1", "desc[0].method": "x", "scale": "0.5", "flag": "true"
    }  # fmt: skip
    assert params(Operator("T", (), (), "")) == {}
    assert params(Operator("T", (), (), "{no json")) == {"params": "{no json"}
