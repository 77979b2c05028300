"""What the image ships is under which licence: ``licences.py FOLDER... > THIRD-PARTY-LICENSES``.

Lists every Python package of the site-packages given, what is known to be inside its binaries, and
the licence texts that it brings. A package without a text ends the build: somebody has to look.
Runs with the standard library alone, and gives the same text for the same packages.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TEXT = re.compile(
    r"(licen[cs]es?|copying|notice|authors|acknowledgments)([._-].*)?", re.IGNORECASE
)
_CODE = {".py", ".pyc", ".pyi", ".so", ".xml"}

# Inside the binaries of wheels, by package: what the files and the symbols in them show.
_INSIDE = {
    "megengine": [
        "FlatBuffers: Apache-2.0",
        "Protocol Buffers: BSD-3-Clause",
        "Intel Math Kernel Library: Intel Simplified Software License",
        "oneDNN (MKL-DNN), with Xbyak: Apache-2.0, BSD-3-Clause",
        "ZeroMQ (libzmq), cppzmq: LGPL-3.0 with a linking exception, MIT",
        "CUTLASS, CUB: BSD-3-Clause; Thrust: Apache-2.0",
        "CUDA's runtime and libraries (cuBLAS, cuDNN, NVRTC, nvToolsExt, others): NVIDIA's terms",
        "NCCL: BSD-3-Clause",
        "libatomic: GPL-3.0 with the GCC Runtime Library Exception",
    ],
    "numpy": ["OpenBLAS, libgfortran, libquadmath: see LICENSES_bundled.txt below"],
    "opencv-python-headless": [
        "FFmpeg, OpenSSL, libpng, libvpx, OpenBLAS and others: see LICENSE-3RD-PARTY.txt below"
    ],
}

# Packages without a text of their own: where the image has it.
_ELSEWHERE = {"mprop": Path("/usr/share/common-licenses/LGPL-2.1")}

_INTRODUCTION = """\
What this image ships, and the licences that it is under.

megdump-ci itself is under the Apache License 2.0: /opt/megdump-ci/LICENSE. CPython's licence is
LICENSE.txt in the folder of its library, and each Debian package has its own in
/usr/share/doc/PACKAGE/copyright. This file is about the Python packages.
"""


@dataclass
class Package:
    """A package that is installed, with the licence texts that it brings, by their paths."""

    name: str
    version: str
    licence: str
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name as package registries compare it."""
        return re.sub(r"[-_.]+", "-", self.name).lower()


def packages(folders: Iterable[str]) -> list[Package]:
    """The packages in the ``folders``, by name; one that is in two of them stands twice."""
    found = [
        Package(
            distribution.name,
            distribution.version,
            _licence(distribution.metadata),
            dict(_texts(distribution)),
        )
        for folder in folders
        for distribution in importlib.metadata.distributions(path=[folder])
    ]
    for package in found:
        elsewhere = _ELSEWHERE.get(package.key)
        if not package.texts and elsewhere and elsewhere.exists():
            package.texts[str(elsewhere)] = elsewhere.read_text(encoding="utf-8")
    return sorted(found, key=lambda package: (package.key, package.version))


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    for name in ("License-Expression", "License"):
        lines = "".join(metadata.get_all(name) or []).strip().splitlines()
        if lines and lines[0] != "UNKNOWN":
            return lines[0].strip()
    classifiers = metadata.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    return ", ".join(named) or "see its text"


def _texts(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, str]]:
    for file in sorted(distribution.files or [], key=str):
        if _TEXT.fullmatch(file.name) and Path(file.name).suffix not in _CODE:
            path = Path(str(file.locate()))
            if path.is_file():
                yield str(file), path.read_text(encoding="utf-8", errors="replace")


def document(found: list[Package]) -> str:
    """The whole text. Raises :class:`ValueError` for packages that bring no licence text."""
    silent = [package.name for package in found if not package.texts]
    if silent:
        raise ValueError(
            f"no licence text in {', '.join(silent)}: find out what it is under, and add to"
            " _ELSEWHERE in image/licences.py where the text is"
        )
    lines = [_INTRODUCTION, "Packages", "--------", ""]
    for package in found:
        lines.append(f"{package.name} {package.version}: {package.licence}")
        lines += [f"    inside: {part}" for part in _INSIDE.get(package.key, [])]
    shown: dict[str, str] = {}
    for package in found:
        for path, text in package.texts.items():
            title = f"{package.name} {package.version}: {path}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            same = shown.setdefault(digest, title)
            body = text.rstrip() if same == title else f"The same text as that of {same}"
            lines += ["", "=" * 80, title, "=" * 80, "", body]
    return "\n".join(lines) + "\n"


def main(folders: list[str]) -> int:
    """Print the text; the exit status."""
    try:
        sys.stdout.write(document(packages(folders)))
    except ValueError as error:
        sys.stderr.write(f"licences: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
