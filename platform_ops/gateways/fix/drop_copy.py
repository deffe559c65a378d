"""A provider's drop copy over a socket: the session of `session.py`, its bytes in and out within bounds.

What came is handed to the owner, who keeps it together with the sequence numbers; only then is anything answered. If the
owner cannot keep it, the connection is cut and everything since is asked for again at the next logon.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from platform_ops.gateways.errors import GatewayRefused, GatewayUnavailable, NotOffered
from platform_ops.gateways.fix.messages import FixMessage
from platform_ops.gateways.fix.session import Ending, Entry, Phase, Refused, Session, Terms
from platform_ops.gateways.types import (
    Ability,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    ServerClock,
)

ABILITIES = frozenset({Ability.EXECUTIONS})
READ_BYTES = 1 << 16
POLL_SECONDS = 0.25
"""How soon a wish to stop is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where the provider answers. `server` is the code for messages; `ca` is a certificate (PEM) to trust besides."""

    server: str
    host: str
    port: int
    uses_tls: bool = False
    tls_name: str = ""
    ca: str = ""
    connect_seconds: float = 5.0
    send_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Numbers:
    """The sequence numbers that come next."""

    next_in: int = 1
    next_out: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What is to be kept in one go: messages, the log of the session, and the numbers after them."""

    messages: tuple[FixMessage, ...]
    refused: tuple[Refused, ...]
    entries: tuple[Entry, ...]
    numbers: Numbers
    gap_to: int
    is_logged_on: bool
    garbled: int = 0
    garbled_problem: str = ""
    rejects: int = 0
    resets: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the session stands after it was followed for a while. `gap_to` is 0 while nothing is missing."""

    is_logged_on: bool
    numbers: Numbers
    gap_to: int


Keep = Callable[[Received], object]


class DropCopyGateway:
    """A `ReadingGateway` that tells executions and nothing else. One thread follows; `close` may come from another."""

    abilities = ABILITIES

    def __init__(
        self, *, peer: Peer, terms: Terms, check: Callable[[FixMessage], object] = lambda _message: None
    ) -> None:
        self._peer, self._terms, self._check = peer, terms, check
        self._socket: socket.socket | None = None
        self._session: Session | None = None
        self._told = (0, 0, 0)
        self._is_following = False
        self._is_closing = threading.Event()

    def follow(self, *, numbers: Numbers, keep: Keep, seconds: float) -> Standing:
        """Logs on where it is not yet, and takes in what comes for so many seconds.

        A session that stands at other *numbers* is begun anew with them. Raises GatewayUnavailable for a peer that is away, silent or left,
        GatewayRefused where the peer or the numbers need a person, and whatever *keep* raises.
        """
        self._is_following = True
        try:
            return self._follow(numbers, keep, seconds)
        except BaseException:
            self._cut()
            raise
        finally:
            self._is_following = False

    def probe(self) -> None:
        """Whether somebody answers at the address. No logon: a provider would end the session that runs."""
        opened = self._connect()
        with contextlib.suppress(OSError):
            opened.close()

    def close(self) -> None:
        """Logs out, where somebody follows, else cuts the connection; may be called twice."""
        self._is_closing.set()
        if not self._is_following:
            self._cut()

    def _follow(self, numbers: Numbers, keep: Keep, seconds: float) -> Standing:
        session = self._session
        if session is not None and numbers != Numbers(session.next_in, session.next_out):
            self._cut()  # somebody set the numbers meanwhile
        if self._session is None or self._socket is None:
            self._begin(numbers)
        session = self._session
        assert session is not None
        ends_at = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self._is_closing.is_set():
                session.stop(now, "end of the day's work")
            session.tick(now)
            self._settle(session, keep)
            if session.phase is Phase.ENDED:
                return self._ended(session)
            if session.phase is Phase.LIVE and now >= ends_at:
                return _standing(session)
            data = self._read()
            if data == b"":
                session.peer_closed()
            elif data:
                session.receive(data, time.monotonic())
            self._settle(session, keep)

    def _begin(self, numbers: Numbers) -> None:
        self._is_closing.clear()
        self._socket = self._connect()
        self._session = Session(self._terms, next_in=numbers.next_in, next_out=numbers.next_out, check=self._check)
        self._told = (0, 0, 0)
        self._session.start(time.monotonic())

    def _settle(self, session: Session, keep: Keep) -> None:
        """Has kept what came and what is about to go, then lets it go."""
        counted = (session.garbled, session.rejects, session.resets)
        if session.entries or counted != self._told:
            garbled, rejects, resets = (now - before for now, before in zip(counted, self._told, strict=True))
            keep(
                Received(
                    messages=tuple(session.received),
                    refused=tuple(session.refused),
                    entries=tuple(session.entries),
                    numbers=Numbers(session.next_in, session.next_out),
                    gap_to=session.gap_to,
                    is_logged_on=session.phase is Phase.LIVE,
                    garbled=garbled,
                    garbled_problem=session.garbled_problem if garbled else "",
                    rejects=rejects,
                    resets=resets,
                    problem=session.problem,
                )
            )
            self._told = counted
            session.received, session.refused, session.entries = [], [], []
        data = session.outgoing()
        if data:
            self._write(data, is_last=session.phase is Phase.ENDED)

    def _ended(self, session: Session) -> Standing:
        problem = f"{self._peer.server}: {session.problem or 'the session ended.'}"
        ending = session.ending
        self._cut()
        if ending is Ending.WANTED:
            return _standing(session)
        if ending is Ending.REFUSED:
            raise GatewayRefused(problem, server=self._peer.server)
        raise GatewayUnavailable(problem, server=self._peer.server)

    def _connect(self) -> socket.socket:
        peer = self._peer
        try:
            opened = socket.create_connection((peer.host, peer.port), timeout=peer.connect_seconds)
        except OSError as error:
            self._away(f"cannot be reached at {peer.host}:{peer.port} ({_words(error)})", error)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if peer.uses_tls:
                context = ssl.create_default_context()
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                if peer.ca:
                    context.load_verify_locations(cadata=peer.ca)
                opened = context.wrap_socket(opened, server_hostname=peer.tls_name or peer.host)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                opened.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise GatewayRefused(
                    f"{peer.server}: the certificate is not trusted ({error.verify_message}).", server=peer.server
                ) from error
            self._away(f"does not agree on an encrypted connection ({_words(error)})", error)
        return opened

    def _read(self) -> bytes | None:
        """What came; None when nothing did for a moment, empty when the peer closed."""
        if self._socket is None:
            return b""
        try:
            self._socket.settimeout(POLL_SECONDS)
            return self._socket.recv(READ_BYTES)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def _write(self, data: bytes, *, is_last: bool) -> None:
        try:
            if self._socket is None:
                raise OSError("closed")
            self._socket.settimeout(self._peer.send_seconds)
            self._socket.sendall(data)
        except OSError as error:
            if not is_last:
                self._away(f"takes nothing any more ({_words(error)})", error)

    def _cut(self) -> None:
        broken, self._socket, self._session = self._socket, None, None
        if broken is not None:
            with contextlib.suppress(OSError):
                broken.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                broken.close()

    def _away(self, problem: str, error: Exception) -> NoReturn:
        raise GatewayUnavailable(f"{self._peer.server} {problem}.", server=self._peer.server) from error

    # What a drop copy does not tell.

    def clock(self) -> ServerClock:
        """A drop copy has no clock to ask."""
        self._not_offered("a clock")

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """A drop copy tells executions of the house, not deals of clients."""
        self._not_offered("deals of clients")

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Nor their orders."""
        self._not_offered("orders of clients")

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """Nor their positions."""
        self._not_offered("positions")

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Nor their accounts."""
        self._not_offered("accounts")

    def groups(self) -> Iterator[GatewayGroup]:
        """No groups."""
        self._not_offered("groups")

    def symbols(self) -> Iterator[GatewaySymbol]:
        """No terms of symbols."""
        self._not_offered("terms of symbols")

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """No prices."""
        self._not_offered("prices")

    def _not_offered(self, what: str) -> NoReturn:
        raise NotOffered(f"The drop copy of {self._peer.server} tells no {what}.", server=self._peer.server)


def _standing(session: Session) -> Standing:
    return Standing(session.phase is Phase.LIVE, Numbers(session.next_in, session.next_out), session.gap_to)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
