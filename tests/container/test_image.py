"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.image import ROOT, docker

# The first test waits for the image.
pytestmark = pytest.mark.timeout(1800)

# Bytes 4 to 8 of bytecode: 1 is "made of the source with this hash, not checked at start".
_BYTECODE = """
import importlib.util, json, pathlib
found = {"unchecked": 0, "other": [], "stale": []}
for path in pathlib.Path("/opt").rglob("__pycache__/*.pyc"):
    head = path.read_bytes()[:16]
    source = path.parents[1] / path.name.replace(".cpython-310.pyc", ".py")
    if head[:8] != importlib.util.MAGIC_NUMBER + b"\\1\\0\\0\\0":
        found["other"].append(str(path))
    elif head[8:] != importlib.util.source_hash(source.read_bytes()):
        found["stale"].append(str(path))
    else:
        found["unchecked"] += 1
print(json.dumps(found))
"""

_LOADED = """
import importlib.util, os, sys
import megengine, cv2, rich.console, msgspec
for module in list(sys.modules.values()):
    source = getattr(module, "__file__", None) or ""
    if source.endswith(".py"):
        compiled = importlib.util.cache_from_source(source)
        if not os.path.exists(compiled) or open(compiled, "rb").read(8)[4] != 1:
            print("not compiled:", source)
print("loaded:", len(sys.modules))
"""


# Files of MegEngine's that are not as its RECORD says.
_RECORDED = """
import base64, hashlib, importlib.metadata as metadata
files = [file for file in metadata.distribution("megengine").files if file.hash]
for file in files:
    content = file.locate().read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    if (digest, len(content)) != (file.hash.value, file.size):
        print("changed:", file)
print("files:", len(files))
"""

_LIBRARY = "/opt/venv/lib/python3.10/site-packages/megengine/core/lib/libmegengine_shared.so"


@pytest.mark.parametrize("program", ["gcc", "g++", "cc", "c++", "clang", "make", "ld", "git"])
def test_there_is_no_compiler(inside: Any, program: str) -> None:
    assert inside("sh", "-c", f"command -v {program}").stdout == ""


def test_there_are_no_leftovers_of_the_build(inside: Any) -> None:
    found = inside("sh", "-c", "ls -A /root/.cache /tmp /var/cache/apt/archives; ls /*.txt")
    assert "requirements.txt" not in found.stdout
    assert "pip" not in found.stdout
    assert inside("ls", "-A", "/tmp").stdout == ""


def test_all_bytecode_is_of_its_source_and_needs_no_check(inside: Any) -> None:
    done = inside("/opt/venv/bin/python", "-I", "-c", _BYTECODE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["other"] == []
    assert found["stale"] == []
    assert found["unchecked"] > 1000


def test_no_module_is_compiled_at_start(inside: Any) -> None:
    done = inside("/opt/venv/bin/python", "-I", "-B", "-c", _LOADED)
    assert done.returncode == 0, done.stderr
    assert "loaded:" in done.stdout
    assert "not compiled:" not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("megdump-ci", "--help"),
        ("python", "-m", "megdump_ci", "--help"),
        ("/opt/venv/bin/python", "-I", "-m", "megdump_ci", "--help"),
    ],
    ids=" ".join,
)
def test_the_command_is_there_too(inside: Any, command: tuple[str, ...]) -> None:
    done = inside(*command)
    assert done.returncode == 0, done.stderr
    assert "pack" in done.stdout


def test_the_packages_are_those_of_the_lock(inside: Any) -> None:
    code = (
        "import importlib.metadata as metadata\n"
        "for found in metadata.distributions(): print(found.name.lower(), found.version)"
    )
    found = set(inside("/opt/venv/bin/python", "-I", "-c", code).stdout.split("\n")) - {""}
    assert "megengine 1.13.0" in found
    assert not any(line.startswith(("pip ", "pyarrow ", "opencv-python ")) for line in found)


# pip, which would say it, is not in the image.
_REQUIRED = """
import sys, warnings; warnings.simplefilter("ignore")
import pkg_resources
# Not those that setuptools has inside.
folders = [folder for folder in sys.path if folder.endswith("/site-packages")]
there = {found.key: found for found in pkg_resources.WorkingSet(folders)}
for found in there.values():
    for wanted in found.requires():
        if wanted.key not in there or there[wanted.key].version not in wanted:
            print(wanted.key)
"""


