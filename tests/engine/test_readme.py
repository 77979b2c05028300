"""Every command of the README and the pages under docs/ is run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[tuple[str, str]]:
    """The commands of a page, each block with the output that is shown below it."""
    text = (ROOT / page).read_text()
    pattern = r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?"
    return [(found[1], found[2] or "") for found in re.finditer(pattern, text, re.DOTALL)]


PAGES = ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
OURS = re.compile(r"^megdump-ci ", re.MULTILINE)
RUN = {block: shown for page in PAGES for block, shown in blocks(page) if OURS.search(block)}


@pytest.mark.parametrize(("block", "shown"), RUN.items(), ids=range(len(RUN)))
def test_the_commands_of_a_block_pass(block: str, shown: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    script = f'megdump-ci() {{ "{sys.executable}" -m megdump_ci "$@"; }}\nset -e\n{block}'
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [line for line in shown.splitlines() if line != "…"]
    assert [line for line in lines if line not in ran.stdout] == []
    # A plan has no verdict, every other command one.
    verdicts = re.findall(r"^(?:PASS|DIFF): ", ran.stdout, re.M)
    assert len(verdicts) == len(re.findall(r"^megdump-ci (?!plan )", block, re.M))


def test_the_other_commands_are_targets_of_make() -> None:
    others = "".join(block for block, _ in blocks("README.md") if not OURS.search(block))
    targets = re.findall(r"^make (\S+)", others, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
