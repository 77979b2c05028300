"""How data becomes arrays, as the options ask for it. Imports no numpy."""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_PIXELS = 2**28
"""Pixels that an image may have, 16384 x 16384; decoded, it takes 0.8 GB."""

IMAGE_LIMIT = {"OPENCV_IO_MAX_IMAGE_PIXELS": str(IMAGE_PIXELS)}
"""The environment in which OpenCV refuses a larger one, by its header, before it decodes it.

OpenCV reads this when it is loaded, and has a limit of 2**30 without it.
"""


@dataclass(frozen=True)
class DataSettings:
    """How data becomes arrays. All but ``seed`` are for data from files."""

    repeat: int = 1
    """How many times data is repeated along its first axis."""
    resize_input: bool = False
    """Resize images to the model's height and width, where it declares them."""
    input_transform: str = ""
    """See :mod:`megdump_ci.testcase.transform`."""
    seed: int = 0
    """At least 0."""

    def check(self) -> None:
        """:class:`InputError` if the transform is none that is allowed."""
        if self.input_transform:
            # Not before: it takes longer to load than most of the other checks.
            from megdump_ci.testcase import transform

            transform.parse(self.input_transform)
