from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megdump_ci import report
from megdump_ci.action import bundle
from megdump_ci.action.artifact import ArtifactError
from megdump_ci.action.bundle import Bundle, Entry
from tests.unit.action import service

_ROOT = Path(__file__).resolve().parents[3]


def archive(entries: list[Entry]) -> bytes:
    return b"".join(Bundle(entries).chunks())


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..", "SHA256SUMS"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(names, st.binary(max_size=300), max_size=5))
def test_what_is_unpacked_is_what_went_in(tmp_path: Path, files: dict[str, bytes]) -> None:
    entries = []
    for index, (name, content) in enumerate(files.items()):
        path = tmp_path / str(index)
        path.write_bytes(content)
        entries.append(Entry(name=f"folder/{name}", path=str(path)))
    found = unpacked(archive(entries))
    sums = found.pop(bundle.SUMS)
    assert found == {f"folder/{name}": content for name, content in files.items()}
    assert sums.count(b"\n") == len(files)


@pytest.mark.parametrize("name", ["plain", "with space", "back\\slash", "line\nfeed\r", "模型"])
def test_sha256sum_checks_what_was_unpacked(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"content")
    sums = unpacked(archive([Entry(name=name, path=str(path))]))[bundle.SUMS]
    (tmp_path / bundle.SUMS).write_bytes(sums)
    check = ["sha256sum", "--check", "--strict", bundle.SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    path.write_bytes(b"altered")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    found = set()
    for turn in range(2):
        path = tmp_path / str(turn)
        path.write_bytes(b"content" * 1000)
        path.chmod(0o600 + turn)
        os.utime(path, (turn * 10**9, turn * 10**9))
        found.add(archive([Entry(name="model.mge", path=str(path))]))
    assert len(found) == 1


def test_a_member_has_no_owner_and_is_for_everyone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    data = archive([Entry(name="file", path=str(tmp_path / "file"))])
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        for info in found.infolist():
            assert info.external_attr >> 16 == 0o644
            # Its end is found without the table at the end of the archive.
            assert info.compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(
    ("content", "share"),
    [
        pytest.param(bytes(4 << 20), 0.01, id="zeros"),
        pytest.param(os.urandom(4 << 20), 1.001, id="weights"),
        pytest.param(os.urandom(3 << 20) + bytes(9 << 20), 0.4, id="weights and images"),
        pytest.param(b"text " * 1000, 0.05, id="a small file"),
    ],
)
def test_what_pays_is_compressed(tmp_path: Path, content: bytes, share: float) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    data = archive([Entry(name="file", path=str(path))])
    assert len(data) < share * len(content) + 500
    assert unpacked(data)["file"] == content


def test_a_file_that_is_not_the_verified_one_makes_no_artifact(tmp_path: Path) -> None:
    path = tmp_path / "out.mge"
    path.write_bytes(b"verified")
    digest = f"sha256:{hashlib.sha256(b'verified').hexdigest()}"
    entry = Entry(name="out.mge", path=str(path), digest=digest)
    assert unpacked(archive([entry]))["out.mge"] == b"verified"
    path.write_bytes(b"altered!")
    with pytest.raises(ArtifactError, match="is not the file that was verified"):
        archive([entry])


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
def test_only_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ArtifactError, match=r"cannot read|no regular file"):
        archive([Entry(name="file", path=str(path))])


def test_an_archive_that_is_given_up_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8 << 20))
    chunks = Bundle([Entry(name="file", path=str(path))]).chunks()
    next(chunks)
    before = len(os.listdir("/proc/self/fd"))
    chunks.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before - 1


def _graph(path: str, digest: str) -> report.Graph:
    return report.Graph(
        path=path,
        size=1,
        digest=digest,
        format="fbs_v2",
        inputs=[],
        outputs=[],
        operators={},
        parameters=0,
        parameter_bytes=0,
    )


def _result(**fields: Any) -> report.Report:
    return report.Report(
        tool=report.Tool(version="0"),
        command="",
        options={},
        verdict="failed",
        exit_status=1,
        headline="FAIL",
        machine=report.Machine(system="", processor="", cores=1, memory=1, python=""),
        **fields,
    )


def test_what_goes_in_is_what_this_run_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    for name in ("report.json", "junit.xml", "report.html", "other"):
        (folder / name).write_text("an earlier run's")
    profile = str(tmp_path / "trace.json")
    before = bundle.marks(str(folder), profile)
    Path(profile).write_text("{}")
    for name in ("report.json", "report.md"):
        temporary = folder / "temporary"
        temporary.write_text("an earlier run's")
        temporary.replace(folder / name)
    result = _result(
        packed=_graph(str(tmp_path / "out.mge.failed"), "sha256:1"),
        deploy=_graph("deploy/out.mge", ""),
        strip_info=[
            report.StripInfo(path="out.mge.failed.json", describes="packed", hash=0),
            report.StripInfo(path="/elsewhere/out.mge.json", describes="deploy", hash=0),
        ],
    )
    found = bundle.entries(result, str(folder), before, tmp_path, profile)
    assert found == [
        Entry(name="out.mge.failed", path=f"{tmp_path}/out.mge.failed", digest="sha256:1"),
        Entry(name="deploy/out.mge", path="deploy/out.mge"),
        Entry(name="out.mge.failed.json", path="out.mge.failed.json"),
        Entry(name="elsewhere/out.mge.json", path="/elsewhere/out.mge.json"),
        Entry(name="reports/report.json", path=f"{folder}/report.json"),
        Entry(name="reports/report.md", path=f"{folder}/report.md"),
        Entry(name="trace.json", path=profile),
    ]
    later = bundle.marks(str(folder), profile)
    assert bundle.entries(_result(), str(folder), later, tmp_path, profile) == []


def test_a_run_that_wrote_nothing_has_nothing_to_upload(tmp_path: Path) -> None:
    assert bundle.entries(_result(), "", bundle.marks(""), tmp_path) == []


_STREAM = """
import io, resource, sys
sys.path.insert(0, {root!r})
from megdump_ci.action import upload
from megdump_ci.action.bundle import Entry
from megdump_ci.action.commands import Log
import urllib3, urllib3.util.retry, html, zipfile
def run(path):
    upload.upload([Entry(name=path, path=path)], path[-5:], 0, {environ!r}, Log(sys.stderr))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
first = run({small!r})
print(run({large!r}) - first)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size = 200 << 20
    small, large = tmp_path / "small", tmp_path / "large"
    for path, length in ((small, 20 << 20), (large, size)):
        with path.open("wb") as file:
            # Incompressible where samples are taken, and for the rest a hole.
            for index in range(16):
                file.seek(index * (length // 16))
                file.write(os.urandom(1 << 16))
            file.truncate(length)
    with service.running(discard=True) as server:
        code = _STREAM.format(
            root=str(_ROOT), environ=server.environ, small=str(small), large=str(large)
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=100
        )
    assert done.returncode == 0, done.stderr
    assert server.broken == []
    assert server.size > size, "it was compressed"
    assert server.longest_block == 8 << 20
    # Ten times the file, and not one block more in memory.
    assert int(done.stdout) < 8 << 20
