"""Reads a packed file as ``load_and_run`` does: ``python reader.py PACKED... > JSON``.

It shares no code with megdump_ci: what the package writes is judged from outside. The values of a
testcase go, by position, to the inputs of the main graph sorted by the names of their operators,
and the graph runs with its AssertEqual operators live. A bare model is described, not run.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

MAGIC = b"mgbtest0"


def main(paths: list[str]) -> None:
    """Print one JSON object for each path."""
    events = os.dup(1)
    # The engine prints to stdout.
    os.dup2(2, 1)
    found = [read(Path(path).read_bytes()) for path in paths]
    with os.fdopen(events, "w") as out:
        json.dump(found, out)


def read(content: bytes) -> dict[str, Any]:
    """What is in a file."""
    if not content.startswith(MAGIC):
        return {"testcases": [], **describe(content)}
    (count,) = struct.unpack_from("<I", content, len(MAGIC))
    parts = split(content[len(MAGIC) + 4 :])
    if len(parts) != count + 1:
        raise ValueError(f"{len(parts) - 1} testcases, the header has {count}")
    return {
        **describe(parts[0]),
        "testcases": [run(parts[0], part) for part in parts[1:]],
    }


def split(content: bytes) -> list[bytes]:
    """The graphs behind each other in ``content``."""
    parts = []
    while content:
        size = graph_size(content)
        parts.append(content[:size])
        content = content[size:]
    return parts


def graph_size(content: bytes) -> int:
    """Bytes of the graph that ``content`` begins with."""
    if content[8:12] == b"mgv2":
        return 4 + struct.unpack_from("<I", content)[0]
    if content[:4] != b"MGBC":
        raise ValueError(f"no graph begins with {content[:12]!r}")
    tensors = struct.unpack_from("<Q", content, 16)[0]
    return 28 + tensors + struct.unpack_from("<I", content, 24 + tensors)[0]


def loaded(content: bytes) -> tuple[Any, dict[str, Any], list[Any]]:
    """Graph, inputs by name in the order of ``std::sort``, outputs."""
    from megengine.core.tensor import megbrain_graph as mgb
    from megengine.utils import comp_graph_tools as tools

    found = mgb.load_graph(io.BytesIO(content))
    inputs = tools.get_dep_vars(found.output_vars_list, "Host2DeviceCopy")
    # Loading gives the var the name that the file has for the operator.
    by_name = {var.name: var for var in inputs}
    ordered = {name: by_name[name] for name in sorted(by_name, key=os.fsencode)}
    return found.graph, ordered, found.output_vars_list


def describe(content: bytes) -> dict[str, Any]:
    """Format, names, dtypes and operators of a graph."""
    from megengine.utils import comp_graph_tools as tools

    _, inputs, outputs = loaded(content)
    operators = tools.get_oprs_seq(outputs, prune_immtensor=False)
    checks = [operator for operator in operators if operator.type == "AssertEqual"]
    return {
        "format": "fbs_v2" if content[8:12] == b"mgv2" else "fbs",
        "inputs": {name: str(var.dtype) for name, var in inputs.items()},
        "outputs": [[var.name, var.owner.type] for var in outputs],
        "passes": passes(content),
        "operators": [operator.type for operator in operators],
        # Expected and computed value; the third input is the error.
        "compared": [[str(var.dtype) for var in check.inputs[:2]] for check in checks],
    }


def passes(content: bytes) -> list[str]:
    """The passes that the graph's metadata says it was optimised with."""
    from megengine.core.tensor import megbrain_graph as mgb

    metadata = mgb.load_graph(io.BytesIO(content)).metadata
    if not metadata.optimized_for_inference:
        return []
    return sorted(mgb.deserialize_infer_option(metadata.optimize_options))


def run(graph_content: bytes, testcase: bytes) -> dict[str, Any]:
    """What each input gets, what the outputs are, and what the assertions said."""
    from megengine.core.tensor import megbrain_graph as mgb
    from megengine.utils import comp_graph_tools as tools

    constants = mgb.load_graph(io.BytesIO(testcase))
    kinds = [var.owner.type for var in constants.output_vars_list]
    nodes = [mgb.OutputNode(var) for var in constants.output_vars_list]
    function = constants.graph.compile([node.outputs[0] for node in nodes])
    function.execute()
    function.wait()
    values = [node.get_value() for node in nodes]

    graph, inputs, outputs = loaded(graph_content)
    if len(inputs) != len(values):
        raise ValueError(f"{len(values)} values for {len(inputs)} inputs")
    feeds = {}
    for (name, var), value in zip(inputs.items(), values, strict=True):
        if var.dtype != value.numpy().dtype:
            raise ValueError(f"{name}: {var.dtype} is given {value.numpy().dtype}")
        feeds[name] = mgb.InputNode(
            device="xpux", dtype=var.dtype, shape=value.numpy().shape, graph=graph
        )
        feeds[name].set_value(value)
    swap = {var: feeds[name].outputs[0] for name, var in inputs.items()}
    outputs = [assertion_behind(var) for var in outputs]
    replaced = tools.replace_vars(outputs, swap)
    plain = [i for i, var in enumerate(outputs) if var.owner.type != "AssertEqual"]
    results = {i: mgb.OutputNode(as_numbers(replaced[i])) for i in plain}
    ends = [results[i].outputs[0] if i in results else var for i, var in enumerate(replaced)]
    function = graph.compile(ends)
    failure = ""
    try:
        function.execute()
        function.wait()
    except RuntimeError as error:
        failure = str(error).splitlines()[0]
    return {
        "kinds": kinds,
        "values": {name: packed(value.numpy()) for name, value in zip(inputs, values, strict=True)},
        "failure": failure,
        "results": [] if failure else [packed(results[i].get_value().numpy()) for i in plain],
    }


def assertion_behind(var: Any) -> Any:
    """An assertion whose result was converted, which has no value to convert."""
    source = var
    while source.owner.type == "TypeCvt":
        (source,) = source.owner.inputs
    return source if source.owner.type == "AssertEqual" else var


def as_numbers(var: Any) -> Any:
    """Quantised values as the numbers that they stand for."""
    import numpy as np
    from megengine.core.ops import builtin
    from megengine.core.tensor import dtype as mge_dtype
    from megengine.core.tensor import megbrain_graph as mgb

    if not mge_dtype.is_quantize(var.dtype):
        return var
    return mgb.apply_normal_varnode(builtin.TypeCvt(np.dtype("float32")), var)[0]


def packed(array: Any) -> dict[str, Any]:
    """An array as JSON can hold it."""
    import numpy as np

    return {
        "dtype": array.dtype.str,
        "shape": array.shape,
        "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