def test_what_is_left_out_is_what_the_lock_says(inside: Any) -> None:
    left_out = {
        line.split(";")[0]
        for line in (ROOT / "requirements" / "overrides.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    done = inside("/opt/venv/bin/python", "-I", "-c", _REQUIRED)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == left_out


# Names of the packages in both site-packages folders that the licence list does not name, or of
# which it has no text; then Debian's without a copyright file.
_LICENCES = """
import importlib.metadata, os, pathlib, subprocess
text = pathlib.Path("/opt/megdump-ci/THIRD-PARTY-LICENSES").read_text()
listed, texts = text.split("=" * 80, 1)
found = list(importlib.metadata.distributions())
found += importlib.metadata.distributions(path=["/usr/local/lib/python3.10/site-packages"])
for package in found:
    name = f"{package.name} {package.version}: "
    if f"\\n{name}" not in listed or f"\\n{name}" not in texts:
        print("python:", name)
query = ["dpkg-query", "--show", "--showformat", "${Package}\\n"]
debian = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
for package in debian:
    if not os.path.getsize(f"/usr/share/doc/{package}/copyright"):
        print("debian:", package)
assert os.path.getsize("/usr/local/lib/python3.10/LICENSE.txt")
print("checked:", len(found), len(debian))
"""


def test_the_licence_list_names_all_packages_with_their_texts(inside: Any) -> None:
    done = inside("/opt/venv/bin/python", "-I", "-c", _LICENCES)
    assert done.returncode == 0, done.stderr
    *silent, checked = done.stdout.splitlines()
    assert silent == []
    count = len(re.findall(r"^[a-z].*==", (ROOT / "requirements" / "run.txt").read_text(), re.M))
    assert [int(number) for number in checked.split()[1:]] >= [count, 50]


def test_there_is_nothing_that_installs_packages(inside: Any) -> None:
    for module in ("pip", "ensurepip._bundled", "wheel"):
        for python in ("/opt/venv/bin/python", "/usr/local/bin/python"):
            done = inside(python, "-I", "-c", f"import {module}")
            assert "No module named" in done.stderr, done.stdout
    assert inside("sh", "-c", "command -v pip pip3 easy_install wheel").stdout == ""


def test_the_library_has_no_device_code_and_says_so(inside: Any) -> None:
    size = int(inside("stat", "--format", "%s", _LIBRARY).stdout)
    assert size == 319_943_448
    assert ".nv_fatbin" in inside("cat", f"{_LIBRARY}.CHANGED").stdout
    done = inside("/opt/venv/bin/python", "-I", "-c", _RECORDED)
    assert "changed:" not in done.stdout
    assert int(done.stdout.rpartition("files: ")[2]) > 200


def test_the_image_is_no_larger_than_what_was_chosen_for_it(image: str) -> None:
    # On top of the base, which is not the same one everywhere. docs/image.md says what takes it.
    sizes = (
        int(docker("image", "inspect", "--format", "{{.Size}}", name).stdout)
        for name in (image, "python:3.10-slim-bookworm")
    )
    whole, base = sizes
    assert whole - base < 630e6


def _configuration(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]
    return found


def test_the_image_runs_as_root_from_an_absolute_path(image: str) -> None:
    # A container action cannot write to the workspace otherwise, and PATH is the job's.
    configuration = _configuration(image)
    assert configuration["User"] == ""
    assert configuration["WorkingDir"] == ""
    assert configuration["Entrypoint"][:2] == ["/opt/venv/bin/python", "-I"]
    assert "org.opencontainers.image.title" in configuration["Labels"]
    # A GPU that the library could do nothing on.
    assert configuration["Labels"]["megdump-ci.cuda"] == "cut"
    assert "NVIDIA_VISIBLE_DEVICES=void" in configuration["Env"]


def test_the_application_is_this_tree_and_no_more(inside: Any) -> None:
    found = inside("sh", "-c", "ls -A /opt/megdump-ci").stdout.split()
    found = [name for name in found if name != "__pycache__"]
    own = ["LICENSE", "entrypoint.py", "megdump-ci", "megdump_ci"]
    assert sorted(found) == sorted([*own, "THIRD-PARTY-LICENSES"])
