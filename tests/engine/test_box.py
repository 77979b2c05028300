"""The box around an engine process, each promise tried from inside by ``tests/probe.py``."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from megdump_ci import pipeline
from megdump_ci.options import ExportOptions
from megdump_ci.report import Report
from tests import probe as probes
from tests.engine import support

MEMORY = 2 << 30
"""Bytes, as in ``--memory-limit 2G``."""

EVERYWHERE = {
    "no privileges",
    "no network",
    "no other processes",
    "memory",
    "file size",
    "processor time",
}
"""What every Linux machine has to offer that these tests are run on."""

POWERFUL = {
    "setting_of_the_kernel",
    "user_root",
    "group_root",
    "mount",
    "clock",
    # Distributions close these to all others, or open them to a process's children only.
    "bpf",
    "io_uring",
    "namespaces",
    "trace_of_another",
    "memory_of_parent",
    "memory_of_another",
}
"""What may take root without a box too."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with the probe, and what it is to reach for."""
    folder = tmp_path_factory.mktemp("box")
    for made in ("workspace", "home", "tmp"):
        (folder / made).mkdir()
    path = str(folder / "socket")
    other = subprocess.Popen(["sleep", "600"])
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(path)
        local.listen()
        facts = {
            "port": server.getsockname()[1],
            "socket": path,
            "home": str(folder / "home"),
            "tmp": str(folder / "tmp"),
            "process": other.pid,
            "setuid": shutil.which("su"),
            "closed": str(folder / "closed"),
            "memory": MEMORY,
        }
        _fill(folder / "workspace", facts)
        (folder / "closed").write_text("secret")
        (folder / "closed").chmod(0o600)
        yield folder / "workspace"
    other.kill()
    other.wait()


def _fill(workspace: Path, facts: dict[str, Any]) -> None:
    shutil.rmtree(workspace)
    workspace.mkdir()
    shutil.copy(probes.__file__, workspace / "probe.py")
    (workspace / "probe.json").write_text(json.dumps(facts))
    (workspace / ".git").mkdir()
    for name in ("out.mge", "kept", ".git/config"):
        (workspace / name).write_text("as it was")


def _answers(text: str) -> dict[str, tuple[str, str]]:
    found, _ = json.JSONDecoder().raw_decode(text.partition(probes.MARK)[2])
    return {name: (measure, answer) for name, (measure, answer) in found.items()}


@pytest.fixture(scope="module")
def unboxed(place: Path) -> dict[str, tuple[str, str]]:
    """What becomes of each try in a process of this user without a box."""
    facts = json.loads((place / "probe.json").read_text())
    done = subprocess.run(
        [sys.executable, "probe.py"],
        cwd=place,
        env={**os.environ, "SOME_TOKEN": "secret", "INPUT_MODEL": "x"},
        capture_output=True,
        text=True,
        check=True,
    )
    _fill(place, facts)
    return _answers(done.stdout)


@pytest.fixture(scope="module")
def run(place: Path, unboxed: object) -> Report:
    """The run of a command that has the probe for a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_TOKEN", "secret")
        patch.setenv("INPUT_MODEL", "x")
        patch.chdir(place)
        return pipeline.run(
            ExportOptions(
                target=f"{place / 'probe.py'}:probed",
                data=("#rand(0,1,3)",),
                output=str(place / "out.mge"),
                memory_limit="2G",
            )
        )


@pytest.fixture(scope="module")
def boxed(run: Report) -> dict[str, tuple[str, str]]:
    """What becomes of each try in an engine process."""
    assert run.exit_status == 2, run.headline
    return _answers(support.said(run))


def test_without_a_box_all_that_is_tried_can_be_done(
    unboxed: dict[str, tuple[str, str]],
) -> None:
    """So that a try which is refused is refused by the box."""
    refused = {name for name, (_, answer) in unboxed.items() if answer in probes.REFUSED}
    assert refused <= (POWERFUL if os.geteuid() else set())


def test_an_engine_process_can_do_nothing_of_it(
    run: Report, boxed: dict[str, tuple[str, str]]
) -> None:
    assert run.isolation is not None
    assert set(run.isolation.held) >= EVERYWHERE
    assert run.isolation.memory_limit == MEMORY
    lacking = {lack.measure for lack in run.isolation.missing}
    assert all(lack.reason for lack in run.isolation.missing)
    done = {
        name: answer
        for name, (measure, answer) in boxed.items()
        if measure and measure not in lacking and answer not in probes.REFUSED
    }
    assert done == {}


def test_an_engine_process_can_do_what_it_needs(boxed: dict[str, tuple[str, str]]) -> None:
    needed = {name: answer for name, (measure, answer) in boxed.items() if not measure}
    assert needed
    assert set(needed.values()) == {""}


def test_the_workspace_is_as_it_was(place: Path, run: Report) -> None:
    names = {"probe.py", "probe.json", "out.mge", "kept", ".git"}
    assert {path.name for path in place.iterdir()} == names
    assert (place / "out.mge").read_text() == (place / "kept").read_text() == "as it was"
    assert (place / "probe.py").read_bytes() == Path(probes.__file__).read_bytes()


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("np.ones(3 << 30, np.uint8)", 3, "memory ran out: an engine process may take 1G"),
        ("F.ones((3 << 28,)).numpy()", 3, "memory ran out: an engine process may take 1G"),
        ("urllib.request.urlopen('http://127.0.0.1:9')", 2, "without a network"),
        ("multiprocessing.Pool(2)", 2, "without a network, other processes"),
        ("subprocess.run(['true'])", 2, "without a network, other processes"),
        ("open(__file__, 'a')", 2, "may write to its temporary folder"),
    ],
)
def test_code_that_wants_more_is_told_so(tmp_path: Path, code: str, status: int, says: str) -> None:
    file = tmp_path / "code.py"
    modules = "import multiprocessing, subprocess, urllib.request\nimport numpy as np\n"
    file.write_text(
        f"{modules}import megengine.functional as F\n\ndef f(x):\n    {code}\n    return x + 1\n"
    )
    report = pipeline.run(
        ExportOptions(
            target=f"{file}:f",
            data=("#rand(0,1,3)",),
            output=str(tmp_path / "out.mge"),
            memory_limit="1G",
        )
    )
    assert report.exit_status == status, support.said(report)
    (problem,) = report.problems
    assert says in f"{problem.message}\n{problem.hint}"
    assert "code.py:6" in problem.located or status == 3


def test_a_dumped_model_that_does_not_fit_names_the_limit(
    models: support.Models, tmp_path: Path
) -> None:
    report = support.pack(
        models.path("large"), "#rand(0,1,9000,...)", tmp_path / "out.mge", memory_limit="180M"
    )
    assert report.exit_status == 3
    (problem,) = report.problems
    assert problem.message.startswith("memory ran out")
    assert "180M" in problem.message
    assert "--memory-limit" in problem.hint
    assert list(tmp_path.iterdir()) == []
