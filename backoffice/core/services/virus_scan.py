"""Asks clamd, where the settings name one, whether bytes are known to be harmful. Never called inside a transaction.

The protocol is clamd's INSTREAM: the bytes go over the socket in chunks with their length before each; the answer is
one line, `stream: OK` or `stream: NAME FOUND`.
"""

from __future__ import annotations

import socket
import struct

from django.conf import settings

from backoffice.kernel.errors import Misconfigured, Retryable

CHUNK_BYTES = 64 * 1024
TIMEOUT_SECONDS = 30
MAX_ANSWER_BYTES = 4096


def is_configured() -> bool:
    """Whether files are to be scanned."""
    return bool(settings.FILE_SCANNER)


def scan(data: bytes) -> str:
    """The name of what was found; empty when clamd finds nothing. Raises Retryable when it cannot be asked."""
    try:
        with _connect(settings.FILE_SCANNER) as connection:
            connection.sendall(b"zINSTREAM\0")
            for start in range(0, len(data), CHUNK_BYTES):
                chunk = data[start : start + CHUNK_BYTES]
                connection.sendall(struct.pack("!L", len(chunk)) + chunk)
            connection.sendall(struct.pack("!L", 0))
            answer = _answer(connection)
    except OSError as error:
        raise Retryable("The virus scanner cannot be reached.", code="scanner_unreachable") from error
    verdict = answer.rpartition(": ")[2]
    if verdict == "OK":
        return ""
    if verdict.endswith(" FOUND"):
        return verdict.removesuffix(" FOUND")
    raise Retryable("The virus scanner gave no verdict.", code="scanner_failed", answer=answer[:100])


def _connect(address: str) -> socket.socket:
    """A connection to `unix:///run/clamd.sock` or `tcp://host:3310`."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(rest)
        return connection
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not port.isdecimal():
        raise Misconfigured("The virus scanner is written as unix:///path or tcp://host:port.", value=address)
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)


def _answer(connection: socket.socket) -> str:
    received = b""
    while b"\0" not in received and len(received) < MAX_ANSWER_BYTES:
        part = connection.recv(MAX_ANSWER_BYTES)
        if not part:
            break
        received += part
    return received.split(b"\0")[0].decode("ascii", "replace").strip()
