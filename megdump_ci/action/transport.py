"""HTTP requests of the artifact upload: other attempts where they may help, no redirects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError
from urllib3.util import Retry, Timeout, make_headers, parse_url

from megdump_ci import __version__

ATTEMPTS = 5
"""How often a request is sent before it is given up."""

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that the same request may not meet again."""

_BACKOFF = 1.5
"""Breaks between attempts are 0, 3, 6 and 12 seconds, unless the server gives another."""
_LONGEST_BREAK = 60
_JITTER = 1.0
"""Up to so many seconds more: the jobs of a matrix are not all back at the same time."""
_TIMEOUT = Timeout(connect=30, read=120)
"""Seconds for a connection and for each piece that is sent, and for each part of the answer."""
_PIECE = 1 << 16
_LONGEST_ANSWER = 1 << 16
_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]+){3}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered; ``attempts`` is how often it was asked."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    attempts: int

    @property
    def fields(self) -> dict[str, object]:
        """The JSON object in the body; empty if there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Unreachable(Exception):
    """No attempt got an answer. The text is of unknown origin, and holds no address."""


class Transport:
    """Sends requests one after the other; ``say`` is told of each attempt that failed.

    Of ``environ`` it takes ``https_proxy``, ``http_proxy`` and ``no_proxy`` (also in capitals),
    which the runner hands to the container from its own settings, and nothing else. A connection
    to this machine never goes through a proxy.
    """

    def __init__(self, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._environ = environ
        self._say = say
        self._retry = Retry(
            total=ATTEMPTS - 1,
            allowed_methods=None,
            backoff_factor=_BACKOFF,
            backoff_jitter=_JITTER,
            retry_after_max=_LONGEST_BREAK,
        )
        self._pools: dict[str, urllib3.PoolManager] = {}

    def send(
        self,
        what: str,
        method: str,
        url: str,
        *,
        body: bytes | bytearray,
        headers: Mapping[str, str],
    ) -> Answer:
        """Send a request until it is answered for good; ``what`` is its name in messages.

        Raises :class:`Unreachable` if the last attempt met no answer either.
        """
        # urllib3's own repeating would log the address, which is a secret here.
        retry = self._retry
        attempt = 0
        while True:
            attempt += 1
            response = None
            try:
                response = self._pool(url).request(
                    method,
                    url,
                    body=_pieces(body),
                    headers={
                        "User-Agent": f"megdump-ci/{__version__}",
                        "Content-Length": str(len(body)),
                        **headers,
                    },
                    timeout=_TIMEOUT,
                    retries=False,
                    preload_content=False,
                )
                answer = Answer(
                    status=response.status,
                    body=_content(response),
                    headers=response.headers,
                    attempts=attempt,
                )
            except HTTPError as error:
                why = cause(error)
                if attempt == ATTEMPTS:
                    raise Unreachable(why) from error
            else:
                if answer.status not in PASSING or attempt == ATTEMPTS:
                    return answer
                why = f"HTTP {answer.status}"
            self._say(f"{what}: attempt {attempt} of {ATTEMPTS} failed: {why}")
            retry = retry.increment(method, "")
            _sleep(retry, response)

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = proxy_for(self._environ, url)
        if proxy not in self._pools:
            self._pools[proxy] = _through(proxy) if proxy else urllib3.PoolManager()
        return self._pools[proxy]


def is_address(text: str) -> bool:
    """Whether a request can be sent to ``text``."""
    try:
        parts = parse_url(text)
    except LocationParseError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)


def proxy_for(environ: Mapping[str, str], url: str) -> str:
    """The address of the proxy that requests for ``url`` go through; empty for none."""
    parts = urlsplit(url)
    if _LOOPBACK.fullmatch(parts.hostname or ""):
        return ""
    proxy = _variable(environ, f"{parts.scheme}_proxy")
    excepted = _variable(environ, "no_proxy").lower().split(",")
    if not proxy or any(_matches(parts, item.strip()) for item in excepted):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _matches(address: SplitResult, item: str) -> bool:
    """Whether an item of ``no_proxy`` is the host (with its port or not) or a domain above it."""
    domain = item.lstrip(".")
    hosts = (address.hostname or "", address.netloc.lower())
    return item == "*" or any(f".{host}".endswith(f".{domain}") for host in hosts if domain)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _through(proxy: str) -> urllib3.PoolManager:
    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = make_headers(proxy_basic_auth=user)
    return urllib3.ProxyManager(proxy, proxy_headers=headers)


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """``body`` in pieces: a socket's time limit is for all that one call sends."""
    for start in range(0, len(body), _PIECE):
        yield bytes(body[start : start + _PIECE])


def _content(response: urllib3.BaseHTTPResponse) -> bytes:
    """The beginning of the body; no answer that is understood here is longer."""
    body = response.read(_LONGEST_ANSWER + 1)
    if len(body) > _LONGEST_ANSWER:
        response.close()
    response.release_conn()
    return body


def _sleep(retry: Retry, response: urllib3.BaseHTTPResponse | None) -> None:
    try:
        retry.sleep(response)
    except InvalidHeader:
        retry.sleep()


def cause(error: HTTPError) -> str:
    """What went wrong, without the parts that only a programmer reads."""
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, OSError):
            return inner.strerror or str(inner)
    return str(error)
