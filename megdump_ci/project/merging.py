"""``megdump-ci merge``: the reports that several jobs left, as one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec
from wcmatch import glob

from megdump_ci import merged, reading, report
from megdump_ci.errors import ExitStatus, InputError, Problem
from megdump_ci.project import matrix
from megdump_ci.project.running import REPORT

_NO_REPORT = (
    "look at the job that runs it: it was stopped before it left one, or did not upload it"
    " (upload: true)"
)
_PLAN_FORM = "make it: megdump-ci plan > plan.json"
_MOST = 512 << 20
"""Bytes that a report, or a plan, may have."""
_PLAN = "merge the reports of the jobs of that plan only"


def merge(
    given: Sequence[str], planned: Mapping[str, str] | None
) -> tuple[list[merged.Entry], list[Problem]]:
    """The entries that the reports ``given`` (files, folders, patterns) are about, and problems.

    With ``planned``, the models by the names of their entries, they are in that order, and one
    without a report has failed.
    """
    problems: list[Problem] = []
    if planned is not None and not planned:
        problems.append(
            Problem(
                "the plan has no entry, so nothing was verified",
                "where nothing has changed there is nothing to merge either: let the job that"
                " merges run only if the plan's count is not 0",
            )
        )
    found: dict[str, merged.Entry] = {}
    for path in _files(given, problems, lenient=planned is not None):
        entry = _read(path, problems)
        if entry is None:
            continue
        earlier = found.setdefault(entry.name, entry)
        if earlier is not entry and earlier.report != entry.report:
            problems.append(
                Problem(
                    f"{earlier.file} and {path} are both about '{entry.name}'",
                    "give each run its own name, and merge the reports of one workflow run only",
                )
            )
    if planned is not None:
        problems += [
            Problem(f"{found[name].file} is about '{name}', which the plan does not have", _PLAN)
            for name in sorted(found.keys() - planned.keys())
        ]
    models = {**dict.fromkeys(sorted(found), ""), **(planned or {})}
    names = dict.fromkeys([*(planned or ()), *sorted(found)])
    return [_known(name, found.get(name), models[name]) for name in names], problems


def planned_in(path: str) -> dict[str, str]:
    """What :func:`matrix.planned_in` finds in ``path``; :class:`InputError` if it is no plan."""
    try:
        return matrix.planned_in(reading.content(path, _MOST, _PLAN_FORM).decode())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", _PLAN_FORM) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", _PLAN_FORM) from error


def _files(given: Sequence[str], problems: list[Problem], *, lenient: bool) -> list[str]:
    """The report files, each once; where a plan tells what has to be there, none is no problem."""
    found: dict[str, str] = {}
    for text in given:
        try:
            reading.check_name(text)
        except InputError as error:
            problems += error.problems
            continue
        if os.path.isdir(text):
            paths = [os.path.join(text, name) for name in _matching(f"**/{REPORT}", text)]
        else:
            paths = [text] if os.path.isfile(text) else _matching(text, ".")
        if not paths and not lenient:
            problems.append(
                Problem(f"there is no report in '{text}'", f"give {REPORT} files, or their folder")
            )
        for path in paths:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _matching(pattern: str, folder: str) -> list[str]:
    found = glob.glob(pattern, flags=glob.GLOBSTAR | glob.DOTGLOB, root_dir=folder)
    return sorted(path for path in found if os.path.isfile(os.path.join(folder, path)))


def _read(path: str, problems: list[Problem]) -> merged.Entry | None:
    try:
        found = report.from_json(reading.content(path, _MOST, f"give {REPORT} files"))
    except InputError as error:
        problems += error.problems
    except OSError as error:
        problems.append(Problem(f"cannot read {path}: {error.strerror}", "give a file"))
    except msgspec.MsgspecError as error:
        problems.append(
            Problem(f"{path} is no report: {error}", f"give {REPORT} files of megdump-ci")
        )
    else:
        if found.version == report.VERSION:
            return merged.entry_of(found.name or _model(found) or path, found, path)
        problems.append(
            Problem(
                f"{path} is a report of version {found.version}, and this knows {report.VERSION}",
                "use one version of megdump-ci in all jobs",
            )
        )
    return None


def _model(found: report.Report) -> str:
    model = found.options.get("model", "")
    return model if isinstance(model, str) else ""


def _known(name: str, found: merged.Entry | None, model: str) -> merged.Entry:
    """The entry, with the model that it was planned for; one that has failed if there is none."""
    if found is None:
        problem = Problem("it was planned, and there is no report of it", _NO_REPORT)
        return merged.failed_entry(name, model, ExitStatus.INPUT, [problem])
    return msgspec.structs.replace(found, model=model or found.model)
