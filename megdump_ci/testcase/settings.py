"""How data becomes arrays, as the options ask for it. Imports no numpy."""

from __future__ import annotations

from dataclasses import dataclass


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
