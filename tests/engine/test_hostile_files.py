"""Files that try to get at the machine: pickles in models, names and links that lead out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from megdump_ci import pipeline, reading
from megdump_ci.options import DiffOptions, PackOptions, VerifyOptions
from tests.engine import support

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def test_a_pickle_in_the_metadata_of_a_model_is_never_loaded(tmp_path: Path, scratch: Path) -> None:
    model, marker, out = tmp_path / "model.mge", tmp_path / "marker", tmp_path / "out.mge"
    support.script("pickled.py", model, marker)
    # It is one that would do it.
    support.script("pickled.py", model)
    assert marker.exists()
    marker.unlink()
    data = ("#rand(-1,1,1,2)",)
    options = {"deploy_output": str(tmp_path / "deploy.mge"), "cross_check": "lite", "locate": True}
    packed = PackOptions(model=str(model), data=data, output=str(out), **options)  # type: ignore[arg-type]
    assert pipeline.run(packed).verdict == "passed"
    assert pipeline.run(VerifyOptions(packed=str(out), model=str(model))).verdict == "passed"
    compared = pipeline.run(DiffOptions(base=str(model), new=str(out), data=data))
    assert compared.exit_status == 0
    assert not marker.exists()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a model and data, and a secret beside it."""
    folder = tmp_path / "workspace"
    (folder / "sub").mkdir(parents=True)
    for name in ("digits.mge", "classifier.py", "digits/0.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLES / name, folder / name)
    shutil.copy(SAMPLES / "digits" / "1.png", tmp_path / "secret.png")
    (folder / "link.png").symlink_to("../secret.png")
    (folder / "up").symlink_to("..")
    (folder / "list.txt").write_text(
        f"digits/0.png\nlink.png\n../secret.png\n{tmp_path}/secret.png\nup/secret.png\n"
        "data:link.png\n/proc/self/environ\n"
    )
    monkeypatch.chdir(folder)
    return folder


def test_data_that_leads_out_of_the_workspace_is_refused_in_it_alone(
    workspace: Path, scratch: Path
) -> None:
    data = ("@list.txt", "data:up/secret.png", "../secret.png")
    options = PackOptions(model="digits.mge", data=data, output="out.mge")
    with reading.confined([workspace]):
        found = pipeline.run(options)
    assert found.exit_status == 2
    assert [problem.line for problem in found.problems] == [2, 3, 4, 5, 6, 7, 0, 0]
    assert all("the workspace" in problem.message for problem in found.problems)
    allowed = pipeline.run(PackOptions(model="digits.mge", data=data[1:], output="out.mge"))
    assert allowed.verdict == "passed"


def test_a_run_reads_its_own_temporary_files(workspace: Path, scratch: Path) -> None:
    options = PackOptions(
        model="classifier.py:classifier",
        data=("#rand(0,255,1,3,24,24)",),
        output="out.mge",
        baseline="",
        cross_check="lite",
    )
    with reading.confined([workspace]):
        found = pipeline.run(options)
    assert found.exit_status == 0, found.problems


def test_the_action_packs_nothing_from_elsewhere(workspace: Path, scratch: Path) -> None:
    environ = {
        **{name: os.environ[name] for name in ("PATH", "TMPDIR")},
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "INPUT_OUTPUT": "out.mge",
        "INPUT_UPLOAD": "false",
    }

    def run(**inputs: str) -> subprocess.CompletedProcess[str]:
        given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        return subprocess.run(
            [sys.executable, "-B", str(ROOT / "entrypoint.py")],
            env={**environ, **given},
            capture_output=True,
            text=True,
        )

    (workspace / "megdump.toml").write_text(
        '[[model]]\npath = "digits.mge"\ndata = ["link.png", "up/secret.png"]\noutput = "o.mge"\n'
    )
    direct = run(model="digits.mge", data="digits/0.png\nlink.png")
    assert direct.returncode == 2
    assert "link.png leads out of the workspace" in direct.stdout
    # An entry is packed by another process, which is confined as well.
    entry = run(entry="digits", output="")
    assert entry.returncode == 2
    assert "link.png leads out of the workspace" in entry.stdout
    assert "up/secret.png leads out of the workspace" in entry.stdout
    assert not list(workspace.glob("o*.mge"))


@pytest.mark.parametrize("array", [np.array([None]), np.array([("a", 1)], "O,i4")])
def test_an_array_of_objects_is_refused_by_the_command(
    array: np.ndarray,
    workspace: Path,
    scratch: Path,  # type: ignore[type-arg]
) -> None:
    np.save("data.npy", array, allow_pickle=True)
    options = PackOptions(model="digits.mge", data=("data.npy",), output="out.mge")
    found = pipeline.run(options)
    assert found.exit_status == 2
    assert "never loaded" in support.said(found) or "structured" in support.said(found)
