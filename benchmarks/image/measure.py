"""The image against the plain way to one, and a run in it against the same one on the host.

    docker build -t megdump-ci .
    docker build -t megdump-ci:plain -f benchmarks/image/plain.Dockerfile benchmarks/image
    .venv/bin/python benchmarks/image/measure.py

Sizes are in decimal megabytes: unpacked as the engine counts them, compressed as a registry holds
them, each layer by gzip. Times are from the container's start as the engine records it, and medians
with the smallest and the largest. ``--run-option`` goes to ``docker run``: on a busy machine, more
weight for the container (as much as this program then needs for itself).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = 1 << 20
_WORKSPACE = "/github/workspace"
_PACK = ("pack", "digits.mge", "--data", "@digits.txt", "--output", "out.mge")
_INPUTS = {"MODEL": "digits.mge", "DATA": "@digits.txt", "OUTPUT": "out.mge", "UPLOAD": "false"}


def docker(*arguments: str) -> str:
    """Run docker; its standard output."""
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@dataclass(frozen=True)
class Size:
    """Bytes of an image, or of what it has on top of another."""

    unpacked: int
    compressed: int

    def __sub__(self, other: Size) -> Size:
        return Size(self.unpacked - other.unpacked, self.compressed - other.compressed)


def size(image: str) -> Size:
    """Measure an image."""
    unpacked = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        assert saved.stdout
        members: dict[str, int] = {}
        manifest: list[dict[str, list[str]]] = []
        with tarfile.open(fileobj=saved.stdout, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content and member.name == "manifest.json":
                    manifest = json.load(content)
                elif content:
                    members[member.name] = _compressed(content)
    return Size(unpacked, sum(members[layer] for layer in manifest[0]["Layers"]))


def _compressed(content: IO[bytes]) -> int:
    # What docker push uses: gzip, at zlib's own level.
    packer = zlib.compressobj(wbits=31)
    total = 0
    while block := content.read(_BLOCK):
        total += len(packer.compress(block))
    return total + len(packer.flush())


def print_sizes(images: dict[str, str]) -> None:
    """A table of sizes, and the ratio of each to the plain image, whole and without the base."""
    sizes = {name: size(image) for name, image in images.items()}
    base, plain = sizes["base"], sizes["plain"]
    print(f"{'':12}{'unpacked MB':>12}{'gzip MB':>9}{'ratios to plain':>17}{'without base':>14}")
    for name, found in sizes.items():
        own, other = found - base, plain - base
        whole = f"{found.unpacked / plain.unpacked:.3f} {found.compressed / plain.compressed:.3f}"
        rest = f"{own.unpacked / other.unpacked:.3f} {own.compressed / other.compressed:.3f}"
        absolute = f"{found.unpacked / 1e6:12.1f}{found.compressed / 1e6:9.1f}"
        print(f"{name:12}{absolute}{whole:>17}{rest:>14}")


def _moment(text: str) -> datetime:
    """A time of the engine, which has nanoseconds."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}+00:00")


def in_container(options: Sequence[str], image: str, arguments: Sequence[str]) -> list[float]:
    """Seconds to the first line from ``docker run`` on; from the container's start; to the last."""
    launched = datetime.now(timezone.utc)
    name = docker("run", "--detach", *options, image, *arguments).strip()
    try:
        status = docker("wait", name).strip()
        lines = docker("logs", "--timestamps", name).splitlines()
        started = _moment(docker("inspect", "--format", "{{.State.StartedAt}}", name).strip())
    finally:
        docker("rm", "--force", name)
    if status != "0":
        raise SystemExit(f"the run failed with status {status}:\n" + "\n".join(lines))
    first, last = (_moment(line.split(" ")[0]) for line in (lines[0], lines[-1]))
    spans = (first - launched, first - started, last - started)
    return [span.total_seconds() for span in spans]


def on_host(command: str, folder: Path) -> float:
    """Seconds from the start of the command to its last line."""
    start = end = time.perf_counter()
    with subprocess.Popen([command, *_PACK], cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in process.stdout:
            end = time.perf_counter()
    if process.returncode:
        raise SystemExit(f"{command} failed with status {process.returncode}")
    return end - start


def print_times(image: str, host: str, options: Sequence[str], rounds: int) -> None:
    """A table of times; container and host take turns."""
    inputs = {f"INPUT_{name}": value for name, value in _INPUTS.items()}
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": _WORKSPACE, **inputs}
    action = [part for item in variables.items() for part in ("--env", "=".join(item))]
    program = ["--entrypoint", "/opt/megdump-ci/megdump-ci"]
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "workspace"
        shutil.copytree(ROOT / "samples", folder)
        mounted = [*options, "--volume", f"{folder}:{_WORKSPACE}", "--workdir", _WORKSPACE]
        # The first round warms the caches.
        for turn in range(rounds + 1):
            launched, first, verdict = in_container([*mounted, *action], image, [])
            *_, command = in_container([*mounted, *program], image, _PACK)
            found = {
                "docker run to the action's first line": launched,
                "action, first line": first,
                "action, verdict": verdict,
                "command in the container, verdict": command,
                "command on the host, verdict": on_host(host, folder),
            }
            for what, seconds in found.items() if turn else ():
                times.setdefault(what, []).append(seconds)
    print(f"\nload average {os.getloadavg()[0]:.1f}, {rounds} rounds")
    for what, all_of in times.items():
        print(
            f"{what:40}{statistics.median(all_of):6.2f} s  ({min(all_of):.2f} to {max(all_of):.2f})"
        )
    medians = {what: statistics.median(all_of) for what, all_of in times.items()}
    own, other = (
        medians[f"command {where}, verdict"] for where in ("in the container", "on the host")
    )
    print(f"{'container to host':40}{own / other:6.2f}")


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="megdump-ci")
    parser.add_argument("--plain", default="megdump-ci:plain")
    parser.add_argument("--base", default="python:3.10-slim-bookworm")
    parser.add_argument("--host", default=str(ROOT / ".venv" / "bin" / "megdump-ci"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--run-option", action="append", default=[])
    parser.add_argument("--only", choices=("sizes", "times"))
    given = parser.parse_args()
    if given.only != "times":
        print_sizes({"base": given.base, "plain": given.plain, "megdump-ci": given.image})
    if given.only != "sizes":
        print_times(given.image, given.host, given.run_option, given.rounds)


if __name__ == "__main__":
    main()
