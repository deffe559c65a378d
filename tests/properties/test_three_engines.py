"""On random brokers the settlement in SQL, a naive walk in Python and DuckDB come to the same lines."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ib.bench.duck import Duck
from ib.models import CommissionLine
from ib.rules.amounts import Rounding
from ib.services.settlement import days_to_settle, settle_range
from tests.factories import ib as factory
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.ib.oracle import worth_of_all_trades
from tests.properties.test_settlement_oracle import LAST_DAY, START, moments

pytestmark = pytest.mark.django_db
currencies = st.sampled_from(["USD", "EUR", "CHF"])
amounts = st.decimals("0.01", "30", places=3)


edges = st.sampled_from(
    ["0.005", "-0.005", "0.015", "2.675", "0.0049999999999999999", "-1.4999999999999999995", "1e15"]
)


@settings(max_examples=3, deadline=None)
@given(
    amounts=st.lists(
        st.one_of(edges.map(Decimal), st.decimals(-(10**12), 10**12, places=6), st.decimals("-9", "9", places=19)),
        min_size=40,
        max_size=120,
    )
)
def test_the_databases_numbers_are_rounded_as_pythons(amounts: list[Decimal]) -> None:
    """In each mode, to no digits (JPY), two, and three (BHD): symmetric in the sign, and at exact halves."""
    modes, digits = ("half_up", "half_even", "down"), (0, 2, 3)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT amount, mode, digits, ib_round(amount, digits, mode)"
            " FROM unnest(%s::numeric[]) AS amount, unnest(%s::text[]) AS mode, unnest(%s::integer[]) AS digits",
            [amounts, list(modes), list(digits)],
        )
        rows = cursor.fetchall()
    assert len(rows) == len(amounts) * 9
    for amount, mode, places, rounded in rows:
        assert rounded == Rounding(places, mode).rounded(amount)
        assert Rounding(places, mode).rounded(-amount) == -rounded


@settings(
    max_examples=int(os.environ.get("THREE_ENGINES_EXAMPLES", "4")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_sql_a_naive_walk_and_duckdb_agree_on_every_line(data: st.DataObject, tmp_path: Path) -> None:
    start = transaction.savepoint()
    try:
        # Given a random tree with dated places, referrals and rates
        broker = factory.Broker()
        factory.quote(MONDAY - timedelta(days=3), USD="1.0834", CHF="0.9412")
        factory.quote(MONDAY + timedelta(days=1), USD="1.0851", CHF="0.9407")
        rules = [(None, level, str(data.draw(amounts)), data.draw(currencies)) for level in (1, 2, 3)]
        plan = factory.make_plan(broker.entity, *rules, (broker.metals, 1, str(data.draw(amounts)), "USD"))
        partners = []
        for _ in range(data.draw(st.integers(2, 6))):
            parent = data.draw(st.sampled_from([None, *partners]))
            partners.append(broker.partner(parent=parent, currency=data.draw(currencies), plan=plan))
        accounts = [broker.client_of(data.draw(st.sampled_from(partners))) for _ in range(3)]
        factory.refer(accounts[0].client, data.draw(st.sampled_from(partners)), since=START + timedelta(days=1))
        factory.publish(plan, *((None, level, "1.115", "EUR") for level in (1, 2)), since=START + timedelta(days=2))
        for _ in range(data.draw(st.integers(3, 12))):
            platform.make_trade(
                data.draw(st.sampled_from(accounts)),
                lots=str(data.draw(st.decimals("0.01", "20", places=2))),
                at=data.draw(moments),
                server_symbol=data.draw(st.sampled_from([broker.eurusd, broker.gold])),
            )
        # When it is settled
        settle_range(from_day=MONDAY, to_day=LAST_DAY, actor=SYSTEM)
        # Then all three have the same lines
        lines: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
        for line in CommissionLine.objects.all():
            lines[line.partner_id, line.trade_id] += line.amount
        booked = {key: amount for key, amount in lines.items() if amount}
        assert booked == {key: amount for key, amount in worth_of_all_trades().items() if amount}
        assert booked == _by_duckdb(tmp_path)
    finally:
        transaction.savepoint_rollback(start)


def _by_duckdb(folder: Path) -> dict[tuple[int, int], Decimal]:
    duck = Duck(days=days_to_settle(from_day=MONDAY, to_day=LAST_DAY), folder=folder)
    try:
        duck.compute()
        return {(partner, trade): amount for partner, trade, amount in duck.lines() if amount}
    finally:
        duck.close()
