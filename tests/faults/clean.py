"""The files in which nothing is wrong: models as they are, and optimised in every way."""

from __future__ import annotations

from dataclasses import dataclass

from megdump_ci.configurations import Configuration, configurations
from megdump_ci.gates import DEFAULT_MAXERR

HALF = ("io16xc32", "ioc16")
HALF_MAXERR = 0.05
"""For float16 between operators: rounding is what those passes are for, and no fault."""

LEFT_OUT = {
    "nchw64": "the engine refuses it for a grouped convolution",
    "ioc16+fuse-nonlinearity": "the engine's x86 kernels compute it wrongly: docs/optimization.md",
}
_IN_THE_OTHER_FORMAT = ("none", "plain", "nchw44")


@dataclass(frozen=True)
class Clean:
    """A good model, and how it is optimised, if it is."""

    model: str
    way: Configuration | None = None

    @property
    def name(self) -> str:
        """What the packed file is called."""
        return f"{self.model}+{self.way.name}" if self.way else self.model

    @property
    def passes(self) -> tuple[str, ...] | None:
        """The passes; ``None`` if it is not optimised."""
        return self.way.passes if self.way and self.way.optimize else None

    @property
    def maxerr(self) -> float:
        """What it is packed with."""
        return HALF_MAXERR if set(self.passes or ()) & set(HALF) else DEFAULT_MAXERR


def _clean() -> list[Clean]:
    ways = [way for way in configurations() if way.name not in LEFT_OUT]
    found = [Clean(name) for name in ("pair.fbs", "pair.fbs_v2", "net_soft.fbs_v2")]
    found += [Clean("net.fbs_v2", way) for way in ways]
    return found + [Clean("net.fbs", way) for way in ways if way.name in _IN_THE_OTHER_FORMAT]


CLEAN = _clean()
