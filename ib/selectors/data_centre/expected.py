"""What the open month is worth by now, by the engine's own target, against what is booked of it. Writes nothing.

The difference is what settlement has still to book (trades that came just now, a set-up that changed) and what is only
decided when the month is over (shares of net revenue, tiers of the month, active clients).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Sum

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, MissingRate
from ib.engine import booking
from ib.engine.fx import FX_TABLE
from ib.engine.ordered import month_of
from ib.engine.target import RATE_CARD, STAGE_ONE, Scope, parameters_of, target_select
from ib.models import PeriodLine, RateCardVersion
from ib.models.periods import PeriodLineKind
from ib.rules.periods import period_of
from ib.selectors.data_centre.sources import reading
from ib.selectors.data_centre.viewpoint import Viewpoint
from ib.services import ordered, quarantine
from ib.services.card import facts_of_card, is_outdated
from ib.services.periods import expected_lines

ZERO = Decimal(0)
ON_TRADES, IN_ORDER = "Trades, one by one", "Trades in their order: tiers and caps of the month"


@dataclass(frozen=True, slots=True)
class ExpectedPart:
    """A kind of commission of the open month: what it is worth by now, and what is booked."""

    title: str
    expected: Decimal
    booked: Decimal
    currency: str
    is_open: bool = False
    """Only booked when the month is over."""

    @property
    def difference(self) -> Decimal:
        """What is still to be booked."""
        return self.expected - self.booked


@dataclass(frozen=True, slots=True)
class Expectation:
    """The open month of a partner."""

    month: date
    until: date
    parts: tuple[ExpectedPart, ...]
    is_outdated: bool
    """The set-up changed and the rate card is not compiled yet: the next settlement does, and books what follows."""
    problem: str = ""


_SCOPE = """
t.business_day = ANY(%(days)s::date[]) AND NOT t.id = ANY(%(held)s::bigint[]) AND t.account_id IN (
    SELECT account.id FROM platform_ops_tradingaccount AS account WHERE account.client_id IN (
        SELECT client_id FROM ib_clientreferral WHERE partner_id = ANY(%(direct)s::bigint[])))
"""
_CARD_OF_ONE = f"(SELECT entry.* FROM {RATE_CARD} AS entry WHERE entry.beneficiary_id = %(beneficiary)s)"  # noqa: S608


def expected_month(view: Viewpoint) -> Expectation:
    """The open month of the viewpoint's partner. Raises InvalidInput for a house: choose a partner."""
    if view.partner is None:
        raise InvalidInput(
            "Choose a partner: what is expected is worked out for one at a time.", code="no_partner", field="partner"
        )
    today = clock.today_business_day()
    month = period_of(today)
    days = [month + timedelta(days=offset) for offset in range((today - month).days + 1)]
    card = RateCardVersion.objects.filter(is_active=True).first()
    with reading():
        amounts: dict[str, dict[str, Decimal]] = {ON_TRADES: {}, IN_ORDER: {}}
        if card is not None:
            amounts[ON_TRADES] = _one_by_one(view, days, card)
            amounts[IN_ORDER] = _in_order(view, month, card)
        parts = _on_trades(view, days, amounts)
        problem = ""
        try:
            parts += _by_period(view, month)
        except MissingRate as error:
            problem = error.message
        return Expectation(month, today, tuple(parts), card is None or is_outdated(card), problem)


def _one_by_one(view: Viewpoint, days: list[date], card: RateCardVersion) -> dict[str, Decimal]:
    facts = facts_of_card(card)
    partner_id = view.partner.pk if view.partner is not None else 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT abs(direct_partner_id) FROM {RATE_CARD} WHERE beneficiary_id = %s AND is_current",  # noqa: S608
            [partner_id],
        )
        direct = [row[0] for row in cursor.fetchall()]
    scope = Scope(_SCOPE, "false", tuple(days), {"held": quarantine.held_trades(days), "direct": direct})
    target = target_select(scope, facts, card=_CARD_OF_ONE, stage=STAGE_ONE)
    parameters = {**parameters_of(scope, facts), "beneficiary": partner_id}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM platform_ops_trade AS t WHERE {_SCOPE}", parameters)  # noqa: S608
        booking.pin_plan(cursor.fetchone()[0], facts)
        cursor.execute(
            f"WITH {FX_TABLE} SELECT currency, sum(target) FROM ({target}) AS target WHERE partner_id = %(beneficiary)s"  # noqa: S608
            " GROUP BY 1",
            parameters,
        )
        found = dict(cursor.fetchall())
    booking.free_plan()
    return found


def _in_order(view: Viewpoint, month: date, card: RateCardVersion) -> dict[str, Decimal]:
    facts = facts_of_card(card)
    if not facts.has("periods") or view.partner is None:
        return {}
    valued = ordered.value_month(partner_id=view.partner.pk, period=month_of(month), facts=facts)
    currencies = {item.key: item.currency for item in valued.candidates}
    sums: dict[str, Decimal] = {}
    for item in valued.valued:
        currency = currencies[item.trade.trade_id, item.trade.part]
        sums[currency] = sums.get(currency, ZERO) + item.target
    return sums


def _on_trades(view: Viewpoint, days: list[date], amounts: dict[str, dict[str, Decimal]]) -> list[ExpectedPart]:
    """Expected against booked. Which of the two stages a line was booked by is its card entry's to say."""
    booked: dict[str, dict[str, Decimal]] = {ON_TRADES: {}, IN_ORDER: {}}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(card.needs_period, before_card.needs_period, false), line.currency, sum(line.amount)
            FROM ib_commissionline AS line
            LEFT JOIN ib_ratecardentry AS card ON card.id = line.card_entry_id
            LEFT JOIN ib_commissionline AS before
              ON before.partner_id = line.partner_id AND before.trade_id = line.trade_id AND before.part = line.part
             AND before.day = line.day AND before.seq = line.seq - 1 AND line.card_entry_id IS NULL
            LEFT JOIN ib_ratecardentry AS before_card ON before_card.id = before.card_entry_id
            WHERE line.partner_id = %(partner)s AND line.day BETWEEN %(first)s AND %(last)s
            GROUP BY 1, 2
            """,
            {**view.parameters, "first": days[0], "last": days[-1]},
        )
        for is_ordered, currency, amount in cursor.fetchall():
            booked[IN_ORDER if is_ordered else ON_TRADES][currency] = amount
    return [
        ExpectedPart(title, amounts[title].get(currency, ZERO), booked[title].get(currency, ZERO), currency)
        for title in (ON_TRADES, IN_ORDER)
        for currency in sorted({*amounts[title], *booked[title]})
    ]


def _by_period(view: Viewpoint, month: date) -> list[ExpectedPart]:
    if view.partner is None:
        return []
    expected: dict[tuple[str, str], Decimal] = {}
    for key, line in expected_lines(partner=view.partner):
        pair = str(key.kind), key.currency
        expected[pair] = expected.get(pair, ZERO) + line.target
    lines = PeriodLine.objects.filter(partner=view.partner, period=month).order_by()
    booked = {
        (row["kind"], row["currency"]): row["sum"]
        for row in lines.values("kind", "currency").annotate(sum=Sum("amount"))
    }
    at_once = {PeriodLineKind.CPA.value, PeriodLineKind.CLAWBACK.value}
    return [
        ExpectedPart(
            PeriodLineKind(kind).label,
            expected.get((kind, currency), ZERO),
            booked.get((kind, currency), ZERO),
            currency,
            is_open=kind not in at_once,
        )
        for kind, currency in sorted({*expected, *booked})
    ]
