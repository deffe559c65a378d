"""Small filters of the desk's and the portal's templates."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import template
from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.forms import BoundField, CheckboxSelectMultiple, RadioSelect

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
def json_value(field: Any) -> str:
    """The indented text of a read-only JSON field of a detail page; "" for every other field."""
    value = _model_value(field, models.JSONField)
    return json.dumps(value, ensure_ascii=False, indent=2, default=str) if value not in (None, {}, []) else ""


@register.filter
def range_text(field: Any) -> str:
    """A read-only validity of a detail page in words; "" for every other field."""
    value = _model_value(field, DateTimeRangeField)
    if value is None:
        return ""
    start, end = (format_time(moment) if moment else "" for moment in (value.lower, value.upper))
    parts = [f"from {start}" if start else "", f"until {end}" if end else ""]
    return " ".join(part for part in parts if part) or "always"


@register.filter
def is_wide_field(field: Any) -> bool:
    """Whether a read-only field of a detail page takes the whole width: long text and data."""
    value = _model_value(field, models.TextField) or _model_value(field, models.JSONField)
    return bool(value)


def _model_value(field: Any, kind: type[models.Field]) -> Any:
    name = field.field["name"] if isinstance(field.field, dict) else ""
    instance = field.form.instance
    found = {item.name: item for item in instance._meta.concrete_fields}.get(name)
    return getattr(instance, name) if isinstance(found, kind) else None


@register.filter
def is_choice_group(field: BoundField) -> bool:
    """Whether a form field is a list of boxes to tick or pick from."""
    return isinstance(field.field.widget, CheckboxSelectMultiple | RadioSelect)


@register.filter
def compact_json(value: Any) -> str:
    """Plain data on one line."""
    return json.dumps(value, ensure_ascii=False, default=str) if value else "–"
