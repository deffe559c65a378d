"""Packets and command lines of the Web API, from the server's side.

A packet is nine characters of header (four hex digits of body length, four of packet number, one flag: 0 last, 1 goes
on) and a body of UTF-16LE. The very first packet of a connection is preceded by `MT5WEBAPI`. A body is one line
`COMMAND|NAME=VALUE|…|` ended by CR LF; whatever stands behind it is the command's extension, JSON as a rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PREFIX = b"MT5WEBAPI"
HEADER_BYTES = 9
MAXIMUM_PACKET_NUMBER = 0x3FFF
LARGEST_CHUNK_BYTES = 0xFFFE
LARGEST_REQUEST_BYTES = 4 * 1024 * 1024
MOST_CHUNKS = 128
ENCODING = "utf-16-le"
_ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", "=": "\\=", "\n": "\\\n"})


class BrokenProtocol(Exception):  # noqa: N818 - what the peer did, not what went wrong here
    """The peer sent what no client may send; the connection is closed."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A whole request, its chunks joined; an empty body is a keep-alive."""

    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed command. Parameter names are in capitals."""

    number: int
    command: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    extension: str = ""


def escape(value: str) -> str:
    """A value as it stands in a command line."""
    return value.translate(_ESCAPED)


def answer_line(command: str, parameters: Mapping[str, object]) -> str:
    """`COMMAND|NAME=VALUE|…|` with CR LF."""
    parts = [command, *(f"{name}={escape(str(value))}" for name, value in parameters.items())]
    return "|".join(parts) + "|\r\n"


def packets(number: int, body: bytes, *, chunk_bytes: int = LARGEST_CHUNK_BYTES) -> Iterator[bytes]:
    """The packets that carry *body*, every one but the last flagged as going on."""
    starts = range(0, len(body), chunk_bytes) if body else (0,)
    for start in starts:
        chunk = body[start : start + chunk_bytes]
        flag = 0 if start + chunk_bytes >= len(body) else 1
        yield f"{len(chunk):04x}{number & 0xFFFF:04x}{flag:d}".encode("ascii") + chunk


async def read_packet(reader: asyncio.StreamReader, *, is_first: bool) -> Packet:
    """The next request of a connection. Raises BrokenProtocol, or IncompleteReadError at its end."""
    if is_first and await reader.readexactly(len(PREFIX)) != PREFIX:
        raise BrokenProtocol("the first packet does not start with MT5WEBAPI")
    chunks: list[bytes] = []
    size = 0
    number = 0
    for position in range(MOST_CHUNKS):
        length, found, goes_on = _header(await reader.readexactly(HEADER_BYTES))
        if position and found != number:
            raise BrokenProtocol("a chunk carries another packet's number")
        number = found
        size += length
        if size > LARGEST_REQUEST_BYTES:
            raise BrokenProtocol("a request is larger than any command can be")
        chunks.append(await reader.readexactly(length))
        if not goes_on:
            return Packet(number, b"".join(chunks))
    raise BrokenProtocol("a request has more chunks than any command can have")


def _header(header: bytes) -> tuple[int, int, bool]:
    text = header.decode("ascii", "replace")
    if not all(letter in "0123456789abcdefABCDEF" for letter in text[:8]) or text[8] not in "01":
        raise BrokenProtocol("a packet header is not hexadecimal")
    number = int(text[4:8], 16)
    if number > MAXIMUM_PACKET_NUMBER:
        raise BrokenProtocol("a packet number is outside the clients' range")
    return int(text[:4], 16), number, text[8] == "1"


def parse(packet: Packet) -> Request:
    """The command of a packet. Raises BrokenProtocol when it is not a command line."""
    try:
        text = packet.body.decode(ENCODING)
    except UnicodeDecodeError as error:
        raise BrokenProtocol("a body is not UTF-16") from error
    fields, extension = _split(text)
    command = fields[0].strip().upper()
    if not command:
        raise BrokenProtocol("a body names no command")
    parameters: dict[str, str] = {}
    for part in fields[1:]:
        name, separator, value = _cut(part)
        if separator:
            parameters[name.strip().upper()] = value
    return Request(packet.number, command, parameters, extension)


def _split(text: str) -> tuple[list[str], str]:
    """The raw fields of the command line, and what stands behind it; escapes are still in place."""
    fields: list[str] = []
    start = position = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 2
            continue
        if letter == "|":
            fields.append(text[start:position])
            start = position + 1
        elif letter == "\n":
            fields.append(text[start:position].rstrip("\r"))
            return fields, text[position + 1 :]
        position += 1
    fields.append(text[start:].rstrip("\r"))
    return fields, ""


def _cut(part: str) -> tuple[str, str, str]:
    """Name and value of a field at its first unescaped `=`, the escapes taken away."""
    position = 0
    while position < len(part):
        if part[position] == "\\":
            position += 2
            continue
        if part[position] == "=":
            return _plain(part[:position]), "=", _plain(part[position + 1 :])
        position += 1
    return _plain(part), "", ""


def _plain(value: str) -> str:
    letters: list[str] = []
    position = 0
    while position < len(value):
        if value[position] == "\\" and position + 1 < len(value):
            position += 1
        letters.append(value[position])
        position += 1
    return "".join(letters)
