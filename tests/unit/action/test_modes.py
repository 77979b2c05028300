"""The action for many models, with processes that are played."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megdump_ci import merged, report
from megdump_ci.action.main import main
from megdump_ci.action.manifest import OUTPUTS
from megdump_ci.project import running
from tests.unit import reports
from tests.unit.action.test_main import Result
from tests.unit.project.support import committed, made

# In place of pack: writes its files and the report that the name of its data stands for.
PLAYED = """
import json, os, sys
words = sys.argv[3:]
def value(name): return words[words.index(name) + 1]
print(json.dumps(words), file=open(f"words-{value('--name')}", "w"))
open(value("--output"), "w").close()
what = value("--data")
if what == "crash": sys.exit(3)
os.makedirs(value("--report"), exist_ok=True)
report = json.load(open(f"{what}.json"))
report.update(name=value("--name"), options={"model": words[1]})
json.dump(report, open(value("--report") + "/report.json", "w"))
sys.exit({"good": 0, "bad": 1}[what])
"""

GRAPH = reports.graph("out/x.mge", 3)
GOOD = reports.report(packed=GRAPH, strip_info=[])
BAD = reports.report(
    verdict="failed",
    exit_status=1,
    headline="FAIL: 1 of 2 testcases, max error 0.25",
    max_error=0.25,
    packed=GRAPH,
    strip_info=[],
    testcases=[reports.case(0), reports.case(1, 0.25)],
)


Step = Callable[..., Result]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "_START", PLAYED)
    return tmp_path / "workspace"


@pytest.fixture
def step(runner: Any, workspace: Path, tmp_path: Path) -> Step:
    """Runs the action with these inputs."""

    def step(**inputs: str) -> Result:
        commands = tmp_path / "commands"
        commands.mkdir(exist_ok=True)
        for name in ("output", "summary"):
            (commands / name).write_text("")
        environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_OUTPUT": str(commands / "output"),
            "GITHUB_STEP_SUMMARY": str(commands / "summary"),
            **{f"INPUT_{key.upper().replace('_', '-')}": text for key, text in inputs.items()},
        }
        stream = io.StringIO()
        return Result(runner, main(environ, stream), stream.getvalue(), commands)

    return step


def project(folder: Path, *, more: str = "", **what: str) -> None:
    """A project with an entry of each name, and what becomes of it as its data."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(
        f'[[model]]\npath = "{name}.mge"\ndata = "{does}"\noutput = "out/{{name}}.mge"\n{more}'
        for name, does in what.items()
    )
    made(folder, text, *(f"{name}.mge" for name in what))
    for name, content in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}.json").write_bytes(report.to_json(content))
        # The data of the entries, by the name that it is looked up under.
        (folder / name).write_text("")


def test_a_plan_is_a_matrix(step: Step, workspace: Path) -> None:
    project(workspace / "sub", a="good", b="good")
    found = step(mode="plan", config="sub/megdump.toml")
    assert found.status == 0, found.log
    assert json.loads(found.outputs["matrix"]) == {
        "include": [
            {"name": "a", "model": "sub/a.mge", "entry": "a"},
            {"name": "b", "model": "sub/b.mge", "entry": "b"},
        ]
    }
    assert found.outputs["count"] == "2"
    assert found.outputs["verdict"] == ""
    assert "PLAN: 2 of 2 entries, 2 jobs" in found.summary
    assert found.outputs.keys() == OUTPUTS.keys() - {"artifact-id", "artifact-digest"}


def test_a_plan_of_what_has_changed(step: Step, workspace: Path) -> None:
    project(workspace, a="good", b="good")
    base = committed(workspace)
    assert step(mode="plan", changed_since=base).outputs["count"] == "0"
    (workspace / "b.mge").write_text("other")
    found = step(mode="plan", changed_since=base)
    assert [job["entry"] for job in json.loads(found.outputs["matrix"])["include"]] == ["b"]
    assert "b.mge differs" in found.summary
    assert "b: b.mge differs" in found.log
    assert step(mode="plan", changed_since="0" * 40).outputs["count"] == "2"
    lost = step(mode="plan", changed_since="mian")
    assert lost.status == 2
    assert "did you mean main?" in lost.log
    assert lost.outputs["matrix"] == ""


def test_one_entry_is_told_like_a_run_of_its_own(step: Step, workspace: Path) -> None:
    project(workspace / "sub", a="bad", b="good")
    found = step(entry="a", config="sub/megdump.toml")
    assert found.status == 1, found.log
    assert found.outputs["verdict"] == "failed"
    assert found.outputs["report"] == "megdump-ci-report/a/report.json"
    assert found.outputs["count"] == "1"
    assert found.outputs["failed-testcases"] == "1"
    assert found.summary.count("<h3>") == 1
    assert "a.mge" in found.summary
    first = found.annotations("error")[0]
    assert first.properties["file"] == "sub/a.mge"
    assert "FAIL: 1 of 2 testcases" in first.message
    kept = report.from_json((workspace / "megdump-ci-report/a/report.json").read_bytes())
    assert kept.packed is not None
    assert kept.packed.path == "sub/out/x.mge"
    assert (workspace / "sub/out/a.mge").exists()


def test_one_entry_whose_merged_report_cannot_be_written_is_no_success(
    step: Step, workspace: Path
) -> None:
    project(workspace, a="good")
    (workspace / "megdump-ci-report/merged.json").mkdir(parents=True)
    found = step(entry="a")
    assert found.status == 2, found.log
    assert found.outputs["verdict"] == "error"
    assert "merged.json" in found.annotations("error")[0].message


