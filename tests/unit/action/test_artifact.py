from __future__ import annotations

import base64
import datetime
import hashlib
import io
import json
from collections.abc import Iterator
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.action import artifact
from megdump_ci.action.artifact import Artifact, ArtifactError, ArtifactService
from megdump_ci.action.commands import Log
from megdump_ci.action.transport import ATTEMPTS, proxy_for
from tests.unit.action import service
from tests.unit.action.service import Fault, Service

CONTENT = bytes(range(256)) * 18  # 4608 bytes: four full blocks of 1000 and a part of one
STEPS = ("CreateArtifact", "block", "blocklist", "FinalizeArtifact")
_ONCE = ["CreateArtifact", *["block"] * 5, "blocklist", "FinalizeArtifact"]


@pytest.fixture(autouse=True)
def breaks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The breaks between attempts, which take no time; and small blocks."""
    found: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", found.append)
    monkeypatch.setattr(artifact, "BLOCK", 1000)
    return found


@pytest.fixture
def server() -> Iterator[Service]:
    with service.running() as found:
        yield found
    assert found.broken == []


def upload(server: Service, **expires: str) -> tuple[Artifact, str]:
    """Upload the content in odd pieces; the artifact and the log."""
    stream = io.StringIO()
    chunks = (CONTENT[start : start + 777] for start in range(0, len(CONTENT), 777))
    made = ArtifactService(server.environ, Log(stream)).upload("model", chunks, **expires)
    return made, stream.getvalue()


def failing(server: Service) -> str:
    """Upload in vain; the message and the hint. Nothing secret is in them."""
    with pytest.raises(ArtifactError) as caught:
        upload(server)
    (problem,) = caught.value.problems
    assert problem.hint
    for secret in (service.SIGNATURE, service.DECODED, server.token):
        assert secret not in str(problem)
    return str(problem)


@pytest.mark.parametrize("camel_case", [False, True])
def test_what_is_uploaded_arrives(camel_case: bool) -> None:
    with service.running(camel_case=camel_case) as server:
        made, log = upload(server)
    assert server.broken == []
    assert server.finished == {"model": CONTENT}
    assert server.seen == _ONCE
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert made == Artifact(name="model", id="4294967297", size=len(CONTENT), digest=digest)
    assert "attempt" not in log


def test_how_long_it_is_kept(server: Service) -> None:
    upload(server, expires="2026-02-03T04:05:06Z")
    assert server.created["model"]["expires_at"] == "2026-02-03T04:05:06Z"


@given(cuts=st.lists(st.binary(max_size=30), max_size=30))
def test_however_it_is_cut_the_blocks_are_the_whole(cuts: list[bytes]) -> None:
    class Kept:
        def __init__(self) -> None:
            self.bodies: list[bytes] = []
            self.ids: list[str] = []

        def send(self, what: str, method: str, url: str, *, body: Any, headers: Any) -> Any:
            self.bodies.append(bytes(body))
            self.ids += parse_qs(urlsplit(url).query).get("blockid", [])
            return artifact.Answer(status=201, body=b"", headers={}, attempts=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "BLOCK", 7)
        kept = Kept()
        blob = artifact.Blob(kept, "http://host/blob")  # type: ignore[arg-type]
        for cut in cuts:
            blob.add(cut)
        blob.finish()
    whole = b"".join(cuts)
    *blocks, _ = kept.bodies
    assert b"".join(blocks) == whole
    assert all(len(block) == 7 for block in blocks[:-1])
    assert len(set(kept.ids)) == len(blocks)
    assert len(set(map(len, kept.ids))) <= 1
    assert blob.size == len(whole)
    assert blob.digest == f"sha256:{hashlib.sha256(whole).hexdigest()}"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429),
        Fault(status=500, body=b"<html>"),
        Fault(status=503),
        Fault(status=503, headers={"Retry-After": "soon"}),
        Fault(reset=True),
    ],
    ids=["429", "500", "503", "a nonsense break", "cut off"],
)
def test_what_passes_is_tried_again(server: Service, step: str, fault: Fault) -> None:
    server.faults[step] = [fault] * (ATTEMPTS - 1)
    _, log = upload(server)
    assert server.finished == {"model": CONTENT}
    assert len(server.seen) == len(_ONCE) + ATTEMPTS - 1
    for attempt in range(1, ATTEMPTS):
        assert f": attempt {attempt} of {ATTEMPTS} failed: " in log
    assert f"attempt {ATTEMPTS} of" not in log


def test_a_block_whose_answer_was_lost_is_sent_again(server: Service) -> None:
    server.faults["block"] = [Fault(lost=True)]
    upload(server)
    assert server.finished == {"model": CONTENT}


def test_breaks_grow(server: Service, breaks: list[float]) -> None:
    server.faults["block"] = [Fault(status=503)] * 4
    upload(server)
    assert len(breaks) == 3, "the second attempt is made at once"
    assert all(least <= found <= least + 1 for least, found in zip((3, 6, 12), breaks, strict=True))


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("7", 7, 7), ("86400", 60, 60), ("date", 30, 40), ("0", 0, 0)]
)
def test_the_server_says_how_long_a_break_is(
    server: Service, breaks: list[float], asked: str, least: float, most: float
) -> None:
    if asked == "date":
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=40)
        asked = format_datetime(later, usegmt=True)
    server.faults["CreateArtifact"] = [Fault(status=429, headers={"Retry-After": asked})]
    upload(server)
    assert least <= sum(breaks) <= most


@pytest.mark.parametrize("step", STEPS)
def test_after_five_attempts_it_says_what_the_server_said(server: Service, step: str) -> None:
    server.faults[step] = [Fault(status=503, body=b'{"msg":"not now"}')] * 9
    text = failing(server)
    assert "HTTP 503 in 5 attempts" in text
    assert server.seen.count(step) == ATTEMPTS
    assert "run the job again" in text
    assert not server.finished


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_never_answers(server: Service, step: str) -> None:
    server.faults[step] = [Fault(reset=True)] * 9
    text = failing(server)
    assert "no answer from 127.0.0.1 in 5 attempts: Connection reset by peer" in text
    assert not server.finished


def test_a_server_that_is_not_there(server: Service) -> None:
    environ = {**server.environ, "ACTIONS_RESULTS_URL": "http://127.0.0.1:9/"}
    with pytest.raises(ArtifactError, match=r"no answer from 127\.0\.0\.1 .*: Connection refused"):
        ArtifactService(environ, Log(io.StringIO())).upload("model", [CONTENT])


def test_a_name_that_another_job_has(server: Service) -> None:
    upload(server)
    text = failing(server)
    assert "the run already has an artifact named model" in text
    assert "artifact-name: megdump-ci-${{ strategy.job-index }}" in text
    assert server.seen.count("CreateArtifact") == 2, "it is not tried again"
    assert "lost" not in text


def test_a_name_that_the_lost_attempt_took(server: Service) -> None:
    server.faults["CreateArtifact"] = [Fault(lost=True)]
    assert "made by the attempt whose answer was lost" in failing(server)


@pytest.mark.parametrize(
    ("step", "status", "body", "said"),
    [
        ("CreateArtifact", 403, b'{"msg":"insufficient usage to create artifact"}', "no room"),
        ("CreateArtifact", 403, b'{"msg":"policy"}', "refused CreateArtifact: HTTP 403, policy"),
        ("CreateArtifact", 400, b'{"msg":"bad name"}', "HTTP 400, bad name"),
        ("CreateArtifact", 401, b"", "does not take the job's token"),
        ("CreateArtifact", 404, b"<html>", "no artifact service of version 4"),
        ("CreateArtifact", 302, b"", "HTTP 302"),
        ("CreateArtifact", 200, b"<html>", "did not answer CreateArtifact as expected"),
        ("CreateArtifact", 200, b"[1]", "did not answer CreateArtifact as expected"),
        ("CreateArtifact", 200, b'{"ok":false}', "it is not ok"),
        ("CreateArtifact", 200, b'{"ok":true}', "no signed_upload_url"),
        ("CreateArtifact", 200, b'{"ok":true,"signed_upload_url":"file:///x"}', "no signed_upload"),
        ("CreateArtifact", 200, b'{"ok":true,"signed_upload_url":{"a":1}}', "no signed_upload_url"),
        ("CreateArtifact", 200, b'{"ok":true,"signed_upload_url":"http://[x"}', "no signed_upload"),
        ("block", 403, b"<Error/>", "the storage did not take block 1: HTTP 403"),
        ("block", 200, b"", "the storage did not take block 1: HTTP 200"),
        ("blocklist", 400, b"", "did not take the list of blocks: HTTP 400"),
        ("FinalizeArtifact", 200, b'{"ok":true}', "no artifact_id"),
        ("FinalizeArtifact", 200, b'{"ok":true,"artifact_id":"../1"}', "no artifact_id"),
        ("FinalizeArtifact", 400, b'{"msg":"hash"}', "HTTP 400, hash"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(
    server: Service, step: str, status: int, body: bytes, said: str
) -> None:
    server.faults[step] = [Fault(status=status, body=body)]
    assert said in failing(server)
    assert server.seen.count(step) == 1


def test_a_redirect_gets_no_token(server: Service) -> None:
    with service.running() as other:
        where = {"Location": f"{other.address}/elsewhere"}
        server.faults["CreateArtifact"] = [Fault(status=307, headers=where)]
        assert "HTTP 307" in failing(server)
    assert other.seen == []


def test_what_a_server_says_is_one_harmless_line(server: Service) -> None:
    said = "\n::error::evil\r##[error]evil\x1b[2J" + "x" * 5000
    body = json.dumps({"msg": said}).encode()
    server.faults["CreateArtifact"] = [Fault(status=400, body=body)]
    message = failing(server).splitlines()[0]
    assert "\r" not in message
    assert "\x1b" not in message
    assert len(message) < 500


def test_an_answer_without_an_end_is_not_read(server: Service) -> None:
    fields = {"ok": True, "signed_upload_url": server.signed, "more": "x" * (1 << 20)}
    server.faults["CreateArtifact"] = [Fault(status=200, body=json.dumps(fields).encode())]
    assert "did not answer CreateArtifact as expected" in failing(server)


@pytest.mark.parametrize("camel_case", [False, True])
def test_secrets_are_masked_before_anything_else(runner: Any, camel_case: bool) -> None:
    with service.running(camel_case=camel_case) as server:
        server.faults["block"] = [Fault(status=503), Fault(reset=True)]
        _, log = upload(server)
    masked = [item.message for item in runner.commands(log) if item.name == "add-mask"]
    signed = {server.signed, service.SIGNATURE, service.DECODED}
    assert set(masked) == {server.token, *signed}
    assert masked[0] == server.token
    rest = "".join(line for line in log.splitlines() if not line.startswith("::add-mask"))
    for secret in masked:
        assert secret not in rest
    assert "HTTP 503" in rest


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"ACTIONS_RUNTIME_TOKEN"}, "ACTIONS_RUNTIME_TOKEN is not set"),
        ({"ACTIONS_RESULTS_URL"}, "ACTIONS_RESULTS_URL is not set"),
        (
            {"ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL"},
            "ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL are not set",
        ),
    ],
)
def test_without_a_service_it_says_so(server: Service, missing: set[str], said: str) -> None:
    environ = {name: value for name, value in server.environ.items() if name not in missing}
    for variables in (environ, {**environ, **dict.fromkeys(missing, "")}):
        with pytest.raises(ArtifactError, match=said) as caught:
            ArtifactService(variables, Log(io.StringIO()))
        assert "upload: false" in caught.value.problems[0].hint
    assert server.seen == []


@pytest.mark.parametrize("address", ["nonsense", "//host", "ftp://host", "http://", "http://[x"])
def test_an_address_that_is_none(server: Service, address: str) -> None:
    environ = {**server.environ, "ACTIONS_RESULTS_URL": address}
    with pytest.raises(ArtifactError, match="which is no http address"):
        ArtifactService(environ, Log(io.StringIO()))


scopes = st.text() | st.sampled_from(
    ["", "Actions.Results", "Actions.Results:1", "Actions.Results:1:", "Actions.Results:1:2:3"]
)


@given(
    scopes.map(service.token)
    | st.text(min_size=1)
    | st.binary().map(lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode()}.b")
)
def test_a_token_of_another_kind_is_no_service(token: str) -> None:
    environ = {"ACTIONS_RUNTIME_TOKEN": token, "ACTIONS_RESULTS_URL": "http://host"}
    with pytest.raises(ArtifactError, match="there is no artifact service"):
        ArtifactService(environ, Log(io.StringIO()))


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://a.com/x", ""),
        ({"https_proxy": "http://p:1"}, "https://a.com/x", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://a.com/x", "http://p:1"),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "q:1"}, "https://a.com", "http://p:1"),
        ({"http_proxy": "p:1"}, "https://a.com", ""),
        ({"all_proxy": "p:1"}, "https://a.com", ""),
        ({"http_proxy": "p:1"}, "http://a.com", "http://p:1"),
        ({"http_proxy": "p:1"}, "http://127.0.0.1:8/x", ""),
        ({"http_proxy": "p:1"}, "http://localhost:8/x", ""),
        ({"http_proxy": "p:1"}, "http://[::1]:8/x", ""),
        ({"http_proxy": "p:1"}, "http://localhost.evil.com", "http://p:1"),
        ({"https_proxy": "p:1", "no_proxy": "*"}, "https://a.com", ""),
        ({"https_proxy": "p:1", "NO_PROXY": "b.com, .A.com"}, "https://x.a.com", ""),
        ({"https_proxy": "p:1", "no_proxy": "a.com"}, "https://a.com:8443", ""),
        ({"https_proxy": "p:1", "no_proxy": "a.com:8443"}, "https://a.com:8443", ""),
        ({"https_proxy": "p:1", "no_proxy": "a.com:1"}, "https://a.com:8443", "http://p:1"),
        ({"https_proxy": "p:1", "no_proxy": "a.com"}, "https://ba.com", "http://p:1"),
        ({"https_proxy": "p:1", "no_proxy": ",, "}, "https://a.com", "http://p:1"),
    ],
)
def test_the_proxy_that_is_asked(environ: dict[str, str], url: str, proxy: str) -> None:
    assert proxy_for(environ, url) == proxy


def test_a_proxy_gets_its_password(server: Service) -> None:
    proxy = server.address.replace("http://", "http://us%40er:pa%3Ass@")
    environ = {**server.environ, "http_proxy": proxy, "ACTIONS_RESULTS_URL": "http://a.invalid"}
    ArtifactService(environ, Log(io.StringIO())).upload("model", [CONTENT])
    # The service is asked through it; the storage is on this machine here.
    assert server.passwords == ["us@er:pa:ss", "us@er:pa:ss"]
