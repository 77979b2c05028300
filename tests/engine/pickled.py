"""Dumps a model whose metadata runs code when unpickled: ``python pickled.py OUT MARKER``.

``python pickled.py FILE`` reads the metadata of such a file as MegEngine's own ``Network`` does.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import megengine as mge
import megengine.functional as F
from megengine import jit
from megengine.utils.network import Network


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def main(path: str, marker: str = "") -> None:
    """Write the model, or read it."""
    if not marker:
        _ = Network.load(path).metadata
        return

    @jit.trace(symbolic=True, capture_as_const=True)
    def model(data: Any) -> Any:
        return F.relu(data) * 2

    model(mge.tensor([[1.0, -2.0]]))
    model.dump(
        path,
        arg_names=["data"],
        output_names=["out"],
        optimize_for_inference=False,
        user_info=Touch(marker),
        enable_metadata=True,
    )
    assert b"pathlib" in Path(path).read_bytes()
    assert pickle.dumps(Touch(marker)) in Path(path).read_bytes()


main(*sys.argv[1:])
