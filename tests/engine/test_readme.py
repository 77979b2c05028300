"""Every command of the README and the pages under docs/ is run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


BLOCKS = blocks("README.md")
PAGES = ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
# docs/export.md shows two of the README's commands again.
RUN = sorted({block for page in PAGES for block in blocks(page) if "megdump-ci" in block})


@pytest.mark.parametrize("block", RUN, ids=range(len(RUN)))
def test_the_commands_of_a_block_pass(block: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    script = f'megdump-ci() {{ "{sys.executable}" -m megdump_ci "$@"; }}\nset -e\n{block}'
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("PASS: ") == block.count("\nmegdump-ci ") + block.startswith("megdump")


def test_the_other_commands_are_targets_of_make() -> None:
    others = "".join(block for block in BLOCKS if "megdump-ci" not in block)
    targets = re.findall(r"^make (\S+)", others, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
