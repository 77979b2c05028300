"""What a run writes besides the packed file, and that a second run writes the same."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from megdump_ci import report as reports
from megdump_ci.present.files import FILES
from tests.engine import support

TIMES = ("seconds", "phases", "processes")
ONLY_PACKED = {"AssertEqual", "SharedDeviceTensor"}


def run_everything(model: Path, data: list[str], folder: Path) -> dict[str, bytes]:
    """All files of a run, by name."""
    folder.mkdir()
    support.passed(
        model,
        data,
        folder / "out.mge",
        deploy_output=str(folder / "deploy.mge"),
        output_strip_info=True,
        optimize_for_inference=True,
        report=str(folder / "report"),
        seed=5,
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("name", ["net.fbs", "net.fbs_v2"])
def test_two_runs_write_the_same(name: str, models: support.Models, tmp_path: Path) -> None:
    model, data = models.path(name), [str(models.data("batch3")), "#rand(-1,1)", "#rand(-1,1)"]
    # In the same place, so that reports can be compared whole.
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        first = run_everything(model, data, Path(place, "x"))
        Path(place, "x").rename(Path(place, "y"))
        second = run_everything(model, data, Path(place, "x"))
    written = {"out.mge", "out.mge.json", "deploy.mge", "deploy.mge.json"}
    assert set(first) == written | {f"report/{name}" for name in FILES}
    for file in written:
        assert first[file] == second[file], file
    facts = [json.loads(files["report/report.json"]) for files in (first, second)]
    jsonschema.Draft202012Validator(reports.json_schema()).validate(facts[0])
    for fact in facts:
        for key in TIMES:
            del fact[key]
    assert facts[0] == facts[1]
    # The two random testcases differ from each other.
    parts = support.Parts.of(first["out.mge"])
    assert parts.testcases[1] != parts.testcases[2]


def strip_info(model: Path, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The strip info of the packed and of the deploy file."""
    deploy = out.with_name("deploy.mge")
    report = support.passed(
        model, "#rand(0,1)", out, deploy_output=str(deploy), output_strip_info=True
    )
    found = [json.loads(Path(f"{path}.json").read_bytes()) for path in (out, deploy)]
    assert [info.hash for info in report.strip_info] == [info["hash"] for info in found]
    assert [info.describes for info in report.strip_info] == ["packed", "deploy"]
    return found[0], found[1]


@pytest.mark.parametrize("name", ["net.fbs", "net.fbs_v2"])
def test_strip_info_names_what_a_runtime_needs(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    out = tmp_path / "out.mge"
    # What an earlier run left is replaced.
    Path(f"{out}.json").write_text('{"opr_types": ["Stale"]}')
    packed, deploy = strip_info(models.path(name), out)
    contents = support.read(out, out.with_name("deploy.mge"))
    for info, content in zip((packed, deploy), contents, strict=True):
        assert set(info) == {"opr_types", "dtypes", "elemwise_modes", "hash"}
        assert 0 < info["hash"] < 2**64
        for key in ("opr_types", "dtypes", "elemwise_modes"):
            assert info[key] == sorted(set(info[key]))
            assert all(isinstance(item, str) for item in info[key])
        # Reading a graph may add constants of the engine's own, and names versions apart.
        missing = {kind for kind in content["operators"] if kind != "ImmutableTensor"}
        assert missing <= {kind.rstrip("V123456789") for kind in info["opr_types"]} | set(
            info["opr_types"]
        )
    assert set(packed["opr_types"]) >= ONLY_PACKED
    assert "AssertEqual" not in deploy["opr_types"]
    assert set(deploy["opr_types"]) < set(packed["opr_types"])
    assert "Float32" in deploy["dtypes"]
    # The hash is the graph's: with assertions it is another one.
    assert packed["hash"] != deploy["hash"]


def test_silent_prints_the_largest_error_only(models: support.Models, tmp_path: Path) -> None:
    out = tmp_path / "out.mge"
    command = support.command(
        *("pack", models.path("net"), "-d", models.data("batch3"), "-o", out),
        *("--optimize-for-inference", "--enable-ioc16", "--maxerr", "0.01", "--silent"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert 0 < float(done.stdout) < 0.01
    # The assertions are silent, too: the engine prints nothing when the file is run.
    loud = tmp_path / "loud.mge"
    support.passed(models.path("net"), str(models.data("batch3")), loud)
    run = [sys.executable, "-W", "ignore", str(support.HERE / "reader.py")]
    for file, prints in ((out, False), (loud, True)):
        done = subprocess.run([*run, str(file)], capture_output=True, text=True, check=True)
        assert ("AssertEqual: err=" in done.stderr) == prints


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["verify", "{model}"], 2, "is not a packed model"),
        (["pack", "{packed}", "-d", "#rand(0,1)", "-o", "x.mge"], 2, "already packed"),
        (["pack", "nothing.mge", "-d", "#rand(0,1)", "-o", "x.mge"], 2, "No such file"),
        (["verify", "{packed}"], 0, "PASS: 1 of 1 testcase"),
        (["verify", "{packed}", "--model", "{model}"], 0, "PASS: 1 of 1 testcase"),
    ],
)
def test_the_command_ends_with_the_status_it_documents(
    arguments: list[str], status: int, words: str, odd: dict[str, Path], tmp_path: Path
) -> None:
    filled = [word.format_map(odd) for word in arguments]
    done = subprocess.run(
        support.command(*filled), capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == status, done.stderr
    assert words in done.stdout + done.stderr
    # Names in the model are no workflow commands, no markup and no new lines of their own.
    for line in (done.stdout + done.stderr).splitlines():
        assert not line.lstrip().startswith("::")


@pytest.fixture(scope="module")
def odd(models: support.Models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model with names of all sorts, and the same packed."""
    out = tmp_path_factory.mktemp("odd") / "packed.mge"
    support.passed(models.path("odd"), "#rand(0,1)", out)
    return {"model": models.path("odd"), "packed": out}


@pytest.mark.parametrize("name", ["net.fbs", "net.fbs_v2"])
def test_the_metadata_names_the_passes(name: str, models: support.Models, tmp_path: Path) -> None:
    files = [tmp_path / "plain.mge", tmp_path / "optimised.mge"]
    for file, options in zip(
        files, ({}, {"optimize_for_inference": True, "enable_nchw44": True}), strict=True
    ):
        out = tmp_path / "out.mge"
        support.passed(models.path(name), "#rand(0,1)", out, deploy_output=str(file), **options)
    plain, optimised = support.read(*files)
    assert plain["passes"] == []
    # enable_fuse_grain is on by itself.
    assert optimised["passes"] == ["enable_fuse_grain", "enable_nchw44"]
