"""Make the models and data of this folder: ``make samples``.

The seeds are fixed and MegEngine computes on one thread, so a second run on the same machine
gives the same bytes. README.md says what each sample is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import cv2
import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import jit
from megengine.autodiff import GradManager
from megengine.optimizer import Adam
from sklearn.datasets import load_digits, load_wine

HERE = Path(__file__).parent

DIGIT_LIST = """\
# Testcases for digits.mge, one a line; paths are relative to this file.
# Every class once, from the part of the data that the network was not trained on.
{images}
# A blank line and a comment are left out. The next line is none: it is random data.

#rand(0,1,1,...)
"""


class DigitNet(M.Module):
    """Two convolutions with batch normalisation and a classifier, for 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = M.Sequential(
            M.ConvBn2d(1, 12, 3, padding=1),
            M.ReLU(),
            M.ConvBn2d(12, 24, 3, stride=2, padding=1),
            M.ReLU(),
        )
        self.classifier = M.Linear(24 * 4 * 4, 10)

    def forward(self, data: mge.Tensor) -> mge.Tensor:
        """Logits (N, 10) of pixels (N, 1, 8, 8) from 0 to 1."""
        return self.classifier(F.flatten(self.features(data), 1))


class PhotoNet(M.Module):
    """Takes pixels as they are: conversion and normalisation are part of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = M.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = M.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.pointwise = M.Conv2d(8, 16, 1)
        self.classifier = M.Linear(16, 5)

    def forward(self, image: mge.Tensor) -> mge.Tensor:
        """Scores (N, 5) of BGR pixels (N, 3, 64, 64) from 0 to 255."""
        pixels = (image.astype("float32") - 127.5) / 63.75
        features = F.relu(self.pointwise(F.relu(self.depthwise(F.relu(self.stem(pixels))))))
        return self.classifier(F.avg_pool2d(features, 16).reshape(-1, 16))


class WineNet(M.Module):
    """Three heads over one body."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.mean, self.deviation = mge.tensor(mean), mge.tensor(deviation)
        self.body = M.Linear(13, 16)
        self.head = M.Linear(16, 3)

    def forward(self, data: mge.Tensor) -> mge.Tensor:
        """Logits (N, 3) of measurements (N, 13)."""
        return self.head(F.relu(self.body((data - self.mean) / self.deviation)))

    def heads(self, data: mge.Tensor) -> tuple[mge.Tensor, ...]:
        """Logits and probability (N, 3) and class (N,), int32."""
        logits = self(data)
        return logits, F.softmax(logits, axis=1), F.argmax(logits, axis=1)


class TokenNet(M.Module):
    """An embedding, its mean over the tokens, and a score for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = M.Embedding(64, 8)
        self.classifier = M.Linear(8, 4)

    def forward(self, ids: mge.Tensor) -> tuple[mge.Tensor, mge.Tensor]:
        """Scores (N, 4) and the mean embedding (N, 8) of ids (N, 16), int32, below 64."""
        pooled = F.mean(self.embedding(ids), axis=1)
        return self.classifier(pooled), pooled


def train(net: M.Module, data: np.ndarray, target: np.ndarray, epochs: int) -> None:
    """Train on samples (N, ...) float32 and classes (N,) int32."""
    optimizer = Adam(net.parameters(), lr=3e-3)
    manager = GradManager().attach(net.parameters())
    order = np.random.default_rng(0)
    net.train()
    for _ in range(epochs):
        # Batches of one size: MegEngine compiles its kernels for each shape it meets.
        for batch in order.permutation(len(data))[: len(data) // 32 * 32].reshape(-1, 32):
            with manager:
                logits = net(mge.tensor(data[batch]))
                manager.backward(F.nn.cross_entropy(logits, mge.tensor(target[batch])))
            optimizer.step().clear_grad()
    net.eval()


def accuracy(net: M.Module, data: np.ndarray, target: np.ndarray) -> float:
    """Share of the samples whose class is found."""
    return float((net(mge.tensor(data)).numpy().argmax(1) == target).mean())


def dump(
    name: str,
    function: Callable[..., object],
    inputs: dict[str, np.ndarray],
    outputs: Sequence[str],
    dump_format: str = "FBS_V2",
) -> None:
    """Trace ``function`` on ``inputs``, in their order, and write NAME.mge."""
    traced = jit.trace(function, symbolic=True, capture_as_const=True)
    traced(*(mge.tensor(value, dtype=value.dtype) for value in inputs.values()))
    path = HERE / f"{name}.mge"
    traced.dump(
        str(path),
        arg_names=list(inputs),
        output_names=list(outputs),
        dump_format=dump_format,
        optimize_for_inference=False,
    )
    print(f"{path.name:15} {path.stat().st_size:7} bytes, {dump_format}")


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels (H, W) or BGR (H, W, 3) as a PNG."""
    path.parent.mkdir(exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"{path} was not written")


