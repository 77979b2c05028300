"""The artifact service of the runner, version 4: an archive goes there in a few requests.

Its shapes are those of ``github.actions.results.api.v1`` in actions/toolkit (packages/artifact):
CreateArtifact gives a signed address of a block blob (Azure's), blocks and then the list of them
are put there, and FinalizeArtifact tells size and digest. nektos/act and Gitea have the same
service, of which act puts blocks one after the other in the order of their arrival, ignores their
list and refuses what it does not know (``mime_type``): so blocks go in order, one at a time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qs, quote, urlsplit

from megdump_ci.action.commands import Log
from megdump_ci.action.transport import (
    ATTEMPTS,
    PASSING,
    Answer,
    Transport,
    Unreachable,
    is_address,
)
from megdump_ci.errors import ExitStatus, MegdumpError
from megdump_ci.present.text import one_line

BLOCK = 8 << 20
"""Bytes of a block, as actions/upload-artifact sends them."""

_SERVICE = "twirp/github.actions.results.api.v1.ArtifactService"
_VERSION = 4
_SCOPE = "Actions.Results"
_NO_SERVICE = (
    "an older GitHub Enterprise Server has none, and a container that no runner started neither:"
    " give upload: false, and upload the files with what your server supports"
)
_AGAIN = "run the job again; the files are in the workspace until it ends"


class ArtifactError(MegdumpError):
    """There is no artifact: why, and what to do about it."""

    exit_status = ExitStatus.INPUT


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact as the service has it."""

    name: str
    id: str
    size: int
    """Bytes of the archive."""
    digest: str
    """``sha256:<hex>`` of the archive."""


