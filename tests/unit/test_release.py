"""The release program, on a repository of its own with a remote beside it."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE = runpy.run_path(str(ROOT / ".github" / "scripts" / "release.py"))
IMAGE = f"docker://ghcr.io/owner/megdump-ci@sha256:{'0a' * 32}"
IGNORED = shutil.ignore_patterns("__pycache__", "engine", "commands")

Git = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "megdump_ci", tree / "megdump_ci", ignore=IGNORED)
    shutil.copy(ROOT / "action.yml", tree)
    return tree


@pytest.fixture
def git(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    # What the machine's own configuration says (signing, hooks, names) is none of this.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for kind in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{kind}_NAME", "a person")
        monkeypatch.setenv(f"GIT_{kind}_EMAIL", "person@megdump-ci.invalid")

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
        ).stdout.strip()

    remote = str(tmp_path / "remote.git")
    run("init", "--quiet", "--bare", remote)
    run("init", "--quiet", "--initial-branch=main")
    run("remote", "add", "origin", remote)
    run("commit", "--quiet", "--allow-empty", "--message", "start")
    return run


def tagged(root: Path, git: Git, version: str, *how: str) -> str:
    """Commit this version with its notes, tag and push it; the commit, which is checked out."""
    git("checkout", "--quiet", "--force", "main")
    (root / "megdump_ci" / "__init__.py").write_text(f'"""Doc."""\n\n__version__ = "{version}"\n')
    (root / "CHANGELOG.md").write_text(f"# Changes\n\n## {version}\n\n- About {version}.\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", version)
    git("tag", *how, f"v{version}")
    git("push", "--quiet", "origin", "main", f"v{version}")
    git("checkout", "--quiet", "--detach")
    return git("rev-parse", "HEAD")


def run(root: Path, *arguments: str) -> int:
    status: int = RELEASE["main"](list(arguments), root)
    return status


def action_at(git: Git, ref: str) -> Any:
    git("fetch", "--quiet", "--force", "--tags", "origin")
    return yaml.safe_load(git("show", f"{ref}:action.yml"))


@pytest.mark.parametrize("how", [(), ("--annotate", "--message=signed off")])
def test_the_tags_get_the_image_and_the_branch_does_not(
    root: Path, git: Git, how: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tagged(root, git, "1.2.3", *how)
    assert run(root, "publish", "v1.2.3", "--image", IMAGE) == 0
    assert capsys.readouterr().out == "moved v1.2.3, v1\n"
    for tag in ("v1.2.3", "v1"):
        assert action_at(git, tag)["runs"] == {"using": "docker", "image": IMAGE}
        assert git("rev-parse", f"{tag}~") == source
        assert git("diff", "--name-only", source, tag) == "action.yml"
    assert git("rev-parse", "origin/main") == source


def test_it_works_in_a_checkout_without_history(root: Path, git: Git, tmp_path: Path) -> None:
    source = tagged(root, git, "1.2.3", "--annotate", "--message=signed off")
    shallow, remote = tmp_path / "shallow", (tmp_path / "remote.git").as_uri()
    git("clone", "--quiet", "--depth=1", "--branch=v1.2.3", remote, str(shallow))
    assert run(shallow, "publish", "v1.2.3", "--image", IMAGE) == 0
    assert action_at(git, "v1")["runs"]["image"] == IMAGE
    assert git("rev-parse", "v1.2.3~") == source


def test_a_fix_of_an_old_version_leaves_the_major_tag(root: Path, git: Git) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0"):
        tagged(root, git, version)
        assert run(root, "publish", f"v{version}", "--image", IMAGE) == 0
    git("fetch", "--quiet", "--force", "--tags", "origin")
    newest = git("rev-parse", "v1.10.0")
    tagged(root, git, "1.9.1")
    assert run(root, "publish", "v1.9.1", "--image", IMAGE) == 0
    assert action_at(git, "v1.9.1")["runs"]["image"] == IMAGE
    assert git("rev-parse", "v1") == newest
    assert git("rev-parse", "v2") == git("rev-parse", "v2.0.0")


def test_a_version_is_released_once(
    root: Path, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tagged(root, git, "1.2.3")
    assert run(root, "publish", "v1.2.3", "--image", IMAGE) == 0
    git("checkout", "--quiet", "--detach", source)
    assert run(root, "publish", "v1.2.3", "--image", IMAGE.replace("0a", "0b")) == 1
    assert "released once" in capsys.readouterr().err
    assert action_at(git, "v1.2.3")["runs"]["image"] == IMAGE


def test_an_image_by_tag_moves_nothing(
    root: Path, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tagged(root, git, "1.2.3")
    assert run(root, "publish", "v1.2.3", "--image", "docker://ghcr.io/owner/megdump-ci:v1") == 1
    assert "by digest" in capsys.readouterr().err
    assert git("ls-remote", "--tags", "origin") == f"{source}\trefs/tags/v1.2.3"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is printed in place of a registry's answer."""
    folder = tmp_path / "programs"
    folder.mkdir()
    answer, program = folder / "answer", folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$4" > {folder}/asked\ncat {answer}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return answer


def test_the_base_image_is_named_by_its_digest(
    root: Path, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "Dockerfile", root)
    registry.write_text(f"sha256:{'0b' * 32}\n")
    assert run(root, "base") == 0
    name = (registry.parent / "asked").read_text().strip()
    assert capsys.readouterr().out == f"{name}@sha256:{'0b' * 32}\n"
    assert f"\nARG BASE={name}\n" in "\n" + (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("answer", ["", "latest", f"sha256:{'0b' * 31}", f"md5:{'0b' * 32}"])
def test_a_base_image_without_a_digest_ends_the_release(
    root: Path, registry: Path, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "Dockerfile", root)
    registry.write_text(answer)
    assert run(root, "base") == 1
    assert "has no digest" in capsys.readouterr().err


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1"])
def test_a_tag_that_is_not_the_version_is_refused(
    root: Path, git: Git, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tagged(root, git, "1.2.3")
    assert run(root, "check", tag) == 1
    assert tag in capsys.readouterr().err


def test_the_notes_are_the_version_s_part_of_the_changelog(
    root: Path, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    tagged(root, git, "1.2.3")
    page = "# Changes\n\n## 1.2.30\n\nA\n\n## [1.2.3] - 2026-01-01\n\nB\n\n### C\n\n## 1.2.2\n\nD\n"
    (root / "CHANGELOG.md").write_text(page)
    assert run(root, "check", "v1.2.3") == 0
    assert capsys.readouterr().out == "B\n\n### C\n"
    (root / "CHANGELOG.md").write_text("# Changes\n\n## 1.2.3\n\n## 1.2.2\n\nD\n")
    assert run(root, "check", "v1.2.3") == 1
    assert "CHANGELOG.md says nothing about 1.2.3" in capsys.readouterr().err
