"""Uploading what a run wrote: what it is called, how long it is kept, how far it is."""

from __future__ import annotations

import datetime
import hashlib
import html
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from megdump_ci.action import paths
from megdump_ci.action.artifact import Artifact, ArtifactService
from megdump_ci.action.bundle import Bundle, Entry
from megdump_ci.action.commands import Log
from megdump_ci.action.options import FORBIDDEN, ActionOptions
from megdump_ci.action.summary import escaped
from megdump_ci.errors import Problem
from megdump_ci.present.text import size_text

_LONGEST_NAME = 200
_EVERY = 10.0
"""Seconds between two lines that say how far it is."""


def due(options: ActionOptions, exit_status: int) -> bool:
    """Whether a run with that end is uploaded."""
    return options.upload == "true" or (options.upload == "on-failure" and exit_status != 0)


def upload(
    entries: Sequence[Entry], name: str, days: int, environ: Mapping[str, str], log: Log
) -> Artifact:
    """Upload the files as the artifact ``name``, which is kept for ``days``.

    Raises :class:`~megdump_ci.action.artifact.ArtifactError` with the reason if that is not
    possible.
    """
    service = ArtifactService(environ, log)
    expires = expiry(days, environ, log, datetime.datetime.now(datetime.timezone.utc))
    with log.phase(f"Upload artifact {name}"):
        bundle = Bundle(entries)
        for entry in entries:
            log.line(entry.name)
        artifact = service.upload(name, _watched(bundle, log), expires=expires)
        log.line(
            f"{size_text(artifact.size)} for {size_text(bundle.total)} of files, {artifact.digest}"
        )
    return artifact


def outputs(artifact: Artifact) -> dict[str, str]:
    """The outputs that tell the next steps of it."""
    return {"artifact-id": artifact.id, "artifact-digest": artifact.digest}


def summary(artifact: Artifact, environ: Mapping[str, str]) -> str:
    """What the job summary says of it."""
    server, repository, run = (
        environ.get(name, "")
        for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    )
    name = escaped(artifact.name)
    if server and repository and run:
        address = f"{server}/{repository}/actions/runs/{run}/artifacts/{artifact.id}"
        name = f'<a href="{html.escape(address)}">{name}</a>'
    size = size_text(artifact.size)
    return f"<p>Artifact: {name}, {size}, <code>{escaped(artifact.digest)}</code></p>\n\n"


def failure(problem: Problem) -> str:
    """What the job summary says where there is none."""
    hint = f"<br>{escaped(problem.hint)}" if problem.hint else ""
    return f"<p>\u26a0\ufe0f No artifact: {escaped(problem.message)}{hint}</p>\n\n"


def name_of(options: ActionOptions, model: str, root: Path) -> str:
    """The artifact's name: the one that was given, or one that no other model's has."""
    if options.artifact_name:
        return options.artifact_name
    path = paths.shown(model, root).removesuffix(".mge").strip("/")
    name = f"megdump-ci-{FORBIDDEN.sub('-', path)}"
    if len(name.encode()) > _LONGEST_NAME:
        name = f"megdump-ci-{hashlib.sha256(path.encode()).hexdigest()[:16]}-{name[-40:]}"
    return name


def expiry(days: int, environ: Mapping[str, str], log: Log, now: datetime.datetime) -> str:
    """When the artifact of ``now`` ends, as the service takes it; empty for the default."""
    most = environ.get("GITHUB_RETENTION_DAYS", "").strip()
    if most.isdecimal() and 0 < int(most) < days:
        log.warning(
            f"artifact-retention-days is {days}, and the repository allows {most}: so it is kept"
            f" for {most} days"
        )
        days = int(most)
    if not days:
        return ""
    return (now + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _watched(bundle: Bundle, log: Log) -> Iterator[bytes]:
    """The archive's chunks; what is taken of them has been uploaded, but for the last block."""
    done, again = 0, time.monotonic() + _EVERY
    for chunk in bundle.chunks():
        yield chunk
        done += len(chunk)
        if time.monotonic() >= again:
            again = time.monotonic() + _EVERY
            log.line(
                f"{size_text(done)} uploaded, {size_text(bundle.read)} of"
                f" {size_text(bundle.total)} read"
            )