def digits() -> None:
    """A trained network, float32 images, a list file."""
    pixels, target = load_digits(return_X_y=True)
    data = (pixels.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    target = target.astype(np.int32)
    split = 1437
    net = DigitNet()
    train(net, data[:split], target[:split], epochs=12)
    print(f"digits: accuracy {accuracy(net, data[split:], target[split:]):.1%} on unseen images")
    dump("digits", net, {"data": data[:1]}, ["logits"])

    images = []
    for digit in range(10):
        place = split + int(np.flatnonzero(target[split:] == digit)[0])
        name = f"digits/{digit}.png"
        save_image(HERE / name, (data[place, 0] * 255).round().astype(np.uint8))
        images.append(name)
    (HERE / "digits.txt").write_text(DIGIT_LIST.format(images="\n".join(images)))


def photo() -> None:
    """A uint8 colour image as input."""
    dump("photo", PhotoNet(), {"image": np.zeros((1, 3, 64, 64), np.uint8)}, ["scores"])
    for name in ("china", "flower"):
        source = resources.files("sklearn.datasets.images") / f"{name}.jpg"
        pixels = cv2.imdecode(np.frombuffer(source.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        small = cv2.resize(pixels, (120, 80), interpolation=cv2.INTER_AREA)
        save_image(HERE / f"images/{name}.png", small)


def two_inputs() -> None:
    """Inputs of two shapes whose names sort the other way round than they were made."""
    random = np.random.default_rng(1)
    weight = mge.tensor(random.standard_normal((6, 6), np.float32))

    def blend(zeta: mge.Tensor, alpha: mge.Tensor) -> mge.Tensor:
        return F.matmul(zeta, weight) * alpha + F.exp(-alpha)

    inputs = {
        "zeta": random.standard_normal((4, 6), np.float32),
        "alpha": random.uniform(0.5, 2, (4, 1)).astype(np.float32),
    }
    dump("two_inputs", blend, inputs, ["blend"])
    for name, value in inputs.items():
        np.save(HERE / f"two_inputs_{name}.npy", value)


def heads() -> None:
    """Several outputs, one of them of whole numbers, in the FBS format."""
    data, target = load_wine(return_X_y=True)
    data, target = data.astype(np.float32), target.astype(np.int32)
    order = np.random.default_rng(2).permutation(len(data))
    seen, unseen = order[:128], order[128:]
    net = WineNet(data[seen].mean(0), data[seen].std(0))
    train(net, data[seen], target[seen], epochs=40)
    print(f"heads: accuracy {accuracy(net, data[unseen], target[unseen]):.1%} on unseen wines")
    sample = data[unseen[:1]]
    dump("heads", net.heads, {"data": sample}, ["logits", "probability", "class"], "FBS")
    np.save(HERE / "heads_data.npy", sample)


def tokens() -> None:
    """Whole numbers as input, in the FBS format."""
    ids = np.random.default_rng(3).integers(0, 64, (1, 16), np.int32)
    dump("tokens", TokenNet(), {"ids": ids}, ["scores", "pooled"], "FBS")
    np.save(HERE / "tokens_ids.npy", ids)


def main() -> None:
    """Make every sample, each from its own seed."""
    for seed, make in enumerate((digits, photo, two_inputs, heads, tokens)):
        np.random.seed(seed)
        mge.random.seed(seed)
        make()


if __name__ == "__main__":
    main()
