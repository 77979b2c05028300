"""When a run looks for the operator that goes wrong, and what it makes of how that ends."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from megdump_ci import report, session, worker
from megdump_ci.commands import locate
from megdump_ci.errors import ExitStatus, Problem
from megdump_ci.options import VerifyOptions
from megdump_ci.protocol import Failed, Finished, Located, encode
from megdump_ci.report import Location
from megdump_ci.state import State
from tests.unit import reports

ASKED = VerifyOptions(packed="out.mge", model="digits.mge", locate=True)
NOT_ASKED = VerifyOptions(packed="out.mge", model="digits.mge", timeout=5)
LOCATION = Location(testcase=1, kernels="fast", criterion="", operators=[])


def says(*events: msgspec.Struct) -> str:
    """A script that says these things."""
    return f"print({b''.join(map(encode, events)).decode()!r}, end='')"


FOUND = says(Located(LOCATION), Finished(1))


def state(status: ExitStatus = ExitStatus.FAILED, **changes: Any) -> State:
    """A run of which the second testcase failed."""
    fields = {
        "packed": reports.graph("out.mge", 35),
        "testcases": [reports.case(0), reports.case(1, 0.25)],
        "kernels": "fast",
        "exit_status": status,
    }
    return State(**{**fields, **changes})


def ran(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    script: str,
    found: State,
    options: VerifyOptions = NOT_ASKED,
) -> State:
    """What the state is after looking, in engine processes that are ``script``."""
    entry = folder / "entry.py"
    entry.write_text(f"import os, time\nNAIVE = 'MGB_USE_MEGDNN_DBG' in os.environ\n{script}\n")
    monkeypatch.setattr(worker, "_ENTRY", entry)
    with session.opened(folder, options, session.Silent()) as opened:
        locate.execute(options, found, opened)
    return found


def test_a_failed_comparison_is_looked_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = ran(monkeypatch, tmp_path, FOUND, state())
    assert found.location == LOCATION
    assert found.warnings == []
    assert [process.name for process in found.processes] == ["locating"]
    assert found.exit_status == ExitStatus.FAILED


@pytest.mark.parametrize(
    ("found", "options", "looks"),
    {
        "asked for": (state(ExitStatus.PASSED), ASKED, True),
        "passed": (state(ExitStatus.PASSED), NOT_ASKED, False),
        "does not run here": (state(ExitStatus.ENGINE), ASKED, False),
        "was not run": (state(ExitStatus.PASSED, kernels=None), ASKED, False),
        "no model": (state(), VerifyOptions(packed="out.mge"), False),
    }.values(),
)
def test_when_it_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    found: State,
    options: VerifyOptions,
    looks: bool,
) -> None:
    looked = ran(monkeypatch, tmp_path, FOUND, found, options)
    assert (looked.location == LOCATION) is looks
    assert bool(looked.processes) is looks


@pytest.mark.parametrize(
    ("field", "name"),
    [("against_expected", "the expected values in the file"), ("against_lite", "MegEngine Lite")],
)
def test_where_the_graph_does_what_the_model_does_no_operator_is_wrong(
    field: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = reports.case(1, 0.25)
    (output,) = case.outputs
    right = msgspec.structs.replace(reports.case(1).outputs[0], passed=False)
    off = msgspec.structs.replace(right, **{field: output.against_model})
    testcases = [reports.case(0), msgspec.structs.replace(case, outputs=[off])]
    looked = ran(monkeypatch, tmp_path, FOUND, state(testcases=testcases))
    assert (looked.location, looked.processes) == (None, [])
    (warning,) = looked.warnings
    assert warning.endswith(f"what differs is {name}")
    # Asked for, it is looked for; so it is where another output is wrong, or no comparison is.
    assert ran(monkeypatch, tmp_path, FOUND, state(testcases=testcases), ASKED).location
    testcases.append(reports.case(2, 0.25))
    assert ran(monkeypatch, tmp_path, FOUND, state(testcases=testcases)).location
    nothing = msgspec.structs.replace(case, outputs=[right])
    assert ran(monkeypatch, tmp_path, FOUND, state(testcases=[nothing])).location


FAULT = Failed(ExitStatus.INTERNAL, [], "Traceback\n  a line\nKeyError: 'x'")
REFUSED = Failed(ExitStatus.ENGINE, [Problem("no such kernel")], refused=True)
ENDS = {
    "crash": ("os.abort()", ("killed by SIGABRT while locating",), 2),
    "hang": ("time.sleep(100)", ("longer than 0.5 s",), 2),
    "refusal": (says(REFUSED), ("fast kernels: no such kernel; naive",), 2),
    "wrong file": (says(Failed(ExitStatus.INPUT, [Problem("no input y")])), ("no input y",), 1),
    "own fault": (says(FAULT), ("KeyError: 'x'", "please report it"), 1),
    "silence": (says(Finished(1)), ("nothing was said",), 1),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("status", [ExitStatus.FAILED, ExitStatus.PASSED])
def test_what_goes_wrong_is_a_warning_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, status: ExitStatus
) -> None:
    script, words, tried = ENDS[end]
    options = dataclasses.replace(ASKED, timeout=0.5 if end == "hang" else 20)
    found = ran(monkeypatch, tmp_path, script, state(status), options)
    assert found.location is None
    (warning,) = found.warnings
    assert "was not found" in warning
    assert all(word in warning for word in words)
    assert len(found.processes) == tried
    assert found.exit_status == status
    assert found.problems == []


def test_naive_kernels_look_where_the_fast_ones_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = f"if NAIVE:\n    {FOUND}\nelse:\n    os.abort()"
    found = ran(monkeypatch, tmp_path, script, state())
    assert found.location == LOCATION
    assert "looked for with naive kernels" in found.warnings[0]
    only_naive = ran(monkeypatch, tmp_path, script, state(kernels="naive"))
    assert only_naive.location == LOCATION
    assert only_naive.warnings == []


def test_naive_kernels_tell_graph_and_kernel_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stated(*statuses: report.OperatorStatus) -> Location:
        steps = [
            report.Step(name=name, type="Elemwise", status=status)
            for name, status in zip("abc", statuses, strict=True)
        ]
        wrong = [
            msgspec.structs.replace(reports.OPERATOR, name=step.name)
            for step in steps
            if step.status == "source"
        ]
        return msgspec.structs.replace(LOCATION, operators=steps, wrong=wrong)

    fast = says(Located(stated("source", "source", "source")), Finished(1))
    naive = says(Located(stated("ok", "source", "unmatched")), Finished(1))
    script = f"if NAIVE:\n    {naive}\nelse:\n    {fast}"
    found = ran(monkeypatch, tmp_path, script, state()).location
    assert found is not None
    assert [(item.name, item.naive) for item in found.wrong] == [
        ("a", "right"),
        ("b", "wrong"),
        ("c", None),
    ]
    cannot = ran(monkeypatch, tmp_path, script.replace(naive, "os.abort()"), state())
    assert cannot.location is not None
    assert [item.naive for item in cannot.location.wrong] == [None, None, None]
    assert "killed by SIGABRT" in cannot.location.notes[0]
    assert cannot.warnings == []


def test_the_worst_testcase_is_looked_at() -> None:
    def worst(*cases: report.Testcase) -> int:
        return locate.worst_testcase(cases).index

    good, bad, worse = reports.case(0), reports.case(1, 0.25), reports.case(2, 0.5)
    assert worst(good, bad, worse) == 2
    assert worst(good, bad, reports.case(3, 0.25)) == 1
    assert worst(bad, reports.case(4, math.inf), worse) == 4
    assert worst(good, reports.case(5, 1e-5)) == 5
    # Failed for another reason than its error, which is none.
    assert worst(bad, msgspec.structs.replace(good, passed=False, outputs=[])) == 1
    assert worst(reports.case(6, 1e-5), msgspec.structs.replace(good, passed=False)) == 0
