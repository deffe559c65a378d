"""The simulator's own small client: what the demo's market and the tests use to trade, quote and set faults.

It stands for clients' terminals and feeds; the product has its own connector and never uses this one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from backoffice.devstack.trading_server import challenge, wire

TIMEOUT_SECONDS = 10.0


class TerminalError(Exception):
    """The server said no: `code` and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class Terminal:
    """A connection that is authenticated when it is made. Raises OSError when nobody answers."""

    def __init__(self, host: str, port: int, *, login: int, password: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._number = 0
        self._is_first = True
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        try:
            self._log_in(login, password)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; may be called twice."""
        self._file.close()
        self._socket.close()

    def ask(self, command: str, body: object = None, **parameters: object) -> tuple[dict[str, str], Any]:
        """One command: its parameters and its JSON. Raises TerminalError when refused, OSError when cut off."""
        line = wire.answer_line(command, parameters) + ("" if body is None else json.dumps(body, default=str))
        self._number = self._number % wire.MAXIMUM_PACKET_NUMBER + 1
        prefix, self._is_first = (wire.PREFIX if self._is_first else b""), False
        self._socket.sendall(prefix + b"".join(wire.packets(self._number, line.encode(wire.ENCODING))))
        found = wire.parse(wire.Packet(self._number, self._read()))
        code, _, text = found.parameters.get("RETCODE", "").partition(" ")
        if code != "0":
            raise TerminalError(int(code or 2), text)
        return dict(found.parameters), json.loads(found.extension) if found.extension.strip() else None

    def quotes(self, quotes: Mapping[str, tuple[object, object]]) -> None:
        """The market moved."""
        self.ask("SIM_QUOTES", {name: [str(bid), str(ask)] for name, (bid, ask) in quotes.items()})

    def order(self, *, login: int, symbol: str, side: str, lots: object, **more: object) -> dict[str, str]:
        """A market order of a client; `RESULT` is 0 when it was filled."""
        return self.ask("SIM_ORDER", LOGIN=login, SYMBOL=symbol, SIDE=side, LOTS=lots, **more)[0]

    def _read(self) -> bytes:
        body = b""
        while True:
            header = self._exactly(wire.HEADER_BYTES)
            body += self._exactly(int(header[:4], 16))
            if header[8:9] == b"0":
                return body

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise ConnectionError("the trading server closed the connection")
        return data

    def _log_in(self, login: int, password: str) -> None:
        own = challenge.new_challenge()
        given, _ = self.ask(
            "AUTH_START", VERSION=3211, AGENT="Terminal", LOGIN=login, TYPE="MANAGER", CRYPT_METHOD="NONE"
        )  # fmt: skip
        response = challenge.response_to(given["SRV_RAND"], password)
        answered, _ = self.ask("AUTH_ANSWER", SRV_RAND_ANSWER=response, CLI_RAND=own)
        if not challenge.is_right(answered["CLI_RAND_ANSWER"], own, password):
            raise TerminalError(2, "the server does not know the password")
