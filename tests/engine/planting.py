"""Faults of engine processes, planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdump_ci import worker

ENTRY = """
import os, sys, time
sys.path[:0] = sys.argv[1:]
from megdump_ci.engine import process

NAIVE = "MGB_USE_MEGDNN_DBG" in os.environ
work = process._work

def planted(channel):
    from megdump_ci.engine import checking, graph
    from megdump_ci.errors import EngineError
    check = checking.StreamCheck.take
    judge = checking.judge
    {fault}
    work(channel)

process._work = planted
process.main()
"""


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str) -> None:
    """Let ``fault`` befall the engine process that verifies."""
    entry = folder / "entry.py"
    entry.write_text(ENTRY.replace("    {fault}", fault))
    monkeypatch.setattr(worker, "_ENTRY", entry)
