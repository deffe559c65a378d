"""Random months told in random order and settled in between: what is booked equals a naive walk over everything."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ib.models import CarryBalance
from ib.services.client_events import reverse_client_event
from ib.services.periods import prove_partner
from tests.factories.periods import House, earned, make_period_plan, rule, settle, tell
from tests.factories.platform import SYSTEM

pytestmark = pytest.mark.django_db

CENT = Decimal("0.01")
MONTHS = (date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1))
days = st.sampled_from([date(2026, month, day) for month in (3, 4, 5) for day in (5, 12, 19)])
money = st.integers(1, 2_000_000).map(lambda cents: Decimal(cents) / 100)
losses = st.integers(-2_000_000, 2_000_000).map(lambda cents: Decimal(cents) / 100)
happenings = st.one_of(
    st.tuples(st.just("loss"), days, losses),
    st.tuples(st.just("bonus"), days, money),
    st.tuples(st.just("fee"), days, money),
    st.tuples(st.just("deposit"), days, money),
    st.tuples(st.just("taken out"), days, money),
)


def naive(told: list[tuple[str, date, Decimal]], rate: Decimal, cap: Decimal | None) -> tuple[list[Decimal], Decimal]:
    """What each month pays, rewards apart, and the loss carried out of the last one: one month after the other."""
    bases: dict[date, Decimal] = defaultdict(Decimal)
    for what, day, amount in told:
        if what in {"loss", "bonus", "fee"}:
            bases[day.replace(day=1)] += amount if what == "loss" else -amount
    carried, paid = Decimal(0), []
    for month in MONTHS:
        result = (bases[month] * rate / 100).quantize(CENT, ROUND_HALF_UP)
        if result >= 0:
            paid.append(max(result + carried, Decimal(0)))
            carried = min(result + carried, Decimal(0))
        else:
            paid.append(Decimal(0))
            carried += result
            if cap is not None:
                carried = max(carried, -cap)
    return paid, carried


def rewarded(told: list[tuple[str, date, Decimal]]) -> tuple[date | None, Decimal]:
    """The month of the reward: the day on which what was paid in on the first day comes to 1 000."""
    deposits = sorted((day, amount) for what, day, amount in told if what == "deposit")
    if not deposits:
        return None, Decimal(0)
    first = deposits[0][0]
    enough = sum(amount for day, amount in deposits if day == first) >= 1000
    return (first.replace(day=1), Decimal(250)) if enough else (None, Decimal(0))


@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_months_told_in_any_order_are_booked_as_a_naive_walk_says(data: st.DataObject) -> None:
    rate = data.draw(st.sampled_from([Decimal(30), Decimal("33.333"), Decimal("12.5")]))
    cap = data.draw(st.sampled_from([None, Decimal(500)]))
    told = data.draw(st.lists(happenings, min_size=1, max_size=7))
    house = House()
    rules = (
        rule("net_revenue_share", str(rate)),
        rule("cpa", "250", currency="USD", component="cpa", minimum_deposit="1000", window_hours=1),
    )
    partner = house.partner(make_period_plan(house.brand, *rules, carry_over="plan", carry_cap=cap))
    account = house.client_of(partner)
    for what, day, amount in told:
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=1)
        if what == "loss":
            house.loses(account, str(amount), day)
        elif what == "taken out":
            event = tell(account.client_id, "bonus", str(amount), at=at)
            reverse_client_event(event_id=event.pk, reference=f"out {event.pk}", reason="wrong", actor=SYSTEM)
        else:
            tell(account.client_id, what, str(amount), at=at)
        if data.draw(st.booleans()):
            settle()
    tell(account.client_id, "withdrawal", "1", at=datetime(2026, 3, 2, 12, tzinfo=UTC))  # marks from March on
    settle()
    paid, carried = naive(told, rate, cap)
    month, reward = rewarded(told)
    expected = [amount + (reward if period == month else 0) for period, amount in zip(MONTHS, paid, strict=True)]
    assert [earned(partner, period) for period in MONTHS] == expected
    newest = CarryBalance.objects.filter(partner=partner).order_by("-period").first()
    assert (newest.closing if newest else Decimal(0)) == carried
    assert prove_partner(partner=partner, from_period=MONTHS[0]) == []
