"""The scaffolding: what has to agree across files that no other test reads together."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import tomli

from megdump_ci.packed import graph_format
from megdump_ci.project import file
from megdump_ci.testcase.listfile import read_lines

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "megdump_ci"
SAMPLES = ROOT / "samples"
REQUIREMENTS = ROOT / "requirements"
LOCKS = ("run", "dev", "lint", "samples", "uv")
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())

_PIN = re.compile(r"([a-z0-9-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def lines_of(path: Path) -> list[str]:
    """The lines of a requirements file that ask for something."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def name_of(requirement: str) -> str:
    """The package that a line asks for."""
    return re.split(r"[=<>; ]", requirement)[0]


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Version and hashes of each package in a lock; fails for a line of any other form."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.lstrip().startswith("#"))
    assert _PIN.sub("", text) == "", "a line is neither a pin nor its hash"
    return {package: (version, hashes) for package, version, hashes in _PIN.findall(text)}


def project_files() -> list[Path]:
    """The files that a clone has or will have."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_all_that_is_asked_for(name: str) -> None:
    pins = locked(name)
    assert pins
    assert {name_of(line) for line in lines_of(REQUIREMENTS / f"{name}.in")} <= pins.keys()


def test_the_locks_agree() -> None:
    run, dev, lint, samples = map(locked, ("run", "dev", "lint", "samples"))
    assert run.items() <= dev.items()
    assert all(lint[name] == dev[name] for name in lint.keys() & dev.keys())
    # The overlay of `make samples` comes first on the path: it must not hide what .venv has.
    assert not samples.keys() & dev.keys()


def test_what_is_overridden_is_not_installed() -> None:
    left_out = {name_of(line) for line in lines_of(REQUIREMENTS / "overrides.txt")}
    assert left_out
    for name in LOCKS:
        assert not left_out & locked(name).keys()


def test_the_package_asks_for_what_is_locked() -> None:
    asked = {line.split("==")[0] for line in PROJECT["project"]["dependencies"]}
    from_lock = {line.split("==")[0] for line in lines_of(REQUIREMENTS / "run.in")}
    assert asked == from_lock


def test_no_file_names_where_packages_come_from() -> None:
    hosts = [".".join(parts).encode() for parts in (("pypi", "org"), ("pythonhosted", "org"))]
    named = {path for path in project_files() for host in hosts if host in path.read_bytes()}
    assert not named
    for path in REQUIREMENTS.iterdir():
        assert "://" not in path.read_text()
        assert "index-url" not in path.read_text()


def test_one_python_version_everywhere() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    major, minor = map(int, version.split("."))
    assert PROJECT["project"]["requires-python"] == f">={version},<{major}.{minor + 1}"
    assert PROJECT["tool"]["mypy"]["python_version"] == version
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{major}{minor}"
    assert f"python:{version}-" in (ROOT / "Dockerfile").read_text()
    assert f"--python-version {version} " in (ROOT / "Makefile").read_text()


def test_the_version_is_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", import_module("megdump_ci").__version__)


def test_the_command_exists() -> None:
    module, function = PROJECT["project"]["scripts"]["megdump-ci"].split(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("*.md")), SAMPLES / "README.md"], ids=str)
def test_the_make_targets_that_pages_name_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE))
    assert named <= targets


def test_each_go_module_is_locked() -> None:
    asked = re.findall(r"^\t(\S+) (v\S+)", (REQUIREMENTS / "go.mod").read_text(), re.MULTILINE)
    lines = (REQUIREMENTS / "go.sum").read_text().splitlines()
    hashed = {(module, version) for module, version, _ in map(str.split, lines)}
    assert {"github.com/nektos/act", "github.com/rhysd/actionlint"} <= {name for name, _ in asked}
    assert set(asked) <= hashed


def test_workflows_take_other_actions_by_commit_and_in_one_version() -> None:
    paths = [path for path in project_files() if ".github/" in str(path) and path.suffix == ".yml"]
    uses = {use for path in paths for use in re.findall(r"uses: ([^.].*)", path.read_text())}
    pins = [re.fullmatch(r"([\w./-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses]
    assert pins
    assert None not in pins, uses
    assert len({pin[1] for pin in pins if pin}) == len(pins)


@pytest.mark.parametrize("path", [".ci/run", "requirements/venv.sh"])
def test_a_script_runs(path: str) -> None:
    assert (ROOT / path).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(ROOT / path)], check=True)


def test_the_container_gets_what_its_dockerfile_copies() -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    copied = {source for line in copies for source in line.split()}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_the_samples_are_what_the_demo_and_the_page_name() -> None:
    models = {path.stem for path in SAMPLES.glob("*.mge")}
    listed = file.read(str(SAMPLES / "megdump.toml")).entries
    assert models == {entry.name for entry in listed}
    page = (SAMPLES / "README.md").read_text()
    assert models == set(re.findall(r"^\| `(\w+)\.mge`", page, re.MULTILINE))


def test_the_samples_have_both_formats() -> None:
    heads = {path.stem: path.read_bytes()[:12] for path in SAMPLES.glob("*.mge")}
    assert {graph_format(head) for head in heads.values()} == {"fbs", "fbs_v2"}


def test_the_samples_are_small() -> None:
    sizes = {path: path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 64 << 10
    assert sum(sizes.values()) < 300 << 10


def test_the_files_of_the_sample_list_exist() -> None:
    lines = [line for _, line in read_lines(str(SAMPLES / "digits.txt"))]
    files = [SAMPLES / line for line in lines if not line.startswith("#rand")]
    assert len(lines) > len(files) >= 10
    assert all(path.is_file() for path in files)


def modules(*, outside: tuple[str, ...]) -> list[Path]:
    """The package's modules that are not in these folders or files."""
    left_out = tuple(str(PACKAGE / name) for name in outside)
    return [path for path in PACKAGE.rglob("*.py") if not str(path).startswith(left_out)]


# The third wall, that only megdump_ci/engine/ imports MegEngine, is a rule of ruff (TID251).
def test_only_the_action_folder_knows_github() -> None:
    for path in modules(outside=("action/",)):
        found = re.search(r"\b(GITHUB|RUNNER|ACTIONS|INPUT)_", path.read_text())
        assert found is None, f"{path} names {found}"


def test_only_the_reporters_print() -> None:
    # The engine's process takes its own standard output away from MegEngine, which prints to it.
    for path in modules(outside=("present/", "action/", "cli.py", "engine/process.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            used = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
            assert used not in ("print", "sys.stdout", "sys.stderr"), f"{path} uses {used}"
