"""What the tests on the real engine have in common."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megdump_ci import pipeline
from megdump_ci.options import PackOptions, VerifyOptions
from megdump_ci.report import Report
from megdump_ci.session import Observer

HERE = Path(__file__).parent
HEADER = 12
"""Bytes before the graph of a packed file."""


@dataclass(frozen=True)
class Models:
    """The folder of the models."""

    folder: Path
    facts: dict[str, Any]

    def path(self, name: str) -> Path:
        """``NAME.mge``; FBS_V2 where no format is named."""
        exact = self.folder / f"{name}.mge"
        return exact if exact.exists() else self.folder / f"{name}.fbs_v2.mge"

    def data(self, name: str) -> Path:
        """``NAME.npy``."""
        return self.folder / f"{name}.npy"


def script(name: str, *arguments: object) -> str:
    """The output of a script that imports MegEngine, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def read(*paths: Path) -> list[dict[str, Any]]:
    """What ``reader.py`` says of each file, its arrays decoded."""
    found: list[dict[str, Any]] = json.loads(script("reader.py", *paths))
    for content in found:
        for testcase in content["testcases"]:
            testcase["values"] = {k: decoded(v) for k, v in testcase["values"].items()}
            testcase["results"] = [decoded(value) for value in testcase["results"]]
    return found


def decoded(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    """An array of the reader."""
    flat = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["dtype"]))
    return flat.reshape(value["shape"])


def pack(
    model: Path,
    data: str | list[str],
    output: Path,
    observer: Observer | None = None,
    **options: Any,
) -> Report:
    """Run ``pack``."""
    specs = (data,) if isinstance(data, str) else tuple(data)
    return pipeline.run(
        PackOptions(model=str(model), data=specs, output=str(output), **options), observer
    )


def passed(*arguments: Any, **options: Any) -> Report:
    """Run ``pack``, which has to pass."""
    report = pack(*arguments, **options)
    assert report.verdict == "passed", f"{report.headline}\n{said(report)}"
    assert report.exit_status == 0
    return report


def verify(file: Path, model: Path | None = None, **options: Any) -> Report:
    """Run ``verify``."""
    return pipeline.run(
        VerifyOptions(packed=str(file), model=str(model) if model else "", **options)
    )


def said(report: Report) -> str:
    """All that a report says of what is wrong."""
    texts = [problem.message for problem in report.problems]
    for testcase in report.testcases:
        texts += [testcase.reason, *(output.reason for output in testcase.outputs)]
    return "\n".join(filter(None, texts))


def command(*arguments: object) -> list[str]:
    """The command line of the product."""
    return [sys.executable, "-m", "megdump_ci", *map(str, arguments)]


@dataclass(frozen=True)
class Parts:
    """A packed file in pieces."""

    graph: bytes
    testcases: tuple[bytes, ...]

    @classmethod
    def of(cls, content: bytes) -> Parts:
        """Cut ``content`` where its graphs end."""
        assert content[:8] == b"mgbtest0"
        (count,) = struct.unpack_from("<I", content, 8)
        parts, rest = [], content[HEADER:]
        while rest:
            size = graph_size(rest)
            parts.append(rest[:size])
            rest = rest[size:]
        assert len(parts) == count + 1
        return cls(parts[0], tuple(parts[1:]))

    def joined(self, count: int | None = None) -> bytes:
        """The file again, its header with ``count`` testcases."""
        number = len(self.testcases) if count is None else count
        return b"".join([b"mgbtest0", struct.pack("<I", number), self.graph, *self.testcases])


def graph_size(content: bytes) -> int:
    """Bytes of the graph that ``content`` begins with."""
    if content[8:12] == b"mgv2":
        return 4 + int(struct.unpack_from("<I", content)[0])
    assert content[:4] == b"MGBC"
    tensors = int(struct.unpack_from("<Q", content, 16)[0])
    return 28 + tensors + int(struct.unpack_from("<I", content, 24 + tensors)[0])


def replaced(content: bytes, old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> bytes:
    """``content`` with the values of an array altered, which are in it once."""
    assert old.nbytes == new.nbytes
    assert content.count(old.tobytes()) == 1
    return content.replace(old.tobytes(), new.tobytes())


def being_written(out: Path) -> bool:
    """Whether a run has begun to write what will be ``out``."""
    for path in out.parent.glob(f".{out.name}.*.tmp"):
        # One that only tried whether it may write there is gone again.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                return True
    return False


def engine_processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and phase of the engine processes whose scratch is in ``folder``."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            log = os.readlink(entry / "fd" / "2")
            alive = "State:\tZ" not in (entry / "status").read_text()
        except OSError:
            continue
        path = Path(log.removesuffix(" (deleted)"))
        if alive and path.is_relative_to(folder) and path.suffix == ".log":
            yield int(entry.name), path.stem
