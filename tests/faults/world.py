"""A small broker whose deals come in through the front door, and what its books must say in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.models import Job, OutboxEvent
from backoffice.devstack.process import wait_until
from ib.models import CommissionLine, Partner
from platform_ops.models import Deal, Trade, TradingAccount
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind
from tests.factories.ib import Broker, booked
from tests.factories.platform import MONDAY

DAYS = tuple(MONDAY + timedelta(days=number) for number in range(4))
AS_OF = datetime.combine(MONDAY + timedelta(days=6), time(0), tzinfo=UTC)
PER_LOT = (Decimal(7), Decimal(2))
"""What the direct partner and the one above earn per lot."""


@dataclass
class FaultWorld:
    """Two levels of partners and some accounts of clients of the lower one."""

    broker: Broker = field(default_factory=Broker)
    direct: Partner = field(init=False)
    top: Partner = field(init=False)
    accounts: list[TradingAccount] = field(init=False)

    def __post_init__(self) -> None:
        self.top = self.broker.partner()
        self.direct = self.broker.partner(parent=self.top)
        self.accounts = [self.broker.client_of(self.direct) for _ in range(3)]

    def deals(self, *, per_day: int = 2, days: Sequence[date] = DAYS, first: int = 1) -> list[IngestRecord]:
        """Round trips of one lot: an opening and a closing deal each, spread over the accounts."""
        records = []
        for number, day in enumerate(day for day in days for _ in range(per_day)):
            at = datetime.combine(day, time(9), tzinfo=UTC) + timedelta(seconds=number)
            records += self.round_trip(ticket=first + 2 * number, at=at, account=self.accounts[number % 3])
        return records

    def round_trip(
        self, *, ticket: int, at: datetime, account: TradingAccount, lots: str = "1", profit: str = "3"
    ) -> list[IngestRecord]:
        """A buy and, an hour later, the sell that closes it."""
        shared = {
            "login": account.login,
            "currency": account.currency,
            "symbol": "EURUSD",
            "volume_lots": Decimal(lots),
            "position_ticket": ticket,
        }
        opening = IngestRecord(
            ticket=ticket, kind=DealKind.BUY, entry=DealEntry.IN, at=at, price=Decimal("1.1"), **shared
        )
        closing = IngestRecord(
            ticket=ticket + 1,
            kind=DealKind.SELL,
            entry=DealEntry.OUT,
            at=at + timedelta(hours=1),
            price=Decimal("1.2"),
            open_price=Decimal("1.1"),
            opened_at=at,
            profit=Decimal(profit),
            **shared,
        )
        return [opening, closing]

    def feed(self, records: Iterable[IngestRecord]) -> None:
        """Takes deals in, as a connector does."""
        ingest_records(server_id=self.broker.server.pk, source="test", records=records, as_of=AS_OF)

    def state(self) -> dict[str, object]:
        """Everything that must come out the same, however it came in: sums and checksums, no row numbers."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), coalesce(sum(l.amount), 0), coalesce(sum(l.amount * t.ticket), 0)"
                " FROM ib_commissionline AS l JOIN platform_ops_trade AS t ON t.id = l.trade_id WHERE l.amount <> 0"
            )
            _, amount, weighted = cursor.fetchone()
            cursor.execute(
                "SELECT account.kind, account.owner_id, sum(balance.balance) FROM ledger_accountbalance AS balance"
                " JOIN ledger_ledgeraccount AS account ON account.id = balance.account_id"
                " GROUP BY account.kind, account.owner_id HAVING sum(balance.balance) <> 0 ORDER BY 1, 2"
            )
            balances = cursor.fetchall()
            cursor.execute(
                "SELECT ticket, leg, account_id, volume_lots, closed_at, profit, is_cancelled, business_day"
                " FROM platform_ops_trade ORDER BY ticket, leg"
            )
            trades = cursor.fetchall()
            cursor.execute("SELECT account_id, position_ticket, volume_lots FROM platform_ops_position ORDER BY 1, 2")
            positions = cursor.fetchall()
        return {"amount": amount, "weighted": weighted, "balances": balances, "trades": trades, "positions": positions}


def assert_books_hold() -> None:
    """Everything that `verify_books` proves, in whatever state the work is."""
    found = verify_books()
    assert [check for check in found["checks"] if not check["ok"]] == []


def assert_nothing_is_lost() -> None:
    """Every event is delivered and every job done: no ingest batch is forgotten.

    Where beat and workers still run, their own upkeep may have published something in this very moment.
    """
    assert wait_until(lambda: not OutboxEvent.objects.filter(delivered_at__isnull=True).exists(), seconds=5)
    assert wait_until(lambda: not Job.objects.exclude(state=Job.State.DONE).exists(), seconds=5)


def assert_paid(world: FaultWorld, *, trades: int, lots: int | None = None) -> None:
    """Every trade is there and paid once at each level, and the books prove."""
    lots = trades if lots is None else lots
    assert Trade.objects.filter(is_cancelled=False).count() == trades
    assert Deal.objects.count() >= 2 * trades
    assert [booked(world.direct), booked(world.top)] == [lots * rate for rate in PER_LOT]
    assert CommissionLine.objects.filter(seq=0).count() == 2 * trades
    assert_nothing_is_lost()
    assert_books_hold()
