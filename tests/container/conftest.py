"""The image, built once a session, and a stand-in for the runner that starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.image import ROOT, build, docker

_IMAGE = "megdump-ci:test"
_OWNER = 1001


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this tree."""
    return build(_IMAGE)


@pytest.fixture(scope="session")
def inside(image: str) -> Inside:
    return Inside(image)


class Inside:
    """Runs another program than the action in a container of the image."""

    def __init__(self, image: str) -> None:
        self._image = image

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return docker("run", "--rm", "--entrypoint", program, self._image, *arguments, check=False)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a step left behind."""

    status: int
    log: str
    errors: str
    outputs: dict[str, str]
    summary: str
    changed: list[str]
    """Paths that it changed in the container, outside the mounted folders."""
    seconds: float


class Job:
    """A job with a workspace, whose step is the action."""

    def __init__(self, image: str, folder: Path) -> None:
        self._image = image
        self.workspace = folder / "workspace"
        self.home = folder / "home"
        self._commands = folder / "file_commands"
        for made in (self.workspace, self.home, self._commands):
            made.mkdir()
            os.chown(made, _OWNER, _OWNER)
        self.options: list[str] = []
        """What the engine is told of the container beside what the runner tells it."""
        self.name = f"megdump-ci-test-{os.getpid()}-{folder.name}"

    def add(self, sample: str, name: str = "") -> str:
        """Put a sample (a file or folder) into the workspace."""
        source, target = ROOT / "samples" / sample, self.workspace / (name or sample)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        self._own()
        return target.name

    def start(self, inputs: dict[str, str], **environment: str) -> None:
        """Start the step as the runner does; the inputs' names are those of action.yml."""
        self._own()
        for name in ("output", "summary"):
            (self._commands / name).write_text("")
        variables = {
            "HOME": "/github/home",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": "/github/workspace",
            "GITHUB_REPOSITORY": "owner/repo",
            "RUNNER_WORKSPACE": "/home/runner/work/repo",
            "GITHUB_OUTPUT": "/github/file_commands/output",
            "GITHUB_STEP_SUMMARY": "/github/file_commands/summary",
            **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
            **environment,
        }
        mounts = {
            self.workspace: "/github/workspace",
            self.home: "/github/home",
            self._commands: "/github/file_commands",
        }
        arguments = ["--name", self.name, "--workdir", "/github/workspace", *self.options]
        for source, target in mounts.items():
            arguments += ["--volume", f"{source}:{target}"]
        for name, value in variables.items():
            arguments += ["--env", f"{name}={value}"]
        self._began = time.monotonic()
        docker("run", "--detach", *arguments, self._image)

    def finish(self) -> Result:
        """Wait for the step, and take its container away."""
        status = int(docker("wait", self.name).stdout)
        seconds = time.monotonic() - self._began
        logs = docker("logs", self.name)
        changed = docker("diff", self.name).stdout.splitlines()
        self.remove()
        return Result(
            status=status,
            log=logs.stdout,
            errors=logs.stderr,
            outputs=_outputs((self._commands / "output").read_text(encoding="utf-8")),
            summary=(self._commands / "summary").read_text(encoding="utf-8"),
            changed=sorted(line for line in changed if not line[2:].startswith("/github")),
            seconds=seconds,
        )

    def run(self, inputs: dict[str, str], **environment: str) -> Result:
        """Start the step and wait for it."""
        self.start(inputs, **environment)
        return self.finish()

    def log(self) -> str:
        """What the step has said so far."""
        return docker("logs", self.name).stdout

    def signal(self, name: str) -> None:
        """Send the step a signal."""
        docker("kill", "--signal", name, self.name)

    def files(self) -> set[str]:
        """The files in the workspace; all must belong to the workspace's owner."""
        found = set()
        for path in self.workspace.rglob("*"):
            assert path.lstat().st_uid == _OWNER, f"{path} belongs to {path.lstat().st_uid}"
            if not path.is_dir():
                found.add(str(path.relative_to(self.workspace)))
        return found

    def remove(self) -> None:
        """Take the container away, if there is one."""
        docker("rm", "--force", self.name, check=False)

    def _own(self) -> None:
        for path in self.workspace.rglob("*"):
            os.chown(path, _OWNER, _OWNER)


@pytest.fixture
def job(image: str, tmp_path: Path) -> Iterator[Job]:
    assert os.geteuid() == 0, "these tests make files of several users: run them as root"
    made = Job(image, tmp_path)
    yield made
    made.remove()


def _outputs(text: str) -> dict[str, str]:
    """The outputs as the runner reads them (FileCommandManager)."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, mark, delimiter = line.partition("<<")
        assert mark, f"no delimiter: {line}"
        assert "=" not in name, f"a value that begins on the line of its name: {line}"
        value: list[str] = []
        for part in lines:
            if part == delimiter:
                found[name] = "\n".join(value)
                break
            value.append(part)
        assert name in found, f"matching delimiter not found: {delimiter}"
    return found
