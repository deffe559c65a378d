"""Columns of tables: one description that is shown in the desk and the portal, and exported to CSV and XLSX.

A column reads a value from a row by a path (`"account__client__full_name"`; attributes, dictionary keys and methods
without arguments are followed, a None ends it) and knows how to write it. `money`, `number`, `badge`, `link`, `moment`
and `text` make columns for `DeskTablePage`; the same names with `_column` make display methods for `DeskModelAdmin`:

    class DealAdmin(DeskModelAdmin):
        list_display = ("ticket", "profit_shown", "state_shown", "account_shown")
        profit_shown = money_column("profit", currency="account__currency", title="Profit", order="profit")
        state_shown = badge_column("state", title="State", tones={"done": "good", "failed": "bad"})
        account_shown = link_column("account", title="Account")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import holds
from backoffice.core.types import NOBODY, Actor
from backoffice.kernel.errors import Misconfigured
from backoffice.ui.formats import EMPTY, currency_digits, format_decimal, format_plain

# Tones of badges; the stylesheets know exactly these.
TONES = frozenset({"good", "bad", "warn", "info", "quiet"})

# Whose page is being drawn: links to what this person may not open are drawn as plain text.
viewing_actor: ContextVar[Actor] = ContextVar("viewing_actor", default=NOBODY)


def read_path(row: Any, path: str) -> Any:
    """The value at the end of a path such as `"client__entity__code"`; None as soon as a step has none."""
    value = row
    for step in path.split("__"):
        if value is None:
            return None
        value = value.get(step) if isinstance(value, Mapping) else getattr(value, step)
        if callable(value) and not isinstance(value, type | models.Manager):
            value = value()
    return value


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, how a row's value is read, and how it is shown. Build it with the functions below."""

    title: str
    value: Callable[[Any], Any]
    html: Callable[[Any], str]
    is_numeric: bool = False
    order: str = ""

    def plain(self, row: Any) -> Any:
        """The value for an export: numbers stay numbers, nothing is formatted."""
        return self.value(row)


def text(path: str, *, title: str, order: str = "") -> Column:
    """Any value as text; a choice of a model's field by its label (an export keeps its code)."""

    def html(row: Any) -> str:
        return format_html("{}", format_plain(_words_of(row, path)))

    return Column(title, lambda row: read_path(row, path), html, order=order)


def money(path: str, *, title: str, currency: str = "", fixed_currency: str = "", order: str = "") -> Column:
    """An amount. `currency` is the path to its currency, `fixed_currency` the code where all rows share one."""

    def html(row: Any) -> str:
        amount = read_path(row, path)
        if amount is None:
            return format_html('<span class="bo-num bo-none">{}</span>', EMPTY)
        code = fixed_currency or (read_path(row, currency) if currency else "")
        return money_html(amount, code or "", show_currency=not fixed_currency)

    return Column(title, lambda row: read_path(row, path), html, is_numeric=True, order=order)


def number(path: str, *, title: str, digits: int | None = None, order: str = "", is_signed: bool = False) -> Column:
    """A number that is not money: lots, a price, a count. `is_signed` colours what is below zero."""

    def html(row: Any) -> str:
        value = read_path(row, path)
        if value is None:
            return format_html('<span class="bo-num bo-none">{}</span>', EMPTY)
        tone = " bo-neg" if is_signed and value < 0 else ""
        return format_html('<span class="bo-num{}">{}</span>', tone, format_decimal(value, digits))

    return Column(title, lambda row: read_path(row, path), html, is_numeric=True, order=order)


def moment(path: str, *, title: str, order: str = "") -> Column:
    """A time (UTC, to the second) or a day."""

    def html(row: Any) -> str:
        return format_html('<span class="bo-time">{}</span>', format_plain(read_path(row, path)))

    return Column(title, lambda row: read_path(row, path), html, order=order)


def badge(path: str, *, title: str, tones: Mapping[Any, str] | None = None, order: str = "") -> Column:
    """A state. `tones` gives the tone of each value (good, bad, warn, info, quiet); others are quiet."""
    known = _known_tones(tones)

    def html(row: Any) -> str:
        value = read_path(row, path)
        if value in (None, ""):
            return EMPTY
        words = _label(row, path, value)
        return badge_html(words[:1].upper() + words[1:], known.get(value, "quiet"))

    return Column(title, lambda row: _label(row, path, read_path(row, path)), html, order=order)


def link(path: str, *, title: str, label: str = "", order: str = "") -> Column:
    """A related object as a link to its desk page, for who may open that; `label` is a path below the object."""

    def shown(row: Any) -> Any:
        target = read_path(row, path)
        return None if target is None else (read_path(target, label) if label else str(target))

    def html(row: Any) -> str:
        target = read_path(row, path)
        return EMPTY if target is None else object_link(target, shown(row))

    return Column(title, shown, html, order=order)


