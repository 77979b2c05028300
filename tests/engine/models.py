"""Makes the models that these tests work on: ``python models.py FOLDER``.

It runs in a process of its own, because importing MegEngine warns about much.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import jit
from megengine.core import _imperative_rt as rt
from megengine.core.ops import builtin
from megengine.core.tensor import dtype as mge_dtype
from megengine.core.tensor import megbrain_graph as mgb

HERE = Path(sys.argv[1])
FORMATS = ("FBS", "FBS_V2")
Var = Any
Build = Callable[..., Sequence[Var]]

ODD_INPUTS = (
    "a b",
    "a/b:c",
    "\u6570\u636e",
    "line\nbreak",
    "[bold red]x[/]",
    "::error::x",
    "%0A",
    "-d",
    "{0}",
    "",
)
ODD_OUTPUTS = ("out put/1:x", "\u7ed3\u679c\n::error file=a::b", "[link=x]y[/link]")

PLAIN_DTYPES = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "bool")
QUANTISED = {
    "q8": (mge_dtype.qint8(0.25), "int8"),
    "q8asymm": (mge_dtype.quint8(0.5, 128), "uint8"),
    "q32": (mge_dtype.qint32(0.125), "int32"),
}


def op(operator: Any, *inputs: Var) -> Var:
    """One operator with one result."""
    (result,) = mgb.apply_normal_varnode(operator, *inputs)
    return result


def elemwise(mode: str, *inputs: Var) -> Var:
    """An element-wise operator."""
    return op(builtin.Elemwise(mode), *inputs)


def convert(var: Var, dtype: Any) -> Var:
    """A conversion to another dtype."""
    return op(builtin.TypeCvt(np.dtype(dtype)), var)


def write(name: str, outputs: Sequence[Var], dump_format: str, *, named: bool = True) -> None:
    """Write NAME.FORMAT.mge."""
    content, _ = mgb.dump_graph(list(outputs), dump_format=dump_format, keep_var_name=int(named))
    (HERE / f"{name}.{dump_format.lower()}.mge").write_bytes(content)


def model(
    name: str,
    inputs: Sequence[tuple[str, Any, Sequence[int]]],
    build: Build,
    names: Sequence[str] | None = ("out",),
    formats: Sequence[str] = ("FBS_V2",),
) -> None:
    """A model from operators: ``build`` gets the inputs' vars, and the graph as ``graph``."""
    for dump_format in formats:
        graph = mgb.Graph()
        device = rt.CompNode("xpux")
        made = [
            rt.make_h2d(graph, device, np.dtype(dtype), list(shape), input_name)
            for input_name, dtype, shape in inputs
        ]
        outputs = build(*made, graph=graph)
        for var, output_name in zip(outputs, names or (), strict=names is not None):
            var.name = output_name
        write(name, outputs, dump_format, named=names is not None)


def traced(
    name: str,
    function: Callable[..., Any],
    inputs: dict[str, np.ndarray],
    outputs: Sequence[str],
    formats: Sequence[str] = ("FBS_V2",),
    **options: Any,
) -> None:
    """A model as a user makes it, from Python code."""
    trace = jit.trace(function, symbolic=True, capture_as_const=True)
    trace(*(mge.tensor(value, dtype=value.dtype) for value in inputs.values()))
    for dump_format in formats:
        trace.dump(
            str(HERE / f"{name}.{dump_format.lower()}.mge"),
            arg_names=list(inputs),
            output_names=list(outputs),
            dump_format=dump_format,
            optimize_for_inference=False,
            **options,
        )


