"""Running entries side by side, each by a process that is played here."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from megdump_ci import merged, report
from megdump_ci.project import commands, running
from megdump_ci.project.options import RunOptions
from megdump_ci.trace import Trace
from tests.unit import reports, traces
from tests.unit.project.support import LEAST, committed, made

# In place of pack: does what the data says, and leaves the report beside the project if it is to.
PLAYED = """
import os, shutil, signal, sys, time
words = sys.argv[2:]
def value(name): return words[words.index(name) + 1]
name, what = value("--name"), value("--data")
folder = value("--report")
print("something was said")
if "--profile" in words: shutil.copy("trace.json", value("--profile"))
if what == "late":
    os.makedirs(folder, exist_ok=True)
    shutil.copy("passed.json", f"{folder}/report.json")
if what in ("wait", "late"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
open(f"began-{name}", "w").close()
if what in ("wait", "late", "deaf"): time.sleep(60)
if what == "killed": os.kill(os.getpid(), signal.SIGKILL)
if what == "meet":
    while len([f for f in os.listdir() if f.startswith("began-")]) < 2: time.sleep(0.01)
if what != "silent":
    os.makedirs(folder, exist_ok=True)
    shutil.copy(f"{what if what in ('failed', 'liar') else 'passed'}.json", f"{folder}/report.json")
sys.exit({"failed": 1, "silent": 0, "liar": 0}.get(what, 0))
"""


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def chosen(self, names: Any) -> None:
        self.told += [("chosen", name) for name in names]

    def began(self, name: str) -> None:
        self.told.append(("began", name))

    def ended(self, entry: merged.Entry) -> None:
        self.told.append(("ended", entry.name))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "_START", PLAYED)
    kinds = {
        "passed": reports.report(),
        "failed": reports.report(verdict="failed", exit_status=1, headline="FAIL: so"),
        "liar": reports.report(verdict="failed", exit_status=1, headline="FAIL: so"),
    }
    (tmp_path / "p").mkdir()
    for name, content in kinds.items():
        (tmp_path / "p" / f"{name}.json").write_bytes(report.to_json(content))
    return tmp_path / "p"


def project(folder: Path, **what: str) -> None:
    """A project with an entry of each name, and what its process does as its data."""
    text = "".join(
        f'[[model]]\npath = "{name}.mge"\ndata = "{does}"\noutput = "out/{{name}}/o.mge"\n'
        for name, does in what.items()
    )
    made(folder, text, *(f"{name}.mge" for name in what))


def run(watcher: Watcher | None = None, **options: Any) -> merged.Merged:
    given = RunOptions(config="p/megdump.toml", **options)
    return commands.run(given, watcher or Watcher())


@pytest.mark.parametrize("kept", [True, False])
def test_the_traces_of_all_become_one(folder: Path, *, kept: bool) -> None:
    project(folder, a="ok", b="ok", c="silent")
    trace = Trace(began=time.monotonic())
    trace.close()
    (folder / "trace.json").write_bytes(trace.content())
    found = run(profile="trace.json", report="r" if kept else "")
    assert [entry.verdict for entry in found.entries] == ["passed", "passed", "error"]
    events = traces.read(Path("trace.json").read_bytes())
    traces.check(events)
    names = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert names == ["a: megdump-ci", "b: megdump-ci", "c: megdump-ci"]
    assert Path("r/a/trace.json").is_file() is kept


def test_a_trace_that_cannot_be_written_is_said_before_anything_runs(folder: Path) -> None:
    project(folder, a="ok")
    found = run(profile="missing/trace.json")
    assert (found.exit_status, found.entries) == (2, [])
    assert "cannot write missing/trace.json" in found.problems[0].message


def test_what_fails_does_not_stop_the_others(folder: Path) -> None:
    project(folder, a="silent", b="failed", c="killed", d="ok", e="liar")
    watcher = Watcher()
    found = run(watcher, jobs=1, report="r")
    assert [(entry.name, entry.verdict, entry.exit_status) for entry in found.entries] == [
        ("a", "error", 4),
        ("b", "failed", 1),
        ("c", "error", 3),
        ("d", "passed", 0),
        ("e", "error", 4),
    ]
    assert (found.verdict, found.exit_status) == ("error", 4)
    assert "something was said" in found.entries[0].problems[0].message
    assert "SIGKILL" in found.entries[2].headline
    assert "exit status 1, but it ended with 0" in found.entries[4].headline
    assert found.entries[3].model == "p/d.mge"
    assert found.entries[3].file == "r/d/report.json"
    assert merged.from_json(Path("r/merged.json").read_bytes()) == found
    assert (folder / "out/d").is_dir()
    assert watcher.told[:5] == [("chosen", name) for name in "abcde"]
    assert [name for what, name in watcher.told if what == "began"] == list("abcde")
    for name in "abcde":
        assert watcher.told.index(("began", name)) < watcher.told.index(("ended", name))


def test_those_that_are_named_are_run(folder: Path) -> None:
    project(folder, a="ok", b="failed", c="ok")
    found = run(entries=("c", "a"))
    assert [entry.name for entry in found.entries] == ["a", "c"]
    assert found.verdict == "passed"
    # Nobody asked for a report.
    assert [entry.file for entry in found.entries] == ["", ""]
    assert sorted(os.listdir()) == ["p"]
    assert run(entries=("d",)).exit_status == 2


def test_jobs_run_side_by_side(folder: Path) -> None:
    project(folder, a="meet", b="meet")
    assert run(jobs=2).verdict == "passed"


def test_the_report_of_an_earlier_run_is_not_taken_for_this_ones(folder: Path) -> None:
    project(folder, a="ok")
    assert run(report="r").verdict == "passed"
    project(folder, a="silent")
    found = run(report="r")
    assert (found.verdict, found.exit_status) == ("error", 4)
    assert not Path("r/a/report.json").exists()


def test_an_entry_can_have_its_own_place_for_its_report(folder: Path) -> None:
    project(folder, a="ok")
    with (folder / "megdump.toml").open("a") as stream:
        stream.write('report = "mine"\n')
    assert run(report="r").entries[0].file == "p/mine/report.json"


def test_where_nothing_can_be_written(folder: Path) -> None:
    project(folder, a="ok", b="ok")
    (folder / "out").mkdir()
    (folder / "out/a").write_text("")
    found = run()
    assert [entry.exit_status for entry in found.entries] == [2, 0]
    assert "cannot write" in found.entries[0].headline
    (folder / "r").write_text("")
    assert run(report="p/r").exit_status == 2


def test_where_nothing_has_changed_nothing_is_verified(folder: Path) -> None:
    project(folder, a="ok", b="ok")
    # The data is no file, but a name for what is done.
    for name in ("ok",):
        (folder / name).write_text("")
    committed(folder)
    found = run(changed_since="HEAD")
    assert (found.verdict, found.exit_status, found.entries) == ("not verified", 0, [])
    assert found.headline == "NOT VERIFIED: nothing has changed since HEAD"
    (folder / "b.mge").write_text("other")
    assert [entry.name for entry in run(changed_since="HEAD").entries] == ["b"]


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (signal.SIGTERM, "wait"),
        (signal.SIGINT, "wait"),
        (signal.SIGTERM, "deaf"),
        # Its report says that it passed, and it was stopped while it said so.
        (signal.SIGTERM, "late"),
    ],
)
def test_a_signal_ends_those_that_run_and_those_that_wait(
    folder: Path, number: int, what: str
) -> None:
    project(folder, a=what, b="wait")
    sender = threading.Thread(target=interrupt, args=(folder / "began-a", number))
    sender.start()
    found = run(jobs=1)
    sender.join()
    assert [entry.exit_status for entry in found.entries] == [2, 2]
    assert found.exit_status == 2
    assert "stopped before its turn" in found.entries[1].headline
    assert not (folder / "began-b").exists()


def test_one_that_is_stopped_makes_no_room_for_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(folder, a="deaf", b="ok")
    stop = running._Run.stop

    def slowly(self: running._Run) -> None:
        stop(self)
        if self._process is not None:
            self._process.wait()
            time.sleep(0.2)

    monkeypatch.setattr(running._Run, "stop", slowly)
    sender = threading.Thread(target=interrupt, args=(folder / "began-a",))
    sender.start()
    found = run(jobs=1)
    sender.join()
    assert "stopped before its turn" in found.entries[1].headline
    assert not (folder / "began-b").exists()


def interrupt(path: Path, number: int = signal.SIGTERM) -> None:
    """Send this process a signal once the file is there."""
    while not path.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), number)


STUBBORN = """
import os, signal, time
asked = []
def stop(*_):
    asked.append("once")
    open(f"asked-{len(asked)}", "w").close()
    if asked[1:]: os._exit(2)
signal.signal(signal.SIGTERM, stop)
open("began-a", "w").close()
while True: time.sleep(60)
"""


def test_a_second_signal_ends_at_once_and_lets_entries_clean_up(folder: Path) -> None:
    project(folder, a="ok")
    script = (
        "import sys\nfrom megdump_ci import cli\nfrom megdump_ci.project import running\n"
        f"running._START = {STUBBORN!r}\nsys.exit(cli.main(['run', '--config', 'p/megdump.toml']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for sign in ("began-a", "asked-1"):
        while not (folder / sign).exists():
            assert process.poll() is None
            time.sleep(0.01)
        # As one that was told twice, it would be no second signal.
        time.sleep(0.7 * (sign == "asked-1"))
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (2, "error: stopped by SIGINT\n")
    assert (folder / "asked-2").exists()


def test_where_there_is_no_room_for_a_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    project(folder, a="ok")
    monkeypatch.setattr(running.Path, "mkdir", refuse)
    monkeypatch.setattr(running, "prepare", lambda *_: None)
    monkeypatch.setattr(running, "scratch_folder", lambda: contextlib.nullcontext(folder))
    found = run()
    assert found.exit_status == 2
    assert found.entries[0].problems[0].message == "cannot write: No space left on device"


def test_no_process_sees_what_this_one_was_trusted_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "secret")
    seen = PLAYED.replace('print("something was said")', "print(sorted(os.environ))")
    monkeypatch.setattr(running, "_START", seen)
    project(folder, a="silent")
    said = run().entries[0].problems[0].message
    assert "PATH" in said
    assert "A_TOKEN" not in said


def test_a_module_beside_the_project_is_not_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folder.parent)
    (folder / "msgspec.py").write_text("raise SystemExit(0)")
    made(folder, LEAST.replace("#rand(0,1)", "#rand(0"))
    found = run()
    assert found.exit_status == 2
    assert "a.mge is not a MegEngine model" in found.entries[0].headline
