"""Processes that are killed, signals, and machines without room, on the real engine.

Whatever happens: nothing half-written, no stray process, no earlier file lost, and an exit status
that says what it was.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from megdump_ci.report import Report, from_json
from megdump_ci.sandbox import limits
from tests.engine import support
from tests.engine.test_faults import LONG, Killer, gone, started

CODE = "import megengine.functional as F\ndef net(data):\n    return F.relu(data)\n"
EARLIER = b"an earlier one"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What is written, in a folder of its own; an earlier one is there."""
    path = tmp_path / "out" / "out.mge"
    path.parent.mkdir()
    path.write_bytes(EARLIER)
    return path


@contextmanager
def killing(scratch: Path, *phases: str) -> Iterator[None]:
    """Inside, the engine processes of these phases are killed, and each of them is met."""
    killers = [Killer(scratch, phase, lambda: True, repeat=True) for phase in phases]
    for killer in killers:
        killer.start()
    try:
        yield
    finally:
        for killer in killers:
            killer.stop()
    assert all(killer.killed for killer in killers)


def nothing_left(out: Path, scratch: Path, *written: str) -> None:
    """Neither files but these, nor processes."""
    assert gone(scratch)
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(written)
    assert [path.name for path in scratch.iterdir() if path.name != "report"] == []


def test_what_is_killed_after_the_verdict_does_not_change_it(
    models: support.Models, out: Path, scratch: Path
) -> None:
    with killing(scratch, "locating", "comparing"):
        report = support.passed(
            models.path("net"), "#rand(0,1)", out, locate=True, baseline=str(models.path("net"))
        )
    (compared,) = [text for text in report.warnings if "not compared with the base" in text]
    (located,) = [text for text in report.warnings if "first goes wrong was not found" in text]
    assert "killed by SIGKILL while comparing" in compared
    assert "killed by SIGKILL while locating" in located
    assert out.read_bytes() != EARLIER
    nothing_left(out, scratch, "out.mge")


def test_a_second_engine_that_is_killed_leaves_no_verdict(
    models: support.Models, out: Path, scratch: Path
) -> None:
    with killing(scratch, "cross-checking"):
        report = support.pack(models.path("net"), "#rand(0,1)", out, cross_check="lite")
    assert report.exit_status == 3
    assert "killed by SIGKILL while cross-checking" in support.said(report)
    assert out.read_bytes() == EARLIER
    nothing_left(out, scratch, "out.mge", "out.mge.unverified")


def test_a_packing_process_that_is_killed_while_it_writes_the_graph(
    models: support.Models, out: Path, scratch: Path
) -> None:
    killer = Killer(scratch, "packing", lambda: support.being_written(out), repeat=False)
    killer.start()
    try:
        report = support.pack(models.path("large"), LONG, out)
    finally:
        killer.stop()
    assert killer.killed
    assert report.exit_status == 3
    assert "killed by SIGKILL while packing" in support.said(report)
    assert out.read_bytes() == EARLIER
    nothing_left(out, scratch, "out.mge")


@pytest.mark.parametrize(
    ("phase", "words"),
    {
        "export": ("exporting", ["export", "{code}:net", "-d", "#rand(0,1,2,3)", "-o", "{out}"]),
        "diff": ("comparing", ["diff", "{model}", "{model}", "-d", "#rand(0,1)"]),
    }.values(),
)
def test_a_process_that_is_killed_ends_the_command(
    phase: str, words: list[str], models: support.Models, out: Path, scratch: Path
) -> None:
    with killing(scratch, phase):
        done = subprocess.run(
            support.command(*filled(words, models, out)), capture_output=True, text=True
        )
    assert done.returncode == 3, done.stderr
    assert f"killed by SIGKILL while {phase}" in done.stderr
    assert out.read_bytes() == EARLIER
    nothing_left(out, scratch, "out.mge")


