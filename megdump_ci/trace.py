"""``--profile``: a trace of the run, in the form that Perfetto and speedscope open.

That is the JSON of Chrome's Trace Event Format ("Trace Event Format", Google, document of the
Chromium project): complete events (``X``) for spans, counter events (``C``) for memory, instant
events (``i``) for processes that were ended, metadata events (``M``) for names. Times are
microseconds since the run began.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from megdump_ci.spans import Mark, nested

_EVERY = 0.05
"""Seconds between two looks at the memory."""
_MOST_MARKS = 1_000_000
"""Marks that are kept of a process: what it may fill the memory of this one with."""
_LONGEST = 200
"""Characters of a name."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Track:
    """A process: what it was doing when, and how much memory it had."""

    name: str
    process: int
    began: float
    marks: list[Mark] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Bytes in memory, shared ones included, at some times."""
    end: float | None = None
    """When it was gone, if it is."""
    how: str = ""
    """How it ended, where not in order."""

    def take(self, mark: Mark) -> None:
        """What the process told."""
        if len(self.marks) < _MOST_MARKS:
            self.marks.append(mark)

    def close(self, how: str = "") -> None:
        """The process is gone."""
        if self.end is None:
            self.end, self.how = time.monotonic(), how

    def look(self) -> None:
        """Note the memory that it has now, where the system tells."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            # proc(5): the second field is the pages that are in memory.
            pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
            self.memory.append((time.monotonic(), pages * _PAGE))


class Trace:
    """The processes of a run, this one first."""

    def __init__(self, began: float) -> None:
        self.path = ""
        """Where to write it; empty as long as that is not sure to be possible."""
        self._began = began
        self.main = Track("megdump-ci", os.getpid(), began)
        self._tracks = [self.main]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def track(self, name: str, process: int, began: float) -> Track:
        """A new engine process."""
        track = Track(name, process, began)
        # Threads may do so at the same time; append() is one step.
        self._tracks.append(track)
        return track

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def content(self) -> bytes:
        """The trace so far, as a file holds it."""
        events = list(_events(self._tracks, self._began, time.monotonic()))
        return _file(events, self._began)

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            for track in [track for track in self._tracks if track.end is None]:
                track.look()


def _file(events: list[dict[str, Any]], began: float) -> bytes:
    other = {"began": began}
    content = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}
    return msgspec.json.encode(content) + b"\n"


def merged(traces: Mapping[str, bytes]) -> bytes:
    """One trace of several that were made on this machine; their names come before those of rows.

    Raises :class:`msgspec.DecodeError` for one that :meth:`Trace.content` did not make.
    """
    found = {name: msgspec.json.decode(content) for name, content in traces.items()}
    began = min((trace["otherData"]["began"] for trace in found.values()), default=0.0)
    events: list[dict[str, Any]] = []
    rows = 0
    for name, trace in found.items():
        later = round((trace["otherData"]["began"] - began) * 1e6)
        for event in trace["traceEvents"]:
            event["pid"] += rows
            event["tid"] += rows
            if event["ph"] != "M":
                event["ts"] += later
            elif event["name"] == "process_sort_index":
                event["args"] = {"sort_index": event["pid"]}
            elif event["name"] == "process_name":
                event["args"] = {"name": f"{name}: {event['args']['name']}"}
            events.append(event)
        rows = max((event["pid"] for event in events), default=0)
    # Stable: what has one time stays in the order of its own trace.
    events.sort(key=lambda event: (event["ph"] != "M", event["ts"]))
    return _file(events, began)


def _events(tracks: Iterable[Track], began: float, now: float) -> Iterator[dict[str, Any]]:
    """Names first, then all that has a time, in its order; an outer span before an inner one."""
    timed: list[dict[str, Any]] = []
    for number, track in enumerate(list(tracks), 1):
        # Numbers of processes come again in another container; these are the rows.
        row = {"pid": number, "tid": number}
        for kind, value in (
            ("process_name", {"name": track.name[:_LONGEST]}),
            ("process_sort_index", {"sort_index": number}),
            ("thread_name", {"name": "main"}),
        ):
            yield {"name": kind, "ph": "M", "ts": 0, **row, "args": value}
        timed += _of_track(track, began, now, row)
    yield from sorted(timed, key=lambda event: (event["ts"], -event.get("dur", 0)))


def _of_track(
    track: Track, began: float, now: float, row: dict[str, int]
) -> Iterator[dict[str, Any]]:
    def micro(at: float) -> int:
        return round((min(max(at, track.began), end) - began) * 1e6)

    end = now if track.end is None else track.end
    marks = list(track.marks)
    # What a process needs to come to its first line is told by nobody but us.
    first = marks[0].at if marks and marks[0].at <= end else end
    spans = nested(marks, end)
    if track.began < first:
        spans.insert(0, ("start the process", track.began, first))
    for name, begin, until in spans:
        event = {"name": name[:_LONGEST], "cat": "megdump-ci", "ph": "X", **row}
        yield {**event, "ts": micro(begin), "dur": micro(until) - micro(begin)}
    if track.how:
        yield {"name": track.how, "ph": "i", "s": "p", **row, "ts": micro(end)}
    for at, size in list(track.memory):
        yield {"name": "memory", "ph": "C", **row, "ts": micro(at), "args": {"MB": size / 1e6}}
