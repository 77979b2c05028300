"""A model that is Python code: ``megdump-ci export samples/classifier.py:classifier ...``.

``classifier`` makes a Module, ``brightness`` is a function of two inputs.
"""

from __future__ import annotations

import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import Parameter, Tensor

LABELS = ("cat", "dog", "bird", "fish", "tree")


class Classifier(M.Module):
    """Two convolutions, one with batch normalisation, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = M.ConvBn2d(3, 8, 3, stride=2, padding=1)
        self.body = M.Conv2d(8, 16, 3, padding=1)
        self.head = M.Linear(16, len(LABELS))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits and probability (N, 5) of BGR pixels (N, 3, H, W) from 0 to 255."""
        pixels = (image - 127.5) / 63.75
        features = F.relu(self.body(F.relu(self.stem(pixels))))
        logits = self.head(F.mean(features, axis=(2, 3)))
        return {"logits": logits, "probability": F.softmax(logits, axis=1)}


def classifier() -> Classifier:
    """The network, with weights that are the same each time.

    A real one would load what training has saved: ``net.load_state_dict(mge.load(path))``.
    """
    net = Classifier()
    random = np.random.default_rng(0)
    for parameter in net.parameters():
        fan_in = max(1, int(np.prod(parameter.shape[1:])))
        weights = random.standard_normal(parameter.shape) / np.sqrt(fan_in)
        parameter[...] = Parameter(weights.astype(np.float32))
    return net


def brightness(image: Tensor, scale: Tensor) -> Tensor:
    """Mean of each image (N,), times ``scale`` (1,)."""
    return F.mean(image, axis=(1, 2, 3)) * scale
