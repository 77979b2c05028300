"""Where the time of a run goes: phases that add up to it, and a trace of what each process does."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.engine import support
from tests.unit import traces


def rows(path: Path) -> dict[str, list[str]]:
    """What each process of a trace did, in order, once the trace was found to keep the rules."""
    events = traces.read(path.read_bytes())
    traces.check(events)
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    return {
        name: [e["name"] for e in events if e["pid"] == number and e["ph"] in "Xi"]
        for number, name in names.items()
    }


def test_each_process_tells_what_it_spent_its_time_on(
    models: support.Models, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    report = support.passed(
        models.path("net"),
        ["#rand(0,1)"] * 3,
        tmp_path / "out.mge",
        report=str(tmp_path / "report"),
        locate=True,
        profile=str(trace),
    )
    assert sum(phase.seconds for phase in report.phases) == pytest.approx(report.seconds)
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    assert told["phases"] == [{"name": p.name, "seconds": p.seconds} for p in report.phases]
    found = rows(trace)
    assert found.keys() == {"megdump-ci", *(process.name for process in report.processes)}
    assert {phase.name for phase in report.phases} <= set(found["megdump-ci"])
    packing, verifying = found["packing"], found["verifying"]
    assert packing[:2] == verifying[:2] == ["start the process", "work"]
    for name in ("import the engine", "first run", "make the packed graph", "write testcase 2"):
        assert name in packing
    for index in range(3):
        assert f"testcase {index}" in verifying
    events = traces.read(trace.read_bytes())
    # In whatever order the processes came to it.
    work = {e["pid"]: e["dur"] / 1e6 for e in events if e["name"] == "work"}
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    parts = {process.name: sum(process.parts.values()) for process in report.processes}
    assert parts == pytest.approx({names[pid]: spent for pid, spent in work.items()}, abs=0.02)
    # The memory of each was seen.
    assert {e["pid"] for e in events if e["ph"] == "C"} == {e["pid"] for e in events}


def test_a_process_that_crashes_leaves_what_it_did_until_then(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("import os\ndef crash(data):\n    os.abort()\n")
    trace = tmp_path / "trace.json"
    began = time.monotonic()
    report = support.pack(
        Path(f"{code}:crash"), "#rand(0,1,2,3)", tmp_path / "out.mge", profile=str(trace)
    )
    seconds = time.monotonic() - began
    assert report.exit_status == 3
    # The time that went by is accounted for.
    assert sum(phase.seconds for phase in report.phases) == pytest.approx(seconds, rel=0.05)
    exporting = rows(trace)["exporting"]
    assert "import the engine" in exporting
    assert exporting[-1] == "was killed by SIGABRT"
