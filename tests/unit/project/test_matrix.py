"""The matrix of jobs."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.options import PackOptions
from megdump_ci.project.file import Entry, Project
from megdump_ci.project.matrix import matrix_of, planned_in, to_json
from megdump_ci.project.options import MOST_JOBS, PlanOptions
from megdump_ci.project.tables import Place


def entry(name: str) -> Entry:
    options = PackOptions(model=f"m/{name}.mge", data=("#rand(0,1)",), output="o", name=name)
    place = Place(1)
    return Entry(name=name, options=options, given=frozenset(), watch=(), place=place, data=place)


def project(count: int) -> Project:
    return Project(path="sub/megdump.toml", entries=tuple(entry(f"n{i}") for i in range(count)))


def test_each_entry_has_a_job() -> None:
    found = project(2)
    assert json.loads(to_json(matrix_of(found, found.entries))) == {
        "include": [
            {"name": "n0", "model": "sub/m/n0.mge", "entry": "n0"},
            {"name": "n1", "model": "sub/m/n1.mge", "entry": "n1"},
        ]
    }
    assert to_json(matrix_of(found, ())) == '{"include":[]}'


@given(count=st.integers(0, 600), most=st.integers(1, MOST_JOBS))
def test_there_are_no_more_jobs_than_may_be_and_every_entry_has_one(count: int, most: int) -> None:
    found = project(count)
    jobs = matrix_of(found, found.entries, most).include
    assert len(jobs) == min(count, most)
    sizes = [len(job.entry.splitlines()) for job in jobs]
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert len({job.name for job in jobs}) == len(jobs)
    text = to_json(matrix_of(found, found.entries, most))
    assert "\n" not in text
    assert planned_in(text) == {f"n{i}": f"sub/m/n{i}.mge" for i in range(count)}


def test_a_job_of_several_is_called_after_the_first() -> None:
    found = project(3)
    (job,) = matrix_of(found, found.entries, 1).include
    assert job.name == "n0 and 2 more"
    assert job.entry == "n0\nn1\nn2"


def test_names_alone_are_a_plan_too() -> None:
    assert planned_in('["a", "b"]') == {"a": "", "b": ""}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"include":[{"name":"a"}]}', '"a"', "null"])
def test_what_is_no_plan(text: str) -> None:
    with pytest.raises(InputError, match="the plan cannot be read"):
        planned_in(text)


@pytest.mark.parametrize("most", [0, -1, MOST_JOBS + 1])
def test_a_matrix_has_a_limit(most: int) -> None:
    assert dataclasses.replace(PlanOptions(), max_jobs=most).problems()
    assert not PlanOptions().problems()
