"""Images as arrays, the way the MegEngine tools have always read them.

OpenCV's defaults hold: 8 bits a channel, channel order BGR, the orientation in the EXIF data
applied, alpha dropped.

Of the kinds of images that OpenCV decodes, the common ones are taken. Its decoders of the others
are little used; that of Radiance HDR leaves copies in /tmp when it is given a damaged file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase.files import ACCEPTED, size_of
from megdump_ci.testcase.inputs import BYTE_LIMIT, Array, InputType, check_size
from megdump_ci.testcase.settings import IMAGE_PIXELS

_CHANNELS = (1, 3)

_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = re.compile(
    re.escape(_PNG) + rb"|\xff\xd8\xff"  # JPEG
    rb"|BM"
    rb"|II[*+]\0|MM\0[*+]"  # TIFF, and its form for large files
    rb"|RIFF....WEBP"
    rb"|P[1-6]\s",  # PBM, PGM, PPM
    re.DOTALL,
)
_OTHER_KINDS = {
    b"#?": "Radiance HDR",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"GIF8": "GIF",
    b"PF": "PFM",
    b"Pf": "PFM",
    b"P7": "PAM",
    b"\x59\xa6\x6a\x95": "Sun raster",
}


@dataclass(frozen=True)
class Layout:
    """How an input wants an image."""

    channels: int
    height: int
    width: int
    last: bool
    """Whether the channels are the last axis."""
    batch: bool
    """Whether there is a batch axis in front."""
    plane: bool = False
    """Whether there is no channel axis at all."""


def layout_of(shape: tuple[int, ...]) -> Layout:
    """The layout for a model's shape NCHW, NHWC, CHW, HWC or HW with 1 or 3 channels.

    Where both orders fit, the channels are first. Raises :class:`InputError` for other shapes.
    """
    found = None
    if len(shape) == 2:
        found = Layout(1, shape[0], shape[1], last=False, batch=False, plane=True)
    elif len(shape) in (3, 4):
        batch = len(shape) == 4
        first, second, third = shape[-3:]
        if first in _CHANNELS:
            found = Layout(first, second, third, last=False, batch=batch)
        elif third in _CHANNELS:
            found = Layout(third, first, second, last=True, batch=batch)
    if found is None or found.height < 1 or found.width < 1:
        raise InputError(
            f"an image does not fit the model's shape {shape}: it goes into NCHW, NHWC, CHW or"
            " HWC with 1 or 3 channels, or HW",
            "give an .npy file or #rand(min,max) for this input",
        )
    return found


def check_fit(target: InputType, repeat: int) -> None:
    """:class:`InputError` if no image fits the input, or if it cannot be repeated."""
    if target.shape is None:
        return
    layout = layout_of(target.shape)
    if repeat > 1 and not layout.batch:
        raise InputError(
            f"an image cannot be repeated {repeat} times for the model's shape {target.shape},"
            " which has no batch axis",
            "leave --repeat out, or give the model's input a batch axis",
        )


def check_kind(file: BinaryIO) -> None:
    """:class:`InputError` if the file is no image of a kind that is taken, by its first bytes."""
    file.seek(0)
    head = file.read(12)
    if _KINDS.match(head):
        return
    for magic, name in _OTHER_KINDS.items():
        if head.startswith(magic):
            raise InputError(
                f"the file is a {name} image, which is not taken",
                "save it as PNG, JPEG, BMP, TIFF, WebP or PPM, or its values as an .npy array",
            )
    raise _no_image()


def read(file: BinaryIO, target: InputType, resize: bool) -> Array:
    """The image in ``file`` as uint8 in the layout of the input.

    Shape (1, C, H, W), (1, H, W, C), (C, H, W), (H, W, C) or (H, W) as the model's; H and W are
    the image's own unless ``resize`` is set (bilinear). An input without a shape gets
    (1, C, H, W) with the image's own channels, and is not resized.
    """
    check_kind(file)
    layout = None if target.shape is None else layout_of(target.shape)
    flags = cv2.IMREAD_ANYCOLOR if layout is None else cv2.IMREAD_COLOR
    pixels = _decoded(file, flags)
    if layout is None:
        channels = 1 if pixels.ndim == 2 else 3
        layout = Layout(channels, pixels.shape[0], pixels.shape[1], last=False, batch=True)
    elif resize:
        pixels = _resized(pixels, layout)
    return _arranged(pixels, layout)


def _decoded(file: BinaryIO, flags: int) -> Array:
    if size_of(file) > BYTE_LIMIT:
        raise InputError(f"the file has more than {BYTE_LIMIT >> 30} GiB", ACCEPTED)
    file.seek(0)
    content = file.read()
    if content.startswith(_PNG) and not _chunks_fit(content):
        raise _no_image()
    data = np.frombuffer(content, np.uint8)
    try:
        pixels: Array | None = cv2.imdecode(data, flags)
    except cv2.error as error:
        # OpenCV looks at the declared size before it decodes, and says so by an assertion.
        raise InputError(
            f"the image is refused by OpenCV: {_reason(error)}",
            f"an image can have {IMAGE_PIXELS} pixels, and 2**20 in height and width; make it"
            " smaller",
        ) from error
    if pixels is None or pixels.size == 0:
        raise _no_image()
    return pixels


def _chunks_fit(content: bytes) -> bool:
    """Whether the parts of a PNG have the lengths that they say.

    OpenCV makes room for a part before it looks whether it is there, and that may be 2 GB.
    """
    at = len(_PNG)
    while at < len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        # The two, and a checksum, are 12 bytes.
        at += 12 + length
        if kind == b"IEND":
            break
    # What is behind the last part, nobody reads.
    return at <= len(content)


def _no_image() -> InputError:
    return InputError(
        "the file is neither an .npy array nor an image that can be decoded",
        f"{ACCEPTED}; was it fetched whole?",
    )


def _resized(pixels: Array, layout: Layout) -> Array:
    check_size((layout.height, layout.width, 3), 1)
    try:
        resized: Array = cv2.resize(pixels, (layout.width, layout.height))
    except cv2.error as error:
        raise InputError(
            f"the image cannot be resized to {layout.height} x {layout.width} (height x width):"
            f" {_reason(error)}",
            "resize it yourself and leave --resize-input out",
        ) from error
    return resized


def _arranged(pixels: Array, layout: Layout) -> Array:
    """(H, W) or (H, W, 3) as the layout wants it."""
    if layout.channels == 1 and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    if layout.plane:
        return pixels
    array = pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]
    if not layout.last:
        array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(array[np.newaxis] if layout.batch else array)


def _reason(error: cv2.error) -> str:
    return " ".join(str(getattr(error, "err", error)).split())[:200]
