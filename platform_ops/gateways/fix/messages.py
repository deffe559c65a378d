"""One FIX message: its bytes checked against their own length and sum, its fields in order.

Nothing of a message is believed that does not hold together. A log may write the separator as `|`, `^A` or a blank
control picture, and something before each message; that is put right before the check, which then fails for anything
that was really changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import NoReturn

import simplefix

from platform_ops.gateways.errors import GatewayGarbled

SOH = b"\x01"
MAX_MESSAGE_BYTES = 64 * 1024
MAX_FIELDS = 2_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_MESSAGES = 500_000
MAX_VALUE = 200

_MESSAGE = re.compile(rb"8=FIX[^\x01]{1,12}\x019=(\d{1,6})\x01")
_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})-(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?")
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")
_LOG_SEPARATORS = (("^A", "\x01"), ("|", "\x01"), ("\u2401", "\x01"), ("<SOH>", "\x01"))
_PERSONS = frozenset({523})
"""Tags whose value may be a person's name (PartySubID): kept as a hint of their length only."""


@dataclass(frozen=True, slots=True)
class FixMessage:
    """A whole message. Fields stand in the order in which they came; a group repeats its tags."""

    fields: tuple[tuple[int, str], ...]

    @property
    def kind(self) -> str:
        """Tag 35: `8` execution report, `AE` trade capture report, `A` logon …"""
        return self.get(35)

    @property
    def sequence(self) -> int:
        """Tag 34."""
        return self.whole(34)

    @property
    def sent_at(self) -> datetime:
        """Tag 52."""
        return self.moment(52)

    def get(self, tag: int, default: str = "") -> str:
        """The first value of a tag."""
        return next((value for name, value in self.fields if name == tag), default)

    def number(self, tag: int) -> Decimal | None:
        """A quantity or price; None where the message leaves it out. Raises GatewayGarbled."""
        value = self.get(tag)
        if not value:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            self.refuse(tag, "not a number", value)
        if not number.is_finite() or abs(number) >= Decimal(10) ** 18 or len(value) > 30:
            self.refuse(tag, "not a number", value)
        return number

    def whole(self, tag: int) -> int:
        """A count or sequence number; 0 where it is left out. Raises GatewayGarbled."""
        value = self.get(tag) or "0"
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            self.refuse(tag, "not a whole number", value)
        return int(value)

    def moment(self, tag: int) -> datetime:
        """A time in UTC, as FIX states all of its times. Raises GatewayGarbled where it is missing."""
        value = self.get(tag)
        match = _TIME.fullmatch(value)
        if match is None:
            self.refuse(tag, "not a time", value)
        parts = [int(part) for part in match.groups()[:6]]
        parts[5] = min(parts[5], 59)  # a leap second
        try:
            return datetime(*parts, int((match.group(7) or "0")[:6].ljust(6, "0")), tzinfo=UTC)  # type: ignore[misc, arg-type]
        except ValueError:
            self.refuse(tag, "not a time", value)

    def day(self, tag: int) -> date | None:
        """A day; None where it is left out or is none."""
        match = _DAY.fullmatch(self.get(tag))
        if match is None:
            return None
        try:
            return date(*(int(part) for part in match.groups()))
        except ValueError:
            return None

    def groups(self, count_tag: int, first_tag: int, inside: frozenset[int]) -> list[FixMessage]:
        """The entries of a repeating group: each begins with its first tag and goes on while its tags are *inside*."""
        if not self.get(count_tag):
            return []
        entries: list[list[tuple[int, str]]] = []
        is_in = False
        for tag, value in self.fields:
            if tag == count_tag:
                is_in = True
            elif is_in and tag == first_tag:
                entries.append([(tag, value)])
            elif is_in and entries and tag in inside:
                entries[-1].append((tag, value))
            elif is_in and entries:
                break
        return [FixMessage(tuple(entry)) for entry in entries]

    def shown(self) -> str:
        """The message as it is kept: `|` between its fields, names of persons blanked."""
        return "|".join(f"{tag}={'x' * len(value) if tag in _PERSONS else value}" for tag, value in self.fields) + "|"

    def refuse(self, tag: int, problem: str, value: str = "") -> NoReturn:
        """Gives up on a field, naming the message and the tag."""
        raise GatewayGarbled(
            f"FIX message {self.get(34) or '?'} ({self.kind or '?'}), tag {tag}: {problem}: {value[:80]!r}.",
            tag=tag,
            field=str(tag),
            row=self.get(34),
            value=value[:80],
        )


