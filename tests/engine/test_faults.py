"""Models that are damaged, processes that are killed, output that cannot be written."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from megdump_ci.gates import Limits
from tests.engine import support

KINDS = ("two.fbs", "two.fbs_v2", "net.fbs", "net.fbs_v2")
ALTERATIONS = 10
"""For each of the models above."""
LONG = ["#rand(0,1)"] * 1500
"""Testcases enough for a run to be met in the midst of."""


def altered(content: bytes, seed: int) -> bytes:
    """``content`` with some bytes altered, more often in its first ones."""
    choose = random.Random(seed)
    changed = bytearray(content)
    limit = len(content) if choose.random() < 0.6 else min(len(content), 400)
    for _ in range(choose.choice((1, 1, 2, 4, 8, 64))):
        changed[choose.randrange(limit)] ^= choose.randrange(1, 256)
    return bytes(changed)


def leftovers(folder: Path) -> list[str]:
    """Files in an output folder that no run may leave there."""
    ends = (".mge", ".mge.failed", ".mge.unverified")
    return [path.name for path in folder.iterdir() if not path.name.endswith(ends)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_model_ends_in_order(
    kind: str, models: support.Models, tmp_path: Path, scratch: Path
) -> None:
    content = models.path(kind).read_bytes()
    out = tmp_path / "out"
    out.mkdir()

    def attempt(seed: int) -> tuple[int, int, str]:
        model = tmp_path / f"{seed}.mge"
        model.write_bytes(altered(content, seed))
        report = support.pack(model, "#rand(0,1)", out / f"{seed}.mge", timeout=20)
        assert report.exit_status == 0 or support.said(report)
        return seed, report.exit_status, report.verdict

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(attempt, range(ALTERATIONS)))
    assert {status for _, status, _ in found} <= {0, 1, 2, 3}, found
    for seed, status, _ in found:
        assert (out / f"{seed}.mge").exists() == (status == 0), (seed, status)
    assert leftovers(out) == []
    assert list(scratch.iterdir()) == []
    assert list(support.engine_processes(scratch)) == []


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["net.fbs", "net.fbs_v2"])
def test_a_model_that_is_cut_short_is_told(
    kind: str, share: float, models: support.Models, tmp_path: Path
) -> None:
    content = models.path(kind).read_bytes()
    model = tmp_path / "model.mge"
    model.write_bytes(content[: int(len(content) * share)])
    report = support.pack(model, "#rand(0,1)", tmp_path / "out.mge")
    assert report.exit_status == 2
    assert any(word in support.said(report) for word in ("is cut short", "is empty", "not a Meg"))


def test_a_name_that_is_not_utf8_is_told(models: support.Models, tmp_path: Path) -> None:
    model = tmp_path / "model.mge"
    model.write_bytes(models.path("two").read_bytes().replace(b"zeta", b"ze\xffa"))
    report = support.pack(model, "#rand(0,1)", tmp_path / "out.mge")
    assert report.exit_status in (2, 3)
    assert "UTF-8" in support.said(report)


class Killer(threading.Thread):
    """Ends an engine process as soon as it is met and ``when`` is true.

    ``repeat`` makes it do so in every further try, too.
    """

    def __init__(self, folder: Path, phase: str, when: Callable[[], bool], repeat: bool) -> None:
        super().__init__(daemon=True)
        self._folder, self._phase, self._when, self._repeat = folder, phase, when, repeat
        self._end = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        """Look until something was found."""
        while not self._end.is_set():
            for number, phase in support.engine_processes(self._folder):
                if phase.startswith(self._phase) and number not in self.killed and self._when():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                    self.killed.append(number)
                    if not self._repeat:
                        return
            time.sleep(0.005)

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join()


class Progress:
    """An observer that knows how many testcases are done."""

    def __init__(self) -> None:
        self.done = 0

    def phase(self, name: str) -> None:
        """Nothing."""

    def advanced(self, done: int, total: int) -> None:
        """Remember it."""
        self.done = done


@pytest.mark.parametrize("after", [0, 3], ids=["at the start", "in the midst"])
@pytest.mark.parametrize("phase", ["packing", "verifying"])
def test_an_engine_process_that_is_killed_is_told(
    phase: str, after: int, models: support.Models, tmp_path: Path, scratch: Path
) -> None:
    out = tmp_path / "out.mge"
    out.write_bytes(b"an earlier one")
    progress = Progress()
    killer = Killer(scratch, phase, lambda: progress.done >= after, repeat=True)
    killer.start()
    try:
        report = support.pack(models.path("net"), LONG, out, progress)
    finally:
        killer.stop()
    assert killer.killed
    assert report.exit_status == 3
    assert "killed by SIGKILL" in support.said(report)
    assert phase in support.said(report)
    assert out.read_bytes() == b"an earlier one"
    assert list(support.engine_processes(scratch)) == []
    assert list(scratch.iterdir()) == []


def test_one_kill_ends_the_run(models: support.Models, tmp_path: Path, scratch: Path) -> None:
    out = tmp_path / "out.mge"
    progress = Progress()
    killer = Killer(scratch, "verifying", lambda: progress.done >= 3, repeat=False)
    killer.start()
    try:
        report = support.pack(models.path("net"), LONG, out, progress)
    finally:
        killer.stop()
    assert len(killer.killed) == 1
    # What comes from outside says nothing of the kernels: no second try with others.
    assert report.exit_status == 3
    assert not out.exists()


def test_a_time_limit_ends_the_run(models: support.Models, tmp_path: Path, scratch: Path) -> None:
    out = tmp_path / "out.mge"
    begun = time.monotonic()
    report = support.pack(models.path("net"), LONG, out, timeout=0.2)
    assert time.monotonic() - begun < 10
    assert report.exit_status == 3
    assert "took longer than 0.2 s" in support.said(report)
    assert not out.exists()
    assert list(support.engine_processes(scratch)) == []


def started(models: support.Models, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command, at work on many testcases, met when it is past the first."""
    words = [word for spec in LONG for word in ("-d", spec)]
    process = subprocess.Popen(
        support.command("pack", models.path("net"), *words, "-o", out, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if support.being_written(out):
            return process
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"it did not begin to write: {process.communicate()}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for output, with an earlier good file."""
    made = tmp_path / "out"
    made.mkdir()
    (made / "out.mge").write_bytes(b"an earlier one")
    return made


def gone(scratch: Path) -> bool:
    """Whether all engine processes end within some seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if not list(support.engine_processes(scratch)):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_in_order(
    number: signal.Signals, models: support.Models, folder: Path, scratch: Path
) -> None:
    process = started(models, folder / "out.mge", "--report", str(scratch / "report"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2, errors
    assert f"stopped by {number.name}" in errors
    assert "Traceback" not in errors
    assert [path.name for path in folder.iterdir()] == ["out.mge"]
    assert (folder / "out.mge").read_bytes() == b"an earlier one"
    assert gone(scratch)
    assert [path.name for path in scratch.iterdir()] == ["report"]
    assert '"exit_status": 2' in (scratch / "report" / "report.json").read_text()


def test_the_engine_dies_with_a_command_that_is_killed(
    models: support.Models, folder: Path, scratch: Path
) -> None:
    process = started(models, folder / "out.mge")
    process.kill()
    process.communicate()
    assert gone(scratch)
    assert (folder / "out.mge").read_bytes() == b"an earlier one"


@pytest.mark.parametrize(
    "options",
    [
        {"maxerr": Limits(1e-9), "optimize_for_inference": True, "enable_ioc16": True},
        {"input_transform": "data.nothing"},
        {"timeout": 0.01},
    ],
    ids=["failed comparison", "wrong option", "time limit"],
)
def test_a_failing_run_leaves_earlier_files_alone(
    options: dict[str, Any], models: support.Models, folder: Path
) -> None:
    earlier = ("out.mge", "out.mge.json", "deploy.mge", "deploy.mge.json")
    for name in earlier:
        (folder / name).write_bytes(b"an earlier one")
    report = support.pack(
        models.path("net"),
        str(models.data("batch3")),
        folder / "out.mge",
        deploy_output=str(folder / "deploy.mge"),
        output_strip_info=True,
        **options,
    )
    assert report.exit_status in (1, 2, 3)
    assert [(folder / name).read_bytes() for name in earlier] == [b"an earlier one"] * 4
    others = {path.name for path in folder.iterdir()} - set(earlier)
    failed = {f"{name}.failed" for name in ("out.mge", "deploy.mge")}
    failed |= {f"{name}.json" for name in failed}
    assert others == (failed if report.exit_status == 1 else set())


def test_a_missing_output_folder_is_told_at_once(models: support.Models, tmp_path: Path) -> None:
    report = support.pack(models.path("two"), "#rand(0,1)", tmp_path / "no" / "out.mge")
    assert report.exit_status == 2
    assert "No such file or directory" in support.said(report)
    assert report.processes == []


@pytest.mark.parametrize("place", ["folder", "pipe"])
def test_what_is_no_file_is_not_replaced(
    place: str, models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "out.mge"
    out.mkdir() if place == "folder" else os.mkfifo(out)
    report = support.pack(models.path("two"), "#rand(0,1)", out)
    assert report.exit_status == 2
    assert str(out) in support.said(report)
    assert not out.is_file()


def test_strip_info_that_cannot_be_written_is_told_before_anything_is(
    models: support.Models, folder: Path
) -> None:
    (folder / "out.mge.json").mkdir()
    report = support.pack(
        models.path("two"), "#rand(0,1)", folder / "out.mge", output_strip_info=True
    )
    assert report.exit_status == 2
    assert "out.mge.json" in support.said(report)
    assert (folder / "out.mge").read_bytes() == b"an earlier one"


@pytest.mark.parametrize("clash", ["deploy", "model", "strip info"])
def test_two_files_of_one_name_are_refused(
    clash: str, models: support.Models, tmp_path: Path
) -> None:
    model = tmp_path / "model.mge"
    model.write_bytes(models.path("two").read_bytes())
    out, deploy = tmp_path / "out.mge", tmp_path / "deploy.mge"
    if clash == "deploy":
        deploy = tmp_path / "." / "x" / ".." / "out.mge"
        (tmp_path / "x").mkdir()
    elif clash == "model":
        out = model
    else:
        deploy = tmp_path / "out.mge.json"
    report = support.pack(
        model, "#rand(0,1)", out, deploy_output=str(deploy), output_strip_info=True
    )
    assert report.exit_status == 2, report.headline
    assert "out.mge" in support.said(report) or "model.mge" in support.said(report)
    assert model.read_bytes() == models.path("two").read_bytes()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of more than 100 kB can be written, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_told(models: support.Models, tmp_path: Path, scratch: Path) -> None:
    report = support.pack(models.path("large"), "#rand(0,1)", tmp_path / "out.mge")
    assert report.exit_status == 2
    assert "File too large" in support.said(report)
    assert [path for path in tmp_path.iterdir() if path != scratch] == []


def test_what_was_kept_aside_goes_when_a_run_passes(models: support.Models, tmp_path: Path) -> None:
    out = tmp_path / "out.mge"
    float16 = {"optimize_for_inference": True, "enable_io16xc32": True}
    assert (
        support.pack(
            models.path("net"), ["#rand(0,1)"], out, maxerr=Limits(0.0), **float16
        ).exit_status
        == 1
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge.failed"]
    assert support.pack(models.path("net"), ["#rand(0,1)"], out).exit_status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.mge"]
