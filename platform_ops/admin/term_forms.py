"""Form fields of a symbol's terms, made from the one table that says what each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from backoffice.kernel.errors import InvalidInput
from backoffice.ui.formats import EMPTY
from platform_ops.rules.sessions import read_week, week_in_words
from platform_ops.rules.specifications import BY_NAME, Term, TermKind, choice_in_words, plain_value, value_in_words
from platform_ops.services.catalogue import Specification

_REQUIRED = frozenset({"digits", "contract_size", "pip_size", "margin_currency"})


class WeekField(forms.CharField):
    """Sessions of a week as people write them: `Mon-Fri 00:00-24:00; Sun 22:05-24:00`."""

    def to_python(self, value: Any) -> Any:
        """Seven lists of minutes."""
        if isinstance(value, list):
            return value
        try:
            return read_week(super().to_python(value) or "", field="sessions")
        except InvalidInput as error:
            raise ValidationError(error.message) from error


class NightsField(forms.CharField):
    """Seven numbers from Sunday, with commas between."""

    def to_python(self, value: Any) -> Any:
        """Decimals; None where nothing is written."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return [Decimal(part.strip()) for part in text.split(",")]
        except InvalidOperation as error:
            raise ValidationError("Seven numbers with commas between, from Sunday.") from error


def term_facts(names: Sequence[str] = tuple(BY_NAME)) -> type:
    """A base of an admin whose pages show these terms in words: `term_spread_points` and so on."""
    return type("TermFacts", (), {f"term_{name}": _fact(BY_NAME[name]) for name in names})


def term_fieldsets(names: Sequence[str] = tuple(BY_NAME)) -> list[tuple[str, dict[str, Any]]]:
    """The fieldsets of those terms, one for each section."""
    sections: dict[str, list[str]] = {}
    for name in names:
        sections.setdefault(BY_NAME[name].section, []).append(f"term_{name}")
    return [(title, {"fields": tuple(fields)}) for title, fields in sections.items()]


def _fact(term: Term) -> Any:
    @admin.display(description=term.label)
    def shown(self: Any, row: Any) -> str:
        value = plain_value(getattr(row, term.name))
        return EMPTY if value is None else value_in_words(term.name, value)

    return shown


def term_form_field(term: Term, *, is_override: bool = False) -> forms.Field:
    """The field of a term; of an override every one may stay empty."""
    given: dict[str, Any] = {
        "label": term.label,
        "help_text": term.help,
        "required": not (is_override or term.is_optional or term.kind in (TermKind.FLAG, TermKind.SESSIONS)),
    }
    if term.kind is TermKind.WHOLE:
        return forms.IntegerField(min_value=int(term.least), max_value=int(term.most), **given)
    if term.kind is TermKind.NUMBER:
        return forms.DecimalField(max_digits=24, decimal_places=10, **given)
    if term.kind is TermKind.CHOICE:
        assert term.choices is not None
        choices: list[tuple[Any, str]] = [(item.value, choice_in_words(term.choices, item)) for item in term.choices]
        if is_override:
            choices.insert(0, ("", "as the symbol"))
        return forms.TypedChoiceField(coerce=int, empty_value=None, choices=choices, **given)
    if term.kind is TermKind.FLAG:
        return forms.BooleanField(**given)
    if term.kind is TermKind.DAY:
        return forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), **given)
    if term.kind is TermKind.MULTIPLIERS:
        return NightsField(max_length=100, **given)
    if term.kind is TermKind.SESSIONS:
        given["help_text"] = "Such as Mon-Fri 00:00-24:00; Sun 22:05-24:00. Empty: closed."
        return WeekField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), **given)
    return forms.CharField(max_length=20, **given)


def form_values(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a specification as the fields above show it."""
    values = dict(terms)
    for name, value in terms.items():
        term = BY_NAME.get(name)
        if term is None or value is None:
            continue
        if term.kind is TermKind.SESSIONS:
            values[name] = week_in_words(value)
        elif term.kind is TermKind.MULTIPLIERS:
            values[name] = ", ".join(str(plain_value(nights)) for nights in value)
        elif term.kind is TermKind.DAY and isinstance(value, str):
            values[name] = date.fromisoformat(value)
    return values


def empty_terms() -> dict[str, Any]:
    """What a form of a new symbol starts with."""
    return form_values({name: getattr(_USUAL, name) for name in Specification.__slots__ if name not in _REQUIRED})


_USUAL = Specification(digits=5, contract_size=Decimal(100_000), pip_size=Decimal("0.0001"), margin_currency="USD")
