"""JSON to the types of this program, from any thread."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import msgspec

_lock = threading.Lock()


def decode(data: bytes | str, kind: Any) -> Any:
    """``data`` as a ``kind``; :class:`msgspec.DecodeError` if it is none.

    msgspec looks into a type when it first meets it, which runs Python code and so lets other
    threads in; two that look into the same one at once end the process with SIGSEGV (0.22). So
    only one does at a time.
    """
    with _lock:
        decoder = _decoder(kind)
    return decoder.decode(data)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
