"""One authenticated connection to a server: a command out, its whole answer in, within a bound.

Every wait counts against one deadline for the whole answer, so that a peer that sends one byte now and then ends like a
silent one. Lengths, numbers of packets, sizes and text are checked before they are believed; after any breach the
connection is given up, never read on.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from platform_ops.gateways.errors import GatewayGarbled, GatewayRefused, GatewayUnavailable, GatewayUncertain
from platform_ops.gateways.mt5web import auth, retcodes
from platform_ops.gateways.mt5web.fields import Answer, encode_command, parse_answer
from platform_ops.gateways.mt5web.packets import HEADER_BYTES, encode_message, next_number, parse_header
from platform_ops.gateways.mt5web.retcodes import Verdict

PROTOCOL_VERSION = 1755
AGENT = "WebAPI"
MAX_SIGNS_OF_LIFE = 1_000
"""Empty packets that may come before or within one answer."""

MAX_PACKETS = 20_000
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a peer may take, in seconds, and how much it may answer, in bytes."""

    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    answer_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to connect to, and as whom. `server` is the server's code for messages."""

    server: str
    host: str
    port: int
    login: str
    password: str = field(repr=False)
    limits: Limits = Limits()


class AnswerTooLarge(GatewayGarbled):
    """The answer is larger than the limit; a smaller question may be answered."""

    default_code = "gateway_answer_too_large"


