"""What the daily finance report reads, and how amounts become amounts in the base currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, round_decimal
from backoffice.reports.definitions import daily_finance_sql as sql
from backoffice.reports.types import Subject
from risk.services.exposure import MeasuredExposure, measure_day_end_exposure
from risk.types import ReportRate

ZERO = Decimal(0)
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Balance:
    """What the accounts of a kind and currency hold at the end of the day, in their normal side."""

    accounts: int = 0
    positive: Decimal = ZERO
    negative: Decimal = ZERO
    debits: Decimal = ZERO
    credits: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Positive and negative balances together."""
        return self.positive + self.negative


class Conversion:
    """Amounts in the base currency at the reference rates of the day; remembers which currencies it was asked for."""

    def __init__(self, *, base: str, rates: Mapping[str, ReportRate]) -> None:
        self.base = base
        self.rates = rates
        self.missing: set[str] = set()
        self.used: set[str] = set()
        self._digits = Currency.of(base).digits

    def to_base(self, amount: Decimal, currency: str) -> Decimal | None:
        """The amount in the base currency, rounded once; None when there is no rate."""
        rate = self.rates.get(currency)
        if rate is None:
            self.missing.add(currency)
            return None
        self.used.add(currency)
        return round_decimal(EXACT.multiply(amount, rate.rate), self._digits)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was read, before it is laid out."""

    client_money: Rows
    other_operations: Rows
    swaps: Rows
    traded: Rows
    client_results: Rows
    booked_of_day: dict[tuple[str, str], Decimal]
    house_result: Rows
    balances: dict[tuple[str, str], Balance]
    partner_balances: dict[tuple[int, str, str], Decimal]
    commission_booked: dict[tuple[int, str], Decimal]
    commission_lines: dict[tuple[int, str], tuple[int, Decimal]]
    partners: dict[int, tuple[str, str]]
    days: Rows
    exposure: MeasuredExposure


def read_facts(subject: Subject, as_of: date, recorded_until: datetime) -> Facts:
    """Everything that the report says of the day, as recorded by the moment. One snapshot is the caller's business."""
    starts, ends = day_bounds(as_of)
    parameters: dict[str, Any] = {
        "entity": subject.entity_id,
        "day": as_of,
        "starts": starts,
        "ends": ends,
        "until": recorded_until,
    }

    def rows(query: str) -> Rows:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

    balances = rows(sql.BALANCES)
    return Facts(
        client_money=rows(sql.CLIENT_MONEY),
        other_operations=rows(sql.OTHER_OPERATIONS),
        swaps=rows(sql.SWAPS),
        traded=rows(sql.TRADED),
        client_results=rows(sql.CLIENT_RESULTS),
        booked_of_day={(currency, component): amount for currency, component, amount in rows(sql.BOOKED_OF_DAY)},
        house_result=rows(sql.HOUSE_RESULT),
        balances={(kind, currency): Balance(*rest) for kind, currency, owner, *rest in balances if owner is None},
        partner_balances={
            (owner, currency, kind): positive + negative
            for kind, currency, owner, _, positive, negative, _, _ in balances
            if owner is not None
        },
        commission_booked={(partner, currency): amount for partner, currency, amount in rows(sql.COMMISSION_BOOKED)},
        commission_lines={
            (partner, currency): (lines, amount) for partner, currency, lines, amount in rows(sql.COMMISSION_LINES)
        },
        partners={partner: (reference, name) for partner, reference, name in rows(sql.PARTNERS)},
        days=rows(sql.DAYS),
        exposure=measure_day_end_exposure(
            entity_id=subject.entity_id,
            day=as_of,
            recorded_until=recorded_until,
            report_currency=subject.base_currency,
        ),
    )


def currencies_of_facts(facts: Facts, subject: Subject) -> set[str]:
    """Every currency that an amount of the report is in."""
    return {
        subject.base_currency,
        *(row[0] for row in facts.client_money),
        *(row[1] for row in (*facts.other_operations, *facts.swaps, *facts.traded, *facts.house_result)),
        *(row[2] for row in facts.client_results),
        *(currency for _, currency in facts.balances),
        *(currency for _, currency in facts.commission_booked),
    }
