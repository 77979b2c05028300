"""The action in nektos/act, a runner for GitHub's workflows on the local Docker engine.

Each workflow runs in a repository of its own: a copy of this one, so that ``uses: ./`` builds and
starts what is here. What act cannot do is in docs/testing.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.image import ROOT, build

_ACT = ROOT / ".tools" / "go" / "act"
# What act calls the image of the action at the root of a repository.
_IMAGE = "act-dockeraction:latest"
_LOCK = Path(tempfile.gettempdir()) / "megdump-ci-act.lock"
# A job's own container, in place of the virtual machine. Of the steps, it needs to run bash.
_RUNNER = "python:3.10-slim-bookworm"
_OWNER = 1001
# The escapes of workflow commands; the percent sign comes last.
_MESSAGE = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY = {"%3A": ":", "%2C": ",", **_MESSAGE}
_IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@megdump-ci.invalid")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An annotation as the runner took it."""

    level: str
    message: str
    file: str
    line: str
    title: str


@dataclass(kw_only=True)
class Step:
    """What the runner knows of a step; ``outcome`` is empty if it did not run."""

    outcome: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    annotations: list[Annotation] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """Lines that the runner did not take for commands."""

    def errors(self) -> list[Annotation]:
        """The annotations that are errors."""
        return [item for item in self.annotations if item.level == "error"]


