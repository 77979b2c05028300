"""A release, as .github/workflows/release.yml makes it.

``check TAG`` demands that the tag is this tree's version and prints the release notes of
CHANGELOG.md. ``base`` prints the Dockerfile's base image by its digest of now, so that what
was built on can be had again. ``publish TAG --image IMAGE`` adds a commit whose action.yml names
the image, and moves the tag, and the major tag with it, to that commit: so
``uses: megdump-ci/megdump-ci@v1`` pulls what was built and tested, and builds nothing. It runs with
any Python 3.10 or newer.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

_AUTHOR = ("-c", "user.name=megdump-ci release", "-c", "user.email=release@megdump-ci.invalid")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


def notes(root: Path, tag: str) -> str:
    """The part of CHANGELOG.md about the version that ``tag`` names.

    Raises :class:`ValueError` if that is not the version of the tree, or has no such part.
    """
    source = (root / "megdump_ci" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    version = found[1] if found else ""
    if tag != f"v{version}":
        raise ValueError(
            f"the tag is {tag} and megdump_ci.__version__ is '{version}': tag the commit that"
            " changes the version"
        )
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    part = re.search(
        rf"^## \[?{re.escape(version)}\b.*\n((?:(?!^## ).*\n?)*)", changelog, re.MULTILINE
    )
    if not part or not part[1].strip():
        raise ValueError(f"CHANGELOG.md says nothing about {version}: add '## {version}'")
    return part[1].strip() + "\n"


def base(root: Path) -> str:
    """``NAME:TAG@sha256:...`` of the base image; :class:`ValueError` if no registry tells it."""
    dockerfile = (root / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE)
    if not found:
        raise ValueError("the Dockerfile has no line ARG BASE=IMAGE")
    command = ["docker", "buildx", "imagetools", "inspect", found[1]]
    command += ["--format", "{{ .Manifest.Digest }}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    digest = done.stdout.strip()
    if done.returncode or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{found[1]} has no digest: {done.stderr.strip() or repr(digest)}")
    return f"{found[1]}@{digest}"


def publish(root: Path, tag: str, image: str) -> list[str]:
    """Commit, move the tags and push them; the names of the tags.

    Raises :class:`ValueError` if the remote's tag is not on this commit: then the version has been
    released already, or the tag was moved while the image was built.
    """
    remote = _remote_tags(root)
    here = _git(root, "rev-parse", "HEAD")
    if remote.get(f"{tag}^{{}}", remote.get(tag)) != here:
        raise ValueError(
            f"{tag} of origin is not on commit {here}, of which the image was built: a version is"
            " released once; tag a new one"
        )
    _write_manifest(root, image)
    _git(root, *_AUTHOR, "commit", "--quiet", "-m", f"Release {tag} with its image", "action.yml")
    moved = [tag, *_major(tag, remote)]
    # Nobody else's move of the tag is overwritten, and either all tags move or none does.
    lease = f"--force-with-lease=refs/tags/{tag}:{remote[tag]}"
    pushed = [f"+HEAD:refs/tags/{name}" for name in moved]
    _git(root, "push", "--quiet", "--atomic", lease, "origin", *pushed)
    return moved


def _major(tag: str, remote: dict[str, str]) -> list[str]:
    """The major tag, unless it stands on a newer version: an old one can get a fix too."""
    version = _version(tag)
    later = [name for name in remote if _TAG.fullmatch(name) and _version(name)[0] == version[0]]
    return [f"v{version[0]}"] if version == max(map(_version, [tag, *later])) else []


def _version(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag[1:].split(".")))


def _remote_tags(root: Path) -> dict[str, str]:
    """The objects of the remote's tags by name; ``NAME^{}`` is what an annotated one points to."""
    lines = _git(root, "ls-remote", "--tags", "origin").splitlines()
    pairs = (line.split("\t") for line in lines)
    return {name.removeprefix("refs/tags/"): identity for identity, name in pairs}


def _write_manifest(root: Path, image: str) -> None:
    command = [sys.executable, "-m", "megdump_ci.action.manifest", "--image", image]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    (root / "action.yml").write_text(done.stdout, encoding="utf-8")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _done(given: argparse.Namespace, root: Path) -> str:
    if given.command == "base":
        return f"{base(root)}\n"
    text = notes(root, given.tag)
    if given.command == "publish":
        text = f"moved {', '.join(publish(root, given.tag, given.image))}\n"
    return text


def main(arguments: list[str], root: Path) -> int:
    """Do what the arguments say in the tree at ``root``; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("base")
    for name in ("check", "publish"):
        command = commands.add_parser(name)
        command.add_argument("tag")
    command.add_argument("--image", required=True)
    given = parser.parse_args(arguments)
    try:
        text = _done(given, root)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
