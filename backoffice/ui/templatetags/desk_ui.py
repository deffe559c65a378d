"""Small filters of the desk's and the portal's templates."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import template

from backoffice.ui.formats import format_amount, format_decimal, format_time

register = template.Library()


@register.filter
def at(items: Sequence[Any], place: int) -> Any:
    """The item at a place."""
    return items[place]


@register.filter
def figures(value: Decimal | int) -> str:
    """A number with thousands separators."""
    return format_decimal(value)


@register.filter
def amount(value: Decimal, currency: str = "") -> str:
    """An amount in the places of its currency, with the code."""
    return format_amount(value, currency)


@register.filter
def moment(value: dt.datetime | None) -> str:
    """A time in UTC."""
    return format_time(value)


@register.filter
def compact_json(value: Any) -> str:
    """Plain data on one line."""
    return json.dumps(value, ensure_ascii=False, default=str) if value else "–"
