"""The processor of this machine: its name, and what the engine's libraries are told of it."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

_AVX2 = {"avx2", "fma"}


@functools.cache
def _facts() -> dict[str, str]:
    """What Linux says of the first core; empty on another system."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def name() -> str:
    """As its maker calls it."""
    return _facts().get("model name") or platform.machine()


def environment() -> dict[str, str]:
    """Variables with which the engine's libraries use what this processor has.

    MegEngine 1.13 multiplies matrices with MKL 2019.5, which takes its plain kernels on every
    processor that Intel has not made, whatever it can do. 5 stands for those of AVX2, three times
    as fast; Intel's own processors are known to MKL, and some have better ones.
    """
    facts = _facts()
    capable = set(facts.get("flags", "").split()) >= _AVX2
    if capable and facts.get("vendor_id") != "GenuineIntel":
        return {"MKL_DEBUG_CPU_TYPE": "5"}
    return {}
