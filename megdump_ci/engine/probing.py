"""Values from inside a graph: any of them, and what its operators make of given values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# The bindings that Network is itself built on; megengine offers nothing public at this level.
from megengine.core.ops import builtin
from megengine.core.tensor import dtype as mge_dtype
from megengine.core.tensor import megbrain_graph as mgb
from megengine.utils import comp_graph_tools as tools

from megdump_ci import layouts
from megdump_ci.engine import graph
from megdump_ci.engine.graph import Var
from megdump_ci.matching import Network, Operator, Value

Array = npt.NDArray[np.generic]

_INPUT = "Host2DeviceCopy"


@dataclass(frozen=True)
class Inside:
    """A loaded graph as plain data, and its vars by number.

    Compiling does not optimise it: each operator is run as it stands in the file, and asking for
    a value in the middle changes no other.
    """

    loaded: graph.LoadedGraph
    network: Network
    vars: Mapping[int, Var]

    @classmethod
    def of(cls, loaded: graph.LoadedGraph, outputs: Sequence[Var]) -> Inside:
        """The part of a graph that ``outputs`` depend on."""
        loaded.graph.options.graph_opt_level = 0
        graph.trust(loaded)
        return cls(loaded, *network_of(outputs))

    def renamed(self, names: Mapping[int, str]) -> Inside:
        """The same graph with other names of values; those that are not in ``names`` have none."""
        network = self.network
        values = {
            number: dataclasses.replace(value, name=names.get(number, ""))
            for number, value in network.values.items()
        }
        return dataclasses.replace(self, network=dataclasses.replace(network, values=values))

    def values(self, wanted: Sequence[int], feeds: Mapping[str, Array]) -> list[Array]:
        """The values of ``wanted`` for these inputs, quantised ones as the real ones they mean.

        Raises :class:`graph.GraphRefused` if the engine cannot compute them.
        """
        found = [graph.real_values(self._readable(value)) for value in wanted]
        inputs = {name: self.loaded.inputs[name] for name in feeds}
        shapes = {name: tuple(value.shape) for name, value in feeds.items()}
        try:
            return graph.Function(self.loaded.graph, found, inputs, shapes).run(feeds)
        except RuntimeError as error:
            raise graph.GraphRefused("computing values inside a graph", error) from None

    def _readable(self, value: int) -> Var:
        """The var, or what an operator of the graph that reads images makes of it.

        What is in the memory of images cannot be had itself, and MegEngine has no operator to be
        made for that from Python.
        """
        var, told = self.vars[value], self.network.told
        if told.get(value) != layouts.IMAGE:
            return var
        for operator in self.network.operators:
            if operator.type == "RelayoutFormat" and told.get(operator.outputs[0]) == layouts.NCHW:
                source, result = self.vars[operator.inputs[0]], self.vars[operator.outputs[0]]
                (plain,) = (
                    tools.replace_vars([result], {source: var}) if source != var else [result]
                )
                return plain
        return var


class Parts:
    """Parts of a graph, each computed from values that it is given.

    ``parts`` has the values that each result is computed from; ``shapes`` those of all of these.
    """

    def __init__(
        self,
        inside: Inside,
        parts: Mapping[int, Sequence[int]],
        shapes: Mapping[int, tuple[int, ...]],
    ) -> None:
        self._inside = inside
        self._feeds: dict[int, Any] = {}
        order = inside.network.values
        given = {value for values in parts.values() for value in values}
        fed = {value: self._feed(value, shapes[value]) for value in sorted(given)}
        # First cut all that lies before: what is done for each result goes through what is left.
        before = [(inside.vars[value], fed[value]) for value in given if value not in parts]
        before.sort(key=lambda pair: order[pair[0].id].operator)
        cut = dict(zip(parts, _replaced([inside.vars[v] for v in parts], before), strict=True))
        ends = []
        for value, values in parts.items():
            own = [(cut[v], fed[v]) for v in values if v in cut]
            ends += _replaced([cut[value]], own)
        self._results = [mgb.OutputNode(graph.real_values(var)) for var in ends]
        self._function = inside.loaded.graph.compile([node.outputs[0] for node in self._results])

    def _feed(self, value: int, shape: tuple[int, ...]) -> Var:
        """An input that takes the place of a var; of a quantised one, in float32."""
        var = self._inside.vars[value]
        # The values of an input are the stored ones, as a testcase has them.
        quantized = mge_dtype.is_quantize(var.dtype) and var.owner.type != _INPUT
        node = mgb.InputNode(
            device=graph.DEVICE,
            dtype=np.dtype(np.float32) if quantized else var.dtype,
            shape=shape,
            graph=self._inside.loaded.graph,
            use_static_shape=True,
        )
        self._feeds[value] = node
        if not quantized:
            return node.outputs[0]
        (converted,) = mgb.apply_normal_varnode(builtin.TypeCvt(var.dtype), node.outputs[0])
        return converted

    def run(self, given: Mapping[int, Array]) -> list[Array]:
        """The results for these values."""
        for value, node in self._feeds.items():
            dtype = node.outputs[0].dtype
            array = given[value]
            if self._inside.vars[value].owner.type != _INPUT:
                array = array.astype(dtype)
            node.set_value(graph.to_device(array, dtype))
        self._function.execute()
        self._function.wait()
        return [node.get_value().numpy() for node in self._results]


def _replaced(ends: Sequence[Var], swap: Sequence[tuple[Var, Var]]) -> list[Var]:
    """``ends`` with other vars put in for some they depend on, which are in the order of the graph.

    One after the other and the last first, since the engine does not replace a var and another
    that it depends on in one go.
    """
    found = list(ends)
    for old, new in reversed(swap):
        found = list(tools.replace_vars(found, {old: new}))
    return found


def network_of(outputs: Sequence[Var]) -> tuple[Network, dict[int, Var]]:
    """The part of a graph that ``outputs`` depend on as plain data, and its vars by number."""
    operators = _in_order(outputs)
    numbers = {var.id: var for operator in operators for var in operator.outputs}
    values = {
        var.id: _value(var, place)
        for place, operator in enumerate(operators)
        for var in operator.outputs
    }
    network = Network(
        operators=[_operator(operator) for operator in operators],
        values=values,
        inputs=[o.outputs[0].id for o in operators if o.type == _INPUT],
        outputs=[var.id for var in outputs],
    )
    return network, numbers


def _in_order(outputs: Sequence[Var]) -> list[Any]:
    """All operators, each behind those it depends on."""
    found: dict[int, Any] = {}
    waiting = [(var.owner, False) for var in reversed(outputs)]
    while waiting:
        operator, ready = waiting.pop()
        if operator.id in found:
            continue
        if ready:
            found[operator.id] = operator
            continue
        waiting.append((operator, True))
        waiting += [(var.owner, False) for var in reversed(operator.inputs)]
    return list(found.values())


def _operator(operator: Any) -> Operator:
    return Operator(
        type=str(operator.type),
        inputs=tuple(var.id for var in operator.inputs),
        outputs=tuple(var.id for var in operator.outputs),
        params=_params(operator),
    )


def _params(operator: Any) -> str:
    try:
        return str(operator.params)
    except (RuntimeError, UnicodeDecodeError):
        # Some types of operators cannot tell theirs, and what a file says need not be text.
        return ""


def _name(var: Var) -> str:
    try:
        return str(var.name)
    except UnicodeDecodeError as error:
        # The engine takes any bytes, and nothing but the names of inputs and outputs is asked for.
        return bytes(error.object).decode(errors="backslashreplace")


def _value(var: Var, place: int) -> Value:
    try:
        dtype = graph.dtype_label(var.dtype)
    except RuntimeError:
        # Workspace, which numpy has no dtype for.
        dtype = ""
    shape = graph.declared_shape(var)
    return Value(
        name=_name(var),
        dtype=dtype,
        shape=tuple(shape) if shape is not None else None,
        operator=place,
    )
