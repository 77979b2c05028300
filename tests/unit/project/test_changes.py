"""What has changed since a commit, in real repositories."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.project import changes, file
from megdump_ci.project.changes import Changes
from tests.unit.project.support import LEAST, committed, git, made

TEXT = """\
[defaults]
output = "out/{name}"

[[model]]
path = "m/a.mge"
data = ["@lists/a.txt", "#rand(0,1)"]

[[model]]
path = "m/b.mge"
data = "x:d/b1.npy;y:d/b2.npy"
watch = ["src/**/*.py", "conf"]

[[model]]
path = "code/net.py:Net"
data = "d/c.png"
baseline = "{dir}/before.mge"
"""
OWN = {
    "a": {"m/a.mge", "lists/a.txt", "lists/1.npy", "d/2.npy"},
    "b": {"m/b.mge", "d/b1.npy", "d/b2.npy", "src/x.py", "src/deep/y.py", "conf/z"},
    "net.Net": {"code/net.py", "code/layers.py", "code/lib/x.py", "d/c.png", "code/before.mge"},
}
"""The files that an entry depends on. Lines of a list are looked up here, then beside the list."""

FILES = sorted(set().union(*OWN.values()) | {"src/other.txt", "unrelated", "lists/unused.npy"})
LIST = "# a comment\n1.npy\nx:d/2.npy\n\n#rand(0,1)\n"


def project(folder: Path, text: str = TEXT) -> str:
    """A project in ``folder`` with all its files, not committed."""
    path = made(folder, text, *FILES)
    (folder / "lists/a.txt").write_text(LIST)
    return str(path)


def since(path: str, ref: str) -> Changes:
    found = file.read(path)
    return changes.since(found, found.entries, ref)


def selected(path: str, ref: str = "HEAD") -> set[str]:
    return {entry.name for entry in since(path, ref).entries}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    project(folder)
    committed(folder)
    return folder


@settings(max_examples=30)
@given(
    altered=st.sets(st.sampled_from(FILES), max_size=3),
    how=st.sampled_from(["write", "commit", "stage"]),
    moved=st.none()
    | st.sampled_from(["unrelated", "lists/unused.npy", "src/x.py", "src/other.txt"]),
)
def test_an_entry_is_selected_if_what_it_depends_on_has_changed(
    altered: set[str],
    how: str,
    moved: str | None,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("repository") / "copy"
    shutil.copytree(template, folder)
    for name in altered:
        with (folder / name).open("a") as stream:
            stream.write("#")
    if moved:
        (folder / moved).rename(folder / "src/deep/moved.py")
    if how == "commit":
        committed(folder)
    if how == "stage":
        git(folder, "add", "--all")
    base = git(folder, "rev-parse", "HEAD~1" if how == "commit" else "HEAD")
    # The truth is git's own: renames told as what they are made of.
    if how == "write":
        git(folder, "add", "--intent-to-add", "--all")
    changed = set(git(folder, "diff", "--name-only", "--no-renames", base).splitlines())
    assert changed == altered | ({moved, "src/deep/moved.py"} if moved else set())
    wanted = {name for name, own in OWN.items() if own & changed}
    if moved:
        # A pattern watches what is not there yet, too.
        wanted.add("b")
    assert selected(str(folder / "megdump.toml"), base) == wanted


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a project two folders down, and a tag, a branch and two commits."""
    folder = tmp_path / "top" / "sub" / "project"
    project(folder)
    committed(tmp_path / "top")
    git(tmp_path / "top", "tag", "--annotate", "--message", "x", "v1")
    git(tmp_path / "top", "update-ref", "refs/remotes/origin/main", "HEAD")
    (folder / "m/a.mge").write_text("other")
    committed(tmp_path / "top")
    return folder


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ("HEAD", set()),
        ("main", set()),
        ("refs/heads/main", set()),
        ("HEAD~1", {"a"}),
        ("HEAD^", {"a"}),
        ("main~", {"a"}),
        ("v1", {"a"}),
        ("origin/main", {"a"}),
    ],
)
def test_a_commit_has_many_names(repository: Path, ref: str, wanted: set[str]) -> None:
    assert selected(str(repository / "megdump.toml"), ref) == wanted


def test_the_reasons_are_told(repository: Path) -> None:
    path = repository / "megdump.toml"
    (repository / "d/c.png").unlink()
    (repository / "src/new.py").write_text("")
    reasons = since(str(path), "HEAD~1").reasons
    assert reasons == {
        "a": "m/a.mge differs",
        "b": "src/new.py is new",
        "net.Net": "d/c.png is gone",
    }
    (repository / "lists/a.txt").unlink()
    assert since(str(path), "HEAD").reasons["a"] == "lists/a.txt is gone"
    path.write_text(TEXT + "seed = 1\n")
    assert set(since(str(path), "HEAD").reasons.values()) == {"megdump.toml differs"}


def test_a_digest_works_in_full_and_in_part(repository: Path) -> None:
    digest = git(repository, "rev-parse", "HEAD~1")
    assert selected(str(repository / "megdump.toml"), digest) == {"a"}
    assert selected(str(repository / "megdump.toml"), digest[:12]) == {"a"}


@pytest.mark.parametrize("ref", ["0" * 40, "0" * 64])
def test_the_first_push_of_a_branch_selects_all(tmp_path: Path, ref: str) -> None:
    found = since(project(tmp_path), ref)
    assert len(found.entries) == 3
    assert "no earlier commit" in found.note


