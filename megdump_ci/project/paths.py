"""Patterns of paths: ``*``, ``?``, ``[...]``, and ``**`` for folders; hidden ones apart."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from wcmatch import glob

from megdump_ci import reading, target
from megdump_ci.errors import InputError, Problem

_FLAGS = glob.GLOBSTAR


def matching(folder: Path, pattern: str) -> list[str]:
    """The files that ``pattern`` stands for, relative to ``folder``, sorted.

    A file that is called as the pattern is written is the one that is meant. Raises
    :class:`InputError` if there is none.
    """
    reading.check_name(str(folder / pattern))
    if (folder / pattern).is_file():
        return [os.path.normpath(pattern)]
    found = glob.glob(pattern, flags=_FLAGS, root_dir=str(folder))
    files = sorted({os.path.normpath(path) for path in found if (folder / path).is_file()})
    if not files:
        raise InputError(
            f"there is no file '{pattern}' in {_shown(folder)}",
            "paths are relative to the folder of this file; ** stands for folders below",
        )
    return files


def check_found(folder: Path, patterns: Iterable[str]) -> None:
    """:class:`InputError` for patterns that nothing is called, and that would watch nothing."""
    patterns = list(patterns)
    for pattern in patterns:
        reading.check_name(str(folder / pattern))
    problems = [
        Problem(
            f"there is nothing called '{pattern}' in {_shown(folder)} to watch",
            "a misspelt path would watch nothing: mend it, or leave it out",
        )
        for pattern in patterns
        if not (folder / pattern).exists()
        and not glob.glob(pattern, flags=_FLAGS, root_dir=str(folder))
    ]
    if problems:
        raise InputError(problems)


def matches(path: str, pattern: str) -> bool:
    """Whether ``pattern`` stands for ``path``, or for a folder that it is in."""
    path, pattern = os.path.normpath(path), os.path.normpath(pattern)
    if path == pattern or path.startswith(f"{pattern}/"):
        return True
    return bool(glob.globmatch(path, [pattern, f"{pattern}/**"], flags=_FLAGS))


def below(folder: Path, pattern: str) -> list[str]:
    """The files that ``pattern`` stands for, and those in folders that it stands for."""
    found = glob.glob([pattern, f"{pattern}/**"], flags=_FLAGS, root_dir=str(folder))
    return sorted({os.path.normpath(path) for path in found if (folder / path).is_file()})


def escaped(path: str) -> str:
    """A pattern for ``path`` alone."""
    return str(glob.escape(path))


def file_of(model: str) -> str:
    """The file of a model: itself, or that of the code."""
    return target.parse(model).file if target.is_code(model) else model


def _shown(folder: Path) -> str:
    return "this folder" if str(folder) == "." else f"{folder}/"
