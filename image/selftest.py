"""Digests of what MegEngine computes, to hold two builds of its library against each other.

``selftest.py FILE`` writes one line for each result: its SHA-256 and its name. Two libraries that
compute the same write the same bytes. What is in here: operators of every kind, a network in eager
and traced execution, dumps in both formats, every optimisation pass and what the optimised graphs
compute, AssertEqual, gradients, MegEngine Lite, and OpenCV's reading of images, which shares the
process. It needs nothing but the installed packages.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Before the engine is loaded: what is recorded is what the processor computes.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import cv2
import megengine as mge
import megengine.functional as F
import megengine.module as M
import megenginelite as lite
import numpy as np
from megengine import autodiff, jit
from megengine.core import _imperative_rt as rt
from megengine.core.ops import builtin
from megengine.core.tensor import dtype as mge_dtype
from megengine.core.tensor import megbrain_graph as mgb
from megengine.utils import comp_graph_tools as tools

Array = Any
Result = tuple[str, Any]

PASSES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "float16": ("io16xc32",),
    "all float16": ("ioc16",),
    "fused float16": ("io16xc32", "fuse_conv_bias_nonlinearity"),
    "fused": ("fuse_conv_bias_nonlinearity",),
    "fused with z": ("fuse_conv_bias_with_z",),
    "preprocess": ("fuse_preprocess",),
    "nchw4": ("nchw4",),
    "nchw32": ("nchw32",),
    "nchw44": ("nchw44",),
    "nchw44_dot": ("nchw44_dot",),
    "chwn4": ("chwn4",),
}
"""What ``optimize_for_inference`` is asked for. Three layouts are missing: the engine has no
way to run nchw88 and hwcd4 on every processor, and nchw64 takes no grouped convolutions."""
_DEVICE = "xpux"
_random = np.random.default_rng(7)


def _values(*shape: int) -> Array:
    return _random.standard_normal(shape).astype(np.float32)


class Block(M.Module):  # type: ignore[misc]
    """Two paths that meet: what fusing with z looks for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = M.ConvBn2d(channels, channels, 3, padding=1)
        self.second = M.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.third = M.Conv2d(channels, channels, 1)

    def forward(self, x: mge.Tensor) -> mge.Tensor:
        """(N, C, H, W), as it came."""
        y = self.second(F.relu(self.first(x)))
        return F.relu(self.third(F.sigmoid(y)) + x)


