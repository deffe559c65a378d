"""Columns, figures, charts, registries: pure pieces of the screens."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Misconfigured
from backoffice.ui import columns, dashboards, navigation
from backoffice.ui.charts import bar_chart, line_chart, sparkline
from backoffice.ui.formats import format_amount, format_decimal, format_plain

MINUS = "\u2212"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234.5", "USD", "1,234.50 USD"),
        ("-1234.5", "USD", f"{MINUS}1,234.50 USD"),
        ("1234.5", "JPY", "1,235 JPY"),
        ("1.23456", "KWD", "1.235 KWD"),
        ("0", "EUR", "0.00 EUR"),
        ("7", "", "7.00"),
    ],
)
def test_an_amount_is_written_in_the_places_of_its_currency(amount: str, currency: str, text: str) -> None:
    assert format_amount(Decimal(amount), currency) == text


def test_plain_values_are_written_as_people_read_them() -> None:
    assert [format_plain(value) for value in (None, "", True, Decimal("1E+2"), "x")] == ["–", "–", "Yes", "100", "x"]
    assert format_decimal(Decimal("0.0010")) == "0.001"


def test_a_column_follows_a_path_and_stops_at_nothing() -> None:
    # given
    row = SimpleNamespace(account=SimpleNamespace(client=None, currency="JPY"), amount=Decimal("-5"), facts={"a": 1})

    # then
    assert columns.read_path(row, "account__client__name") is None
    assert columns.read_path(row, "facts__a") == 1
    html = columns.money("amount", currency="account__currency", title="Amount").html(row)
    assert html == f'<span class="bo-num bo-neg">{MINUS}5 <span class="bo-ccy">JPY</span></span>'


def test_what_comes_from_outside_is_escaped_everywhere() -> None:
    # given
    nasty = "<script>alert(1)</script>"
    row = SimpleNamespace(name=nasty, state=nasty)

    # then
    for shown in (
        columns.text("name", title="Name").html(row),
        columns.badge("state", title="State").html(row),
        columns.computed(lambda item: item.name, title="Name").html(row),
        bar_chart([(nasty, Decimal(1))], title=nasty),
        line_chart([(nasty, Decimal(1)), (nasty, Decimal(2))], title=nasty),
        sparkline([Decimal(1), Decimal(2)], title=nasty),
    ):
        assert "<script" not in shown
        assert "alert(1)" in shown


def test_a_badge_knows_its_tones() -> None:
    with pytest.raises(Misconfigured):
        columns.badge("state", title="State", tones={"x": "pink"})


def test_a_chart_tells_its_figures_without_being_seen() -> None:
    # when
    chart = bar_chart([("EURUSD", Decimal("12.5")), ("XAUUSD", Decimal("-3"))], title="Net lots", unit="lots")

    # then
    assert "<title" in chart
    assert f"2 values; highest EURUSD 12.50, lowest XAUUSD {MINUS}3.00." in chart
    assert f"<tr><th scope=row>XAUUSD</th><td>{MINUS}3.00</td></tr>" in chart
    assert "<script" not in chart
    assert bar_chart([], title="Nothing") == ""


def test_a_registry_refuses_a_second_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(navigation, "_sections", {})
    monkeypatch.setattr(navigation, "_pages", {})
    navigation.register_section("crm", "CRM", "group", 10)
    navigation.register_section("crm", "CRM", "group", 10)

    # then
    with pytest.raises(Misconfigured):
        navigation.register_section("crm", "Other", "group", 10)


def test_cards_are_those_of_the_role_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(dashboards, "_cards", {})
    dashboards.register_card("b", [Role.FINANCE], lambda actor: dashboards.Card("Second"), order=20)
    dashboards.register_card("a", [Role.FINANCE], lambda actor: dashboards.Card("First"), order=10)
    dashboards.register_card("none", [Role.FINANCE], lambda actor: None, order=30)
    dashboards.register_card("other", [Role.DEALING], lambda actor: dashboards.Card("Other"))

    # when
    shown = dashboards.cards_for(Actor("x", 1, frozenset({Role.FINANCE.value})))

    # then
    assert [card.title for card in shown] == ["First", "Second"]