class Net(M.Module):
    """What the optimising passes look for: convolutions, normalisation, nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.first = M.ConvBn2d(3, 8, 3, padding=1)
        self.second = M.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = M.Linear(8, 5)

    def forward(self, data: mge.Tensor) -> tuple[mge.Tensor, mge.Tensor]:
        """Logits and probability (N, 5) of (N, 3, 8, 8)."""
        features = F.relu(self.second(F.relu(self.first(data))))
        logits = self.head(F.mean(features, axis=(2, 3)))
        return logits, F.softmax(logits, axis=1)


def save(name: str, value: np.ndarray) -> None:
    """Write NAME.npy."""
    np.save(HERE / f"{name}.npy", value)


def two_inputs() -> None:
    """Same shape and dtype, so that only their names tell the two inputs apart."""
    model(
        "two",
        # Made in an order other than that of their names; bytes order puts Z before alpha.
        [("zeta", "float32", (2, 3)), ("alpha", "float32", (2, 3)), ("Z", "float32", (2, 3))],
        lambda zeta, alpha, big, graph: [
            elemwise("ADD", elemwise("SIN", zeta), elemwise("EXP", elemwise("NEGATE", alpha))),
            elemwise("SUB", elemwise("MUL", zeta, big), alpha),
        ],
        ["blend", "apart"],
        FORMATS,
    )
    random = np.random.default_rng(1)
    for index in range(3):
        for name in ("zeta", "alpha", "Z"):
            save(f"{name}{index}", random.uniform(0.5, 3, (2, 3)).astype(np.float32))


def net() -> None:
    """A small convolutional network, and its data in batches of several sizes."""
    mge.random.seed(3)
    module = Net()
    module.eval()
    data = np.random.default_rng(3).standard_normal((3, 3, 8, 8)).astype(np.float32)
    traced("net", module, {"data": data[:1]}, ["logits", "probability"], FORMATS)
    for count in (1, 3, 2):
        save(f"batch{count}", data[:count])


def image() -> None:
    """Pixels as they are in an image file."""
    traced(
        "image",
        lambda pixels: F.mean(pixels.astype("float32"), axis=(2, 3)) / 255,
        {"pixels": np.zeros((1, 3, 6, 4), np.uint8)},
        ["mean"],
    )


def shapes() -> None:
    """Outputs of odd shapes, and outputs that are the same var."""
    x = ("x", "float32", (2, 3))
    condition = np.arange(6, dtype=np.float32).reshape(2, 3)
    traced(
        "dynamic",
        lambda x: F.cond_take(x > 0, x),
        {"x": condition},
        ["values", "places"],
    )
    traced("scalar", lambda x: (F.mean(x), x.sum(axis=1)), {"x": condition}, ["mean", "sum"])
    model("twice", [x], lambda x, graph: [elemwise("EXP", x)] * 2, ["out", "out"])
    model(
        "through",
        [x, ("y", "float32", (2, 3))],
        lambda x, y, graph: [x, elemwise("ADD", x, y)],
        ["x", "sum"],
        FORMATS,
    )
    model("only_through", [x], lambda x, graph: [x], ["x"])
    # Optimising takes the first conversion pair away and finds the other one equal.
    model(
        "merged",
        [x],
        lambda x, graph: [
            elemwise("ADD", convert(convert(elemwise("EXP", x), "float16"), "float32"), x),
            elemwise("ADD", elemwise("EXP", x), x),
        ],
        ["rounded", "plain"],
    )
    zero = np.zeros(1, np.float32)
    model(
        "equal",
        [x],
        lambda x, graph: [
            elemwise("ADD", elemwise("EXP", x), graph.make_const(zero)._node),
            elemwise("EXP", x),
        ],
        ["added", "plain"],
    )


def dtypes() -> None:
    """Every dtype as an input and as an output."""
    quantised = {name: dtype for name, (dtype, _) in QUANTISED.items()}
    inputs = {**{name: name for name in PLAIN_DTYPES}, **quantised}
    model(
        "dtypes",
        [(f"in_{name}", dtype, (2, 4)) for name, dtype in inputs.items()],
        lambda *made, graph: [
            *(op_exp(x) if x.dtype == np.float32 else convert(x, "float32") for x in made),
        ],
        [f"out_{name}" for name in inputs],
        FORMATS,
    )
    model(
        "quantised",
        [("x", "float32", (2, 4)), ("through", QUANTISED["q8"][0], (2, 4))],
        lambda x, through, graph: [*(convert(x, d) for d in quantised.values()), through],
        [*quantised, "through"],
        FORMATS,
    )
    ends = {"float32": (-1.5, 80), "float16": (-60000, 0.25), "bool": (0, 1)}
    # All that MegEngine Lite takes, in and out.
    plain = [name for name in PLAIN_DTYPES if name != "bool"]
    model(
        "lite",
        [(f"in_{name}", name, (2, 4)) for name in plain],
        lambda *made, graph: [
            *(convert(elemwise("ADD", convert(x, "float32"), made[0]), x.dtype) for x in made),
        ],
        [f"out_{name}" for name in plain],
        FORMATS,
    )
    for name in inputs:
        stored = np.dtype(QUANTISED[name][1] if name in QUANTISED else name)
        info = np.iinfo(stored) if stored.kind in "iu" else None
        low, high = (info.min, info.max) if info else ends[name]
        values = np.resize(np.array([low, high, high, low, low]), 8).reshape(2, 4)
        save(f"data_{name}", values.astype(stored))
    model(
        "kinds",
        [("x", "float32", (2, 4))],
        lambda x, graph: [
            convert(x, "int32"),
            convert(x, "int8"),
            convert(x, "uint8"),
            convert(x, "int16"),
            convert(x, "float16"),
            elemwise("LT", x, elemwise("SIN", x)),
            convert(elemwise("LT", x, elemwise("SIN", x)), "bool"),
        ],
        ["i32", "i8", "u8", "i16", "f16", "less", "flag"],
        FORMATS,
    )


def op_exp(x: Var) -> Var:
    """A float32 operator, where a conversion would be none."""
    return elemwise("EXP", x)


def names() -> None:
    """Names that a terminal, a workflow command or a path could take for something else."""

    def build(*inputs: Var, graph: Any) -> list[Var]:
        total = inputs[0]
        for place, var in enumerate(inputs[1:], 2):
            weight = graph.make_const(np.full(1, place, np.float32))._node
            total = elemwise("ADD", total, elemwise("MUL", var, weight))
        return [total, elemwise("EXP", elemwise("NEGATE", total)), elemwise("SIN", total)]

    odd = [(name, "float32", (1, 2)) for name in ODD_INPUTS if name]
    model("odd", odd, build, ODD_OUTPUTS, FORMATS)
    many = [(f"input{(index * 7) % 30}", "float32", (1, 2)) for index in range(30)]
    model("many", many, build, ["a", "b", "c"])
    # The suffix that a packed file puts behind the names of its expected values.
    model("expect", [("x:expect", "float32", (1, 2))], lambda x, graph: [op_exp(x)], ["out"])
    # An output named as an input is, but not that input.
    model("shadow", [("x", "float32", (1, 2))], lambda x, graph: [op_exp(x)], ["x"])
    # Names that packing itself would use.
    for name, last in (("assert", "out:assert"), ("suffix", "out:expect")):
        model(
            name,
            [("x", "float32", (1, 2))],
            lambda x, graph: [op_exp(x), elemwise("SIN", x)],
            ["out", last],
        )
    # Outputs without names of their own.
    model(
        "nameless",
        [("x", "float32", (1, 2))],
        lambda x, graph: [op_exp(x), elemwise("SIN", x), elemwise("NEGATE", x)],
        None,
        FORMATS,
    )
    # Sorted by name, the expected values do not stand behind all inputs.
    model(
        "between",
        [("b", "float32", (1, 2)), ("out:f", "float32", (1, 2)), ("a", "float32", (1, 2))],
        lambda b, f, a, graph: [elemwise("SUB", elemwise("MUL", a, b), f)],
        ["out"],
    )


def no_inputs() -> None:
    """A model that is a constant."""
    model(
        "constant",
        [],
        lambda graph: [elemwise("EXP", graph.make_const(np.ones((2, 2), np.float32))._node)],
    )


def large() -> None:
    """Testcases of about 600 kB."""
    model("large", [("x", "float32", (150, 1000))], lambda x, graph: [elemwise("SIN", x)])


def lookup() -> None:
    """Rows of a table, by their numbers, and then enough work to do something else meanwhile."""
    table = np.random.default_rng(5).standard_normal((9, 4096)).astype(np.float32)
    for rows in (4, 9):
        weight = mge.Parameter(table[:rows])

        def found(ids: mge.Tensor, weight: mge.Tensor = weight) -> mge.Tensor:
            value = F.embedding(ids, weight)
            for _ in range(20):
                value = F.sin(value)
            return F.sum(value, axis=2)

        traced(f"lookup{rows}", found, {"ids": np.zeros((1, 16), np.int32)}, ["out"])


def device() -> None:
    """Inputs and a constant that have the bytes by which a file names the device of a graph."""
    value = np.frombuffer(b"\x06\0\0\0xpux:0\0\0", np.float32).copy()
    model(
        "device",
        [("xpux:0", "float32", (2, 3))],
        lambda x, graph: [elemwise("ADD", x, graph.make_const(value)._node)],
        formats=FORMATS,
    )
    model(
        "named_device",
        [("xpux:0", "float32", (2, 3))],
        lambda x, graph: [elemwise("SIN", x)],
        formats=FORMATS,
    )


def weights() -> None:
    """The same graph with another weight."""
    for name, value in (("weight1", 1.5), ("weight2", 1.75)):
        weight = np.full((2, 3), value, np.float32)
        model(
            name,
            [("x", "float32", (2, 3))],
            lambda x, graph, w=weight: [elemwise("MUL", x, graph.make_const(w)._node)],
            formats=FORMATS,
        )


def faint() -> None:
    """Outputs far below 1, of a ramp of weights; and the same with the ramp turned around."""
    ramp = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3) * np.float32(2e-5)
    for name, weight in (("faint1", ramp), ("faint2", -ramp)):
        model(
            name,
            [("x", "float32", (2, 3))],
            lambda x, graph, w=weight: [elemwise("MUL", x, graph.make_const(w)._node)],
            ["score"],
        )


def counting() -> None:
    """Whole numbers where float32 has every other one alone, of inputs of two dtypes."""
    for name, dtype, first in (
        ("count1", "int32", 2**24),
        ("count2", "int32", 2**24 + 1),
        ("count3", "float16", 2**24),
    ):
        offset = np.array([first], np.int32)
        model(
            name,
            [("x", dtype, (2, 3))],
            lambda x, graph, c=offset: [
                elemwise("ADD", convert(x, "int32"), graph.make_const(c)._node)
            ],
        )


def unmoved() -> None:
    """An output that its input does not reach, and one that is the same everywhere."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)

    def build(x: Var, graph: Any) -> list[Var]:
        nothing = elemwise("MIN", elemwise("ABS", x), graph.make_const(np.float32([0]))._node)
        return [elemwise("ADD", nothing, graph.make_const(values)._node), nothing, op_exp(x)]

    model("unmoved", [("x", "float32", (2, 3))], build, ["fixed", "nothing", "moved"])