class Net(M.Module):  # type: ignore[misc]
    """A network with the operators that the passes rewrite."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = M.ConvBn2d(3, 16, 3, stride=2, padding=1)
        self.blocks = M.Sequential(Block(16), Block(16))
        self.up = M.ConvTranspose2d(16, 8, 2, stride=2)
        self.head = M.Linear(8, 10)

    def forward(self, data: mge.Tensor) -> tuple[mge.Tensor, mge.Tensor]:
        """Logits and probability (N, 10) of (N, 3, 24, 24)."""
        x = F.relu(self.stem(data))
        x = F.max_pool2d(self.blocks(x), 2)
        x = F.vision.interpolate(self.up(x), scale_factor=2)
        logits = self.head(F.avg_pool2d(x, x.shape[2]).reshape(-1, 8))
        return logits, F.softmax(logits, axis=1)


def operators() -> Iterator[Result]:
    """Kernels of every kind, in eager execution."""
    a, b = mge.tensor(_values(4, 6)), mge.tensor(_values(4, 6))
    image, kernel = mge.tensor(_values(2, 8, 12, 12)), mge.tensor(_values(8, 8, 3, 3))
    for name in ("exp", "sin", "tanh", "floor", "abs", "sigmoid", "relu", "gelu", "hswish"):
        yield name, getattr(F, name)(a)
    for name in ("add", "sub", "mul", "div", "pow", "maximum", "atan2", "less"):
        yield name, getattr(F, name)(F.abs(a), b)
    for name in ("sum", "mean", "max", "prod", "var", "argmin", "norm"):
        yield name, getattr(F, name)(a, axis=1)
    yield "matmul", F.matmul(a, b.transpose(1, 0))
    yield "float16 matmul", F.matmul(a.astype("float16"), b.transpose(1, 0).astype("float16"))
    yield "svd", F.svd(a)[1]
    yield "sort", F.sort(a)
    yield "topk", F.topk(a, 3, descending=True)
    yield "gather", F.gather(a, 1, mge.tensor([[0], [5], [2], [1]], dtype="int32"))
    yield "cond_take", F.cond_take(a > 0, a)
    yield "cumsum", F.cumsum(a, 1)
    yield "convolution", F.conv2d(image, kernel, padding=1)
    yield "dilated", F.conv2d(image, kernel, dilation=2)
    yield "grouped", F.conv2d(image, mge.tensor(_values(2, 4, 4, 3, 3)), groups=2)
    yield "float16 convolution", F.conv2d(image.astype("float16"), kernel.astype("float16"))
    yield "transposed", F.conv_transpose2d(image, kernel, stride=2)
    yield "3d", F.conv3d(mge.tensor(_values(1, 2, 5, 6, 6)), mge.tensor(_values(3, 2, 3, 3, 3)))
    yield "pooling", F.avg_pool2d(image, 3, 2)
    yield "normalised", F.nn.layer_norm(a, (6,), True, mge.tensor(_values(6)), b[0])
    boxes = F.abs(mge.tensor(_values(6, 4))) + mge.tensor([0, 0, 9, 9], dtype="float32")
    yield "nms", F.vision.nms(boxes, F.abs(b[0]), 0.3)
    rois = F.concat([F.zeros((6, 1)), boxes], axis=1)
    yield "roi_align", F.vision.roi_align(image, rois, (2, 2))
    turned = mge.tensor([[[0.9, 0.1, 0], [-0.1, 0.9, 1], [0, 0, 1]]] * 2, dtype="float32")
    yield "warped", F.vision.warp_perspective(image, turned, (9, 9))
    yield "quantised", _quantised(image, kernel)
    mge.random.seed(11)
    yield "uniform", mge.random.uniform(size=(5,))
    yield "normal", mge.random.normal(size=(5,))
    mge.random.seed(12)
    lstm = M.LSTM(6, 5, 2)
    yield "lstm", lstm(mge.tensor(_values(3, 2, 6)))[0]


def _quantised(image: mge.Tensor, kernel: mge.Tensor) -> mge.Tensor:
    source, weight = mge_dtype.qint8(0.05), mge_dtype.qint8(0.1)
    made = F.quantized.conv_bias_activation(
        image.astype(source),
        kernel.astype(weight),
        mge.tensor(np.zeros((1, 8, 1, 1), np.float32)).astype(mge_dtype.qint32(0.05 * 0.1)),
        dtype=mge_dtype.qint8(0.2),
        padding=1,
        nonlinear_mode="relu",
    )
    return made.astype("float32")


def gradients() -> Iterator[Result]:
    """One step back through a convolution and what follows it."""
    layer, data = M.Conv2d(3, 4, 3), mge.tensor(_values(2, 3, 9, 9))
    with autodiff.GradManager().attach([*layer.parameters(), data]) as manager:
        loss = F.mean(F.max_pool2d(F.sigmoid(layer(data)), 2) ** 2)
        manager.backward(loss)
    yield "loss", loss
    for name, tensor in (*layer.named_parameters(), ("data", data)):
        yield f"of {name}", tensor.grad


def network(net: Net, data: Array) -> tuple[list[Result], dict[str, bytes]]:
    """The network as code and traced; and its dumps by format."""
    results = [("eager", value) for value in net(mge.tensor(data))]
    traced = jit.trace(net, symbolic=True, capture_as_const=True)
    results += [("traced", value) for value in traced(mge.tensor(data))]
    dumps = {}
    for dump_format in ("FBS", "FBS_V2"):
        file = io.BytesIO()
        traced.dump(
            file,
            arg_names=["data"],
            output_names=["logits", "probability"],
            optimize_for_inference=False,
            dump_format=dump_format,
        )
        dumps[dump_format] = file.getvalue()
    return results, dumps


def optimised(content: bytes, data: Array) -> Iterator[Result]:
    """A dump read back, optimised, written, read again and run, with each set of passes."""
    for name, passes in PASSES.items():
        loaded = mgb.load_graph(io.BytesIO(content))
        options = {f"enable_{item}": True for item in passes}
        outputs, _ = mgb.optimize_for_inference(loaded.output_vars_list, **options)
        written, _ = mgb.dump_graph(outputs)
        yield f"{name}, written", np.frombuffer(written, np.uint8)
        for value in _run(written, data):
            yield f"{name}, run", value


def _run(content: bytes, data: Array) -> list[Array]:
    """The outputs of a dumped graph with one input."""
    loaded = mgb.load_graph(io.BytesIO(content))
    (given,) = tools.get_dep_vars(loaded.output_vars_list, "Host2DeviceCopy")
    node = mgb.InputNode(
        device=_DEVICE,
        dtype=given.dtype,
        shape=data.shape,
        graph=loaded.graph,
        use_static_shape=True,
    )
    replaced = tools.replace_vars(loaded.output_vars_list, {given: node.outputs[0]})
    results = [mgb.OutputNode(var) for var in replaced]
    function = loaded.graph.compile([item.outputs[0] for item in results])
    node.set_value(mge.tensor(data, device=_DEVICE)._dev_tensor())
    function.execute()
    function.wait()
    return [item.get_value().numpy() for item in results]


def assertions() -> Iterator[Result]:
    """AssertEqual, on what it lets pass and on what it refuses."""
    for what, offset in (("equal", 0.0), ("unequal", 1.0)):
        graph = mgb.Graph()
        data = rt.make_h2d(graph, rt.CompNode(_DEVICE), np.dtype(np.float32), [3], "data")
        (moved,) = mgb.apply_normal_varnode(builtin.Elemwise("NEGATE"), data)
        expected = graph.make_const(np.array([-1, -2, -3 + offset], np.float32))._node
        check = builtin.AssertEqual(maxerr=1e-4, verbose=False)
        (compared,) = mgb.apply_normal_varnode(check, expected, moved)
        content, _ = mgb.dump_graph([compared])
        try:
            (value,) = _run(content, np.array([1, 2, 3], np.float32))
            said = f"passed {value}"
        except RuntimeError as error:
            said = str(error).splitlines()[0]
        if said.startswith("passed") != (what == "equal"):
            raise SystemExit(f"AssertEqual says of {what} values: {said}")
        yield what, np.frombuffer(said.encode(), np.uint8)


def on_lite(content: bytes, data: Array) -> Iterator[Result]:
    """The dump on MegEngine Lite."""
    network = lite.LiteNetwork()
    network.load(io.BufferedReader(io.BytesIO(content)))
    network.get_io_tensor("data").set_data_by_copy(data)
    network.forward()
    network.wait()
    for name in network.get_all_output_name():
        yield name, network.get_io_tensor(name).to_numpy()


def images() -> Iterator[Result]:
    """Images, written and read by OpenCV, and resized."""
    drawn = _random.integers(0, 256, (37, 53, 3)).astype(np.uint8)
    for kind in (".png", ".jpg", ".bmp", ".webp", ".tiff"):
        _, encoded = cv2.imencode(kind, drawn)
        for mode in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE):
            read = cv2.imdecode(encoded, mode)
            yield f"{kind} {mode}", read
            yield f"{kind} {mode}, resized", cv2.resize(read, (20, 30))


def results() -> Iterator[Result]:
    """All of it, by name."""
    if mge.is_cuda_available():
        raise SystemExit("the engine sees a GPU, and this is about the processor")
    mge.random.seed(3)
    net, data = Net(), _values(2, 3, 24, 24)
    net.eval()
    made, dumps = network(net, data)
    groups: dict[str, Iterable[Result]] = {
        "operators": operators(),
        "network": made,
        "dumps": [(name, np.frombuffer(dump, np.uint8)) for name, dump in dumps.items()],
        "optimised": optimised(dumps["FBS_V2"], data),
        "optimised FBS": optimised(dumps["FBS"], data),
        "AssertEqual": assertions(),
        "Lite": on_lite(dumps["FBS_V2"], data),
        "gradients": gradients(),
        "images": images(),
    }
    for group, items in groups.items():
        for name, value in items:
            yield f"{group}: {name}", value


def lines() -> Iterator[str]:
    """A line for each result, whose bytes, shape and dtype are in the digest."""
    for name, value in results():
        array = np.ascontiguousarray(value.numpy() if isinstance(value, mge.Tensor) else value)
        told = f"{array.dtype.str} {array.shape} ".encode()
        yield f"{hashlib.sha256(told + array.tobytes()).hexdigest()}  {name}\n"


if __name__ == "__main__":
    found = list(lines())
    Path(sys.argv[1]).write_text("".join(found), encoding="utf-8")
    sys.stdout.write(f"{len(found)} results\n")
    sys.stdout.flush()
    # The engine's exit hooks can hang.
    os._exit(0)