def read_message(data: bytes) -> FixMessage:
    """One message from its bytes. Raises GatewayGarbled for a length or sum that does not fit, and for what is cut."""
    match = _MESSAGE.match(data)
    if match is None or len(data) > MAX_MESSAGE_BYTES:
        _garbled("not a FIX message", data)
    body_start = match.end()
    body_end = body_start + int(match.group(1))
    if data[body_end : body_end + 3] != b"10=" or not data.endswith(SOH) or len(data) != body_end + 7:
        _garbled("the message is not as long as it says", data)
    stated = data[body_end + 3 : body_end + 6]
    if not stated.isdigit() or int(stated) != sum(data[:body_end]) % 256:
        _garbled("the message's sum is wrong", data)
    # A tag without a value is left out by its sender: the message is whole all the same.
    parser = simplefix.FixParser(allow_empty_values=True)
    parser.append_buffer(data)
    try:
        parsed = parser.get_message()
    except (simplefix.errors.ParsingError, ValueError):
        parsed = None
    if parsed is None:
        _garbled("not a FIX message", data)
    pairs = [(int(tag), _text(bytes(value))) for tag, value in parsed.pairs if bytes(tag).isdigit()]
    if len(pairs) > MAX_FIELDS or len(pairs) != len(parsed.pairs):
        _garbled("it has too many fields, or one without a number", data)
    message = FixMessage(tuple((tag, value) for tag, value in pairs))
    if not message.kind:
        _garbled("it has no kind (35)", data)
    return message


def _text(value: bytes) -> str:
    """A value as text. What no text may hold, NUL among it, is shown as a sign of its own."""
    return value.decode("utf-8", "replace").replace("\x00", "\ufffd")


def split_messages(data: bytes) -> Iterator[bytes]:
    """The messages of a session log or capture, each from `8=` to the end that its length states.

    Text before a message and lines between them are passed over. A message whose stated length leads nowhere is yielded
    as far as its line goes, so that reading it names what is wrong. Raises GatewayGarbled for a file beyond the bounds.
    """
    if len(data) > MAX_FILE_BYTES:
        raise GatewayGarbled(f"The log is larger than {MAX_FILE_BYTES // 2**20} MB.", field="file")
    count = 0
    for line in _with_separators(data):
        start = 0
        while (match := _MESSAGE.search(line, start)) is not None:
            count += 1
            if count > MAX_MESSAGES:
                raise GatewayGarbled(f"The log holds more than {MAX_MESSAGES:,} messages.", field="file")
            end = match.end() + int(match.group(1)) + 7
            whole = line[match.start() : end]
            following = _MESSAGE.search(line, match.end())
            is_overrun = following is not None and following.start() < end
            if len(whole) < end - match.start() or not whole.endswith(SOH) or is_overrun:
                whole = line[match.start() : following.start() if following else len(line)].rstrip(b"\r\n ")
                end = match.start() + len(whole)
            yield whole
            start = max(end, match.end())


def _with_separators(data: bytes) -> Iterator[bytes]:
    """The log with the real separator: as one piece where it has it, else line by line with the sign that stands for it."""
    if SOH in data:
        yield data
        return
    for raw in data.splitlines():
        line = raw.decode("utf-8", "surrogateescape")
        for shown, real in _LOG_SEPARATORS:
            if f"{shown}9=" in line:
                line = line.replace(shown, real)
                break
        yield line.encode("utf-8", "surrogateescape")


def _garbled(problem: str, data: bytes) -> NoReturn:
    shown = data[:120].decode("utf-8", "replace").replace("\x01", "|")
    raise GatewayGarbled(f"FIX: {problem}: {shown!r}.", field="message", value=shown)