@dataclass(kw_only=True)
class Job:
    """What the runner knows of a job; ``result`` is empty if it did not run."""

    result: str = ""
    matrix: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A workflow that has run."""

    passed: bool
    jobs: dict[str, list[Job]]
    """By id; those of a matrix in the order in which they began."""
    workspace: Path
    """What the jobs left there: they share one folder."""
    artifacts: Path
    """Where the artifact service keeps NAME/NAME.zip."""
    text: str
    """What a person would read of it."""

    def job(self, name: str) -> Job:
        """The one job of that id."""
        (found,) = self.jobs[name]
        return found

    def seen(self, name: str) -> Any:
        """What a step of the workflow wrote as JSON to this file of the workspace."""
        return json.loads((self.workspace / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def act() -> Iterator[Path]:
    """The runner's program; all that it needs is here."""
    assert _ACT.exists(), "these tests need act: run 'make test-workflow', which builds it"
    assert os.geteuid() == 0, "these tests make files of several users: run them as root"
    # act names images and containers by the workflow, so only one session at a time has its own.
    with open(_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # act builds it where it is missing: in each job anew, and without arguments for the build.
        build(_IMAGE)
        yield _ACT


@pytest.fixture(scope="session")
def odd_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose inputs and outputs have names that look like workflow commands."""
    folder = tmp_path_factory.mktemp("models")
    script = ROOT / "tests" / "engine" / "models.py"
    command = [sys.executable, "-W", "ignore", str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "odd.fbs_v2.mge"


@pytest.fixture(scope="session")
def run_workflow(act: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(act, tmp_path_factory)


class Runner:
    """Runs workflows, each in a new copy of this repository."""

    def __init__(self, program: Path, folders: pytest.TempPathFactory) -> None:
        self._program = program
        self._folders = folders

    def __call__(
        self,
        workflow: str,
        *arguments: str,
        prepare: Callable[[Path], None] | None = None,
        change: Callable[[Path], None] | None = None,
    ) -> Run:
        """Run a workflow, a path in this repository, for a push.

        ``prepare`` gets the workspace before its first commit, and ``change`` before its second,
        which then is the one that is pushed.
        """
        folder = self._folders.mktemp(Path(workflow).stem)
        workspace, artifacts = folder / "workspace", folder / "artifacts"
        _copy(workspace)
        if prepare:
            prepare(workspace)
        event = folder / "event.json"
        event.write_text(json.dumps(_commits(workspace, change)))
        command = [str(self._program), "push", "--directory", str(workspace), "--json"]
        command += ["--workflows", workflow, "--platform", f"ubuntu-latest={_RUNNER}"]
        # The job's container sees the folder itself and not a copy: so does this test.
        command += ["--bind", "--pull=false", "--rebuild=false", "--rm", "--no-cache-server"]
        command += ["--artifact-server-path", str(artifacts), "--artifact-server-addr", "127.0.0.1"]
        command += ["--artifact-server-port", str(_free_port())]
        command += ["--eventpath", str(event), *arguments]
        kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
        done = subprocess.run(
            command, env={**kept, "HOME": str(folder)}, capture_output=True, text=True
        )
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        jobs = _jobs(entries)
        text = "\n".join([*(entry["msg"].rstrip("\r\n") for entry in entries), done.stderr])
        assert jobs, text
        for job in (job for several in jobs.values() for job in several):
            assert job.result, text
        return Run(
            passed=done.returncode == 0,
            jobs=jobs,
            workspace=workspace,
            artifacts=artifacts / "1",
            text=text,
        )


def _copy(target: Path) -> None:
    """What a clone of this repository has or will have."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _commits(workspace: Path, change: Callable[[Path], None] | None) -> dict[str, str]:
    """Make a repository of the workspace; what the event says of the push."""
    _git(workspace, "init", "--quiet", "--initial-branch=main")
    _git(workspace, "remote", "add", "origin", "https://github.com/owner/repo")
    before, after = "0" * 40, _commit(workspace)
    if change:
        change(workspace)
        before, after = after, _commit(workspace)
    # As where git clones to; the files are root's, as those of a checkout in the container are.
    os.chown(workspace, _OWNER, _OWNER)
    return {"before": before, "after": after, "ref": "refs/heads/main"}


def _commit(workspace: Path) -> str:
    _git(workspace, "add", "--all")
    _git(workspace, *_IDENTITY, "commit", "--quiet", "--message", "all")
    return _git(workspace, "rev-parse", "HEAD")


def _git(workspace: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=workspace, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _jobs(entries: list[dict[str, Any]]) -> dict[str, list[Job]]:
    """The jobs of act's log."""
    found: dict[str, dict[str, Job]] = {}
    for entry in entries:
        if "jobID" not in entry:
            continue
        # The name of a job of a matrix has its number at the end.
        job = found.setdefault(entry["jobID"], {}).setdefault(entry["job"], Job())
        job.matrix = entry["matrix"] or {}
        job.result = entry.get("jobResult", job.result)
        if entry.get("stepID"):
            _read_step(job.steps.setdefault(entry["stepID"][0], Step()), entry)
    return {name: list(jobs.values()) for name, jobs in found.items()}


def _read_step(step: Step, entry: dict[str, Any]) -> None:
    step.outcome = entry.get("stepResult", step.outcome)
    command = entry.get("command")
    if command == "set-output":
        # act takes the old command as well, and says the same.
        step.outputs[entry["name"]] = entry["arg"]
    elif command == "summary":
        step.summary = entry["content"]
    elif command in ("error", "warning", "notice"):
        step.annotations.append(_annotation(entry["raw"]))
    elif entry.get("raw_output"):
        step.log.append(entry["msg"].rstrip("\r\n"))


def _annotation(line: str) -> Annotation:
    """The command in ``line``, as GitHub's runner reads it: act ends it at the last ``::``."""
    head, _, message = line.rstrip("\r\n").removeprefix("::").partition("::")
    level, _, text = head.partition(" ")
    pairs = [pair.partition("=") for pair in text.split(",")]
    values = {name: _unescaped(value, _PROPERTY) for name, _, value in pairs}
    place = {name: values.get(name, "") for name in ("file", "line", "title")}
    return Annotation(level=level, message=_unescaped(message, _MESSAGE), **place)


def _unescaped(text: str, codes: dict[str, str]) -> str:
    for code, character in codes.items():
        text = text.replace(code, character)
    return text