class Connection:
    """An open, authenticated connection. Not for use by two threads at once."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._number = 0
        self._greets = True
        self._buffer = bytearray()
        self._deadline = 0.0
        self._command = "AUTH_START"
        self._socket: socket.socket | None = self._connect()
        try:
            self._authenticate()
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent; a connection that broke stays broken."""
        return self._socket is not None

    def close(self) -> None:
        """Gives the connection up; may be called twice."""
        broken, self._socket = self._socket, None
        if broken is not None:
            with contextlib.suppress(OSError):
                # Wakes a thread that waits for an answer.
                broken.shutdown(socket.SHUT_RDWR)
            broken.close()

    def ask(
        self,
        command: str,
        parameters: Mapping[str, object] | None = None,
        *,
        body: str = "",
        changes: bool = False,
        accepts: frozenset[int] = frozenset(),
    ) -> Answer:
        """Sends a command and returns the server's answer; return codes in *accepts* are answers too.

        Raises GatewayRefused for any other code, GatewayUnavailable when nothing came back, GatewayGarbled when what
        came back cannot be an answer; with *changes* both of these, once anything was sent, are GatewayUncertain: the
        server may have done it.
        """
        self._command = command
        try:
            answer = self._exchange(command, encode_command(command, parameters, body))
        except (GatewayGarbled, GatewayUnavailable) as error:
            self.close()
            if changes and not error.details.get("unsent"):
                raise self._uncertain(error.message) from error
            raise
        return self._judged(answer, changes=changes, accepts=accepts)

    def _connect(self) -> socket.socket:
        limits = self.peer.limits
        try:
            opened = socket.create_connection((self.peer.host, self.peer.port), timeout=limits.connect_seconds)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._unavailable(f"cannot be reached at {self.peer.host}:{self.peer.port} ({_words(error)})", unsent=True)
        return opened

    def _authenticate(self) -> None:
        peer = self.peer
        opening = self.ask(
            "AUTH_START",
            {
                "VERSION": PROTOCOL_VERSION,
                "AGENT": AGENT,
                "LOGIN": peer.login,
                "TYPE": "MANAGER",
                "CRYPT_METHOD": "NONE",
            },
        )
        try:
            challenge = auth.parse_challenge(opening.parameters.get("SRV_RAND", ""))
        except ValueError as error:
            self.close()
            self._garbled(f"sent a challenge that cannot be: {error}")
        own = auth.new_challenge()
        closing = self.ask(
            "AUTH_ANSWER",
            {
                "SRV_RAND_ANSWER": auth.answer_challenge(password=peer.password, challenge=challenge),
                "CLI_RAND": own.hex(),
            },
        )
        proof = closing.parameters.get("CLI_RAND_ANSWER", "")
        if not auth.is_answer(proof, password=peer.password, challenge=own):
            self.close()
            self._garbled("did not prove that it knows the manager's password: it may not be the server")

    def _exchange(self, command: str, message: bytes) -> Answer:
        if self._socket is None:
            self._unavailable("is not connected", unsent=True)
        self._deadline = time.monotonic() + self.peer.limits.answer_seconds
        self._number = next_number(self._number)
        self._send(encode_message(message, number=self._number, greets=self._greets))
        self._greets = False
        raw = self._receive_message()
        try:
            answer = parse_answer(raw)
        except ValueError as error:
            self._garbled(f"sent an answer that cannot be read: {error}")
        if answer.command != command:
            self._garbled(f"answered {answer.command[:40]!r} to {command}")
        return answer

    def _judged(self, answer: Answer, *, changes: bool, accepts: frozenset[int]) -> Answer:
        try:
            code = retcodes.parse_retcode(answer.parameters.get("RETCODE", ""))
        except ValueError as error:
            self.close()
            if changes:
                raise self._uncertain(f"{self.peer.server} sent no return code") from error
            self._garbled(f"sent no return code ({error})")
        verdict = retcodes.judge(code)
        if verdict is Verdict.DONE or code in accepts:
            return answer
        meaning = retcodes.meaning_of(code)
        told = f"{self.peer.server} refused {self._command}: {meaning} ({code})."
        details: dict[str, Any] = {
            "server": self.peer.server,
            "command": self._command,
            "retcode": code,
            "meaning": meaning,
        }
        if verdict is Verdict.REFUSED:
            raise GatewayRefused(told, **details)
        if verdict is Verdict.CUT and changes:
            raise GatewayUncertain(f"{told} It may have happened.", **details)
        raise GatewayUnavailable(told, **details)

    def _send(self, data: bytes) -> None:
        try:
            open_socket = self._opened()
            open_socket.settimeout(self._remaining())
            open_socket.sendall(data)
        except OSError as error:
            # Some of it may have arrived.
            self._unavailable(f"broke the connection while {self._command} was sent ({_words(error)})")

    def _receive_message(self) -> bytes:
        """The bodies of the packets with our number, put together."""
        parts = bytearray()
        signs = 0
        for _ in range(MAX_PACKETS):
            try:
                header = parse_header(self._read(HEADER_BYTES))
            except ValueError as error:
                self._garbled(f"sent no packet: {error}")
            if header.length == 0 and (header.number != self._number or not parts):
                signs += 1
                if signs > MAX_SIGNS_OF_LIFE:
                    self._garbled(f"sent more than {MAX_SIGNS_OF_LIFE} empty packets")
                continue
            if header.number != self._number:
                self._garbled(f"sent packet {header.number} where {self._number} was due")
            if len(parts) + header.length > self.peer.limits.answer_bytes:
                raise AnswerTooLarge(
                    f"{self.peer.server} answered {self._command} with more than {self.peer.limits.answer_bytes:,} bytes.",
                    server=self.peer.server,
                    command=self._command,
                )
            parts += self._read(header.length)
            if not header.continues:
                return bytes(parts)
        return self._garbled(f"sent more than {MAX_PACKETS} packets in one answer")

    def _opened(self) -> socket.socket:
        """The socket; another thread may have given the connection up."""
        if self._socket is None:
            raise ConnectionAbortedError("the session was closed")
        return self._socket

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                open_socket = self._opened()
                open_socket.settimeout(self._remaining())
                received = open_socket.recv(READ_BYTES)
            except OSError as error:
                self._unavailable(f"did not answer {self._command} in time ({_words(error)})")
            if not received:
                missing = size - len(self._buffer)
                self._unavailable(f"ended the connection within an answer to {self._command}, {missing} bytes short")
            self._buffer += received
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _details(self) -> dict[str, Any]:
        return {"server": self.peer.server, "command": self._command}

    def _unavailable(self, problem: str, *, unsent: bool = False) -> NoReturn:
        details = {**self._details(), **({"unsent": True} if unsent else {})}
        raise GatewayUnavailable(f"{self.peer.server} {problem}.", **details)

    def _garbled(self, problem: str) -> NoReturn:
        raise GatewayGarbled(f"{self.peer.server} {problem}.", **self._details())

    def _uncertain(self, why: str) -> GatewayUncertain:
        return GatewayUncertain(
            f"{self._command} was sent to {self.peer.server} and its answer was lost: it may have happened. {why}",
            **self._details(),
        )


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
