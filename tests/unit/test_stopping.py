"""The first signal ends a run in order, a second one at once."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import megdump_ci
from megdump_ci import stopping
from megdump_ci.errors import Interrupted

PACKAGE = Path(megdump_ci.__file__).parent


@contextmanager
def played(script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does what the script says and is past the line that it prints."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, time\nfrom megdump_ci import stopping\n{script}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "began\n", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


UNDOING = """
for name in "abc":
    stopping.keep(name, lambda name=name: os.write(1, name.encode()))
stopping.drop("b")
def refuse(): raise PermissionError
stopping.keep("d", refuse)
"""


AT_ONCE = """
with stopping.at_once():
    print("began", flush=True)
    time.sleep(60)
"""


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_at_once_is_undone_what_was_begun(number: signal.Signals) -> None:
    script = (
        UNDOING + "with stopping.at_once():\n    print('began', flush=True)\n    time.sleep(60)"
    )
    with played(script) as process:
        process.send_signal(number)
        assert ended(process) == (2, "ca", f"error: stopped by {number.name}\n")


GOES_ON = (
    UNDOING
    + """
with stopping.handling(lambda number: os.write(1, b"first ")):
    print("began", flush=True)
    time.sleep(60)
"""
)


def test_a_second_signal_ends_it_though_it_hangs() -> None:
    with played(GOES_ON) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.read(6) == "first "
        # Within a moment it is the same signal, told twice, as timeout(1) does.
        process.send_signal(signal.SIGTERM)
        time.sleep(stopping._ONE * 1.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (2, "ca", "error: stopped by SIGTERM\n")


def test_undoing_that_hangs_is_ended_by_a_third_one() -> None:
    undo = "stopping.keep('x', lambda: (os.write(1, b'undoing'), time.sleep(60)))\n"
    with played(undo + AT_ONCE) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read(7) == "undoing"
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 2


def test_who_is_deaf_to_the_end_of_a_terminal_stays_so() -> None:
    script = "with stopping.at_once():\n    print('began', flush=True)\n    input()"
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", f"from megdump_ci import stopping\n{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGHUP)
    process.communicate("go on\n", timeout=30)
    assert process.returncode == 0


def test_a_signal_is_told_to_who_comes_later_and_then_forgotten() -> None:
    earlier = [signal.getsignal(number) for number in stopping.SIGNALS]
    told: list[int] = []
    with stopping.handling():
        stopping.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with stopping.handling(told.append):
            assert told == [signal.SIGTERM]
        with pytest.raises(Interrupted, match="stopped by SIGTERM"):
            stopping.check()
    stopping.check()
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == earlier


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    child = (
        "import os, signal, time; from megdump_ci import stopping\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('told', 'w').close(), os._exit(0)))\n"
        "stopping.end_with_parent(signal.SIGTERM, {parent})\n"
        "print('began', flush=True)\n"
        "time.sleep(60)"
    )
    start = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}.format(parent=os.getpid())],"
        f" cwd={str(tmp_path)!r}, stdout=1)\ntime.sleep(60)"
    )
    with played(start) as process:
        process.kill()
        process.wait()
        wait_for(tmp_path / "told")
    # One that has died before it could ask is told as well.
    (tmp_path / "told").unlink()
    ran = subprocess.run([sys.executable, "-c", child.format(parent=1)], cwd=tmp_path)
    assert ran.returncode == 0
    assert (tmp_path / "told").exists()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


LOADS = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["x"]
runpy.{run}({what!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("run", "what", "module"),
    [
        ("run_module", "megdump_ci", "megdump_ci.cli"),
        ("run_path", str(PACKAGE.parent / "entrypoint.py"), "megdump_ci.action.guard"),
    ],
)
def test_a_signal_that_comes_while_the_program_is_loaded(run: str, what: str, module: str) -> None:
    code = LOADS.format(run=run, what=what, module=module)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (2, "error: stopped by SIGINT\n")
    assert Interrupted.exit_status == 2


def test_no_deadline_depends_on_the_time_of_day() -> None:
    """A clock that is set must not end a run, nor keep it from ending."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if name.startswith(("time.", "datetime.", "date.")):
                    found.add((name, path.relative_to(PACKAGE).as_posix()))
            elif isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
                found.add((f"from {node.module}", path.relative_to(PACKAGE).as_posix()))
    allowed = (
        "monotonic",
        "perf_counter",
        "process_time",
        "sleep",
        "clock_gettime",
        "CLOCK_BOOTTIME",
    )
    of_day = {(name, path) for name, path in found if name.removeprefix("time.") not in allowed}
    # Until when the service may keep an artifact is a date.
    names = ("datetime.datetime", "datetime.timedelta", "datetime.timezone")
    assert of_day == {(name, "action/upload.py") for name in names}
