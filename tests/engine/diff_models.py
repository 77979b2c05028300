"""Makes one model and what may become of it: ``python diff_models.py FOLDER``.

It runs in a process of its own, because importing MegEngine warns about much.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from megengine.core import _imperative_rt as rt
from megengine.core.ops import builtin
from megengine.core.tensor import megbrain_graph as mgb

HERE = Path(sys.argv[1])


@dataclass(frozen=True)
class Model:
    """A model by what is special about it: two layers and a head of each kind."""

    activation: str = "RELU"
    clipped: bool = False
    classes: int = 5
    scale: float = 1.0
    """Of one row of the head's weights."""
    bias: float = 0.5
    batch: int = 1
    input: str = "data"
    dtype: str = "float32"
    outputs: tuple[str, ...] = ("logits", "probability")
    format: str = "FBS_V2"
    named: bool = True

    def write(self, name: str) -> None:
        """Write NAME.mge."""
        graph = mgb.Graph()
        random = np.random.default_rng(0)

        def constant(name: str, shape: tuple[int, ...]) -> Any:
            value = random.standard_normal(shape).astype(np.float32)
            if name == "head.weight":
                value[2] *= np.float32(self.scale)
            if name == "head.bias":
                value[0, 0] = self.bias
            var = graph.make_const(value)._node
            var.name = name
            return var

        def op(operator: Any, name: str, *inputs: Any) -> Any:
            (result,) = mgb.apply_normal_varnode(operator, *inputs)
            result.name = name
            return result

        def linear(name: str, x: Any, width: int, count: int) -> Any:
            weight = constant(f"{name}.weight", (count, width))
            product = op(
                builtin.MatrixMul(transposeB=True, dimA=2, dimB=2), f"{name}.matmul", x, weight
            )
            bias = constant(f"{name}.bias", (1, count))
            return op(builtin.Elemwise("ADD"), f"{name}.add", product, bias)

        data = rt.make_h2d(
            graph, rt.CompNode("xpux"), np.dtype(self.dtype), [self.batch, 8], self.input
        )
        if self.dtype != "float32":
            data = op(builtin.TypeCvt(np.dtype(np.float32)), "cast", data)
        x = linear("stem", data, 8, 16)
        x = op(builtin.Elemwise(self.activation), f"stem.{self.activation}", x)
        x = op(builtin.Elemwise("RELU"), "body.RELU", linear("body", x, 16, 16))
        if self.clipped:
            x = op(builtin.Elemwise("TANH"), "clip", x)
        logits = linear("head", x, 16, self.classes)
        logits.name = self.outputs[0]
        ends = [logits]
        if len(self.outputs) > 1:
            ends.append(op(builtin.Elemwise("SIGMOID"), self.outputs[1], logits))
        keep = {"keep_var_name": 2, "keep_param_name": True} if self.named else {"keep_var_name": 0}
        content, _ = mgb.dump_graph(ends, dump_format=self.format, **keep)
        (HERE / f"{name}.mge").write_bytes(content)


def main() -> None:
    """Make everything."""
    base = Model()
    variants = {
        "base": {},
        "format": {"format": "FBS"},
        "nameless": {"named": False, "format": "FBS"},
        "weight": {"scale": 1.001},
        "nameless_weight": {"scale": 1.001, "named": False},
        "replaced": {"activation": "TANH", "outputs": ("scores", "probability")},
        "added": {"clipped": True, "outputs": ("logits",)},
        "classes": {"classes": 7},
        "batch": {"batch": 2},
        "nan": {"bias": float("nan")},
        "input": {"input": "pixels"},
        "dtype": {"dtype": "int8"},
    }
    for name, changes in variants.items():
        dataclasses.replace(base, **changes).write(name)


if __name__ == "__main__":
    main()
