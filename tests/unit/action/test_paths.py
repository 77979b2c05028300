from __future__ import annotations

from pathlib import Path

import pytest

from megdump_ci import reading
from megdump_ci.action import paths
from megdump_ci.errors import InputError
from megdump_ci.options import PackOptions

_HOST = "/home/runner/work/repo/repo"


def _options(**values: object) -> PackOptions:
    return PackOptions(**{"model": "m", "data": ("d",), "output": "o", **values})  # type: ignore[arg-type]


def _environ(workspace: Path) -> dict[str, str]:
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "owner/repo",
        "GITHUB_WORKSPACE": str(workspace),
        "RUNNER_WORKSPACE": "/home/runner/work/repo",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"{_HOST}/a.npy", "WS/a.npy"),
        (f"x:{_HOST}/a.npy;y:{_HOST}/b.npy", "x:WS/a.npy;y:WS/b.npy"),
        (f"@{_HOST}/list.txt", "@WS/list.txt"),
        ("/home/runner/work/_temp/a.npy", "/github/runner_temp/a.npy"),
        (f"{_HOST}2/a.npy", f"{_HOST}2/a.npy"),
        (f"/mnt{_HOST}/a.npy", f"/mnt{_HOST}/a.npy"),
        ("a.npy", "a.npy"),
    ],
)
def test_paths_of_the_machine_become_the_containers(
    tmp_path: Path, given: str, expected: str
) -> None:
    options = paths.localised(_options(data=("first", given)), _environ(tmp_path))
    assert options.data == ("first", expected.replace("WS", str(tmp_path)))


def test_the_paths_of_files_are_translated_too(tmp_path: Path) -> None:
    names = ("model", "baseline", "output", "deploy_output", "report")
    host = {name: f"{_HOST}/{name}" for name in names}
    options = paths.localised(_options(**host), _environ(tmp_path))
    for name in host:
        assert getattr(options, name) == f"{tmp_path}/{name}"


@pytest.mark.parametrize("path", ["/tmp/elsewhere/out.mge", "../out.mge", "link/out.mge"])
@pytest.mark.parametrize("name", ["output", "deploy_output", "report"])
def test_a_file_that_would_be_lost_is_refused(tmp_path: Path, name: str, path: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="not in the workspace") as caught:
        paths.localised(_options(**{name: path}), _environ(workspace))
    assert path in caught.value.problems[0].message


@pytest.mark.parametrize("path", [".git/out.mge", "base/.git/hooks/post-checkout", "link/x"])
@pytest.mark.parametrize("name", ["output", "deploy_output", "report"])
def test_nothing_is_written_into_a_folder_of_git(tmp_path: Path, name: str, path: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "link").symlink_to(".git")
    with pytest.raises(InputError, match=r"in a folder \.git"):
        paths.localised(_options(**{name: path}), _environ(tmp_path))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with links that lead out of it."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    (tmp_path / "secret").write_text("a.npy")
    (folder / "link").symlink_to("../secret")
    (folder / "link.py").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "path", ["../secret", "link", "up/secret", "/etc/passwd", "/proc/self/maps"]
)
@pytest.mark.parametrize("name", ["model", "baseline", "data"])
def test_a_file_outside_of_the_workspace_is_refused(workspace: Path, name: str, path: str) -> None:
    environ = _environ(workspace)
    options = _options(**{name: ("#rand(0,1)", f"@{path}") if name == "data" else path})
    with paths.confined(environ), pytest.raises(InputError, match="workspace") as caught:
        paths.localised(options, environ)
    (problem,) = caught.value.problems
    assert problem.message.startswith(f"{name}: {path} ")
    # The command takes them, and so does the action where no runner is.
    for other in (environ, {}):
        with paths.confined({}):
            assert paths.localised(options, other) == options


def test_code_outside_of_the_workspace_is_refused(workspace: Path) -> None:
    environ = _environ(workspace)
    for model in ("../code.py:net", "link.py:net", "link.py"):
        with paths.confined(environ), pytest.raises(InputError, match=r"^model: "):
            paths.localised(_options(model=model), environ)


def test_what_cannot_be_read_or_written_is_told_together(workspace: Path) -> None:
    environ = _environ(workspace)
    options = _options(model="../a", baseline="link", data=("@/etc/x", "@link"), output="../o")
    with paths.confined(environ), pytest.raises(InputError) as caught:
        paths.localised(options, environ)
    assert len(caught.value.problems) == 5


def test_the_runners_own_folders_are_read(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = _environ(workspace)
    given = "/home/runner/work/_temp/a.npy"
    (workspace / "a.npy").touch()
    options = _options(model="a.npy", baseline=f"{_HOST}/a.npy", data=(f"x:{given}",))
    environ["RUNNER_WORKSPACE"] = "/home/runner/work/repo"
    with paths.confined(environ):
        found = paths.localised(options, environ)
        reading.check("/github/runner_temp/a.npy")
    assert found.baseline == f"{workspace}/a.npy"
    assert found.data == ("x:/github/runner_temp/a.npy",)


def test_outside_the_runner_any_path_is_right(tmp_path: Path) -> None:
    options = _options(output="/tmp/elsewhere/out.mge")
    assert paths.localised(options, {"GITHUB_WORKSPACE": str(tmp_path)}) == options


def test_the_workspace_is_the_current_folder_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.workspace({}) == tmp_path
    assert paths.workspace({"GITHUB_WORKSPACE": "/no/such/folder"}) == tmp_path


def test_paths_are_shown_relative_to_the_workspace(tmp_path: Path) -> None:
    assert paths.shown(str(tmp_path / "a" / "b"), tmp_path) == "a/b"
    assert paths.shown("a/../b", tmp_path) == "b"
    assert paths.shown("/elsewhere/b", tmp_path) == "/elsewhere/b"
