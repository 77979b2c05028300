"""What goes into the artifact: the files that this run wrote, as one zip archive."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from megdump_ci.action import paths
from megdump_ci.action.artifact import ArtifactError
from megdump_ci.report import Report

REPORTS = ("report.json", "report.html", "report.md", "junit.xml")
"""The files of the report folder that belong to a run, if it wrote them."""

SUMS = "SHA256SUMS"
"""The archive's last file: the digests of the others, for ``sha256sum --check``."""

_CHUNK = 1 << 20
_SMALL = 1 << 20
_SAMPLE = 1 << 16
_SAMPLES = 16
_WORTH = 0.8
_PERMISSIONS = 0o644 << 16
_CHANGED = "something else writes to the workspace: let nothing run beside the action"

Marks = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file for the archive; ``digest`` (``sha256:<hex>``) is what it has to have, if given."""

    name: str
    path: str
    digest: str = ""


def marks(folder: str, profile: str = "") -> Marks:
    """What tells the report files that are in ``folder``, and a trace, from later ones."""
    paths = [os.path.join(folder, name) for name in REPORTS] if folder else []
    found = {}
    for path in (*paths, *([profile] if profile else [])):
        with contextlib.suppress(OSError):
            state = os.lstat(path)
            found[path] = (state.st_ino, state.st_mtime_ns)
    return found


def entries(
    result: Report, folder: str, before: Marks, root: Path, profile: str = ""
) -> list[Entry]:
    """The files that the run of ``result`` wrote, models first.

    ``folder`` is that of the reports, ``profile`` the path of the trace, and ``before`` their
    :func:`marks` before the run. In the archive a file has the path that it has in the workspace
    ``root``.
    """
    graphs = [graph for graph in (result.packed, result.deploy) if graph is not None]
    digests = {graph.path: graph.digest for graph in graphs}
    after = marks(folder, profile)
    reports = [path for path, mark in after.items() if before.get(path) != mark]
    found = [
        *digests,
        *(info.path for info in result.strip_info),
        *reports,
    ]
    return [
        Entry(name=_name(path, root), path=path, digest=digests.get(path, ""))
        for path in dict.fromkeys(found)
    ]


def _name(path: str, root: Path) -> str:
    return paths.shown(path, root).lstrip("/")


class Bundle:
    """The archive of some files. The same files give the same bytes."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.total = sum(_size(entry.path) for entry in entries)
        """Bytes of all files."""
        self.read = 0
        """Bytes of those that were read so far."""

    def chunks(self) -> Iterator[bytes]:
        """The archive, made while it is read; no file is held as a whole.

        Raises :class:`ArtifactError` for a file that cannot be read, or that is not the one that
        was verified.
        """
        buffer = _Buffer()
        sums = []
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in self.entries:
                digest = hashlib.sha256()
                with _opened(entry.path) as file:
                    for chunk in self._contents(file, entry, archive):
                        digest.update(chunk)
                        yield buffer.take()
                _check(entry, f"sha256:{digest.hexdigest()}")
                sums.append(_sum(digest.hexdigest(), entry.name))
                yield buffer.take()
            archive.compresslevel = 6
            with archive.open(SUMS, "w") as target:
                target.write("".join(sums).encode())
            for info in archive.infolist():
                info.external_attr = _PERMISSIONS
        yield buffer.take()

    def _contents(self, file: BinaryIO, entry: Entry, archive: zipfile.ZipFile) -> Iterator[bytes]:
        """Put ``file`` into ``archive``, and give what is put there."""
        size = os.fstat(file.fileno()).st_size
        # Never ZIP_STORED: who unpacks a stream finds the end of a member by its compression.
        archive.compresslevel = _level(file, size)
        with archive.open(entry.name, "w", force_zip64=size >= 1 << 31) as target:
            while chunk := file.read(_CHUNK):
                target.write(chunk)
                self.read += len(chunk)
                yield chunk


class _Buffer:
    """Where a zip archive is written that goes elsewhere before it is whole."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What is here can still be taken."""

    def take(self) -> bytes:
        """What was written since this was asked last."""
        taken = bytes(self._data)
        self._data.clear()
        return taken


def _size(path: str) -> int:
    with _opened(path) as file:
        return os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    # Whatever runs in the workspace could have put a link or a pipe there.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ArtifactError(f"{path} is no regular file any more", _CHANGED)
            yield file
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}", _CHANGED) from error


def _check(entry: Entry, digest: str) -> None:
    if entry.digest and digest != entry.digest:
        raise ArtifactError(
            f"{entry.path} is not the file that was verified: it has {digest}, not {entry.digest}",
            _CHANGED,
        )


def _sum(digest: str, name: str) -> str:
    """A line of :data:`SUMS`, as GNU sha256sum writes it."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def _level(file: BinaryIO, size: int) -> int:
    """How hard to compress: weights lose some percent for seconds of work, images most of all.

    Measured on one core: float32 weights become 7 % smaller at 40 MB/s, whatever the level;
    testcases that are images 78 % at 155 MB/s.
    """
    if size <= _SMALL:
        return 6
    step = size // _SAMPLES
    samples = [os.pread(file.fileno(), _SAMPLE, index * step) for index in range(_SAMPLES)]
    packed = sum(len(zlib.compress(sample, 1)) for sample in samples)
    return 1 if packed < _WORTH * sum(map(len, samples)) else 0
