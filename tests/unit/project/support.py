"""Projects on disk, and what is wrong with them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from megdump_ci.errors import InputError
from megdump_ci.project import file
from megdump_ci.project.file import Project

LEAST = '[[model]]\npath = "a.mge"\ndata = "#rand(0,1)"\noutput = "out/{name}"\n'
"""A file with one entry."""


def made(folder: Path, text: str = LEAST, *files: str) -> Path:
    """A ``megdump.toml`` in ``folder``, and these files beside it, each with its own contents."""
    for name in files or ("a.mge",):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    path = folder / "megdump.toml"
    path.write_text(text)
    return path


def read(folder: Path, text: str = LEAST, *files: str) -> Project:
    """The project that :func:`made` makes."""
    return file.read(str(made(folder, text, *files)))


def refused(folder: Path, text: str, *files: str) -> list[tuple[int, str, str]]:
    """Line, message and hint of each thing that is wrong."""
    with pytest.raises(InputError) as caught:
        read(folder, text, *files)
    problems = caught.value.problems
    assert {problem.file for problem in problems} == {str(folder / "megdump.toml")}
    return [(problem.line, problem.message, problem.hint) for problem in problems]


def git(folder: Path, *arguments: str) -> str:
    """What git prints, without anybody's settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{who}_{what}": "x"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """Commit all that is in ``folder``, a repository from then on; the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(folder, "rev-parse", "HEAD")
