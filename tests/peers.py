"""Peers for tests that say whatever a test wants: bytes, half of them, byte by byte, or nothing at all."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MANAGER_PASSWORD = "Manager-Pass-1"
_HEADER = re.compile(rb"(?:MT5WEBAPI)?([0-9a-f]{4})([0-9a-f]{4})([01])")

Script = Callable[["Talk"], None]


class Talk:
    """One connection as the peer sees it."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.number = 0
        self.commands: list[str] = []

    def hear(self) -> str:
        """The next command, whole; empty when the other side is gone."""
        header = self._exactly(9)
        if header.startswith(b"MT5WEBAPI"):
            header = self._exactly(9)
        if len(header) < 9:
            return ""
        match = _HEADER.fullmatch(header)
        assert match is not None, header
        self.number = int(match.group(2), 16)
        body = self._exactly(int(match.group(1), 16)).decode("utf-16-le")
        self.commands.append(body)
        return body

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = self.socket.recv(size - len(data))
            if not received:
                return data
            data += received
        return data

    def say(self, text: str) -> None:
        """An answer, in as many packets as it takes."""
        body = text.encode("utf-16-le")
        parts = [body[start : start + 60_000] for start in range(0, len(body), 60_000)]
        for part in parts:
            self.raw(b"%04x%04x%d" % (len(part), self.number, part is not parts[-1]) + part)

    def raw(self, data: bytes) -> None:
        """Any bytes."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def drip(self, data: bytes, *, seconds: float) -> None:
        """One byte after the other."""
        for position in range(len(data)):
            self.raw(data[position : position + 1])
            time.sleep(seconds)

    def authenticate(self, *, password: str = MANAGER_PASSWORD) -> None:
        """The server's half of the handshake, worked out here and not by the code under test."""
        self.hear()
        self.say(f"AUTH_START|RETCODE=0 Done|VERSION_ACCESS=1755|SRV_RAND={'73007dc7184747ce0f7c98516ef1c851'}|\r\n")
        answer = self.hear()
        challenge = bytes.fromhex(answer.partition("CLI_RAND=")[2][:32])
        first = hashlib.md5(password.encode("utf-16-le"), usedforsecurity=False).digest()
        second = hashlib.md5(first + b"WebAPI", usedforsecurity=False).digest()
        proof = hashlib.md5(second + challenge, usedforsecurity=False).hexdigest()
        self.say(f"AUTH_ANSWER|RETCODE=0 Done|CLI_RAND_ANSWER={proof}|CRYPT_RAND=00|\r\n")


class Peer:
    """A listener that plays one script for each connection, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.talks: list[Talk] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            talk = Talk(connected)
            self.talks.append(talk)
            threading.Thread(target=self._talk, args=(script, talk), daemon=True).start()

    def _talk(self, script: Script, talk: Talk) -> None:
        talk.socket.settimeout(10)
        with contextlib.suppress(OSError, AssertionError):
            script(talk)
        talk.socket.close()

    def play(self, script: Script) -> None:
        """What the next connections meet."""
        self.scripts = [script]

    def close(self) -> None:
        """Listens no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def peer(*scripts: Script) -> Iterator[Peer]:
    """A peer for the length of the block."""
    running = Peer(*scripts)
    try:
        yield running
    finally:
        running.close()
