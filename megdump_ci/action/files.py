"""The files that a step tells the runner its outputs and its summary with."""

from __future__ import annotations

import secrets
from pathlib import Path

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a step's summary; the runner drops all of a larger one."""


def output_record(name: str, value: str) -> str:
    """``name`` with ``value`` as ``GITHUB_OUTPUT`` takes it; the value may have several lines."""
    while True:
        delimiter = f"ghadelimiter_{secrets.token_hex(16)}"
        if delimiter not in name and delimiter not in value:
            return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def append_outputs(path: str, values: dict[str, str]) -> None:
    """Append ``values`` to the file ``path``; nothing if there is no such path.

    Raises :class:`OSError` if it cannot be written.
    """
    _append(path, "".join(output_record(name, value) for name, value in values.items()))


def append_summary(path: str, markdown: str) -> None:
    """Append ``markdown`` to the file ``path``; nothing if there is no such path.

    Raises :class:`OSError` if it cannot be written.
    """
    _append(path, markdown)


def summary_room(path: str) -> int:
    """Bytes that the summary at ``path`` can still take."""
    try:
        return SUMMARY_LIMIT - Path(path).stat().st_size if path else SUMMARY_LIMIT
    except OSError:
        return SUMMARY_LIMIT


def _append(path: str, text: str) -> None:
    if path:
        # Bytes that are no text in a file's name come as surrogates, which UTF-8 does not hold.
        with open(path, "ab") as file:
            file.write(text.encode("utf-8", errors="replace"))
