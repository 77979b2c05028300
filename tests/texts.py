"""Texts to compare that differ in their times."""

from __future__ import annotations

import re


def without_numbers(text: str) -> str:
    """What is left the same by a report that was written a moment later."""
    return re.sub(r"[\d.]+", "0", text)
