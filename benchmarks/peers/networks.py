"""Two networks with random weights: one as large as ResNet-50, one as ShuffleNet V2 1.0x.

    python benchmarks/peers/networks.py {resnet50,shufflenet} OUT [--data SPEC]

With ``--data``, MegEngine packs it itself, by ``trace.dump(input_data=...)``.

Their channels, strides and blocks are those of the papers (arXiv:1512.03385 with the stride in the
3x3 convolution, arXiv:1807.11164). Weights are drawn by He's rule and the last scale of each
residual branch is small, so that activations keep their size.
"""

from __future__ import annotations

import argparse
from typing import Any

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import jit

INPUT = "data"
SHAPE = (1, 3, 224, 224)
_BRANCH_SCALE = 0.25


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[Any]:
    conv = M.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return [conv, M.BatchNorm2d(outputs)]


class Bottleneck(M.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.branch = M.Sequential(
            *_conv(inputs, width, 1),
            M.ReLU(),
            *_conv(width, width, 3, stride),
            M.ReLU(),
            *_conv(width, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = M.Identity() if same else M.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Any) -> Any:
        return F.relu(_BRANCH_SCALE * self.branch(x) + self.shortcut(x))


class ShuffleUnit(M.Module):
    """Half of the channels through 1x1, depthwise 3x3 and 1x1, then shuffled with the others."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        first = inputs // 2 if stride == 1 else inputs
        self.branch = M.Sequential(
            *_conv(first, half, 1),
            M.ReLU(),
            *_conv(half, half, 3, stride, groups=half),
            *_conv(half, half, 1),
            M.ReLU(),
        )
        if stride == 2:
            self.other = M.Sequential(
                *_conv(inputs, inputs, 3, stride, groups=inputs),
                *_conv(inputs, half, 1),
                M.ReLU(),
            )

    def forward(self, x: Any) -> Any:
        if self.stride == 1:
            kept, changed = F.split(x, 2, axis=1)
            joined = F.concat([kept, self.branch(changed)], axis=1)
        else:
            joined = F.concat([self.other(x), self.branch(x)], axis=1)
        batch, channels, height, width = joined.shape
        paired = joined.reshape(batch, 2, channels // 2, height, width)
        return paired.transpose(0, 2, 1, 3, 4).reshape(batch, channels, height, width)


def resnet50() -> Any:
    """25.6 million parameters."""
    layers = [*_conv(3, 64, 7, 2), M.ReLU(), M.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for place in range(count):
            layers.append(Bottleneck(inputs, width, stride if place == 0 else 1))
            inputs = 4 * width
    return M.Sequential(*layers, M.AdaptiveAvgPool2d(1), _Flatten(), M.Linear(inputs, 1000))


def shufflenet() -> Any:
    """2.3 million parameters."""
    layers = [*_conv(3, 24, 3, 2), M.ReLU(), M.MaxPool2d(3, 2, 1)]
    inputs = 24
    for outputs, count in ((116, 4), (232, 8), (464, 4)):
        for place in range(count):
            layers.append(ShuffleUnit(inputs, outputs, 2 if place == 0 else 1))
            inputs = outputs
    layers += [*_conv(inputs, 1024, 1), M.ReLU(), M.AdaptiveAvgPool2d(1), _Flatten()]
    return M.Sequential(*layers, M.Linear(1024, 1000))


class _Flatten(M.Module):
    def forward(self, x: Any) -> Any:
        return F.flatten(x, 1)


NETWORKS = {"resnet50": resnet50, "shufflenet": shufflenet}


def network(name: str) -> Any:
    """The network in evaluation mode, with the same weights each time."""
    made = NETWORKS[name]()
    generator = np.random.Generator(np.random.PCG64(0))
    for module in made.modules():
        if isinstance(module, (M.Conv2d, M.Linear)):
            shape = module.weight.shape
            fan_in = np.prod(shape[-3:]) if len(shape) >= 4 else shape[-1]
            drawn = generator.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in)
            module.weight[...] = mge.Parameter(drawn.astype(np.float32))
    made.eval()
    return made


def traced(name: str) -> Any:
    """The network as a traced function that was run once."""
    made = network(name)

    @jit.trace(symbolic=True, capture_as_const=True)
    def function(data: Any) -> Any:
        return made(data)

    function(mge.tensor(np.zeros(SHAPE, np.float32)))
    return function


def main() -> None:
    """Dump a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("out")
    parser.add_argument("--data", action="append")
    arguments = parser.parse_args()
    packed = {"input_data": arguments.data, "repeat": 1} if arguments.data else {}
    traced(arguments.network).dump(
        arguments.out, arg_names=[INPUT], output_names=["logits"], **packed
    )


if __name__ == "__main__":
    main()