def computed(value: Callable[[Any], Any], *, title: str, is_numeric: bool = False, order: str = "") -> Column:
    """A value that a function works out from the row."""

    def html(row: Any) -> str:
        result = value(row)
        if isinstance(result, SafeString):
            return result
        return format_html('<span class="{}">{}</span>', "bo-num" if is_numeric else "", format_plain(result))

    return Column(title, value, html, is_numeric=is_numeric, order=order)


def state(
    value: Callable[[Any], str], *, title: str, tones: Mapping[str, str] | None = None, order: str = ""
) -> Column:
    """A state that a function works out from the row, as a badge in the tone of its words."""
    known = _known_tones(tones)

    def html(row: Any) -> str:
        words = value(row)
        return badge_html(words, known.get(words, "quiet")) if words else EMPTY

    return Column(title, value, html, order=order)


def _known_tones(tones: Mapping[Any, str] | None) -> dict[Any, str]:
    known = dict(tones or {})
    if unknown := set(known.values()) - TONES:
        raise Misconfigured(f"Unknown badge tones {sorted(unknown)}; known are {sorted(TONES)}.")
    return known


def money_html(amount: Decimal, currency: str = "", *, show_currency: bool = True) -> SafeString:
    """An amount as the desk and the portal draw it: aligned figures, the currency small beside it."""
    tone = " bo-neg" if amount < 0 else ""
    figure = format_decimal(amount, currency_digits(currency))
    if not currency or not show_currency:
        return format_html('<span class="bo-num{}">{}</span>', tone, figure)
    return format_html('<span class="bo-num{}">{} <span class="bo-ccy">{}</span></span>', tone, figure, currency)


def badge_html(label: str, tone: str = "quiet") -> SafeString:
    """A state as a badge."""
    return format_html('<span class="bo-badge bo-badge-{}">{}</span>', tone, label)


def object_link(target: models.Model, label: Any = None) -> SafeString:
    """A link to the desk page of an object; plain text where the viewer may not open it or it has no page."""
    shown = str(target) if label in (None, "") else label
    model_admin = admin.site._registry.get(type(target))
    capability = getattr(model_admin, "view_capability", "")
    if not capability or not holds(viewing_actor.get(), capability):
        return format_html("{}", shown)
    try:
        url = reverse(f"admin:{target._meta.app_label}_{target._meta.model_name}_change", args=[target.pk])
    except NoReverseMatch:
        return format_html("{}", shown)
    return format_html('<a class="bo-link" href="{}">{}</a>', url, shown)


def _words_of(row: Any, path: str) -> Any:
    """The value at the end of a path, or the label of its choice."""
    owner_path, _, name = path.rpartition("__")
    owner = read_path(row, owner_path) if owner_path else row
    is_choice = isinstance(owner, models.Model) and hasattr(owner, f"get_{name}_display")
    return getattr(owner, f"get_{name}_display")() if is_choice else read_path(row, path)


def _label(row: Any, path: str, value: Any) -> str:
    """The choice label of a model field, or the value in words."""
    owner_path, _, name = path.rpartition("__")
    owner = read_path(row, owner_path) if owner_path else row
    display = getattr(owner, f"get_{name}_display", None)
    if display is not None:
        return str(display())
    return (
        format_plain(value) if isinstance(value, bool) or value is None else str(value).replace("_", " ").capitalize()
    )


def admin_column(column: Column) -> Callable[..., str]:
    """Turns a column into a display method of a `DeskModelAdmin` (assign it in the class body)."""

    def display(self: Any, obj: Any) -> str:
        return column.html(obj)

    display.short_description = column.title  # type: ignore[attr-defined]
    display.column = column  # type: ignore[attr-defined]
    if column.order:
        display.admin_order_field = column.order  # type: ignore[attr-defined]
    return display


def text_column(path: str, **options: Any) -> Callable[..., str]:
    """See `text`."""
    return admin_column(text(path, **options))


def money_column(path: str, **options: Any) -> Callable[..., str]:
    """See `money`."""
    return admin_column(money(path, **options))


def number_column(path: str, **options: Any) -> Callable[..., str]:
    """See `number`."""
    return admin_column(number(path, **options))


def moment_column(path: str, **options: Any) -> Callable[..., str]:
    """See `moment`."""
    return admin_column(moment(path, **options))


def badge_column(path: str, **options: Any) -> Callable[..., str]:
    """See `badge`."""
    return admin_column(badge(path, **options))


def link_column(path: str, **options: Any) -> Callable[..., str]:
    """See `link`."""
    return admin_column(link(path, **options))


def state_column(value: Callable[[Any], str], **options: Any) -> Callable[..., str]:
    """See `state`."""
    return admin_column(state(value, **options))


def computed_column(value: Callable[[Any], Any], **options: Any) -> Callable[..., str]:
    """See `computed`."""
    return admin_column(computed(value, **options))
