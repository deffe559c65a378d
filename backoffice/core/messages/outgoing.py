"""Sending a request to an address that somebody typed in, without letting it reach what is not public.

The name is resolved here, every address it has must be public, and the connection goes to the very address that was
looked at: a name that answers otherwise a moment later (DNS rebinding) gains nothing. Redirects are never followed,
proxies of the environment are ignored, the answer is read up to a bound, and a watchdog ends the whole exchange at its
deadline, however slowly the other side drips.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from backoffice.kernel.errors import InvalidInput

MAX_URL_LENGTH = 500
DEADLINE_SECONDS = 10.0
MAX_ANSWER_BYTES = 2048
MAX_ADDRESSES_TRIED = 2
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# Public by their number, but they carry another address inside, which need not be.
_TRANSLATING = [
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of sending: the status, or why there is none."""

    status: int | None
    excerpt: str
    error: str
    duration_ms: int
    retry_after: int | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver said that it has it."""
        return self.status is not None and 200 <= self.status < 300


class _RefusedError(Exception):
    """Nothing was sent, on purpose."""


def checked_url(url: str) -> str:
    """The address as given, if something may be sent there at all. Raises InvalidInput; names are looked at on sending."""
    text = url.strip()
    if (
        not 0 < len(text) <= MAX_URL_LENGTH
        or not text.isascii()
        or any(c.isspace() or not c.isprintable() for c in text)
    ):
        raise InvalidInput("An address has at most 500 printable ASCII characters.", field="url")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidInput("This is no address.", field="url") from None
    if parts.username or parts.password or parts.fragment or not parts.hostname or port == 0:
        raise InvalidInput("An address has a host, and neither a user nor a fragment.", field="url")
    is_local = settings.WEBHOOKS_ALLOW_LOCAL and parts.hostname in LOCAL_NAMES
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise InvalidInput("Only https addresses are sent to.", field="url")
    with contextlib.suppress(ValueError):
        if not _may_be_reached(str(ipaddress.ip_address(parts.hostname))):
            raise InvalidInput("This address is not a public one.", code="address_not_public", field="url")
    return text


def post(*, url: str, body: bytes, headers: Mapping[str, str], deadline_seconds: float = DEADLINE_SECONDS) -> Answer:
    """Sends one POST and waits for the answer, at most the given seconds altogether. Never raises for what goes wrong."""
    started = time.monotonic()
    try:
        status, excerpt, retry_after = _exchange(urlsplit(checked_url(url)), body, headers, deadline_seconds)
        error = "" if 200 <= status < 300 else f"Answered {status}."
        if 300 <= status < 400:
            error = f"Answered {status}: redirects are not followed."
    except (InvalidInput, _RefusedError) as refusal:
        status, excerpt, retry_after, error = None, "", None, str(refusal)
    except ssl.SSLError as failure:
        status, excerpt, retry_after, error = None, "", None, f"TLS: {failure.reason or failure}"
    except (OSError, http.client.HTTPException) as failure:
        late = time.monotonic() - started >= deadline_seconds
        error = f"No answer within {deadline_seconds:g} s." if late else f"{type(failure).__name__}: {failure}"
        status, excerpt, retry_after = None, "", None
    duration = int((time.monotonic() - started) * 1000)
    return Answer(status=status, excerpt=excerpt, error=error[:300], duration_ms=duration, retry_after=retry_after)


def _exchange(
    parts: SplitResult, body: bytes, headers: Mapping[str, str], deadline_seconds: float
) -> tuple[int, str, int | None]:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = _Connection(host, port, deadline_seconds, is_tls=parts.scheme == "https")
    # Each read has its own time-out, which a byte a second keeps alive: only the watchdog bounds the whole.
    watchdog = threading.Timer(deadline_seconds, connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        data = answer.read(MAX_ANSWER_BYTES)
        if connection.is_cut:
            # Where the watchdog cuts, the reader sees an end, and takes half an answer for a whole one.
            raise TimeoutError
        wait = answer.headers.get("Retry-After", "")
        return answer.status, _readable(data), int(wait) if wait.isdigit() and len(wait) < 7 else None
    finally:
        watchdog.cancel()
        connection.close()


class _Connection(http.client.HTTPConnection):
    """Connects to addresses that were looked at, and can be cut from another thread."""

    def __init__(self, host: str, port: int, timeout: float, *, is_tls: bool) -> None:
        super().__init__(host, port, timeout=timeout)
        self.is_tls = is_tls
        self.is_cut = False

    def connect(self) -> None:
        """The first of the name's addresses that answers. Raises _RefusedError when one of them is not public."""
        failure: OSError = OSError("The name has no address.")
        for address in _public_addresses(self.host, self.port)[:MAX_ADDRESSES_TRIED]:
            try:
                self.sock = socket.create_connection((address, self.port), timeout=self.timeout)
                break
            except OSError as error:
                failure = error
        else:
            raise failure
        if self.is_tls:
            self.sock = _tls(settings.WEBHOOK_AUTHORITIES).wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        if self.is_cut:
            raise TimeoutError

    def cut(self) -> None:
        """Ends whatever the connection is waiting for."""
        self.is_cut = True
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # On the plain socket: TLS would want to say good-bye first, to somebody who does not listen.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _public_addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not _may_be_reached(address):
            raise _RefusedError("The name leads to an address that is not public.")
    return addresses


def _may_be_reached(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if settings.WEBHOOKS_ALLOW_LOCAL and address.is_loopback:
        return True
    if any(address.version == network.version and address in network for network in _TRANSLATING):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


@cache
def _tls(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(cafile=authorities)
    return context


def _readable(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
