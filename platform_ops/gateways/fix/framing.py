"""Messages out of a stream of bytes and into it.

What does not hold together is passed over and counted, as FIX wants it: the next message that does hold together shows by
its sequence number that one is missing, and it is asked for again. No buffer grows beyond one message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import simplefix

from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.fix.messages import MAX_MESSAGE_BYTES, FixMessage, read_message

BEGIN_STRING = "FIX.4.4"
_START = b"8=FIX"
_HEAD = re.compile(rb"8=FIX[^\x01]{1,12}\x019=(\d{1,6})\x01")
_HEAD_SOFAR = re.compile(rb"8=FIX[^\x01]{0,12}(\x01(9(=(\d{1,6}(\x01)?)?)?)?)?")
_END_AND_NEXT = re.compile(rb"\x0110=\d{3}\x01(?=8=FIX)")
_TRAILER_BYTES = 7

HEADER_KIND_PLACE = 2
"""BeginString, BodyLength and MsgType come first and in this order."""


class Framer:
    """Cuts a stream into messages. `garbled` counts what was passed over, `last_problem` says why."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.garbled = 0
        self.last_problem = ""

    @property
    def waiting_bytes(self) -> int:
        """How much of a message that is not whole yet has come."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[FixMessage]:
        """The whole messages that *data* completes."""
        self._buffer += data
        found: list[FixMessage] = []
        # Each turn takes at least one byte off the buffer or ends.
        while (raw := self._next()) is not None:
            if not raw:
                continue
            try:
                message = read_message(raw)
                _check_head(message, raw)
            except GatewayGarbled as error:
                # Only the start is given up: a wrong length may have swallowed the messages behind it.
                self._buffer[:0] = raw[1:]
                self._pass_over(error.message)
                self._drop_to_start()
            else:
                found.append(message)
        return found

    def _next(self) -> bytes | None:
        """The next message's bytes; nothing while it is not whole; empty where something was passed over."""
        buffer = self._buffer
        if not buffer.startswith(_START) and not _START.startswith(bytes(buffer[: len(_START)])):
            self._pass_over("bytes between messages")
            self._drop_to_start()
            return b""
        head = _HEAD.match(buffer)
        if head is None:
            if len(buffer) < len(_START) or _HEAD_SOFAR.fullmatch(buffer):
                return None
            return self._skip("a message without a length")
        length = head.end() + int(head.group(1)) + _TRAILER_BYTES
        if length > MAX_MESSAGE_BYTES:
            return self._skip(f"a message of {length:,} bytes")
        if len(buffer) < length:
            # A stated length that is too long would swallow the messages behind it while it waits.
            return self._skip("a message that is shorter than it says") if _END_AND_NEXT.search(buffer) else None
        raw = bytes(buffer[:length])
        del buffer[:length]
        return raw

    def _skip(self, problem: str) -> bytes:
        self._pass_over(problem)
        del self._buffer[:1]
        self._drop_to_start()
        return b""

    def _drop_to_start(self) -> None:
        """Up to the next `8=FIX`, or to what may be the beginning of one."""
        start = self._buffer.find(_START)
        if start < 0:
            tail = bytes(self._buffer[-len(_START) + 1 :])
            keep = next((size for size in range(len(tail), 0, -1) if _START.startswith(tail[-size:])), 0)
            start = len(self._buffer) - keep
        del self._buffer[:start]

    def _pass_over(self, problem: str) -> None:
        self.garbled += 1
        self.last_problem = problem[:200]


def encode(fields: Iterable[tuple[int, str | int]], *, begin: str = BEGIN_STRING) -> bytes:
    """The bytes of a message, with its length and sum. *fields* begin with tag 35."""
    message = simplefix.FixMessage()
    message.append_pair(8, begin)
    for tag, value in fields:
        message.append_pair(tag, str(value))
    return bytes(message.encode())


def stamp(at: datetime) -> str:
    """A moment as FIX writes it, to the millisecond."""
    return f"{at:%Y%m%d-%H:%M:%S}.{at.microsecond // 1000:03d}"


def original_of(message: FixMessage) -> FixMessage:
    """A message that is told once more (43=Y) as it was told first, so that both have the same text.

    The marks of the repetition are taken off, the time of the first sending is put back, length and sum follow.
    """
    if message.get(43) != "Y" or not message.get(122):
        return message
    first_sent = message.get(122)
    fields = [
        (tag, first_sent if tag == 52 else value) for tag, value in message.fields if tag not in (8, 9, 10, 43, 97, 122)
    ]
    return read_message(encode(fields, begin=message.get(8)))


def _check_head(message: FixMessage, raw: bytes) -> None:
    if len(message.fields) <= HEADER_KIND_PLACE or message.fields[HEADER_KIND_PLACE][0] != 35:
        raise GatewayGarbled("FIX: the kind (35) does not stand in its place.", field="message")
