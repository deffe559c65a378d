"""The body of a problem (RFC 9457), the same whether a view, the router or the server found it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

PROBLEM_TYPE = "application/problem+json"
MAX_TITLE_LENGTH = 500
MAX_VALUE_LENGTH = 200


def problem_body(http_status: int, title: str, code: str, details: Any = None) -> dict[str, Any]:
    """`code` is stable and for machines, `title` a sentence for people; `field` and `row` tell where, if known."""
    rest = {str(name): plain(value) for name, value in dict(details or {}).items()}
    field, row = rest.pop("field", None), rest.pop("row", None)
    return {
        "type": "about:blank",
        "title": str(plain(title))[:MAX_TITLE_LENGTH],
        "status": http_status,
        "code": code,
        "field": None if field is None else str(field),
        "row": row if row is None or isinstance(row, int) else str(row),
        "details": rest,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }


def plain(value: Any) -> Any:
    """The value as JSON can carry it: text without lone surrogates, amounts and times as text, nothing unknown as such."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, dict):
        return {str(plain(str(name))): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, str | Decimal | UUID | date | datetime):
        return str(value)[:MAX_TITLE_LENGTH].encode("utf-8", "replace").decode()
    return str(value)[:MAX_VALUE_LENGTH]
