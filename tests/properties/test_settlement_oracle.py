"""On random small brokers, what is booked equals what a naive walk over every trade says, whatever happened in between."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backoffice.core.books import verify_books
from backoffice.kernel.errors import Conflict
from ib.models import CommissionLine, Partner
from ib.services.proof import prove_range
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.tree import place_partner
from platform_ops.models import ServerSymbol, Trade, TradingAccount
from tests.factories import ib as factory
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.ib.oracle import worth_of_all_trades

pytestmark = pytest.mark.django_db

START = datetime(MONDAY.year, MONDAY.month, MONDAY.day, 8, tzinfo=factory.LONG_AGO.tzinfo)
LAST_DAY = MONDAY + timedelta(days=6)
# Few moments, so that changes and trades meet in the same instant often; they span Monday to Thursday.
moments = st.integers(0, 8).map(lambda number: START + timedelta(hours=9 * number))
lots = st.decimals("0.01", "20", places=2)
currencies = st.sampled_from(["USD", "EUR", "JPY", "BHD", "GBP"])
amounts = st.sampled_from(["7", "0.35", "2.5", "0", "1.115", "12.345678"])
levels = st.integers(1, 3)


@dataclass
class World:
    """Handles of the rows that a random broker consists of."""

    broker: factory.Broker
    partners: list[Partner] = field(default_factory=list)
    accounts: list[TradingAccount] = field(default_factory=list)
    symbols: list[ServerSymbol] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)


def build(data: st.DataObject) -> World:
    broker = factory.Broker()
    world = World(broker)
    world.symbols = [broker.eurusd, broker.gold, broker.map("UNKNOWN", None)]
    # GBP has no rate at all: what would be converted to it is excluded.
    factory.quote(MONDAY - timedelta(days=3), USD="1.0834", JPY="162.54", BHD="0.4081")
    factory.quote(MONDAY + timedelta(days=1), USD="3", JPY="161.07", BHD="0.4093")
    for _ in range(data.draw(st.integers(2, 5))):
        parent = data.draw(st.sampled_from([None, *world.partners]))
        partner = factory.make_partner(broker.brand, currency=data.draw(currencies), parent=parent)
        factory.sign(partner, broker.plan, since=data.draw(st.sampled_from([factory.LONG_AGO, START])))
        world.partners.append(partner)
    for _ in range(data.draw(st.integers(1, 3))):
        world.accounts.append(broker.client_of(data.draw(st.sampled_from([None, *world.partners]))))
    return world


def trade(world: World, data: st.DataObject) -> None:
    batch = platform.make_batch(world.broker.server)
    for _ in range(data.draw(st.integers(1, 3))):
        made = platform.make_trade(
            data.draw(st.sampled_from(world.accounts)),
            lots=str(data.draw(lots)),
            at=data.draw(moments),
            server_symbol=data.draw(st.sampled_from(world.symbols)),
            batch=batch,
        )
        world.trades.append(made)
    if data.draw(st.booleans()):
        settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)


def correct(world: World, data: st.DataObject) -> None:
    if not world.trades:
        return
    changed = data.draw(st.sampled_from(world.trades))
    platform.correct_trade(changed, is_cancelled=data.draw(st.booleans()), at=data.draw(moments))
    Trade.objects.filter(pk=changed.pk).update(volume_lots=data.draw(lots))
    if data.draw(st.booleans()):
        settle_ingest_batch(ingest_batch_id=changed.batch_id, actor=SYSTEM)


def move(world: World, data: st.DataObject) -> None:
    child = data.draw(st.sampled_from(world.partners))
    parent = data.draw(st.sampled_from([None, *world.partners]))
    try:
        with transaction.atomic():
            place_partner(
                partner_id=child.pk,
                parent_id=parent.pk if parent else None,
                valid_from=data.draw(moments),
                actor=SYSTEM,
            )
    except Conflict as error:
        assert error.code == "tree_cycle"


def refer(world: World, data: st.DataObject) -> None:
    client = data.draw(st.sampled_from(world.accounts)).client
    factory.refer(client, data.draw(st.sampled_from(world.partners)), since=data.draw(moments))


def publish(world: World, data: st.DataObject) -> None:
    groups = [None, world.broker.majors, world.broker.metals]
    keys = data.draw(st.lists(st.tuples(st.sampled_from(groups), levels), min_size=1, max_size=5, unique=True))
    rules = [(group, level, data.draw(amounts), data.draw(currencies)) for group, level in keys]
    factory.publish(world.broker.plan, *rules, since=data.draw(moments))


def map_symbol(world: World, data: st.DataObject) -> None:
    symbol = data.draw(st.sampled_from(world.symbols))
    mapped = data.draw(st.sampled_from([None, world.broker.eurusd.symbol, world.broker.gold.symbol]))
    ServerSymbol.objects.filter(pk=symbol.pk).update(symbol=mapped)


def settle(world: World, data: st.DataObject) -> None:
    settle_range(from_day=MONDAY, to_day=LAST_DAY, actor=SYSTEM)


def booked() -> dict[tuple[int, int], Decimal]:
    """What the lines say, by partner and trade, without what was taken back whole."""
    sums: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for line in CommissionLine.objects.all():
        sums[line.partner_id, line.trade_id] += line.amount
    return {key: amount for key, amount in sums.items() if amount}


@settings(
    max_examples=int(os.environ.get("SETTLEMENT_ORACLE_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_any_sequence_of_changes_and_settlements_ends_with_what_the_naive_walk_says(data):
    start = transaction.savepoint()
    try:
        # Given a random broker, and any sequence of trades, corrections, moves, referrals, plan versions, settlements
        world = build(data)
        steps = [trade, trade, correct, move, refer, publish, map_symbol, settle]
        for step in data.draw(st.lists(st.sampled_from(steps), min_size=3, max_size=9)):
            step(world, data)
        # When everything is settled
        settle(world, data)
        # Then the books say what each trade is worth, a second run and the proof find nothing, and every check holds
        assert booked() == {key: amount for key, amount in worth_of_all_trades().items() if amount}
        assert settle_range(from_day=MONDAY, to_day=LAST_DAY, actor=SYSTEM).lines == 0
        assert prove_range(from_day=MONDAY, to_day=LAST_DAY, actor=SYSTEM).rows == ()
        found = verify_books(IB_CHECKS)
        assert found["ok"], found
    finally:
        transaction.savepoint_rollback(start)


IB_CHECKS = [
    "ib.lines_equal_accruals",
    "ib.lines_equal_batches",
    "ib.line_sequence_gapless",
    "ib.default_partition_empty",
    "ledger.balances_equal_postings",
]
