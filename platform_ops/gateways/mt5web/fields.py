"""Text of commands and answers, and the reading of their values. Pure; every value is checked before it is believed.

A command is `NAME|PARAMETER=value|…|\\r\\n` with JSON after it where there is any, in UTF-16LE. In names and values a
backslash goes before each `\\`, `|`, `=` and line feed. JSON carries its numbers as texts with fixed decimals, times as
seconds (or milliseconds) of the server's own wall clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.errors import GatewayGarbled

MAX_HEAD_CHARACTERS = 64 * 1024
MAX_PARAMETERS = 200
MAX_JSON_DEPTH = 12
MAX_TEXT = 4_000
MAX_INTEGER = 2**64 - 1
MAX_ABSOLUTE = Decimal("1e18")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- a wall clock of the server
MAX_SECONDS = 4_102_444_800  # 2100-01-01
_ESCAPED = frozenset("\\|=\n")
_SHOWN = 80

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,16})?(?:[eE][-+]?[0-9]{1,2})?")


def escape(text: str) -> str:
    """A name or value as it is written into a command."""
    return "".join(f"\\{letter}" if letter in _ESCAPED else letter for letter in text)


def encode_command(name: str, parameters: Mapping[str, object] | None = None, body: str = "") -> bytes:
    """The bytes of a command, without any packet around them."""
    written = "".join(f"{escape(key)}={escape(str(value))}|" for key, value in (parameters or {}).items())
    return f"{name}|{written}\r\n{body}".encode("utf-16-le")


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer: its command, its parameters by upper-case name, and the text after the line."""

    command: str
    parameters: Mapping[str, str]
    body: str = field(repr=False)


def parse_answer(raw: bytes) -> Answer:
    """Reads the bytes of a whole message. Raises ValueError with what is wrong."""
    try:
        text = raw.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-16 text ({error.reason})") from None
    tokens, end = _head_tokens(text)
    command, parameters = tokens[0][0], {}
    for key, value in tokens[1:]:
        if value is None:
            if key.strip():
                raise ValueError(f"{key[:_SHOWN]!r} is no parameter")
            continue
        if key.upper() in parameters:
            raise ValueError(f"the parameter {key[:_SHOWN]} is there twice")
        parameters[key.upper()] = value
    return Answer(command.strip().upper(), parameters, text[end:])


def _head_tokens(text: str) -> tuple[list[tuple[str, str | None]], int]:
    """The `key` and `value` (None without an equals sign) between the bars of the first line, and where it ends."""
    tokens: list[tuple[str, str | None]] = []
    parts: list[list[str]] = [[]]
    index, limit = 0, min(len(text), MAX_HEAD_CHARACTERS)
    while index < limit:
        letter = text[index]
        if letter == "\\":
            if index + 1 >= len(text):
                raise ValueError("it ends within an escape")
            parts[-1].append(text[index + 1])
            index += 2
            continue
        index += 1
        if letter == "=" and len(parts) == 1:
            parts.append([])
        elif letter in "|\n":
            joined = ["".join(part) for part in parts]
            if letter == "\n":
                joined[-1] = joined[-1].removesuffix("\r")
            tokens.append((joined[0], joined[1] if len(joined) > 1 else None))
            parts = [[]]
            if letter == "\n":
                return tokens, index
            if len(tokens) > MAX_PARAMETERS:
                raise ValueError(f"it has more than {MAX_PARAMETERS} parameters")
        else:
            parts[-1].append(letter)
    if len(text) > MAX_HEAD_CHARACTERS:
        raise ValueError(f"its first line is longer than {MAX_HEAD_CHARACTERS} characters")
    raise ValueError("its first line does not end")


def parse_json(text: str) -> Any:
    """The JSON after an answer's line; numbers as Decimal and int. Raises ValueError for what is not JSON, or too deep."""
    try:
        value = json.loads(text, parse_float=_checked_decimal, parse_constant=_no_constant, strict=False)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    _refuse_depth(value)
    return value


