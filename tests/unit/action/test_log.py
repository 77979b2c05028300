"""The log of a step as it was looked at, and what it says of a run that takes long."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megdump_ci import pipeline
from megdump_ci.action import progress
from megdump_ci.action.commands import Log
from megdump_ci.action.main import main
from megdump_ci.report import Report
from tests.unit import pages

GOLDEN = Path(__file__).parent / "golden"

_SECONDS = re.compile(r"(?m)^(\x1b\[2m.*: )\d+\.\d s(\x1b\[0m)$")
_TOKEN = re.compile(r"[0-9a-f]{32}")
Logged = Callable[[Report], str]


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """The log of the action for a report that the pipeline gives."""
    monkeypatch.chdir(tmp_path)
    for name in ("digits.mge", "digits.txt"):
        (tmp_path / name).touch()

    def logged(report: Report) -> str:
        def run(_: object, observer: Any) -> Report:
            observer.phase("pack and verify")
            if report.location is not None:
                observer.phase("locate")
            observer.phase("write the reports")
            return report

        monkeypatch.setattr(pipeline, "run", run)
        given = {"MODEL": "digits.mge", "DATA": "@digits.txt\n#rand(0,1)", "OUTPUT": "out.mge"}
        environ = {f"INPUT_{name}": value for name, value in given.items()}
        stream = io.StringIO(newline="")
        main({**environ, "INPUT_UPLOAD": "false", "GITHUB_WORKSPACE": str(tmp_path)}, stream)
        return stream.getvalue()

    return logged


def normal(log: str) -> str:
    """``log`` without what is another one each time."""
    return _TOKEN.sub("TOKEN", _SECONDS.sub(r"\1SECONDS\2", log))


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_log_is_as_it_was_looked_at(logged: Logged, name: str) -> None:
    assert normal(logged(pages.PAGES[name])) == (GOLDEN / f"{name}.log").read_text()


@pytest.mark.parametrize("name", pages.PAGES)
def test_the_last_line_is_the_verdict_and_in_no_group(
    runner: Any, logged: Logged, name: str
) -> None:
    log = logged(pages.PAGES[name])
    names = [item.name for item in runner.commands(log)]
    assert names.count("group") == names.count("endgroup")
    assert names.index("group") < names.index("endgroup")
    last = log.rstrip("\n").rsplit("\n", 1)[1]
    assert last.startswith("\x1b[1;3")
    assert name == "hostile" or pages.PAGES[name].headline in last


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=20) | st.sampled_from([pages.HOSTILE, "\n::error::x", "##[group]"]))
def test_nothing_that_a_report_says_is_obeyed(runner: Any, logged: Logged, text: str) -> None:
    found = [
        [item.name for item in runner.commands(logged(pages.tampered(pages.EVERYTHING, given_)))]
        for given_ in (text, "x")
    ]
    assert found[0] == found[1]


def test_escapes_are_those_of_colours_only(logged: Logged) -> None:
    log = logged(pages.PAGES["hostile"])
    assert set(re.findall(r"\x1b(?!\[[\d;]*m)", log)) == set()
    for char in "\u202e\x00\x07\r":
        assert char not in log


def test_each_phase_is_a_group_with_what_it_took_below_it(runner: Any) -> None:
    stream = io.StringIO()
    with progress.Phases(Log(stream)) as phases:
        for name in ("export", "pack and verify"):
            phases.phase(name)
    names = [(item.name, item.message) for item in runner.commands(stream.getvalue())]
    assert names == [
        ("group", "Export"),
        ("endgroup", ""),
        ("group", "Pack and verify"),
        ("endgroup", ""),
    ]
    assert re.findall(r"\n\x1b\[2m(.*): \d+\.\d s\x1b", stream.getvalue()) == [
        "Export",
        "Pack and verify",
    ]


def test_a_group_ends_when_the_run_does(runner: Any) -> None:
    stream = io.StringIO()

    def run() -> None:
        with progress.Phases(Log(stream)) as phases:
            phases.phase("pack and verify")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert [item.name for item in runner.commands(stream.getvalue())] == ["group", "endgroup"]


def test_a_long_phase_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.01)
    stream = io.StringIO()
    with progress.Phases(Log(stream)) as phases:
        phases.phase("pack and verify")
        phases.advanced(3, 11)
        # One that hangs fails by the time limit of the test.
        while "0 s, 3 of 11 done\n" not in stream.getvalue():
            time.sleep(0.01)