def test_a_commit_that_history_has_lost_selects_all(repository: Path) -> None:
    found = since(str(repository / "megdump.toml"), "1234567890" * 4)
    assert len(found.entries) == 3
    assert "does not have 1234567890" in found.note


@pytest.mark.parametrize(
    ("ref", "hint"), [("mian", "did you mean main?"), ("HEAD~9", "HEAD"), ("--help", "give")]
)
def test_a_name_that_there_is_not_is_refused(repository: Path, ref: str, hint: str) -> None:
    with pytest.raises(InputError, match="there is no commit") as caught:
        since(str(repository / "megdump.toml"), ref)
    assert hint in caught.value.problems[0].hint


def test_where_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in no git repository"):
        since(project(tmp_path), "HEAD")


def test_a_shallow_clone_is_told_to_fetch_more(repository: Path, tmp_path: Path) -> None:
    base = git(repository, "rev-parse", "HEAD~1")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{tmp_path}/top", "clone")
    path = tmp_path / "clone/sub/project/megdump.toml"
    with pytest.raises(InputError, match="there is no commit") as caught:
        since(str(path), base)
    assert "fetch-depth: 0" in caught.value.problems[0].hint
    # One commit more is enough: what is between them does not matter.
    git(tmp_path / "clone", "fetch", "--quiet", "--depth", "1", "origin", base)
    assert selected(str(path), base) == {"a"}


@pytest.mark.parametrize("left_out", ["blob:none", "tree:0"])
def test_a_clone_that_leaves_something_out(repository: Path, tmp_path: Path, left_out: str) -> None:
    git(repository, "config", "uploadpack.allowFilter", "true")
    arguments = ["clone", "--quiet", f"--filter={left_out}", f"file://{tmp_path}/top", "clone"]
    git(tmp_path, *arguments)
    path = str(tmp_path / "clone/sub/project/megdump.toml")
    if left_out == "blob:none":
        assert selected(path, "HEAD~1") == {"a"}
    else:
        with pytest.raises(InputError, match="does not have the folders of HEAD~1"):
            since(path, "HEAD~1")


def test_a_worktree_and_a_sparse_checkout_are_repositories_too(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "tree"), "v1")
    assert selected(str(tmp_path / "tree/sub/project/megdump.toml"), "main") == {"a"}
    git(tmp_path / "top", "sparse-checkout", "set", "sub/project")
    assert selected(str(repository / "megdump.toml"), "HEAD~1") == {"a"}


def test_a_repository_of_another_user_is_read_and_nothing_it_configures_is_run(
    repository: Path, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    planted = tmp_path / "planted.sh"
    planted.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    planted.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "filter.x.clean",
        "diff.external",
        "core.pager",
    ):
        git(top, "config", key, str(planted))
    (top / ".gitattributes").write_text("* filter=x\n")
    if os.geteuid() == 0:
        for path in [top, *top.rglob("*")]:
            os.lchown(path, 1001, 1001)
    assert selected(str(repository / "megdump.toml"), "HEAD~1") == {"a"}
    assert not (tmp_path / "ran").exists()


def test_a_large_file_is_compared_by_the_digest_that_git_has_of_it(tmp_path: Path) -> None:
    content = b"weights" * 1000
    path = made(tmp_path)
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    )
    (tmp_path / "a.mge").write_text(pointer)
    committed(tmp_path)
    assert selected(str(path)) == set()
    (tmp_path / "a.mge").write_bytes(content)
    assert selected(str(path)) == set()
    (tmp_path / "a.mge").write_bytes(content[:-1] + b"S")
    assert selected(str(path)) == {"a"}


def test_links_are_followed_step_by_step(tmp_path: Path) -> None:
    path = made(tmp_path, LEAST.replace("a.mge", "link/a.mge"), "real/a.mge", "other/a.mge")
    (tmp_path / "real/a.mge").write_text("same")
    (tmp_path / "other/a.mge").write_text("same")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "outside").symlink_to("/")
    committed(tmp_path)
    assert selected(str(path)) == set()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("other")
    assert selected(str(path)) == {"a"}
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/a.mge").write_text("another")
    assert selected(str(path)) == {"a"}


def test_what_git_does_not_know_is_always_selected(tmp_path: Path) -> None:
    outside = tmp_path / "outside.npy"
    outside.write_text("")
    folder = tmp_path / "repository"
    path = made(folder, LEAST.replace("#rand(0,1)", str(outside)))
    committed(folder)
    assert since(str(path), "HEAD").reasons == {"a": f"{outside} is outside of the repository"}
    path.write_text(LEAST.replace("#rand(0,1)", "made.npy"))
    (folder / ".gitignore").write_text("made.npy\n")
    (folder / "made.npy").write_text("")
    committed(folder)
    assert since(str(path), "HEAD").reasons == {"a": "made.npy is new"}


@pytest.mark.parametrize("data", ["missing.npy", "x:missing.npy", "@missing.txt", ";;"])
def test_what_cannot_be_run_is_selected_and_fails_where_it_is_run(
    tmp_path: Path, data: str
) -> None:
    path = made(tmp_path, LEAST.replace("#rand(0,1)", data))
    committed(tmp_path)
    assert selected(str(path)) == {"a"}


def test_digests_of_sha256_repositories(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "--initial-branch", "main")
    path = made(tmp_path)
    base = committed(tmp_path)
    assert len(base) == 64
    assert selected(str(path), base) == set()
    (tmp_path / "a.mge").write_text("other")
    assert selected(str(path), base) == {"a"}
