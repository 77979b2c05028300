"""A trace keeps the rules of its format, whatever the processes told, and holds no markup."""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.spans import Mark
from megdump_ci.trace import Trace, merged
from tests.unit import traces

MARKS = st.lists(
    st.builds(Mark, st.just("") | st.text(max_size=300), st.floats() | st.floats(0, 200)),
    max_size=30,
)


def written(marks: list[Mark], *, how: str = "") -> list[dict[str, Any]]:
    """The events of a trace with an engine process that told ``marks``."""
    trace = Trace(began=time.monotonic() - 100)
    try:
        track = trace.track("packing", os.getpid(), time.monotonic() - 90)
        for mark in marks:
            track.take(mark)
        track.close(how)
    finally:
        trace.close()
    return traces.read(trace.content())


@given(marks=MARKS)
def test_whatever_is_told_keeps_the_rules(marks: list[Mark]) -> None:
    traces.check(written(marks))


def test_names_from_outside_are_text() -> None:
    name = '</script><b>\x1b[31m\n"},{"ph":"X"'
    (event,) = [e for e in written([Mark(name, time.monotonic())]) if e["name"] == name]
    assert event["ph"] == "X"


def test_a_row_begins_with_the_start_of_its_process_and_ends_with_how_it_ended() -> None:
    now = time.monotonic()
    events = written([Mark("work", now - 50), Mark("run", now - 20)], how="was killed by SIGSEGV")
    own = [e for e in events if e["pid"] == 2 and e["ph"] in "Xi"]
    assert [e["name"] for e in own] == [
        "start the process",
        "work",
        "run",
        "was killed by SIGSEGV",
    ]
    starts = [e["ts"] / 1e6 for e in own]
    assert starts == pytest.approx([10, 50, 80, 100], abs=1)
    # What was on when it ended goes on until then.
    assert [e["ts"] + e["dur"] for e in own[1:3]] == [own[3]["ts"]] * 2


def test_memory_is_seen_while_a_process_is_there() -> None:
    trace = Trace(began=time.monotonic())
    track = trace.track("packing", os.getpid(), time.monotonic())
    track.look()
    gone = trace.track("verifying", 2**22 + 1, time.monotonic())
    gone.look()
    trace.close()
    events = traces.read(trace.content())
    seen = {e["pid"]: e["args"]["MB"] for e in events if e["ph"] == "C"}
    assert seen[2] > 1
    assert 3 not in seen


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_time_that_cannot_be_is_none(at: float) -> None:
    traces.check(written([Mark("work", at), Mark("run", at), Mark("", at)]))


def test_a_process_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("megdump_ci.trace._MOST_MARKS", 5)
    events = written([Mark("run", 1.0)] * 9)
    assert sum(e["name"] == "run" for e in events) == 5


def test_it_is_json_as_others_read_it() -> None:
    trace = Trace(began=time.monotonic())
    trace.close()
    assert json.loads(trace.content())["displayTimeUnit"] == "ms"


def one(name: str, *, later: float) -> bytes:
    """A trace of a process that did one thing, of a run that began later than others."""
    trace = Trace(began=time.monotonic() - 100 + later)
    trace.main.take(Mark(name, time.monotonic() - 50))
    trace.close()
    return trace.content()


def test_several_become_one() -> None:
    whole = merged({"b": one("run b", later=20), "a": one("run a", later=0)})
    events = traces.read(whole)
    traces.check(events)
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert names == {1: "b: megdump-ci", 2: "a: megdump-ci"}
    # The clock is one for all of them.
    spans = {e["name"]: e for e in events if e["ph"] == "X" and e["name"].startswith("run")}
    assert spans["run a"]["ts"] == pytest.approx(spans["run b"]["ts"], abs=1e6)
    assert min(e["ts"] for e in events if e["pid"] == 1 and e["ph"] == "X") / 1e6 == pytest.approx(
        20, abs=1
    )


def test_nothing_merged_is_a_trace_too() -> None:
    assert traces.read(merged({})) == []
