"""MegEngine is imported without what no run uses, and gets it where it is used after all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine import support

# A package of such a name, and MegEngine says that it does not want to be beside it.
CLASHING = """
import sys
sys.path[:0] = [{root!r}, {folder!r}]
from megdump_ci.engine import lean
lean.load()
"""


def test_nothing_for_downloads_is_loaded_until_it_is_used(tmp_path: Path) -> None:
    support.script("imports.py", tmp_path)


@pytest.mark.parametrize("name", ["megbrain", "megenginelite", "MegBrain"])
def test_a_package_that_clashes_is_found_as_by_megengine(name: str, tmp_path: Path) -> None:
    folder = tmp_path / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    root = str(support.HERE.parents[1])
    code = CLASHING.format(root=root, folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Your python packages may be corrupted" in done.stderr
