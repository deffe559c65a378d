"""Reading JSON strictly: numbers exactly, nothing that the database cannot store, nothing nested without end."""

from __future__ import annotations

import codecs
import json
from decimal import Decimal
from typing import Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 20
MAX_DIGITS = 40


class StrictJSONParser(JSONParser):
    """JSON with amounts as decimals, without null characters, lone surrogates, infinities or repeated names."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Raises ParseError for what cannot be read so."""
        try:
            text = codecs.decode(stream.read(), "utf-8")
            value = json.loads(
                text,
                parse_float=_decimal,
                parse_int=_integer,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except (ValueError, RecursionError):
            raise ParseError("This is not JSON that can be read here.") from None
        _check(value, MAX_DEPTH)
        return value


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        raise ValueError("too many digits")
    return Decimal(text)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ParseError(f"This is nested more than {MAX_DEPTH} deep.")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ParseError("A text holds a character that no text may hold.")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check(name, depth)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
