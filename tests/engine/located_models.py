"""Makes the models that go wrong when packed: ``python located_models.py FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import megengine as mge
import megengine.functional as F
import numpy as np
from megengine import jit

HERE = Path(sys.argv[1])


def dump(name: str, function: Callable[..., object], value: np.ndarray, **options: object) -> None:
    """Write NAME.mge and, as NAME.npy, the value that its input ``x`` is to have."""
    trace = jit.trace(function, symbolic=True, capture_as_const=True)
    trace(mge.tensor(value))
    path = str(HERE / f"{name}.mge")
    names = {"arg_names": ["x"], "output_names": ["y"]}
    trace.dump(path, optimize_for_inference=False, **names, **options)
    np.save(HERE / f"{name}.npy", value)


def named(name: str, value: mge.Tensor) -> mge.Tensor:
    """``value``, under a name that the model keeps."""
    value.name = name
    return value


def main() -> None:
    """Make everything."""
    random = np.random.default_rng(1)
    image = random.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)
    weight = mge.tensor(random.uniform(-1, 1, (8, 4, 3, 3)).astype(np.float32))

    def net(pool: Callable[..., mge.Tensor]) -> Callable[[mge.Tensor], mge.Tensor]:
        def run(x: mge.Tensor) -> mge.Tensor:
            features = named("features", F.relu(F.conv2d(x, weight, padding=1)))
            return F.mean(named("pooled", pool(features, 2)), axis=(2, 3))

        return run

    dump("max", net(F.max_pool2d), image)
    dump("mean", net(F.avg_pool2d), image)

    def large(x: mge.Tensor) -> mge.Tensor:
        # Up to 664225, where float16 ends at 65504, and back.
        scaled = named("scaled", F.exp(x) * 300)
        return F.log(named("squared", scaled * scaled))

    dump("large", large, np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    # MegEngine 1.13.0 writes the lower border for both into FBS_V2.
    dump("clip", lambda x: F.exp(F.clip(x, -1, 1)), image, dump_format="FBS", keep_var_name=2)


main()