def _checked_decimal(text: str) -> Decimal:
    if len(text) > 40:
        raise ValueError(f"the number {text[:_SHOWN]} is too long")
    return Decimal(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _refuse_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(found for found in item.values() if isinstance(found, dict | list))
            elif isinstance(item, list):
                inner.extend(found for found in item if isinstance(found, dict | list))
        if not inner:
            return
        level = inner
    raise ValueError(f"its JSON is nested deeper than {MAX_JSON_DEPTH} levels")


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of an answer. Each reading names server, command, subject and field when the value cannot be."""

    values: Mapping[str, Any]
    server: str
    command: str
    subject: str = ""

    def about(self, subject: str) -> Record:
        """The same record, whose complaints name *subject* (`symbol EURUSD`)."""
        return Record(self.values, self.server, self.command, subject)

    def has(self, *names: str) -> bool:
        """Whether any of the fields is there and not empty."""
        return any(self.values.get(name) not in (None, "") for name in names)

    def first(self, *names: str) -> str:
        """The first of the names that is there, or the first of all."""
        return next((name for name in names if self.has(name)), names[0])

    def integer(self, name: str, default: int | None = None, *, low: int = 0, high: int = MAX_INTEGER) -> int:
        """A whole number within the bounds; *default* where the field is missing or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return self._default(name, default)
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            self.refuse(name, value, "is no whole number")
        text = str(value)
        if _INTEGER.fullmatch(text) is None:
            number = self.decimal(name)
            if number != number.to_integral_value():
                self.refuse(name, value, "is no whole number")
            whole = int(number)
        else:
            whole = int(text)
        if not low <= whole <= high:
            self.refuse(name, value, f"is outside {low} … {high}")
        return whole

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """A finite number; *default* where the field is missing or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return self._default(name, default)
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            self.refuse(name, value, "is no number")
        text = str(value)
        if _DECIMAL.fullmatch(text) is None:
            self.refuse(name, value, "is no number")
        try:
            number = Decimal(text)
        except InvalidOperation:
            self.refuse(name, value, "is no number")
        if not number.is_finite() or abs(number) >= MAX_ABSOLUTE:
            self.refuse(name, value, "is too large")
        return number

    def positive(self, name: str) -> Decimal | None:
        """A number above zero, or None: the server writes 0 for what it does not know."""
        number = self.decimal(name, Decimal(0))
        return number if number > 0 else None

    def text(self, name: str, default: str | None = "", *, maximum: int = MAX_TEXT) -> str:
        """A text that a database can keep."""
        value = self.values.get(name)
        if value is None:
            return self._default(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            self.refuse(name, value, "is no text")
        text = str(value)
        if len(text) > maximum:
            self.refuse(name, value, f"is longer than {maximum} characters")
        if "\x00" in text:
            self.refuse(name, value, "holds a null character")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.refuse(name, value, "holds half a character")
        return text

    def objects(self, name: str) -> Iterator[Record]:
        """The objects of a list."""
        value = self.values.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self.refuse(name, value, "is no list")
        for item in value:
            if not isinstance(item, dict):
                self.refuse(name, item, "is no object")
            yield Record(item, self.server, self.command, self.subject)

    def moment(self, name: str, zone: ServerZone, *, milliseconds_name: str = "") -> datetime | None:
        """A time of the server's clock, as UTC by *zone*; None for 0. Milliseconds win where they are told."""
        millis = self.integer(milliseconds_name, 0, high=MAX_SECONDS * 1000) if milliseconds_name else 0
        if not millis:
            millis = self.integer(name, 0, high=MAX_SECONDS) * 1000
        return None if millis == 0 else zone.to_utc(EPOCH + timedelta(milliseconds=millis))

    def refuse(self, name: str, value: object, problem: str) -> NoReturn:
        """Raises GatewayGarbled that names what cannot be."""
        shown = str(value)[:_SHOWN].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
        of = f" of {self.subject}" if self.subject else ""
        raise GatewayGarbled(
            f"{self.server} answered {self.command} with a {name}{of} that {problem}: {shown!r}.",
            server=self.server,
            command=self.command,
            subject=self.subject,
            field=name,
            value=shown,
        )

    def _default(self, name: str, default: Any) -> Any:
        if default is None:
            self.refuse(name, "", "is missing")
        return default


def to_seconds(local: datetime) -> int:
    """Seconds of a server's wall clock, as commands ask for them."""
    return int((local - EPOCH).total_seconds())


def from_seconds(seconds: int) -> datetime:
    """The server's wall clock of a number of seconds."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
