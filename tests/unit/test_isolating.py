"""What engine processes need, and what is said of their boxes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from megdump_ci import isolating, report
from megdump_ci.isolating import Isolation, read_places
from megdump_ci.options import ExportOptions, PackOptions, VerifyOptions
from megdump_ci.report import Lack
from megdump_ci.sandbox.box import ALL
from megdump_ci.sandbox.identity import Identity

OPTIONS = VerifyOptions(packed="packed.mge")


def test_all_that_a_run_reads_is_asked_for(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.npy\nx:b.npy; y : c.png\n#rand(0,1)\n")
    options = PackOptions(model="m.mge", data=(f"@{listed}", "d:e.npy"), output="out/o.mge")
    found = set(read_places(options))
    paths = ("m.mge", "out", "a.npy", "b.npy", "c.png", "d:e.npy", "e.npy")
    assert {Path(path) for path in paths} <= found
    assert {tmp_path / name for name in ("a.npy", "b.npy", "c.png")} <= found
    assert not any("rand" in path.name for path in found)
    code = ExportOptions(target="code/net.py:net", data=("#rand(0,1,3)",), output="o.mge")
    assert set(read_places(code)) == {Path("code/net.py"), Path()}


def test_where_credentials_are_nothing_is_read_but_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("repo/.git", "repo/sub", "home/.ssh", "home/.docker"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repo/sub")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    isolation = Isolation(VerifyOptions(packed="../../home/.ssh/packed.mge"), tmp_path)
    names = [os.path.relpath(path, tmp_path) for path in isolation.hidden]
    assert names == ["repo/.git", "home/.docker"]


def test_what_is_missing_in_one_process_is_missing(tmp_path: Path) -> None:
    isolation = Isolation(OPTIONS, tmp_path)
    assert isolation.reported() is None
    lack = Lack(measure="no network", reason="seccomp: Operation not permitted")
    held = [measure for measure in ALL if measure != "no network"]
    isolation.take("packing", report.Isolation(held=list(ALL), memory_limit=1))
    isolation.take("verifying", report.Isolation(held=held, missing=[lack], memory_limit=1))
    # A process that says it a second time has read a model by then.
    isolation.take("verifying", report.Isolation(held=list(ALL), memory_limit=1))
    found = isolation.reported()
    assert found is not None
    assert (found.held, found.missing) == (held, [lack])
    assert found.memory_limit == isolation.memory


def test_a_box_has_folders_of_its_own_and_the_files_it_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def chosen(places: list[Path]) -> Identity:
        asked.extend(places)
        return Identity(os.geteuid(), os.getegid(), change=True)

    monkeypatch.setattr(isolating.identity, "chosen", chosen)
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    output = tmp_path / "temporary"
    output.touch()
    isolation = Isolation(OPTIONS, run)
    box = isolation.box(run / "home", run / "shared", [str(output)], cores={3, 1}, seconds=60)
    assert box.folders == [str(run / "home"), str(run / "shared")]
    assert box.files == [str(output)]
    assert box.cores == [1, 3]
    assert box.parent == os.getpid()
    # Others pass through the run's folder, and enter those in it only if they own them.
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (run, run / "home", run / "shared")]
    assert modes == [0o711, 0o700, 0o700]
    assert {Path("packed.mge"), tmp_path} <= set(asked)
    isolation.box(run / "home", run / "shared", [], cores={0}, seconds=1)
    assert asked.count(Path("packed.mge")) == 1