def randomness() -> None:
    """An output that is another one in each run."""
    traced(
        "random",
        lambda x: x + mge.random.uniform(0, 1, (2, 3)),
        {"x": np.zeros((2, 3), np.float32)},
        ["out"],
    )


def own_testcases() -> None:
    """A packed file as MegEngine's own trace.dump writes it."""
    for name, silent in (("own", False), ("own_half", True)):
        options = {"input_data": ["#rand(0,1)"], "maxerr": 1e-3, "silent": silent}
        trace = jit.trace(lambda x, y: (F.exp(-x) + y, x * y), symbolic=True, capture_as_const=True)
        trace(*(mge.tensor(np.full((2, 3), value, np.float32)) for value in (1, 2)))
        keys = {"arg_names": ["x", "y"], "output_names": ["sum", "product"]}
        if name == "own":
            trace.dump(str(HERE / "own.mge"), optimize_for_inference=False, **keys, **options)
            trace.dump(str(HERE / "own_model.mge"), optimize_for_inference=False, **keys)
        else:
            # The old way: assertions first, then the passes, which make them float16.
            optimised = {"optimize_for_inference": True, "enable_io16xc32": True}
            trace.dump(str(HERE / "own_half.mge"), **optimised, **keys, **options)


def main() -> None:
    """Make everything, and write down the names."""
    for make in (
        two_inputs,
        net,
        image,
        shapes,
        dtypes,
        names,
        no_inputs,
        large,
        lookup,
        device,
        weights,
        faint,
        counting,
        unmoved,
        randomness,
        own_testcases,
    ):
        make()
    facts = {
        "odd_inputs": [name for name in ODD_INPUTS if name],
        "odd_outputs": ODD_OUTPUTS,
        "plain_dtypes": PLAIN_DTYPES,
        "quantised": list(QUANTISED),
    }
    (HERE / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
