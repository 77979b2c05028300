"""Paths of the runner's machine and paths in the container."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from megdump_ci import reading, target
from megdump_ci.errors import InputError, Problem
from megdump_ci.options import PackOptions

_TEMP = "/github/runner_temp"
_MOUNTED = ("/github/workspace", _TEMP)
_CODE = re.compile(r"(?<=\.py):.*", re.DOTALL)
_WRITTEN = ("output", "deploy_output", "report", "profile")


def workspace(environ: Mapping[str, str]) -> Path:
    """The folder that the user's paths are relative to."""
    given = environ.get("GITHUB_WORKSPACE", "")
    return Path(given if given and os.path.isdir(given) else os.curdir).resolve()


def localised(options: PackOptions, environ: Mapping[str, str]) -> PackOptions:
    """The options with the runner's paths put into the container's.

    The runner translates an input only if the whole value begins with its path: not the second
    line of ``data``, nor ``name:path``. ``RUNNER_WORKSPACE`` is the one variable that still holds
    a path of the machine: that of the folder above the workspace.

    Raises :class:`InputError` for a path to write to that would be lost with the container.
    """
    moves = _moves(environ)
    options = dataclasses.replace(
        options,
        model=_moved(options.model, moves),
        baseline=_moved(options.baseline, moves),
        data=tuple(_moved(item, moves) for item in options.data),
        output=_moved(options.output, moves),
        deploy_output=_moved(options.deploy_output, moves),
        report=_moved(options.report, moves),
        profile=_moved(options.profile, moves),
    )
    problems = lost(options, environ) + unreadable(options)
    if problems:
        raise InputError(problems)
    return options


def confined(environ: Mapping[str, str]) -> AbstractContextManager[None]:
    """On a runner, reading is limited to the folders of its machine."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return contextlib.nullcontext()
    return reading.confined([workspace(environ), *map(Path, _MOUNTED)])


def unreadable(options: PackOptions) -> list[Problem]:
    """A problem for each named file that may not be read.

    Of ``data`` that is the lists; which part of a spec is a path the model's names tell, and it is
    looked at where it is opened.
    """
    model = _CODE.sub("", options.model) if target.is_code(options.model) else options.model
    named = {"model": model, "baseline": options.baseline}
    lists = [item.strip()[1:].strip() for item in options.data if item.strip().startswith("@")]
    found = []
    for name, path in [*named.items(), *(("data", path) for path in lists)]:
        try:
            if path:
                reading.check(path)
        except InputError as error:
            found += [
                dataclasses.replace(problem, message=f"{name}: {problem.message}")
                for problem in error.problems
            ]
    return found


def shown(path: str, root: Path) -> str:
    """``path`` as the next steps of the job can use it: relative to the workspace ``root``."""
    whole = Path(os.path.abspath(root / path))
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path


def _moves(environ: Mapping[str, str]) -> dict[str, str]:
    above = environ.get("RUNNER_WORKSPACE", "")
    repository = environ.get("GITHUB_REPOSITORY", "").rpartition("/")[2]
    target = environ.get("GITHUB_WORKSPACE", "")
    if not (above and repository and target):
        return {}
    return {f"{above}/{repository}": target, f"{os.path.dirname(above)}/_temp": _TEMP}


def _moved(text: str, moves: Mapping[str, str]) -> str:
    for source, place in moves.items():
        # Only where a path begins, and only whole names.
        pattern = rf"(?<![\w./-]){re.escape(source)}(?=/|;|$)"
        text = re.sub(pattern, lambda _, place=place: place, text)  # type: ignore[misc]
    return text


def lost(options: PackOptions, environ: Mapping[str, str]) -> list[Problem]:
    """A problem for each path to write to that is not in a folder of the runner's machine."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    root = workspace(environ)
    kept = [root, *(Path(folder) for folder in _MOUNTED)]
    found = []
    for name in _WRITTEN:
        path = getattr(options, name)
        target = Path(os.path.realpath(root / path))
        if path and ".git" in target.parts:
            found.append(
                Problem(
                    f"{name.replace('_', '-')} is {path}, which is in a folder .git",
                    "write elsewhere: that folder is the checkout's own",
                )
            )
        elif path and not any(target.is_relative_to(folder) for folder in kept):
            found.append(
                Problem(
                    f"{name.replace('_', '-')} is {path}, which is not in the workspace and would"
                    " be lost with the container",
                    "give a path relative to the workspace",
                )
            )
    return found
