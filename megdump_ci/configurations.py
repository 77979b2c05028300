"""The ways of optimising that a sweep tries: pure data, made from the options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from megdump_ci.errors import Problem
from megdump_ci.options import LAYOUTS, SWITCHES

_SHORT = {
    "fuse_conv_bias_nonlinearity": "fuse-nonlinearity",
    "fuse_conv_bias_with_z": "fuse-z",
}


@dataclass(frozen=True)
class Configuration:
    """One way of optimising, or none."""

    optimize: bool
    passes: tuple[str, ...] = ()
    """Names of :data:`~megdump_ci.options.LAYOUTS` and :data:`~megdump_ci.options.SWITCHES`."""

    @property
    def name(self) -> str:
        """What the table calls it, for example ``nchw44+fuse-nonlinearity``."""
        if not self.optimize:
            return "none"
        return "+".join(_SHORT.get(name, name).replace("_", "-") for name in self.passes) or "plain"

    @property
    def fields(self) -> dict[str, bool]:
        """The fields of :class:`~megdump_ci.options.PackOptions` that ask for it."""
        asked = ["optimize_for_inference"] if self.optimize else []
        asked += [f"enable_{name}" for name in self.passes]
        return dict.fromkeys(asked, True)

    @property
    def flags(self) -> list[str]:
        """The command line options that ask for it."""
        return [f"--{name.replace('_', '-')}" for name in self.fields]


def configurations() -> list[Configuration]:
    """None first, then plain, each pass alone, and the float16 passes with fusion.

    Nothing else goes together to a graph of its own: every layout pass fuses convolution, bias and
    nonlinearity first, and so does fusing the z input (src/gopt/impl/framework.cpp of MegEngine).
    One has more passes than those before it, or as many.
    """
    alone = [(name,) for name in (*SWITCHES, *LAYOUTS)]
    fused = [(name, "fuse_conv_bias_nonlinearity") for name in ("io16xc32", "ioc16")]
    passes: list[tuple[str, ...]] = [(), *alone, *fused]
    return [Configuration(False), *(Configuration(True, names) for names in passes)]


def chosen(only: Sequence[str]) -> list[Configuration]:
    """All, or those named and ``none``, which the others are seen against."""
    return [item for item in configurations() if not only or item.name in ("none", *only)]


def unknown(only: Iterable[str]) -> list[Problem]:
    """A problem for each name that no configuration has."""
    names = [item.name for item in configurations()]
    return [
        Problem(f"there is no configuration '{name}'", f"give one of {', '.join(names)}")
        for name in only
        if name not in names
    ]
