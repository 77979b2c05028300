"""The matrix of jobs: which job runs which entries."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from megdump_ci.decoding import decode
from megdump_ci.errors import InputError
from megdump_ci.project.file import Entry, Project
from megdump_ci.project.options import MOST_JOBS

_FORM = 'give what \'megdump-ci plan\' printed, or a list of names such as ["a", "b"]'


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job of the matrix."""

    name: str
    """What to call it: its entry, or the first of several."""
    model: str
    """The models, one a line."""
    entry: str
    """The names of its entries, one a line."""


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs, in the form that a workflow's ``strategy.matrix`` takes."""

    include: list[Job]


def matrix_of(project: Project, entries: Sequence[Entry], most: int = MOST_JOBS) -> Matrix:
    """A job for each entry; where that makes more than ``most``, each has several in a row."""
    jobs = min(len(entries), most)
    # As even as can be: their sizes differ by one at most.
    cuts = [len(entries) * place // jobs for place in range(jobs + 1)] if jobs else []
    parts = [entries[begin:end] for begin, end in itertools.pairwise(cuts)]
    return Matrix(include=[_job(project, part) for part in parts])


def to_json(matrix: Matrix) -> str:
    """The matrix in one line."""
    return msgspec.json.encode(matrix).decode()


def planned_in(text: str) -> dict[str, str]:
    """The entries in a matrix, or in a list of names, in JSON: their models by their names.

    Raises :class:`InputError` if it is neither.
    """
    try:
        found: Any = decode(text, Matrix | list[str])
    except msgspec.MsgspecError as error:
        raise InputError(f"the plan cannot be read: {error}", _FORM) from error
    if isinstance(found, Matrix):
        names = [name for job in found.include for name in job.entry.splitlines()]
        models = [model for job in found.include for model in job.model.splitlines()]
        return dict(itertools.zip_longest(names, models[: len(names)], fillvalue=""))
    return dict.fromkeys(found, "")


def _job(project: Project, entries: Sequence[Entry]) -> Job:
    first, *others = entries
    return Job(
        name=f"{first.name} and {len(others)} more" if others else first.name,
        model="\n".join(map(project.model_of, entries)),
        entry="\n".join(entry.name for entry in entries),
    )
