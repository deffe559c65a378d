"""Cent accounts: 100.00 USC is one dollar, in the kernel, in the database and in every rate that follows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from backoffice.core.services.entities import require_permitted_currency
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.fx import Side
from backoffice.kernel.money import Money
from platform_ops.models import FxReferenceRate
from platform_ops.selectors.rates import rate_provider
from tests.factories.platform import make_entity

pytestmark = pytest.mark.django_db

DAY = date(2026, 3, 2)
PAIRS = [
    ("USC", "USD"),
    ("USD", "USC"),
    ("EUC", "EUR"),
    ("USC", "EUR"),
    ("EUR", "USC"),
    ("USC", "GBP"),
    ("GBP", "EUC"),
    ("USC", "EUC"),
]


def crossed(base: str, quote: str) -> Decimal | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT fx_cross(%s, %s, %s)", [DAY, base, quote])
        return cursor.fetchone()[0]


def test_a_cent_is_known_by_its_currency() -> None:
    cent = Currency.of("USC")
    assert (cent.digits, cent.parent.code, cent.per_parent) == (2, "USD", 100)
    assert (Currency.of("JPY").parent.code, Currency.of("JPY").per_parent) == ("JPY", 1)


def test_cents_against_their_own_currency_need_no_rate_on_any_side() -> None:
    for side in Side:
        rate = rate_provider().rate(base=Currency.of("USC"), quote=Currency.of("USD"), on=DAY, side=side)
        assert rate.convert(Money.of("12345.67", "USC")) == Money.of("123.4567", "USD")
    assert (crossed("USC", "USD"), crossed("USD", "USC"), crossed("EUC", "EUR")) == (
        Decimal("0.01"),
        100,
        Decimal("0.01"),
    )
    assert crossed("USC", "GBP") is None


@pytest.mark.parametrize(("base", "quote"), PAIRS)
def test_the_database_and_the_kernel_cross_alike(base: str, quote: str) -> None:
    for currency, per_euro in (("USD", "1.1172"), ("GBP", "0.8338")):
        FxReferenceRate.objects.create(source="ECB", date=DAY, currency=currency, per_euro=Decimal(per_euro))
    found = rate_provider().rate(base=Currency.of(base), quote=Currency.of(quote), on=DAY).rate
    in_database = crossed(base, quote)
    assert in_database is not None
    assert abs(found - in_database) < Decimal("1e-30")
    parent = rate_provider().rate(base=Currency.of(base).parent, quote=Currency.of(quote).parent, on=DAY).rate
    factor = Decimal(Currency.of(quote).per_parent) / Currency.of(base).per_parent
    assert abs(found - parent * factor) < Decimal("1e-25")


def test_who_opens_accounts_in_dollars_opens_them_in_cents_of_the_dollar() -> None:
    entity = make_entity(currencies=["EUR", "USD"])
    for code in ("USD", "USC", "EUC"):
        require_permitted_currency(entity_id=entity.pk, currency=code)
    with pytest.raises(InvalidInput):
        require_permitted_currency(entity_id=make_entity(currencies=["EUR"]).pk, currency="USC")
