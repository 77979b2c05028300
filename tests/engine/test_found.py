"""Files that fuzzing has found something with, each in the command that it was found with.

``tests/fuzz/found/COMMAND-SAMPLE-WHAT.mge`` was made of that sample.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import outside

FOUND = sorted((Path(outside.__file__).parent / "found").iterdir())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_it_ends_in_order(path: Path, tmp_path: Path) -> None:
    command, sample, _ = path.stem.split("-", 2)
    model, data = str(outside.SAMPLES / f"{sample}.mge"), outside.SPECS[sample]
    words = {
        "pack": ("pack", "FILE", "-d", data, "-o", "OUT"),
        "verify": ("verify", "FILE", "--model", model),
        "diff": ("diff", model, "FILE", "-d", data),
    }[command]
    altered = outside.Altered(path.read_bytes(), "model.mge", words)
    ended, findings = outside.run(altered, tmp_path / "run")
    assert findings == [], ended.said
