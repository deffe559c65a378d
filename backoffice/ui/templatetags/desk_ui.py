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

from backoffice.ui.formats import EMPTY, format_amount, format_decimal, format_plain, format_time, label_words

register = template.Library()

# Decimal fields of models that hold money in the row's own `currency`.
AMOUNTS = frozenset(
    {
        "accrued", "alone_per_day", "alone_up_to", "amount", "balance", "commission", "credit", "demo_balance", "dividend",
        "fee", "minimum_deposit", "opening_balance", "ours", "profit", "stated_balance", "swap", "theirs",
    }
)  # fmt: skip
FLAT_ITEMS = 12


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
    """The indented text of a read-only JSON field of a detail page that has no plainer form; "" for every other field."""
    value = _model_value(field, models.JSONField)
    if value in (None, {}, []) or _is_plain(value) or _is_flat(value):
        return ""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


@register.filter
def fact_text(field: Any) -> str:
    """A read-only value of a detail page as the lists write it: figures without idle zeros, amounts in their currency,
    yes and no in words, plain data as words; "" where the field's own text serves."""
    found, value = _model_field(field)
    if found is None or found.choices:
        return ""
    if isinstance(found, models.BooleanField):
        return "Unknown" if value is None else format_plain(value)
    if isinstance(value, Decimal):
        currency = getattr(field.form.instance, "currency", "") if found.name in AMOUNTS else ""
        return format_amount(value, currency) if isinstance(currency, str) and currency else format_decimal(value)
    if isinstance(value, list) and not isinstance(found, models.JSONField):
        return ", ".join(format_plain(item) for item in value) or EMPTY
    if isinstance(found, models.JSONField):
        return _plain_data(value)
    if isinstance(value, str):
        return format_plain(value)
    return ""


@register.filter
def fact_label(label: str) -> str:
    """The heading of a value; see `formats.label_words`."""
    return label_words(label)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | bool)


def _is_flat(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and len(value) <= FLAT_ITEMS and all(_is_plain(item) for item in items)


def _plain_data(value: Any) -> str:
    if value in (None, {}, []):
        return EMPTY
    if _is_plain(value):
        return format_plain(value)
    if not _is_flat(value):
        return ""
    if isinstance(value, dict):
        return " · ".join(f"{label_words(str(name).replace('_', ' '))} {format_plain(value[name])}" for name in value)
    return ", ".join(format_plain(item) for item in value)


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
    return bool(_model_value(field, models.TextField)) or bool(json_value(field))


def _model_value(field: Any, kind: type[models.Field]) -> Any:
    found, value = _model_field(field)
    return value if isinstance(found, kind) else None


def _model_field(field: Any) -> tuple[models.Field | None, Any]:
    """The model's field that a read-only entry shows, with its value; nothing where the page works it out."""
    name = field.field["name"] if isinstance(field.field, dict) else ""
    instance = field.form.instance
    found = {item.name: item for item in instance._meta.concrete_fields}.get(name)
    return found, getattr(instance, name) if found is not None and not found.is_relation else None


@register.filter
def is_choice_group(field: BoundField) -> bool:
    """Whether a form field is a list of boxes to tick or pick from."""
    return isinstance(field.field.widget, CheckboxSelectMultiple | RadioSelect)


@register.filter
def compact_json(value: Any) -> str:
    """Plain data on one line."""
    return json.dumps(value, ensure_ascii=False, default=str) if value else "–"
