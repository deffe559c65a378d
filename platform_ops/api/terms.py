"""The fields of a symbol's terms over HTTP, made from the one table that says what each is."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from backoffice.ui.api_fields import CurrencyField
from platform_ops.rules.specifications import MAX_MULTIPLIER, Term, TermKind
from platform_ops.services.catalogue import Specification

_REQUIRED = frozenset({"digits", "contract_size", "pip_size", "margin_currency"})


class TermNumberField(serializers.DecimalField):
    """A number of a term, as text with a point."""


def term_field(term: Term, *, is_override: bool = False) -> serializers.Field[Any, Any, Any, Any]:
    """The field of a term; of an override every one may be left out or null."""
    given: dict[str, Any] = {"required": term.name in _REQUIRED and not is_override}
    if is_override or (term.is_optional and term.kind is not TermKind.TEXT):
        given["allow_null"] = True
    if term.help:
        given["help_text"] = term.help
    if term.kind is TermKind.WHOLE:
        return serializers.IntegerField(min_value=int(term.least), max_value=min(int(term.most), 2**31 - 1), **given)
    if term.kind is TermKind.CHOICE:
        assert term.choices is not None
        names = ", ".join(f"{item.value} {item.name.lower()}" for item in term.choices)
        return serializers.IntegerField(min_value=0, max_value=64, **(given | {"help_text": names}))
    if term.kind is TermKind.FLAG:
        return serializers.BooleanField(**given)
    if term.kind is TermKind.CURRENCY:
        return CurrencyField(**given)
    if term.kind is TermKind.DAY:
        return serializers.DateField(**given)
    if term.kind is TermKind.MULTIPLIERS:
        nights = TermNumberField(max_digits=6, decimal_places=2, min_value=0, max_value=MAX_MULTIPLIER)
        return serializers.ListField(child=nights, min_length=7, max_length=7, **given)
    if term.kind is TermKind.SESSIONS:
        minutes = serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=1440), min_length=2, max_length=2
        )
        day = serializers.ListField(child=minutes, max_length=12)
        return serializers.ListField(child=day, min_length=7, max_length=7, **given)
    if term.kind in (TermKind.TEXT, TermKind.ZONE):
        return serializers.CharField(max_length=20, allow_blank=term.is_optional, **given)
    return TermNumberField(max_digits=24, decimal_places=decimals_of(term.name), **given)


def decimals_of(name: str) -> int:
    """How many decimals the column of a term has."""
    if name in ("pip_size", "tick_size"):
        return 10
    return 2 if name == "spread_points" else 8


def specification_fields() -> tuple[str, ...]:
    """The names of all terms."""
    return Specification.__slots__  # type: ignore[no-any-return, attr-defined]