def test_several_entries_have_one_verdict(step: Step, workspace: Path) -> None:
    project(workspace, a="good", b="bad", c="crash")
    found = step(mode="run", report="r")
    assert found.status == 3, found.log
    assert found.outputs["verdict"] == "error"
    assert found.outputs["count"] == "3"
    assert found.outputs["report"] == "r/merged.json"
    assert found.outputs["markdown"] == "r/merged.md"
    assert found.outputs["testcases"] == "4"
    assert found.outputs["max-error"] == "0.25"
    result = merged.from_json((workspace / "r/merged.json").read_bytes())
    assert [entry.verdict for entry in result.entries] == ["passed", "failed", "error"]
    # One of each entry that failed comes before all the rest.
    titles = [error.properties["title"] for error in found.annotations("error")]
    assert [title.partition(":")[0] for title in titles[:2]] == ["b", "c"]
    assert {error.properties["file"] for error in found.annotations("error")[:2]} == {
        "b.mge",
        "c.mge",
    }
    assert "1 of 3 models passed" in found.summary
    assert found.log.rstrip().endswith("\x1b[0m")
    assert "ERROR: 1 of 3 models passed" in found.log.splitlines()[-1]
    some = step(mode="run", entry="a\na", report="r")
    assert (some.status, some.outputs["count"]) == (0, "1")


def test_inputs_stand_for_what_the_file_does_not_say(step: Step, workspace: Path) -> None:
    project(workspace, a="good", b="good", more="seed = 3\nthreads = 1\n")
    assert step(entry="a").status == 0
    words = json.loads((workspace / "words-a").read_text())
    # A job wants strip info, and the file says nothing about that.
    assert "--output-strip-info" in words
    assert words[words.index("--seed") + 1] == "3"
    assert step(entry="a", threads="2", output_strip_info="false").status == 0
    words = json.loads((workspace / "words-a").read_text())
    assert words[words.index("--threads") + 1] == "2"
    assert "--output-strip-info" not in words
    wrong = step(mode="run", enable_nchw44="true")
    assert wrong.status == 2
    assert "entry 'a': --enable-nchw44 without" in wrong.log


def test_reports_are_merged_and_none_may_be_missing(step: Step, workspace: Path) -> None:
    project(workspace, a="good", b="good", c="bad")
    for entry in ("a", "b", "c"):
        step(entry=entry, report=f"reports/job-{entry}")
    matrix = step(mode="plan", entry="a\nb").outputs["matrix"]
    (workspace / "reports/job-c/c/report.json").unlink()
    found = step(mode="merge", matrix=matrix)
    assert found.status == 0, found.log
    assert (found.outputs["verdict"], found.outputs["count"]) == ("passed", "2")
    assert "PASS: 2 of 2 models passed" in found.summary
    whole = step(mode="plan").outputs["matrix"]
    lost = step(mode="merge", matrix=whole)
    assert lost.status == 2
    assert lost.outputs["verdict"] == "error"
    (error,) = lost.annotations("error")
    assert error.properties["file"] == "c.mge"
    assert error.properties["title"] == "c: no report"
    assert "there is no report of it" in error.message
    assert step(mode="merge", matrix='{"include":[]}').status == 2
    assert step(mode="merge", matrix="[").status == 2
    bad = step(mode="merge", matrix='["a", "b"]', reports="reports/job-a\nreports/job-b/*/*.json")
    assert bad.status == 0, bad.log


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"mode": "merge"}, "matrix is empty"),
        ({"mode": "verify"}, "mode is 'verify'"),
        ({"entry": "a\nb"}, "entry is a, b, and the mode pack is for one"),
        ({"entry": "a", "model": "a.mge"}, "model is given, but entry is given"),
        ({"mode": "run", "output": "o"}, "output is given, but mode is run"),
        ({"mode": "plan", "max_jobs": "257"}, "max-jobs is 257"),
        ({"mode": "run", "jobs": "-1"}, "jobs is -1"),
        ({"entry": "x"}, "megdump.toml has no entry 'x'"),
        ({"mode": "run", "config": "none.toml"}, "cannot read none.toml"),
        ({}, "there is neither model nor entry"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_run(
    step: Step, workspace: Path, inputs: dict[str, str], said: str
) -> None:
    project(workspace, a="good", b="good")
    found = step(**inputs)
    assert found.status == 2, found.log
    assert any(said in error.message for error in found.annotations("error")), found.log
    assert not list(workspace.glob("words-*"))


def test_what_would_be_lost_with_the_container_is_refused(step: Step, workspace: Path) -> None:
    project(workspace, a="good")
    text = (workspace / "megdump.toml").read_text()
    (workspace / "megdump.toml").write_text(text.replace("out/{name}", "../../{name}"))
    found = step(mode="run")
    assert found.status == 2
    assert "entry 'a': output is" in found.log
    assert "would be lost with the container" in found.log


def test_nothing_that_a_report_says_is_obeyed(step: Step, workspace: Path) -> None:
    project(workspace, a="good")
    evil = "x\n::set-output name=a::b\n##[error]no\r::warning::x"
    content = reports.report(
        name="a", verdict="failed", exit_status=1, headline=evil, warnings=[evil], options={}
    )
    (workspace / "reports").mkdir()
    (workspace / "reports/report.json").write_bytes(report.to_json(content))
    found = step(mode="merge", matrix='["a"]')
    assert found.status == 1
    names = {command.name for command in found.commands}
    assert names <= {"group", "endgroup", "error", "warning", "stop-commands"} | {
        name for name in names if len(name) == 32
    }
    assert "set-output" not in {command.name for command in found.commands}
