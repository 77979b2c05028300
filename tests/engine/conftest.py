"""Models for all tests, and a scratch folder of one's own for each."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tests.engine import support


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> support.Models:
    """All models, made once."""
    folder = tmp_path_factory.mktemp("models")
    support.script("models.py", folder)
    return support.Models(folder, json.loads((folder / "facts.json").read_text()))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's runs have their scratch folders, here and in commands."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
