"""The old way to pack a dumped model: load, run, dump, with nothing but the engine's own calls.

    python benchmarks/peers/old_way.py MODEL OUT COUNT

One process does all, one testcase after the other, and holds all testcases in memory, as the tool
that MegEngine once had did it (``sdk/load-and-run/dump_with_testcase_mge.py`` of v1.7): it runs
the graph as it was loaded on random data, loads it anew, adds an assertion to each output, and
writes the graph and the testcases. Nothing is looked at again.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
from megengine import tensor
from megengine.core._imperative_rt import CompNode, make_h2d
from megengine.core.ops import builtin
from megengine.core.tensor import megbrain_graph as mgb
from megengine.utils import comp_graph_tools as tools

DEVICE = "xpux"
MAXERR = 1e-4

Array = Any
Testcase = dict[str, Array]


def inputs_of(outputs: list[Any]) -> dict[str, Any]:
    """The inputs of a graph by name."""
    return {var.name: var for var in tools.get_dep_vars(outputs, "Host2DeviceCopy")}


def on_device(value: Array) -> Any:
    """A device tensor."""
    return tensor(value, dtype=value.dtype, device=DEVICE)._dev_tensor()


def testcases(path: str, count: int) -> list[Testcase]:
    """Random inputs and what the model makes of them, all at once."""
    loaded = mgb.load_graph(path)
    variables = inputs_of(loaded.output_vars_list)
    nodes = {
        name: mgb.InputNode(device=DEVICE, dtype=var.dtype, shape=var.shape, graph=loaded.graph)
        for name, var in variables.items()
    }
    swap = {var: nodes[name].outputs[0] for name, var in variables.items()}
    results = [mgb.OutputNode(var) for var in tools.replace_vars(loaded.output_vars_list, swap)]
    function = loaded.graph.compile([node.outputs[0] for node in results])
    names = [var.name for var in loaded.output_vars_list]
    made = []
    for _ in range(count):
        case = {
            name: np.random.uniform(0, 255, var.shape).astype(var.dtype)
            for name, var in variables.items()
        }
        for name, node in nodes.items():
            node.set_value(on_device(case[name]))
        function.execute()
        function.wait()
        values = [node.get_value().numpy() for node in results]
        case |= {f"{name}:expect": value for name, value in zip(names, values, strict=True)}
        made.append(case)
    return made


def asserted(path: str, case: Testcase) -> list[Any]:
    """The model's graph, its outputs replaced by assertions."""
    loaded = mgb.load_graph(path)
    ends = []
    for name, var in inputs_of(loaded.output_vars_list).items():
        var.owner.name = name
    for var in loaded.output_vars_list:
        expected = case[f"{var.name}:expect"]
        source = make_h2d(
            loaded.graph, CompNode(DEVICE), expected.dtype, expected.shape, f"{var.name}:expect"
        )
        check = builtin.AssertEqual(maxerr=MAXERR, verbose=True)
        ends += mgb.apply_normal_varnode(check, source, var)
    return ends


def write(path: str, ends: list[Any], cases: list[Testcase]) -> None:
    """The packed file."""
    with Path(path).open("wb") as file:
        file.write(b"mgbtest0" + struct.pack("=I", len(cases)))
        file.write(mgb.dump_graph(ends, keep_var_name=2, keep_param_name=True)[0])
        for case in cases:
            graph = mgb.Graph()
            constants = [graph.make_const(on_device(case[name])) for name in sorted(case)]
            file.write(mgb.dump_graph(constants)[0])


def main() -> None:
    """Pack."""
    model, out, count = sys.argv[1:]
    cases = testcases(model, int(count))
    write(out, asserted(model, cases[0]), cases)


if __name__ == "__main__":
    main()
