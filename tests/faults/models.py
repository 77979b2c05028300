"""Makes good and broken models, and packs them: ``python -m tests.faults.models FOLDER``.

It runs in a process of its own, as the engine does in the product, and packs by the product's own
code, without verifying: that is what the faults are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

from megdump_ci.engine import graph, packing, spool
from megdump_ci.gates import Gates, Limits
from megdump_ci.packed import EXPECT_SUFFIX, header
from megdump_ci.protocol import FromWorker, PackJob, TestcaseWritten
from megdump_ci.testcase.settings import DataSettings
from megdump_ci.testcase.spec import TestcaseSpec
from tests.engine.models import FORMATS, HERE, Var, convert, elemwise, model, save, traced
from tests.faults.clean import CLEAN

TESTCASES = 3
PAIR = ("zeta", "alpha")
CLASSES = 100


def pair() -> None:
    """Two inputs that nothing but their names tells apart, and broken models of the same names."""

    def pair_model(
        name: str,
        outputs: Callable[[Var, Var], Iterable[Var]],
        inputs: Iterable[str] = PAIR,
        names: Iterable[str] = ("blend", "apart"),
    ) -> None:
        made = [(item, "float32", (2, 3)) for item in inputs]
        model(
            name,
            made,
            lambda zeta, alpha, graph: list(outputs(zeta, alpha)),
            list(names),
            FORMATS if name == "pair" else FORMATS[1:],
        )

    def blend(zeta: Var, alpha: Var, mode: str = "SIN") -> Var:
        return elemwise("ADD", elemwise(mode, zeta), elemwise("EXP", elemwise("NEGATE", alpha)))

    def apart(zeta: Var, alpha: Var, mode: str = "MUL") -> Var:
        return elemwise("SUB", elemwise(mode, zeta, zeta), alpha)

    pair_model("pair", lambda z, a: [blend(z, a), apart(z, a)])
    pair_model("pair_inputs_swapped", lambda z, a: [blend(a, z), apart(a, z)])
    # Under a name that is sorted to another place, an input is given another one's values.
    pair_model("pair_input_renamed", lambda z, a: [blend(z, a), apart(z, a)], ("Zeta", "alpha"))
    pair_model("pair_cos_for_sin", lambda z, a: [blend(z, a, "COS"), apart(z, a)])
    pair_model("pair_max_for_mul", lambda z, a: [blend(z, a), apart(z, a, "MAX")])
    pair_model(
        "pair_outputs_reordered", lambda z, a: [apart(z, a), blend(z, a)], names=("apart", "blend")
    )
    pair_model(
        "pair_outputs_renamed", lambda z, a: [blend(z, a), apart(z, a)], names=("apart", "blend")
    )
    pair_model("pair_output_removed", lambda z, a: [blend(z, a)], names=("blend",))
    pair_model(
        "pair_output_added",
        lambda z, a: [blend(z, a), apart(z, a), elemwise("EXP", z)],
        names=("blend", "apart", "more"),
    )
    pair_model("pair_output_float16", lambda z, a: [blend(z, a), convert(apart(z, a), "float16")])
    pair_model("pair_output_int32", lambda z, a: [blend(z, a), convert(apart(z, a), "int32")])
    random = np.random.default_rng(1)
    for index in range(TESTCASES):
        for name in PAIR:
            save(f"{name}{index}", random.uniform(0.5, 3, (2, 3)).astype(np.float32))


class Net(M.Module):
    """An image classifier with what the optimising passes look for."""

    def __init__(self) -> None:
        super().__init__()
        self.first = M.ConvBn2d(3, 8, 3, padding=1)
        self.second = M.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = M.Linear(8, CLASSES)
        self.act: Callable[[mge.Tensor], mge.Tensor] = F.relu
        self.axis = 1

    def forward(self, data: mge.Tensor) -> tuple[mge.Tensor, mge.Tensor]:
        """Logits and probability (N, CLASSES) of (N, 3, 8, 8)."""
        features = self.act(self.second(self.act(self.first(data))))
        logits = self.head(F.mean(features, axis=(2, 3)))
        return logits, F.softmax(logits, axis=self.axis)


def net() -> None:
    """A network, and the same one broken in its weights or in one operator."""
    random = np.random.default_rng(3)
    images = [random.standard_normal((2, 3, 8, 8)).astype(np.float32) for _ in range(TESTCASES)]
    for index, image in enumerate(images):
        save(f"data{index}", image)
    save("head.weight", built().head.weight.numpy())

    def net_model(
        name: str,
        change: Callable[[Net], None],
        outputs: Sequence[str] = ("logits", "probability"),
    ) -> None:
        broken = built()
        change(broken)
        traced(
            name,
            lambda data: broken(data)[2 - len(outputs) :],
            {"data": images[0]},
            outputs,
            FORMATS if name == "net" else FORMATS[1:],
        )

    net_model("net", lambda net: None)
    net_model("net_weight_thousandth", lambda net: scaled(net.second, one=True))
    net_model("net_layer_thousandth", lambda net: scaled(net.head))
    for name, change in (
        ("net_soft", lambda net: None),
        ("net_soft_weight_thousandth", lambda net: scaled(net.second, one=True)),
    ):
        net_model(name, change, ["probability"])
    net_model("net_weight_nan", lambda net: put(net.head, np.nan))
    # The nonlinearity behind it makes zeros of what is not a number.
    net_model("net_hidden_nan", lambda net: put(net.second, np.nan))
    net_model("net_weight_zero", lambda net: put(net.second, 0.0))
    net_model("net_bias_dropped", lambda net: scaled(net.head, 0.0, name="bias"))
    net_model("net_kernel_flipped", lambda net: flip(net.first.conv, (2, 3)))
    net_model("net_channels_swapped", lambda net: flip(net.first.conv, (1,)))
    net_model(
        "net_leaky_for_relu", lambda net: setattr(net, "act", lambda x: F.leaky_relu(x, 0.01))
    )
    net_model("net_relu_removed", lambda net: setattr(net, "act", lambda x: x))
    net_model("net_bn_eps", lambda net: setattr(net.first.bn, "eps", 1e-2))
    net_model("net_softmax_over_rows", lambda net: setattr(net, "axis", 0))
    net_model("net_large", lambda net: scaled(net.first.bn, 1e6))


def built() -> Net:
    """The good network, whose logits are some units large."""
    mge.random.seed(3)
    module = Net()
    module.first.bn.running_mean = mge.random.normal(0, 0.3, (1, 8, 1, 1))
    scaled(module.head, 20)
    module.head.bias = mge.Parameter(mge.random.normal(0, 0.3, (CLASSES,)))
    module.eval()
    return module


def put(module: M.Module, value: float) -> None:
    """Another value for the largest weight of a module."""
    weight = module.weight.numpy().copy()
    weight.reshape(-1)[np.abs(weight).argmax()] = value
    module.weight = mge.Parameter(weight)


def scaled(
    module: M.Module, factor: float = 1.001, *, name: str = "weight", one: bool = False
) -> None:
    """All elements of a parameter, or the largest, times ``factor``."""
    value = getattr(module, name).numpy().copy()
    part = np.abs(value) == np.abs(value).max() if one else np.ones_like(value, bool)
    value[part] *= np.float32(factor)
    setattr(module, name, mge.Parameter(value))


def flip(module: M.Module, axes: tuple[int, ...]) -> None:
    """The weight of a module turned around along ``axes``."""
    module.weight = mge.Parameter(np.flip(module.weight.numpy(), axes).copy())


def packed(
    name: str,
    source: str,
    specs: list[str],
    *,
    passes: tuple[str, ...] | None = None,
    maxerr: Limits | None = None,
) -> None:
    """Write NAME.packed.mge, and the reference results of each testcase."""
    written: list[TestcaseWritten] = []

    def take(event: FromWorker) -> None:
        if isinstance(event, TestcaseWritten):
            written.append(event)

    job = PackJob(
        model=str(HERE / f"{source}.mge"),
        shown=source,
        specs=[TestcaseSpec(text) for text in specs],
        samples=[],
        settings=DataSettings(),
        packed=str(HERE / f"{name}.packed.mge"),
        deploy="",
        format="",
        optimize=passes is not None,
        optimizations=[f"enable_{item}" for item in passes or ()],
        no_assert=False,
        gates=Gates(maxerr=maxerr or Limits(1e-4)),
        verbose=False,
        keep_names=True,
        strip=False,
        scratch=str(HERE),
        window=len(specs),
        alone=True,
    )
    packing.pack(job, take, lambda: None)
    for event in written:
        arrays = spool.read(Path(event.spool), len(event.outputs))
        for output, array in zip(event.outputs, arrays, strict=True):
            save(f"{name}-{event.index}-{output}", array)


def asserted(name: str, specs: list[str], named: Sequence[str], about: Sequence[int]) -> None:
    """The good pair, packed with these assertions only: ``named``, and each about an output."""
    source = packing.read_model(str(HERE / "pair.fbs_v2.mge"), "pair")
    loaded = graph.load(source.read(), "pair")
    graph.keep_input_names(loaded)
    checks = graph.add_assertions(
        loaded.graph,
        [loaded.outputs[place] for place in about],
        named,
        [(2, 3)] * len(named),
        [1e-4] * len(named),
        verbose=False,
    )
    content, _ = graph.dump([*loaded.outputs, *checks], "fbs_v2", keep_names=True)
    parts = [header(len(specs)), content]
    for index in range(len(specs)):
        values = {item: np.load(HERE / f"{item}{index}.npy") for item in PAIR}
        for item in named:
            expected = np.load(HERE / f"pair.fbs_v2-{index}-{item}.npy")
            values[item + EXPECT_SUFFIX] = expected
        cells = [(values[key], values[key].dtype) for key in sorted(values, key=str.encode)]
        parts.append(graph.dump_constants(cells, "fbs_v2"))
    (HERE / f"{name}.packed.mge").write_bytes(b"".join(parts))


def testcases() -> None:
    """Testcases of the pair in which one value has another dtype, or another shape."""
    zeta, alpha = (np.load(HERE / f"{item}2.npy") for item in PAIR)
    expects = [np.load(HERE / f"pair.fbs_v2-2-{item}.npy") for item in ("apart", "blend")]
    wrong = {"int32": alpha.view(np.int32), "shape": alpha.reshape(3, 2)}
    for name, value in wrong.items():
        # In the order of the inputs' names.
        arrays = [value, *expects, zeta]
        for form in ("fbs", "fbs_v2"):
            content = graph.dump_constants([(array, array.dtype) for array in arrays], form)
            (HERE / f"{name}.{form}.testcase").write_bytes(content)


def main() -> None:
    """Make the models, pack each, and the good ones in every way that is to pass."""
    pair()
    net()
    pairs = [";".join(f"{name}:{HERE}/{name}{i}.npy" for name in PAIR) for i in range(TESTCASES)]
    images = [f"{HERE}/data{i}.npy" for i in range(TESTCASES)]
    for path in sorted(HERE.glob("*.mge")):
        source = path.name.removesuffix(".mge")
        specs = pairs if source.startswith("pair") else images
        if source.startswith("pair_input_renamed"):
            specs = [text.replace("zeta:", "Zeta:") for text in pairs]
        packed(source, source, specs)
    packed("pair_wide", "pair.fbs_v2", pairs, maxerr=Limits(0.5))
    testcases()
    asserted("pair_assertion_removed", pairs, ["blend"], [0])
    asserted("pair_assertions_swapped", pairs, ["blend", "apart"], [1, 0])
    for item in CLEAN:
        if item.way is not None:
            limit = Limits(item.maxerr)
            packed(item.name, item.model, images, passes=item.passes, maxerr=limit)


if __name__ == "__main__":
    main()