class ArtifactService:
    """The artifact service that the job's environment names.

    Raises :class:`ArtifactError` if there is none. The token is masked in the log, and so is each
    address that the service signs.
    """

    def __init__(self, environ: Mapping[str, str], log: Log) -> None:
        names = ("ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL")
        missing = [name for name in names if not environ.get(name)]
        if missing:
            named = " and ".join(missing) + (" is" if len(missing) == 1 else " are")
            raise ArtifactError(f"there is no artifact service here: {named} not set", _NO_SERVICE)
        self._token, address = (environ[name].strip() for name in names)
        log.mask(self._token)
        self._run, self._job = _scope(self._token)
        self._origin = _origin(address)
        self._log = log
        self._transport = Transport(environ, log.line)

    def upload(self, name: str, chunks: Iterable[bytes], *, expires: str = "") -> Artifact:
        """Make the artifact ``name`` of a zip archive that comes in ``chunks``.

        ``expires`` is a time of RFC 3339 in UTC; without it the repository's retention applies.
        No more than a block of the archive is held. Raises :class:`ArtifactError`.
        """
        blob = Blob(self._transport, self._create(name, expires))
        for chunk in chunks:
            blob.add(chunk)
        blob.finish()
        fields = {"name": name, "size": str(blob.size), "hash": blob.digest}
        answered = self._call("FinalizeArtifact", fields)
        number = _field(answered, "artifact_id", "artifactId")
        if not number.isdecimal():
            _unclear("FinalizeArtifact", "no artifact_id")
        return Artifact(name=name, id=number, size=blob.size, digest=blob.digest)

    def _create(self, name: str, expires: str) -> str:
        fields: dict[str, object] = {"name": name, "version": _VERSION}
        if expires:
            fields["expires_at"] = expires
        answered = self._call("CreateArtifact", fields)
        address = _field(answered, "signed_upload_url", "signedUploadUrl")
        self._mask(address)
        if not is_address(address):
            _unclear("CreateArtifact", "no signed_upload_url")
        return address

    def _mask(self, address: str) -> None:
        self._log.mask(address)
        query = address.partition("?")[2]
        raw = [part[4:] for part in query.split("&") if part.startswith("sig=")]
        for signature in dict.fromkeys([*raw, *parse_qs(query).get("sig", [])]):
            self._log.mask(signature)

    def _call(self, method: str, fields: Mapping[str, object]) -> dict[str, object]:
        ids = {"workflow_run_backend_id": self._run, "workflow_job_run_backend_id": self._job}
        answer = _sent(
            self._transport,
            method,
            "POST",
            f"{self._origin}/{_SERVICE}/{method}",
            body=json.dumps({**ids, **fields}).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        if answer.status != 200:
            _refused(method, answer, str(fields["name"]))
        if answer.fields.get("ok") is not True:
            _unclear(method, "it is not ok")
        return answer.fields


class Blob:
    """A block blob at a signed address, filled from its beginning to its end."""

    def __init__(self, transport: Transport, address: str) -> None:
        self._transport = transport
        self._address = address
        self._digest = hashlib.sha256()
        self._block = bytearray()
        self._ids: list[str] = []
        # Gitea keeps the blocks of all artifacts of a run together.
        self._prefix = secrets.token_hex(8)
        self.size = 0

    @property
    def digest(self) -> str:
        """Of what was added so far: ``sha256:<hex>``."""
        return f"sha256:{self._digest.hexdigest()}"

    def add(self, data: bytes) -> None:
        """Add to the end; what fills a block is sent at once."""
        self._digest.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            room = BLOCK - len(self._block)
            self._block += rest[:room]
            rest = rest[room:]
            if len(self._block) == BLOCK:
                self._send_block()

    def finish(self) -> None:
        """Send what is left, and the list that makes the blocks a file."""
        if self._block:
            self._send_block()
        listed = "".join(f"<Latest>{block}</Latest>" for block in self._ids)
        self._put(
            "the list of blocks",
            "blocklist",
            f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode(),
            {"Content-Type": "application/xml", "x-ms-blob-content-type": "application/zip"},
        )

    def _send_block(self) -> None:
        # All ids of a blob have the same length (Azure's rule).
        block = base64.b64encode(f"{self._prefix}{len(self._ids):08d}".encode()).decode()
        self._put(
            f"block {len(self._ids) + 1}",
            f"block&blockid={quote(block, safe='')}",
            self._block,
            {"Content-Type": "application/octet-stream"},
        )
        self._ids.append(block)
        self._block.clear()

    def _put(
        self, what: str, component: str, body: bytes | bytearray, headers: Mapping[str, str]
    ) -> None:
        # Nothing in the address is decoded and encoded anew: that can break its signature.
        sign = "&" if "?" in self._address else "?"
        url = f"{self._address}{sign}comp={component}"
        answer = _sent(self._transport, what, "PUT", url, body=body, headers=headers)
        # act answers 200 to what it ignores.
        if answer.status != 201:
            _not_stored(what, answer)


def _scope(token: str) -> tuple[str, str]:
    """The ids of run and job that the token is for."""
    parts = token.split(".")
    payload: object = None
    if len(parts) == 3:
        try:
            body = parts[1]
            payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (binascii.Error, ValueError):
            payload = None
    scopes = str(payload.get("scp", "")) if isinstance(payload, dict) else ""
    for scope in scopes.split():
        kind, *ids = scope.split(":")
        if kind == _SCOPE and len(ids) == 2 and all(ids):
            return ids[0], ids[1]
    raise ArtifactError(
        "there is no artifact service of version 4 here: the job's ACTIONS_RUNTIME_TOKEN is not"
        f" for {_SCOPE}",
        _NO_SERVICE,
    )


def _origin(address: str) -> str:
    if not is_address(address):
        raise ArtifactError(
            f"ACTIONS_RESULTS_URL is '{one_line(address)}', which is no http address",
            "the runner sets it: see how it was set up",
        )
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _field(fields: Mapping[str, object], *names: str) -> str:
    """A field that is text or a number, under the first of its names; empty if it is not there."""
    found = next((fields[name] for name in names if name in fields), "")
    return str(found) if isinstance(found, str | int) else ""


def _sent(
    transport: Transport,
    what: str,
    method: str,
    url: str,
    *,
    body: bytes | bytearray,
    headers: Mapping[str, str],
) -> Answer:
    try:
        return transport.send(what, method, url, body=body, headers=headers)
    except Unreachable as error:
        host = urlsplit(url).hostname
        raise ArtifactError(
            f"{what}: no answer from {host} in {ATTEMPTS} attempts: {one_line(str(error))}",
            f"a runner of your own has to reach {host}, and the containers on it too, if need be"
            f" through https_proxy; otherwise {_AGAIN}",
        ) from error


def _said(answer: Answer) -> str:
    """Status and message of an answer, of unknown origin, in one line."""
    text = answer.fields.get("msg") or answer.headers.get("x-ms-error-code") or ""
    attempts = f" in {answer.attempts} attempts" if answer.attempts > 1 else ""
    return f"HTTP {answer.status}{attempts}" + (f", {one_line(str(text), 300)}" if text else "")


def _refused(method: str, answer: Answer, name: str) -> NoReturn:
    """Raise what the service means by a status that is not 200."""
    said = _said(answer)
    if answer.status == 409 and method == "CreateArtifact":
        lost = (
            " (or made by the attempt whose answer was lost: then run the job again)"
            if answer.attempts > 1
            else ""
        )
        raise ArtifactError(
            f"the run already has an artifact named {one_line(name)}{lost}: {said}",
            "give each job and step a name of its own; in a matrix, such as artifact-name:"
            " megdump-ci-${{ strategy.job-index }}",
        )
    if answer.status == 403 and "insufficient usage" in said:
        raise ArtifactError(
            f"the account has no room for more artifacts: {said}",
            "delete old ones, and give artifact-retention-days to keep new ones for a shorter time;"
            " GitHub counts anew every 6 to 12 hours",
        )
    if answer.status == 401:
        raise ArtifactError(
            f"the artifact service does not take the job's token: {said}",
            "a token ends with its job; run the job again",
        )
    if answer.status in (404, 405, 501):
        raise ArtifactError(
            f"the server has no artifact service of version 4: {method}: {said}", _NO_SERVICE
        )
    hint = _AGAIN if answer.status in PASSING else "see what the server says"
    raise ArtifactError(f"the artifact service refused {method}: {said}", hint)


def _unclear(method: str, why: str) -> NoReturn:
    raise ArtifactError(
        f"the artifact service did not answer {method} as expected: {why}",
        "the server may have another version of the service: upload the files with what it"
        " supports",
    )


def _not_stored(what: str, answer: Answer) -> NoReturn:
    hint = _AGAIN
    if answer.status == 403:
        hint = (
            "the address may have expired, or a firewall before a"
            f" runner of your own does not let it pass; otherwise {_AGAIN}"
        )
    raise ArtifactError(f"the storage did not take {what}: {_said(answer)}", hint)
