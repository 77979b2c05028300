"""Engine processes that misbehave, played by small scripts."""

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from megdump_ci import session, worker
from megdump_ci.errors import EngineError, InputError, Interrupted
from megdump_ci.gates import Gates
from megdump_ci.options import VerifyOptions
from megdump_ci.protocol import AllWritten, FileCheckJob, Finished, encode

JOB = FileCheckJob(packed="x", model="", gates=Gates())
LARGE = FileCheckJob(packed="x" * 1_000_000, model="", gates=Gates())
"""More than the pipe to a process takes."""
FINISHED = encode(Finished(1)).decode()


def play(
    monkeypatch: pytest.MonkeyPatch, folder: Path, script: str, timeout: float = 20
) -> list[object]:
    """Run a worker that is ``script``; the events that arrive from it."""
    entry = folder / "entry.py"
    entry.write_text("import os, sys, time, signal, subprocess\n" + script)
    monkeypatch.setattr(worker, "_ENTRY", entry)
    options = VerifyOptions(packed="x", timeout=timeout)
    with session.opened(folder, options, session.Silent()) as opened:
        started = opened.start("verifying")
        started.send(JOB)
        started.busy(True)
        return [event for _, event in opened.events()]


def test_events_arrive_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = [encode(AllWritten(i, 0)).decode() for i in range(100)]
    events = play(monkeypatch, tmp_path, f"sys.stdout.write({''.join(said) + FINISHED!r})")
    assert events == [AllWritten(i, 0) for i in range(100)]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV while verifying"),
        ("sys.exit(7)", "ended with status 7 while verifying"),
        ("sys.exit('last words')", "last words"),
        ("os._exit(0)", "ended with status 0 while verifying"),
        ('print(\'{"type": "Nonsense"}\')', "what is no event"),
        ("sys.stdout.buffer.write(b'\\xff\\n')", "what is no event"),
    ],
)
def test_a_process_that_ends_before_its_job_is_an_engine_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, says: str
) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        play(monkeypatch, tmp_path, script)
    assert caught.value.problems[0].hint


def test_a_process_that_hangs_is_ended_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    script = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "started = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))\n"
        "time.sleep(1000)"
    )
    with pytest.raises(EngineError, match=r"verifying took longer than 0\.5 s"):
        play(monkeypatch, tmp_path, script, timeout=0.5)
    pid = int(child.read_text())
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def test_a_child_that_outlives_its_process_does_not_hold_the_run_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = "subprocess.Popen(['sleep', '1000'])\nos._exit(3)"
    with pytest.raises(EngineError):
        play(monkeypatch, tmp_path, script, timeout=0.5)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_process_that_never_reads_its_job_is_ended_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "JOB", LARGE)
    with pytest.raises(EngineError, match=r"verifying took longer than 0\.5 s"):
        play(monkeypatch, tmp_path, "time.sleep(1000)", timeout=0.5)


def test_a_large_job_arrives_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys.modules[__name__], "JOB", LARGE)
    # A box to enter comes before it.
    script = (
        "lines = [sys.stdin.buffer.readline() for _ in range(2)]\n"
        "sys.exit(f'{len(max(lines, key=len))} bytes')"
    )
    with pytest.raises(EngineError, match=f"{len(encode(LARGE))} bytes"):
        play(monkeypatch, tmp_path, script)


def test_what_leaves_the_group_of_its_process_does_not_hold_the_run_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    # It has the pipes, and is no process that a signal for the group reaches.
    script = (
        "started = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))\n"
        "time.sleep(1000)"
    )
    with pytest.raises(EngineError, match="verifying took longer"):
        play(monkeypatch, tmp_path, script, timeout=0.5)
    os.kill(int(child.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("step", [1e9, -1e9])
def test_a_clock_that_is_set_neither_ends_a_run_nor_keeps_it(
    step: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times = itertools.count(time.time(), step)
    monkeypatch.setattr(time, "time", lambda: next(times))
    script = f"time.sleep(0.3)\nsys.stdout.write({FINISHED!r})"
    assert play(monkeypatch, tmp_path, script, timeout=20) == []
    with pytest.raises(EngineError, match="verifying took longer"):
        play(monkeypatch, tmp_path, "time.sleep(1000)", timeout=0.5)


def test_time_that_a_process_waits_is_not_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = tmp_path / "entry.py"
    entry.write_text(f"import sys, time\ntime.sleep(1)\nsys.stdout.write({FINISHED!r})")
    monkeypatch.setattr(worker, "_ENTRY", entry)
    options = VerifyOptions(packed="x", timeout=0.5)
    with session.opened(tmp_path, options, session.Silent()) as opened:
        opened.start("verifying")
        assert list(opened.events()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    earlier = signal.getsignal(number)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
    timer.start()
    with pytest.raises(Interrupted, match=number.name):
        play(monkeypatch, tmp_path, "time.sleep(1000)")
    timer.join()
    assert signal.getsignal(number) is earlier


def test_a_failure_that_a_process_reports_is_raised_as_its_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = '{"type":"Failed","status":2,"problems":[{"message":"bad","hint":"mend"}]}\\n'
    with pytest.raises(InputError, match="bad"):
        play(monkeypatch, tmp_path, f"sys.stdout.write('{said}')")


def test_an_engine_process_sees_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    seen = tmp_path / "seen"
    script = (
        f"open({str(seen)!r}, 'w').write(repr(dict(os.environ)))\nsys.stdout.write({FINISHED!r})"
    )
    play(monkeypatch, tmp_path, script)
    assert "secret" not in seen.read_text()
    assert "PATH" in seen.read_text()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("a\nb\nc\nd\n", ["b", "c", "d"]),
        (
            "MKL: no\nFatal Python error: Aborted\n\nThread 1:\n  File x\n\nExtension modules: y\n",
            ["MKL: no"],
        ),
        ("Fatal Python error: Segmentation fault\n\nThread 1 (most recent call first):\n", []),
        ("", []),
    ],
)
def test_the_last_words_are_those_of_the_engine(log: str, words: list[str]) -> None:
    assert session.last_words(log) == words
