"""Digests that are computed beside what the engine and the interpreter do."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

_BESIDE = ThreadPoolExecutor(1, "digesting")
"""hashlib lets the interpreter go on, and one thread keeps the order."""


class Digesting:
    """The SHA-256 of bytes that are there bit by bit."""

    def __init__(self, content: bytes = b"") -> None:
        self._sum = hashlib.sha256()
        self._last: Future[None]
        self.add(content)

    def add(self, content: bytes) -> None:
        """The next bytes, kept until they are taken in."""
        self._last = _BESIDE.submit(self._sum.update, content)

    def result(self) -> str:
        """``sha256:<hex>`` of all bytes so far."""
        self._last.result()
        return f"sha256:{self._sum.hexdigest()}"
