"""The gates that a comparison has to pass, and the limits they are given.

Free of numpy and of the report, since the options are made of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from megdump_ci.errors import InputError, Problem

DEFAULT_MAXERR = 1e-4
"""Where no other is asked for; also AssertEqual's own default."""


@dataclass(frozen=True)
class Limits:
    """One limit for all outputs (``None`` for none), and others for outputs by name."""

    default: float | None = None
    outputs: dict[str, float] = field(default_factory=dict)

    def of(self, output: str) -> float | None:
        """The limit of an output, if it has one."""
        return self.outputs.get(output, self.default)

    @property
    def given(self) -> bool:
        """Whether any output has a limit."""
        return self.default is not None or bool(self.outputs)

    @property
    def values(self) -> list[float]:
        """All the numbers."""
        return [*(() if self.default is None else (self.default,)), *self.outputs.values()]

    def texts(self) -> list[str]:
        """What :meth:`parse` makes these limits of."""
        first = [] if self.default is None else [f"{self.default!r}"]
        return first + [f"{name}={value!r}" for name, value in self.outputs.items()]

    @classmethod
    def parse(cls, texts: Iterable[str], default: float | None = None) -> Limits:
        """Limits of ``VALUE`` and ``OUTPUT=VALUE`` texts; :class:`InputError` for other ones.

        ``default`` is the limit of outputs that no text gives one. An output's name may hold ``=``:
        the last one counts.
        """
        found: dict[str, float] = {}
        for text in texts:
            name, equals, number = text.rpartition("=")
            name = name.strip()
            if equals and not name:
                raise InputError(f"'{text}' has no output's name before '='", _FORM)
            if name in found:
                what = f"output {name}" if name else "all outputs"
                raise InputError(f"'{text}' is a second limit for {what}", "give one")
            found[name] = _number(text, number)
        return cls(found.pop("", default), found)


_FORM = "give a number, such as 1e-4, or OUTPUT=NUMBER for one output"


def _number(text: str, number: str) -> float:
    try:
        # float() itself also takes 1_0 and the digits of other scripts.
        if number.isascii() and "_" not in number:
            return float(number)
    except ValueError:
        pass
    raise InputError(f"'{text}' is no limit", _FORM)


def apart(value: float, limit: float, digits: int = 6) -> tuple[str, str]:
    """A value that misses its limit and the limit, with as many digits as tell them apart."""
    while digits < 17 and f"{value:.{digits}g}" == f"{limit:.{digits}g}":
        digits += 1
    return f"{value:.{digits}g}", f"{limit:.{max(digits, 6)}g}"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the comparison of one output has to keep to; ``None`` is no gate."""

    output: str
    maxerr: float
    min_cosine: float | None = None
    min_sqnr: float | None = None
    scores: bool = False
    """Whether it was said to hold class scores."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """All gates of a run. An output without a limit in ``maxerr`` keeps the file's own."""

    maxerr: Limits = field(default_factory=Limits)
    min_cosine: Limits = field(default_factory=Limits)
    min_sqnr: Limits = field(default_factory=Limits)
    top_k_agreement: Limits = field(default_factory=Limits)

    def bounds(self, output: str, maxerr: float = DEFAULT_MAXERR) -> Bounds:
        """The bounds of an output; ``maxerr`` is its own where no other is asked for."""
        asked = self.maxerr.of(output)
        return Bounds(
            output=output,
            maxerr=maxerr if asked is None else asked,
            min_cosine=self.min_cosine.of(output),
            min_sqnr=self.min_sqnr.of(output),
            scores=output in self.top_k_agreement.outputs,
        )

    def check_names(self, outputs: Sequence[str], what: str) -> None:
        """:class:`InputError` for a limit of an output that ``what`` does not have."""
        problems = [
            Problem(
                f"{option} has a limit for output '{name}', which {what} does not have",
                f"its outputs are {', '.join(outputs)}",
            )
            for option, limits in self.limits.items()
            for name in limits.outputs
            if name not in outputs
        ]
        if problems:
            raise InputError(problems)

    @property
    def limits(self) -> dict[str, Limits]:
        """The limits by the names of their options."""
        return {
            "maxerr": self.maxerr,
            "min-cosine": self.min_cosine,
            "min-sqnr": self.min_sqnr,
            "top-k-agreement": self.top_k_agreement,
        }

    def problems(self) -> list[Problem]:
        """Limits that make no sense."""
        return [
            Problem(f"{option} is {value:g}", _RANGES[option][2])
            for option, limits in self.limits.items()
            for value in limits.values
            if not (math.isfinite(value) and _RANGES[option][0] <= value <= _RANGES[option][1])
        ]


_RANGES = {
    # As a float32, in which it is compared, a larger one is infinite, and so is what passes.
    "maxerr": (0.0, 3.4e38, "give a number from 0 to 3.4e38, such as 1e-4"),
    "min-cosine": (-1.0, 1.0, "give a number from -1 to 1, such as 0.999"),
    "min-sqnr": (-math.inf, math.inf, "give a finite number of decibels, such as 40"),
    "top-k-agreement": (0.0, 1.0, "give a share from 0 to 1, such as 0.99"),
}
