"""An artifact service on this machine that takes nothing but the protocol, and fails on demand.

Shapes as in ``actions/toolkit`` (packages/artifact/src/generated) and Azure's Put Block and Put
Block List; statuses as in Azure, Gitea and act.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

RUN, JOB = "ce7f54c7-61c7-4aae-887f-30da475f5f1a", "ca395085-040a-526b-2ce8-bdc85f692774"
# Characters that do not survive being decoded and encoded again.
SIGNATURE = "a%2Fb%2BCd-_0~!$'()*,;:@%3D="
DECODED = "a/b+Cd-_0~!$'()*,;:@=="
_SERVICE = "/twirp/github.actions.results.api.v1.ArtifactService/"
_LONGEST_BLOCK = 8 << 20


def token(scopes: str = f"Actions.Example Actions.Results:{RUN}:{JOB}") -> str:
    """A token as the runner gives it: a JWT, of which only the payload is looked at."""
    body = base64.urlsafe_b64encode(json.dumps({"scp": scopes}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmF0dXJl"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a request is answered with in place of success.

    ``reset`` cuts the connection in the middle of the body; ``lost`` does what was asked, and cuts
    it in place of the answer.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: bool = False
    lost: bool = False


class Service:
    """The service's state, and what it has seen."""

    def __init__(self, *, camel_case: bool = False, discard: bool = False) -> None:
        self.token = token()
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        """By the name of a request (``CreateArtifact``, ``block``, ``blocklist``, ...)."""
        self.broken: list[str] = []
        """What was not as the protocol has it."""
        self.seen: list[str] = []
        """The names of all requests, in their order."""
        self.created: dict[str, dict[str, Any]] = {}
        self.finished: dict[str, bytes] = {}
        self.passwords: list[str] = []
        """What proxies are told, in the order of the requests that went through this as one."""
        self.longest_block = 0
        self._camel_case = camel_case
        self._discard = discard
        self._empty()
        self.address = ""

    def _empty(self) -> None:
        """Begin a blob: artifacts come one after the other here."""
        self._blocks: dict[str, bytes] = {}
        self._arrived: list[str] = []
        self._blob: bytes | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def environ(self) -> dict[str, str]:
        """What a runner sets for its containers."""
        return {
            "ACTIONS_RUNTIME_TOKEN": self.token,
            "ACTIONS_RESULTS_URL": f"{self.address}/some/path?x=1",
        }

    @property
    def signed(self) -> str:
        """The address that it signs."""
        return (
            f"{self.address}/blob/a%20b?sv=2025-01-01&sig={SIGNATURE}&se=2026-01-01T00%3A00%3A00Z"
        )

    def rpc(self, method: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer a call of the service."""
        self.check(headers["Authorization"] == f"Bearer {self.token}", "no token")
        self.check(headers["Content-Type"] == "application/json", "no JSON")
        fields = json.loads(body)
        ids = [fields.pop(f"workflow_{kind}_backend_id") for kind in ("run", "job_run")]
        self.check(ids == [RUN, JOB], f"{method} for {ids}")
        name = fields.pop("name")
        if method == "CreateArtifact":
            return self._create(name, fields)
        if method == "FinalizeArtifact":
            return self._finalize(name, fields)
        return 404, {"code": "bad_route", "msg": f"no handler for {method}"}

    def _create(self, name: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.check(type(fields.pop("version")) is int, "version is no number")
        expires = fields.pop("expires_at", "2030-01-01T00:00:00Z")
        shape = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
        self.check(re.fullmatch(shape, expires) is not None, f"expires_at is {expires}")
        self.check(not fields, f"unknown fields {fields}")
        if name in self.created:
            text = "an artifact with this name already exists on the workflow run"
            return 409, {"code": "already_exists", "msg": f"Conflict: {text}"}
        self.created[name] = {"expires_at": expires}
        self._empty()
        key = "signedUploadUrl" if self._camel_case else "signed_upload_url"
        return 200, {"ok": True, key: self.signed}

    def _finalize(self, name: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.check(name in self.created, f"{name} was not created")
        self.check(self._blob is not None, "no list of blocks")
        digest = f"sha256:{self._digest.hexdigest()}"
        self.check(fields.pop("size") == str(self.size), "size is not the archive's, as text")
        self.check(fields.pop("hash") == digest, "hash is not the archive's")
        self.check(not fields, f"unknown fields {fields}")
        self.finished[name] = self._blob or b""
        key = "artifactId" if self._camel_case else "artifact_id"
        return 200, {"ok": True, key: "4294967297"}

    def put(self, target: str, headers: Any, body: bytes) -> None:
        """Take a block, or the list of them."""
        before, _, after = target.partition("&comp=")
        self.check(f"{self.address}{before}" == self.signed, f"the address became {before}")
        self.check("Authorization" not in headers, "the token went to the storage")
        if after == "blocklist":
            self.check(headers["x-ms-blob-content-type"] == "application/zip", "no zip")
            self._commit(body)
            return
        query = parse_qs(f"comp={after}", strict_parsing=True)
        self.check(query["comp"] == ["block"], f"comp={after}")
        (block,) = query["blockid"]
        base64.b64decode(block, validate=True)
        self.check(
            len({len(item) for item in (*self._arrived, block)}) == 1, "ids differ in length"
        )
        self.check(0 < len(body) <= _LONGEST_BLOCK, f"a block of {len(body)} bytes")
        self.longest_block = max(self.longest_block, len(body))
        if block not in self._blocks:
            self._arrived.append(block)
        if self._discard and block not in self._blocks:
            self._digest.update(body)
            self.size += len(body)
        self._blocks[block] = b"" if self._discard else body

    def _commit(self, body: bytes) -> None:
        root = ElementTree.fromstring(body)
        self.check(root.tag == "BlockList", f"a list that is {root.tag}")
        self.check({item.tag for item in root} <= {"Latest"}, "not the latest blocks")
        ids = [item.text for item in root]
        # act puts blocks together as they arrive.
        self.check(ids == self._arrived, "the list is not in the order in which blocks arrived")
        self._blob = b"".join(self._blocks[item or ""] for item in ids)
        if not self._discard:
            self._digest, self.size = hashlib.sha256(self._blob), len(self._blob)

    def check(self, right: bool, wrong: str) -> None:
        """Remember what is ``wrong`` unless it is ``right``."""
        if not right:
            self.broken.append(wrong)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: the client waits for the rest of it otherwise
    service: Service

    def do_POST(self) -> None:
        method = urlsplit(self.path).path.removeprefix(_SERVICE)
        self._handle(method, lambda body: self.service.rpc(method, self.headers, body))

    def do_PUT(self) -> None:
        name = (parse_qs(urlsplit(self.path).query).get("comp") or ["none"])[0]

        def store(body: bytes) -> tuple[int, None]:
            self.service.put(self.path, self.headers, body)
            return 201, None

        self._handle(name, store)

    def _handle(self, name: str, answer: Any) -> None:
        service = self.service
        service.seen.append(name)
        if password := self.headers["Proxy-Authorization"]:
            service.passwords.append(base64.b64decode(password.partition(" ")[2]).decode())
        faults = service.faults[name]
        fault = faults.pop(0) if faults else None
        service.check("Transfer-Encoding" not in self.headers, "a body of unknown length")
        length = int(self.headers["Content-Length"])
        if fault and fault.reset:
            self.rfile.read(length // 2)
            self._cut()
            return
        body = self.rfile.read(length)
        service.check(len(body) == length, "a body that ends early")
        if fault and not fault.lost:
            self._answer(fault.status, fault.body, fault.headers)
            return
        try:
            status, fields = answer(body)
        except (LookupError, ValueError) as error:
            service.broken.append(f"{name}: {error!r}")
            status, fields = 400, {"code": "malformed", "msg": "malformed"}
        if fault:
            self._cut()
            return
        self._answer(status, b"" if fields is None else json.dumps(fields).encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def handle_one_request(self) -> None:
        # A client may cut a connection too.
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """The standard error output is the test's."""


@contextlib.contextmanager
def running(**options: bool) -> Iterator[Service]:
    """A service that answers."""
    service = Service(**options)
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        service.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
