"""Whether a packed file computes what a model does: ``python -m tests.fuzz.earned PACKED MODEL``.

It uses the reader of the tests on the engine, which shares no code with megdump_ci. Exit status 1
and a line for each output that differs by more than its testcase's assertion allows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.engine import reader


def main(file: str, model: str) -> int:
    """Compare; the exit status."""
    content = Path(file).read_bytes()
    parts = reader.split(content[12:])
    wrong = []
    if len(parts) < 2:
        wrong.append("there is no testcase")
    for place, testcase in enumerate(parts[1:]):
        wrong += [f"testcase {place}: {text}" for text in compared(parts[0], testcase, model)]
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


def compared(graph: bytes, testcase: bytes, model: str) -> list[str]:
    """What differs between the graph's outputs and the model's on one testcase."""
    found = reader.run(graph, testcase)
    if found["failure"]:
        return [f"its assertion fails: {found['failure']}"]
    feeds = {name: unpacked(value) for name, value in found["values"].items()}
    wanted = computed(Path(model).read_bytes(), feeds)
    results = [unpacked(value) for value in found["results"]]
    if len(results) != len(wanted):
        return [f"{len(results)} outputs, and the model has {len(wanted)}"]
    return [
        f"output {place}: the error is {error(result, want)}"
        for place, (result, want) in enumerate(zip(results, wanted, strict=True))
        if not error(result, want) <= 1e-4
    ]


def computed(content: bytes, feeds: dict[str, Any]) -> list[Any]:
    """The outputs of a bare model."""
    from megengine.core.tensor import megbrain_graph as mgb
    from megengine.utils import comp_graph_tools as tools

    graph, inputs, outputs = reader.loaded(content)
    nodes = {}
    for name, var in inputs.items():
        value = feeds[name]
        nodes[name] = mgb.InputNode(device="xpux", dtype=var.dtype, shape=value.shape, graph=graph)
        nodes[name].set_value(_tensor(value))
    swap = {var: nodes[name].outputs[0] for name, var in inputs.items()}
    ends = [mgb.OutputNode(reader.as_numbers(var)) for var in tools.replace_vars(outputs, swap)]
    function = graph.compile([node.outputs[0] for node in ends])
    function.execute()
    function.wait()
    return [node.get_value().numpy() for node in ends]


def _tensor(value: Any) -> Any:
    from megengine import Tensor

    return Tensor(value, device="xpux")._dev_tensor()


def unpacked(value: dict[str, Any]) -> Any:
    """The array that the reader put into JSON."""
    import base64

    data = base64.b64decode(value["data"])
    return np.frombuffer(data, value["dtype"]).reshape(value["shape"])


def error(result: Any, wanted: Any) -> float:
    """AssertEqual's error; infinite if the shapes differ."""
    if result.shape != wanted.shape:
        return float("inf")
    a, b = result.astype("f4"), wanted.astype("f4")
    scale = np.maximum(np.minimum(abs(a), abs(b)), 1)
    return float((abs(a - b) / scale).max(initial=0))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