def test_a_process_that_measures_costs_a_latency_only(
    models: support.Models, out: Path, scratch: Path
) -> None:
    words = ["sweep", "{model}", "-d", "#rand(0,1)", "--only", "none", "--report", "{report}"]
    with killing(scratch, "timing"):
        done = subprocess.run(
            support.command(*filled(words, models, out)), capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    sweep = reported(scratch).sweep
    assert sweep is not None
    assert [(trial.status, trial.latency) for trial in sweep.trials] == [("passed", None)]
    nothing_left(out, scratch, "out.mge")


def filled(words: list[str], models: support.Models, out: Path) -> list[str]:
    """The words of a command, with the places that this test has."""
    code = out.parent.parent / "code.py"
    code.write_text(CODE)
    places = {"code": code, "out": out, "model": models.path("net")}
    return [word.format(report=out.parent.parent / "scratch/report", **places) for word in words]


def reported(scratch: Path) -> Report:
    """The report of a command."""
    return from_json((scratch / "report" / "report.json").read_bytes())


PACK = ["pack", "{model}", "-d", "#rand(0,1)", "-o", "{out}"]
STOPPED: dict[str, tuple[signal.Signals, str, list[str], str]] = {
    "export": (
        signal.SIGHUP,
        "exporting",
        ["export", "{code}:net", "-d", "#rand(0,1,2,3)", "-o", "{out}"],
        "nothing was written",
    ),
    "locate": (
        signal.SIGTERM,
        "locating",
        [*PACK, "--locate"],
        "what was known by then: PASS: 1 of 1 testcase, max error 0",
    ),
    "cross-check": (
        signal.SIGINT,
        "cross-checking",
        [*PACK, "--cross-check", "lite"],
        "nothing was written",
    ),
    "diff": (
        signal.SIGTERM,
        "comparing",
        ["diff", "{model}", "{model}", "-d", "#rand(0,1)"],
        "nothing was written",
    ),
}


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize("what", STOPPED)
def test_a_signal_in_any_phase_ends_the_run_with_2(
    what: str, models: support.Models, out: Path, scratch: Path
) -> None:
    number, phase, words, known = STOPPED[what]
    process = commanded(*filled([*words, "--report", "{report}"], models, out))
    met(scratch, phase, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2, errors
    assert f"stopped by {number.name}" in errors
    assert "Traceback" not in errors
    report = reported(scratch)
    assert (report.verdict, report.exit_status) == ("error", 2)
    assert [problem.hint for problem in report.problems] == [known]
    # Where the verdict was there, the file is what was verified.
    assert (out.read_bytes() == EARLIER) is (what != "locate")
    assert (report.packed is not None) is (what == "locate")
    nothing_left(out, scratch, "out.mge")


def commanded(*words: object, **options: Any) -> subprocess.Popen[str]:
    """The command, going on."""
    return subprocess.Popen(
        support.command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def met(scratch: Path, phase: str, process: subprocess.Popen[str]) -> None:
    """Wait for an engine process."""
    until = time.monotonic() + 60
    while not any(name == phase for _, name in support.engine_processes(scratch)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


HANGS = """
import sys, time
from megdump_ci import cli, session
session.Session.close = lambda self: (print("closing", flush=True), time.sleep(60))
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_second_signal_ends_at_once_what_hangs_and_cleans_up(
    models: support.Models, out: Path, scratch: Path
) -> None:
    words = [word for spec in LONG for word in ("-d", spec)]
    arguments = [*words, "-o", str(out), "--report", str(scratch / "report")]
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, "pack", str(models.path("net")), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    met(scratch, "verifying", process)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "closing\n"
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (2, "error: stopped by SIGINT\n")
    assert out.read_bytes() == EARLIER
    nothing_left(out, scratch, "out.mge")


def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_one_is_let_be(
    models: support.Models, out: Path, scratch: Path
) -> None:
    killed = started(models, out)
    killed.kill()
    killed.communicate()
    assert gone(scratch)
    (temporary,) = out.parent.glob(".*.tmp")
    (folder,) = scratch.iterdir()
    # It begins with looking for what is left, and goes on for long.
    words = [word for spec in LONG for word in ("-d", spec)]
    living = commanded("pack", models.path("net"), *words, "-o", out)
    try:
        met(scratch, "verifying", living)
        assert not temporary.exists()
        assert not folder.exists()
        support.passed(models.path("net"), "#rand(0,1)", out)
        assert len(list(out.parent.glob(".*.tmp"))) == 1
        assert living.poll() is None
    finally:
        living.send_signal(signal.SIGTERM)
        living.communicate(timeout=30)
    assert living.returncode == 2
    nothing_left(out, scratch, "out.mge")


def test_entries_end_in_order_with_a_run_that_is_killed(
    models: support.Models, out: Path, scratch: Path
) -> None:
    data = ", ".join(f'"{spec}"' for spec in LONG)
    (out.parent.parent / "megdump.toml").write_text(
        f'[[model]]\npath = "{models.path("net")}"\ndata = [{data}]\noutput = "out/out.mge"\n'
    )
    process = commanded("run", "--config", out.parent.parent / "megdump.toml")
    met(scratch, "verifying", process)
    process.kill()
    process.communicate()
    # The folder of the one that was killed is left for its next run.
    until = time.monotonic() + 20
    while len(list(scratch.iterdir())) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(list(scratch.iterdir())) == 1
    assert gone(scratch)
    assert [path.name for path in out.parent.iterdir()] == ["out.mge"]
    assert out.read_bytes() == EARLIER


def test_two_runs_with_one_output_both_finish(
    models: support.Models, out: Path, scratch: Path
) -> None:
    # On another file system than the output's, where the machine has one.
    other = Path("/dev/shm") if Path("/dev/shm").is_dir() else scratch
    arguments = ["pack", models.path("net"), "-d", "#rand(0,1)", "-o", out, "--output-strip-info"]
    runs = [
        commanded(
            *(*arguments, "--seed", str(seed), "--report", scratch / f"report-{seed}"),
            env={**os.environ, "TMPDIR": str(other if seed else scratch)},
        )
        for seed in (0, 1)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    graphs = []
    for seed in (0, 1):
        report = from_json((scratch / f"report-{seed}" / "report.json").read_bytes())
        assert report.packed is not None
        assert report.packed.path == str(out)
        graphs.append(report.packed.digest)
    # Each reports what it has verified; the file is one of the two, whole.
    assert graphs[0] != graphs[1]
    assert f"sha256:{hashlib.sha256(out.read_bytes()).hexdigest()}" in graphs
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.mge", "out.mge.json"]


def small(place: Path, size: str, options: str = "") -> list[str]:
    """What a command stands behind to have a file system of its own at ``place``.

    Where a machine lets nobody have one, no file may be larger than that: another way for room to
    run out.
    """
    own = ["unshare", *(["-Ur"] if os.geteuid() else []), "-m"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", place], check=False).returncode:
        return ["prlimit", f"--fsize={int(size) * 1024}"]
    # What is left in it is printed: it goes with the command.
    script = (
        f'mount -t tmpfs -o size={size}k{options} tmpfs "$0" && "$@"; status=$?;'
        ' find "$0" -type f -printf "left: %f\\n"; exit $status'
    )
    return [*own, "sh", "-c", script, str(place)]


def room_runs_out(place: Path, size: int, words: list[object]) -> str:
    """What a command prints that has so many KiB at ``place``, which is not enough."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [*small(place, str(size)), *support.command(*words)], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr or "File too large" in done.stderr
    assert "make room" in done.stderr or "has room" in done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_no_room_for_the_output(models: support.Models, tmp_path: Path, scratch: Path) -> None:
    place = tmp_path / "full"
    files = ["-o", place / "o.mge", "--deploy-output", place / "d.mge", "--output-strip-info"]
    said = room_runs_out(place, 64, ["pack", models.path("large"), "-d", "#rand(0,1)", *files])
    assert "left:" not in said
    assert list(place.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_no_room_for_temporary_files(
    models: support.Models, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = out.parent.parent / "full"
    monkeypatch.setenv("TMPDIR", str(place))
    # An array that does not fit, not a file that cannot be begun: numpy has an error of its own.
    words = ["pack", models.path("net"), "-d", "#rand(0,1,2000,...)", "-o", out]
    assert "left:" not in room_runs_out(place, 48, words)
    assert out.read_bytes() == EARLIER
    assert [path.name for path in out.parent.iterdir()] == ["out.mge"]


def test_no_room_for_the_report(models: support.Models, out: Path, scratch: Path) -> None:
    place = scratch / "full"
    words = ["pack", models.path("net"), "-d", "#rand(0,1)", "-o", out, "--report", place]
    said = room_runs_out(place, 16, words)
    # The verdict is known, and so is the file; report.json comes first where there is some room.
    assert "ERROR: cannot write" in said
    assert ".tmp" not in said
    assert out.read_bytes() != EARLIER
    assert [path.name for path in out.parent.iterdir()] == ["out.mge"]


def test_a_folder_that_is_not_to_be_written_to(
    models: support.Models, tmp_path: Path, scratch: Path
) -> None:
    place = tmp_path / "full"
    place.mkdir(mode=0o555)
    own = small(place, "64", ",ro")
    if own[0] == "prlimit" and os.geteuid() == 0:
        # What root may not write to either.
        place = Path("/sys")
    words = ["pack", models.path("net"), "-d", "#rand(0,1)", "-o", place / "o.mge"]
    done = subprocess.run([*own, *support.command(*words)], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert f"cannot write {place}/o.mge: " in done.stderr
    assert list(scratch.iterdir()) == []


def test_memory_that_is_not_to_be_had(models: support.Models, out: Path, scratch: Path) -> None:
    words = support.command("pack", models.path("net"), "-d", "#rand(0,1)", "-o", out)
    done = subprocess.run(
        ["prlimit", "--data=100000000", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "may take 95.3M of memory: it needs at least 160M" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == EARLIER
    nothing_left(out, scratch, "out.mge")


def test_memory_that_ends_at_any_place_ends_the_run_in_order(
    models: support.Models, out: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import, a thread, a graph: what there is too little for first differs.

    Native code may not look at what it is given; most of it does.
    """
    monkeypatch.setattr(limits, "LEAST_MEMORY", 0)
    told = []
    for size in range(100, 150, 7):
        report = support.pack(
            models.path("net"), "#rand(0,1)", out, memory_limit=f"{size}M", timeout=60
        )
        said = support.said(report)
        assert report.exit_status == 3 or report.verdict == "passed", said
        assert report.exit_status == 0 or "memory ran out" in said or "was killed by SIG" in said
        told.append("memory ran out" in said)
    assert sum(told) > 1
    assert list(scratch.iterdir()) == []
