"""Reference rates: published points, the previous-business-day rule, corrections, damaged files, and one rule in SQL and Python."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput, MissingRate
from platform_ops.gateways.ecb import read_rates
from platform_ops.models import FxReferenceRate
from platform_ops.selectors.rates import crossed_rates_select, rate_provider
from platform_ops.services.rates import continue_reference_rates, load_reference_rates

pytestmark = pytest.mark.django_db
LOADER = Actor.system("test")
DAILY_XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><Cube><Cube time="2026-11-02">
<Cube currency="USD" rate="1.1201"/><Cube currency="JPY" rate="175.10"/></Cube></Cube></gesmes:Envelope>"""


def cross(day: date, base: str, quote: str) -> Decimal | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT fx_cross(%s, %s, %s)", [day, base, quote])
        return cursor.fetchone()[0]


def test_the_bundled_history_loads_once_and_holds_the_published_points() -> None:
    first = load_reference_rates(actor=LOADER)
    again = load_reference_rates(actor=LOADER)

    assert first.new == FxReferenceRate.objects.count() > 200_000
    assert (again.new, again.corrections) == (0, [])
    for day, currency, rate in (
        (date(1999, 1, 4), "USD", "1.1789"),
        (date(2015, 1, 15), "CHF", "1.028"),
        (date(2019, 2, 4), "USD", "1.1445"),
        (date(2022, 3, 1), "RUB", "117.201"),
        (date(2026, 10, 30), "JPY", "175.68"),
    ):
        assert FxReferenceRate.objects.get(date=day, currency=currency).per_euro == Decimal(rate)
    assert not FxReferenceRate.objects.filter(date=date(2022, 3, 2), currency="RUB").exists()


def test_sql_and_python_cross_alike_on_quoted_days_weekends_and_gaps() -> None:
    load_reference_rates(actor=LOADER)
    provider = rate_provider()
    for day in (date(2026, 10, 30), date(2026, 11, 1), date(2019, 12, 26), date(2022, 3, 9)):
        for base, quote in (("GBP", "USD"), ("USD", "JPY"), ("EUR", "CHF"), ("JPY", "EUR"), ("USD", "USD")):
            expected = provider.rate(base=Currency.of(base), quote=Currency.of(quote), on=day).rate
            assert cross(day, base, quote) == expected, (day, base, quote)
    assert round(cross(date(2026, 10, 30), "GBP", "USD") or 0, 5) == Decimal("1.33989")


def test_a_rate_older_than_ten_days_is_missing_in_both() -> None:
    load_reference_rates(actor=LOADER)

    assert cross(date(2022, 3, 12), "RUB", "USD") is None
    with pytest.raises(MissingRate):
        rate_provider().rate(base=Currency.of("RUB"), quote=Currency.of("USD"), on=date(2022, 3, 12))


def test_the_daily_xml_adds_a_day_and_a_restated_rate_is_reported() -> None:
    load_reference_rates(actor=LOADER, data=DAILY_XML)

    load = load_reference_rates(actor=LOADER, data=DAILY_XML.replace(b"1.1201", b"1.1205"))

    assert load.new == 0
    assert [(c.day, c.currency, c.before, c.after) for c in load.corrections] == [
        (date(2026, 11, 2), "USD", Decimal("1.1201"), Decimal("1.1205"))
    ]
    assert cross(date(2026, 11, 2), "EUR", "USD") == Decimal("1.1205")


def test_the_own_fixing_counts_only_where_the_central_bank_has_no_rate() -> None:
    load_reference_rates(actor=LOADER, data=DAILY_XML)
    own = {date(2026, 11, 2): {"USD": Decimal("9")}, date(2026, 11, 3): {"USD": Decimal("1.13")}}

    continue_reference_rates(per_euro=own, source="HOUSE", actor=LOADER)

    assert cross(date(2026, 11, 2), "EUR", "USD") == Decimal("1.1201")
    assert cross(date(2026, 11, 3), "EUR", "USD") == Decimal("1.13")
    with pytest.raises(InvalidInput):
        continue_reference_rates(per_euro=own, source="ECB", actor=LOADER)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"Date,USD\n2026-10-30,abc\n", "USD"),
        (b"Date,USD\n2026-10-30,-1\n", "USD"),
        (b"Date,USD\n30.10.2026,1.1\n", "Date"),
        (b"Date,USD,JPY\n2026-10-30,1.1\n", "JPY"),
        (b"Day,USD\n2026-10-30,1.1\n", "Date"),
        (DAILY_XML[:200], "file"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x time="2026-11-02">&a;</x>', "file"),
        (b"PK\x03\x04 broken", "file"),
        (b"", "Date"),
    ],
)
def test_a_damaged_file_names_row_and_field_and_stores_nothing(data: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_reference_rates(actor=LOADER, data=data)

    assert refused.value.details["field"] == field
    assert not FxReferenceRate.objects.exists()


def test_the_last_column_of_the_history_may_be_empty() -> None:
    assert [rate.currency for rate in read_rates(b"Date,USD,\n2026-10-30,1.1172,\n")] == ["USD"]


def test_many_days_and_pairs_cross_at_once_as_each_does_alone() -> None:
    load_reference_rates(actor=LOADER)
    days = [date(2026, 10, 30), date(2026, 11, 1), date(2019, 12, 26), date(2022, 3, 9), date(2022, 3, 20)]
    pairs = [("GBP", "USD"), ("USD", "JPY"), ("EUR", "CHF"), ("JPY", "EUR"), ("USD", "USD"), ("RUB", "USD"),
             ("USC", "USD"), ("EUR", "EUC"), ("USC", "JPY"), ("EUC", "GBP"), ("XXX", "USD")]  # fmt: skip
    select = crossed_rates_select(days="%(days)s", given="%(given)s", into="%(into)s")
    named = {"days": days, "given": [pair[0] for pair in pairs], "into": [pair[1] for pair in pairs]}

    with connection.cursor() as cursor:
        cursor.execute(select, named)
        rows = cursor.fetchall()

    assert {row[:3]: row[4] for row in rows} == {(day, *pair): cross(day, *pair) for day in days for pair in pairs}
    fixed = {row[:3]: row[3] for row in rows}
    assert fixed[date(2026, 11, 1), "GBP", "USD"] == date(2026, 10, 30)
    assert fixed[date(2022, 3, 9), "RUB", "USD"] == date(2022, 3, 1)
    assert fixed[date(2022, 3, 20), "RUB", "USD"] is None
    assert fixed[date(2026, 11, 1), "USD", "USD"] is None
