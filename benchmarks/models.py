"""Models of any size, number of operators, inputs and outputs: what is measured with.

    .venv/bin/python -m benchmarks.models chain:300 chain.mge

They are made in a process of their own, since making one takes several times its size in memory.
Values are seeded: the same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import PYTHON, Run, measured

_BLOCK = 1 << 20
LAYERS = 8
"""Matrices that a model of a given size has."""


def make(
    kind: str, path: str | Path, *, format: str = "fbs_v2", memory_limit: int = 1 << 60
) -> Run:
    """Make the model ``KIND:NUMBER`` in another process."""
    command = [PYTHON, "-m", "benchmarks.models", kind, str(path), "--format", format]
    root = Path(__file__).resolve().parents[1]
    return measured(command, cwd=root, memory_limit=memory_limit)


def weights(count: int, number: int) -> Any:
    """``count`` float32 values of about 1 in size, those of the constant ``number``."""
    import numpy as np

    block = np.random.default_rng(7).standard_normal(min(count, _BLOCK)).astype(np.float32)
    # Each constant is another multiple: the engine keeps one for all that are the same.
    return np.resize(block * np.float32(1 + number / 1024), count)


def size(megabytes: float) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """As many bytes of weights in :data:`LAYERS` matrices: one input, one output."""
    import megengine as mge
    import megengine.functional as F

    width = max(1, round(math.sqrt(megabytes * 1e6 / 4 / LAYERS)))
    matrices = []
    for layer in range(LAYERS):
        values = weights(width * width, layer)
        values *= 1 / math.sqrt(width)
        matrices.append(mge.tensor(values.reshape(width, width)))
        del values

    def forward(data: Any) -> Any:
        for matrix in matrices:
            data = F.matmul(data, matrix)
        return data

    return forward, [(1, width)]


def chain(operators: float) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """As many operators in a row: a convolution with its bias, a ReLU, a convolution, and so on."""
    import megengine as mge
    import megengine.functional as F
    import numpy as np

    count = int(operators)
    blocks = math.ceil(count / 2)
    channels = 8
    # Close to what keeps everything as it is, so that values stay in range however long it is.
    same = np.eye(channels, dtype=np.float32)
    kernels = [
        mge.tensor(
            (same + 1e-3 * weights(same.size, i).reshape(same.shape)).reshape(*same.shape, 1, 1)
        )
        for i in range(blocks)
    ]
    biases = [
        mge.tensor(1e-4 * weights(channels, i).reshape(1, channels, 1, 1)) for i in range(blocks)
    ]

    def forward(data: Any) -> Any:
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            data = F.conv2d(data, kernel, bias)
            if 2 * i + 1 < count:
                data = F.relu(data)
        return data

    return forward, [(1, channels, 8, 8)]


def ports(count: float) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """As many inputs, and as many outputs."""
    import megengine.functional as F

    def forward(*data: Any) -> Any:
        return [F.relu(value) * (place + 1) for place, value in enumerate(data)]

    return forward, [(1, 16)] * int(count)


def port(place: int, count: int) -> str:
    """What the input at a place is called."""
    return "data" if count == 1 else f"data{place:03d}"


def wide(megabytes: float) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """An input of so many megabytes, and 250 values as the output."""
    count = round(megabytes * 1e6 / 4 / 250)

    def forward(data: Any) -> Any:
        return data.reshape(250, count).mean(axis=1)

    return forward, [(1, count * 250)]


def outer(megabytes: float) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """An output of so many megabytes, of a small input: its products with itself."""
    width = math.ceil(math.sqrt(megabytes * 1e6 / 4))

    def forward(data: Any) -> Any:
        return data.reshape(width, 1) * data

    return forward, [(1, width)]


KINDS = {function.__name__: function for function in (size, chain, ports, wide, outer)}


def dump(kind: str, path: str, format: str) -> None:
    """Trace and dump a model."""
    import megengine as mge
    from megengine import jit

    name, _, number = kind.partition(":")
    forward, shapes = KINDS[name](float(number))
    function = jit.trace(forward, symbolic=True, capture_as_const=True)
    function(*(mge.tensor(weights(math.prod(shape), 0).reshape(shape)) for shape in shapes))
    names = [port(i, len(shapes)) for i in range(len(shapes))]
    function.dump(path, arg_names=names, optimize_for_inference=False, dump_format=format.upper())


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", help="KIND:NUMBER; the kinds are " + ", ".join(KINDS))
    parser.add_argument("path")
    parser.add_argument("--format", default="fbs_v2", choices=("fbs", "fbs_v2"))
    given = parser.parse_args(arguments)
    dump(given.kind, given.path, given.format)


if __name__ == "__main__":
    main()
