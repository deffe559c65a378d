"""Packets: nine header bytes and a body. Pure; knows no socket.

A header is nine ASCII characters: the body's length in bytes as four hexadecimal digits, the packet number as four, and
a flag, `0` for the last packet of a message and `1` when more follow. The first packet of a connection is prefixed with
`MT5WEBAPI`. A message is answered by packets of its own number; an empty packet is a sign of life and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GREETING = b"MT5WEBAPI"
HEADER_BYTES = 9
MAX_BODY_BYTES = 0xFFFF
MAX_NUMBER = 0x3FFF

# `int(text, 16)` would also take signs, spaces and underscores.
_HEADER = re.compile(rb"([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})([01])")


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """What stands before a body. `continues` says that the message goes on in another packet."""

    length: int
    number: int
    continues: bool


def next_number(number: int) -> int:
    """The packet number after *number*: 1 … 16383, then 1 again (0 is nobody's number)."""
    return 1 if number >= MAX_NUMBER else number + 1


def parse_header(raw: bytes) -> PacketHeader:
    """Reads nine bytes. Raises ValueError for anything that is no header."""
    match = _HEADER.fullmatch(raw)
    if match is None:
        raise ValueError(f"{raw[:HEADER_BYTES]!r} is no packet header")
    length, number, flag = match.groups()
    header = PacketHeader(int(length, 16), int(number, 16), flag == b"1")
    if header.number > MAX_NUMBER:
        raise ValueError(f"packet number {header.number} is above {MAX_NUMBER}")
    return header


def encode_message(body: bytes, *, number: int, greets: bool = False) -> bytes:
    """The packets of a message. Only the first message of a connection *greets*.

    Raises ValueError for a number outside 0 … 16383.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"packet number {number} is outside 0 … {MAX_NUMBER}")
    # Parts are cut at whole UTF-16 units, so that a peer which decodes packet by packet reads the same.
    size = MAX_BODY_BYTES - MAX_BODY_BYTES % 2
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    packets = [
        b"%04x%04x%d" % (len(part), number, 0 if index == len(parts) - 1 else 1) + part
        for index, part in enumerate(parts)
    ]
    return (GREETING if greets else b"") + b"".join(packets)
