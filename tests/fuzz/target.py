"""A target of the fuzzing inside one process: what is tried, and what must hold for it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Target:
    """Cases and a check."""

    name: str
    cases: st.SearchStrategy[Any]
    check: Callable[[Any], bool]
    """Whether the case was accepted; it raises whatever is a finding."""


@contextlib.contextmanager
def file_of(content: bytes, name: str = "file") -> Iterator[Path]:
    """A file with this content, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="fuzz-case-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def mutated(text: st.SearchStrategy[str], pieces: str) -> st.SearchStrategy[str]:
    """Texts of ``text`` of which some characters are gone, doubled, or others of ``pieces``."""

    @st.composite
    def cases(draw: st.DrawFn) -> str:
        found = draw(text)
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(found)))
            until = draw(st.integers(at, min(len(found), at + 3)))
            found = found[:at] + draw(st.text(pieces, max_size=3)) + found[until:]
        return found

    return cases()


def altered(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """``content`` as it is, cut, or with some bytes altered, put in or taken out."""

    @st.composite
    def cases(draw: st.DrawFn) -> bytes:
        found = bytearray(draw(content))
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, max(len(found) - 1, 0)))
            how = draw(st.sampled_from(("put", "take", "flip", "number", "cut")))
            if how == "put":
                found[at:at] = draw(st.binary(max_size=8))
            elif how == "take":
                del found[at : at + draw(st.integers(1, 8))]
            elif how == "flip" and found:
                found[at] ^= 1 << draw(st.integers(0, 7))
            elif how == "number":
                found[at : at + 4] = draw(numbers())
            elif how == "cut" and draw(st.booleans()):
                del found[at:]
        return bytes(found)

    return cases()


def numbers() -> st.SearchStrategy[bytes]:
    """Four bytes that a length, a size or an offset could be, of either byte order."""
    near = st.sampled_from((0, 1, 2, 0x7F, 0xFF, 0xFFFF, 0x8000, 2**31 - 1, 2**31, 2**32 - 1))
    value = near | st.integers(0, 2**32 - 1)
    order = st.sampled_from(("little", "big"))
    return st.builds(lambda number, order: number.to_bytes(4, order), value, order)
