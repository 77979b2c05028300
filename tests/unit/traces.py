"""The rules of Chrome's trace event format, as far as Perfetto and speedscope rest on them."""

from __future__ import annotations

import json
from typing import Any

Event = dict[str, Any]


def read(content: bytes) -> list[Event]:
    """The events of a trace."""
    events: list[Event] = json.loads(content)["traceEvents"]
    return events


def check(events: list[Event]) -> None:
    """Fail if a rule is broken."""
    named = [e for e in events if e["ph"] == "M"]
    timed = [e for e in events if e["ph"] != "M"]
    assert events == named + timed
    assert [e["ts"] for e in timed] == sorted(e["ts"] for e in timed)
    rows = {(e["pid"], e["tid"]) for e in events}
    for kind in ("process_name", "thread_name"):
        names = [(e["pid"], e["tid"]) for e in named if e["name"] == kind]
        assert sorted(names) == sorted(rows)
    for event in timed:
        _check_event(event)
    for row in rows:
        _check_nested([e for e in timed if (e["pid"], e["tid"]) == row and e["ph"] == "X"])


def _check_event(event: Event) -> None:
    assert isinstance(event["name"], str)
    assert event["ph"] in ("X", "C", "i")
    assert type(event["ts"]) is int
    assert event["ts"] >= 0
    if event["ph"] == "X":
        assert type(event["dur"]) is int
        assert event["dur"] >= 0
    elif event["ph"] == "C":
        assert all(isinstance(value, (int, float)) for value in event["args"].values())
    else:
        assert event["s"] == "p"


def _check_nested(spans: list[Event]) -> None:
    """In their order, each is inside of all those that have not ended."""
    on: list[int] = []
    for span in spans:
        end = span["ts"] + span["dur"]
        while on and on[-1] <= span["ts"] and on[-1] < end:
            on.pop()
        assert not on or end <= on[-1], span
        on.append(end)
