"""The container's image of this tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a build needs from this machine to reach a package registry, if it is set here.
_FORWARDED = ("PIP_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run docker; with ``check``, its error output is the message of the failure."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {arguments[0]}: {done.stderr}"
    return done


def build(tag: str) -> str:
    """Build the image of this tree, or the part of it that changed; the ``tag`` that it gets."""
    assert shutil.which("docker"), "these tests need docker: install it"
    assert docker("info", check=False).returncode == 0, "no Docker engine answers: start one"
    forwarded = [
        part for name in _FORWARDED if name in os.environ for part in ("--build-arg", name)
    ]
    docker("build", "--quiet", "--tag", tag, *forwarded, str(ROOT))
    return tag
