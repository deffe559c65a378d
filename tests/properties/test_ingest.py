"""Whatever the order, the batches and the repetitions in which deals arrive, the books are what a slow walk says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backoffice.core.books import verify_books
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.business_day import business_day_of
from platform_ops.models import BalanceOperation, Position, Trade, TradingServer
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.rebuilding import rebuild_projections
from platform_ops.types import DealEntry, DealKind

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
AS_OF = datetime(2026, 3, 20, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
LOTS = st.integers(1, 300).map(lambda hundredths: Decimal(hundredths) / 100)
PRICES = st.integers(90_000, 130_000).map(lambda points: Decimal(points) / 100_000)
CHECKS = ["platform.trades_equal_deals", "platform.positions_equal_deals", "platform.operations_equal_deals"]

once_per_example = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(INSTANTS, min_size=1, max_size=50))
def test_sql_and_kernel_agree_on_the_business_day(instants: list[datetime]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT platform_business_day(at) FROM unnest(%s::timestamptz[]) AS told(at)", [instants])
        assert [row[0] for row in cursor.fetchall()] == [business_day_of(at) for at in instants]


def test_sql_and_kernel_agree_around_every_close_and_clock_change() -> None:
    closes = [
        datetime(2026, month, day, hour, minute, tzinfo=UTC)
        for month, day in ((3, 6), (3, 8), (3, 9), (10, 30), (11, 1), (11, 2), (12, 31))
        for hour in (20, 21, 22, 23)
        for minute in (0, 59)
    ]
    instants = [at + timedelta(microseconds=shift) for at in closes for shift in (-1, 0, 1)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT platform_business_day(at) FROM unnest(%s::timestamptz[]) AS told(at)", [instants])
        assert [row[0] for row in cursor.fetchall()] == [business_day_of(at) for at in instants]


@dataclass
class Walk:
    """One position walked deal by deal, in the plainest way."""

    volume: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    opened_at: datetime | None = None
    trades: list[tuple[int, int, Decimal, Decimal, datetime | None]] = field(default_factory=list)

    def take(self, deal: IngestRecord) -> None:
        """Applies a deal; closings note what they closed."""
        assert deal.price is not None
        signed = deal.volume_lots if deal.kind == DealKind.BUY else -deal.volume_lots
        if deal.entry != DealEntry.IN:
            side = 1 if self.volume > 0 else -1
            closed = min(abs(self.volume), deal.volume_lots)
            self.trades.append((deal.ticket, side, closed, cents(self.price), self.opened_at))
        if self.volume == 0 or (self.volume > 0) == (signed > 0):
            total = self.volume + signed
            with localcontext() as context:
                context.prec = 50
                self.price = (self.price * self.volume + deal.price * signed) / total
            self.opened_at = self.opened_at if self.volume else deal.at
            self.volume = total
            return
        turned = abs(signed) > abs(self.volume)
        self.volume += signed
        if turned:
            self.price, self.opened_at = deal.price, deal.at


def cents(price: Decimal) -> Decimal:
    """A price as its column holds it."""
    return price.quantize(Decimal("1e-10"), rounding=ROUND_HALF_UP)


@st.composite
def netting_histories(draw: st.DrawFn) -> tuple[list[IngestRecord], dict[int, Walk]]:
    """Deals of a few positions that open, add, reduce, reverse and close, with the walk of each."""
    records, walks = [], {}
    ticket = 100
    for position in range(1, draw(st.integers(1, 3)) + 1):
        walk = walks[position] = Walk()
        for minute in range(draw(st.integers(1, 7))):
            lots, price = draw(LOTS), draw(PRICES)
            kind = draw(st.sampled_from([DealKind.BUY, DealKind.SELL]))
            signed = lots if kind is DealKind.BUY else -lots
            entry = DealEntry.IN
            if walk.volume * signed < 0:
                entry = DealEntry.OUT if abs(signed) <= abs(walk.volume) else DealEntry.INOUT
            ticket += 1
            record = IngestRecord(
                ticket=ticket,
                kind=kind,
                entry=entry,
                at=T0 + timedelta(hours=position, minutes=minute),
                login="1001",
                currency="USD",
                position_ticket=position,
                symbol=f"SYMBOL{position}",
                volume_lots=lots,
                price=price,
                profit=Decimal(draw(st.integers(-10_000, 10_000))) / 100,
            )
            walk.take(record)
            records.append(record)
    return records, walks


@once_per_example
@given(netting_histories(), st.randoms(use_true_random=False), st.data())
def test_deals_in_any_order_and_batches_give_what_a_walk_gives(
    history: tuple[list[IngestRecord], dict[int, Walk]], shuffle: object, data: st.DataObject
) -> None:
    records, walks = history
    told = [*records, *data.draw(st.lists(st.sampled_from(records), max_size=3))]
    shuffle.shuffle(told)  # type: ignore[attr-defined]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(told)), max_size=3)))
    batches = [told[start:end] for start, end in zip([0, *cuts], [*cuts, len(told)], strict=True)]
    server = new_server()
    for number, batch in enumerate(batches):
        ingest_records(server_id=server.pk, source="test", records=batch, as_of=AS_OF + timedelta(minutes=number))
    check_against(server, walks)


@once_per_example
@given(netting_histories(), st.data())
def test_corrections_in_any_order_end_at_the_latest_telling(
    history: tuple[list[IngestRecord], dict[int, Walk]], data: st.DataObject
) -> None:
    records, _ = history
    tellings = []
    for moment in range(3):
        changed = [
            replace(record, profit=record.profit + moment, price=(record.price or 0) + moment) for record in records
        ]
        tellings.append((AS_OF + timedelta(hours=moment), changed))
    latest: dict[int, Walk] = {}
    for record in sorted(tellings[-1][1], key=lambda record: (record.at, record.ticket)):
        latest.setdefault(record.position_ticket, Walk()).take(record)
    server = new_server()
    for as_of, changed in data.draw(st.permutations(tellings)):
        ingest_records(server_id=server.pk, source="test", records=changed, as_of=as_of)
    check_against(server, latest)
    profits = {record.ticket: record.profit for record in tellings[-1][1] if record.entry != DealEntry.IN}
    assert dict(Trade.objects.filter(server=server).values_list("ticket", "profit")) == profits


def test_money_rows_of_every_kind_are_operations_of_their_day() -> None:
    server = new_server()
    kinds = [
        kind
        for kind in DealKind
        if kind not in (DealKind.BUY, DealKind.SELL, DealKind.BUY_CANCELED, DealKind.SELL_CANCELED)
    ]
    records = [
        IngestRecord(
            ticket=number, kind=kind, at=T0, login="1001", currency="USD", profit=Decimal(number), fee=Decimal(1)
        )
        for number, kind in enumerate(kinds, start=1)
    ]

    ingest_records(server_id=server.pk, source="test", records=records, as_of=AS_OF)

    assert list(BalanceOperation.objects.order_by("ticket").values_list("kind", "amount", "business_day")) == [
        (kind, Decimal(number + 1), date(2026, 3, 2)) for number, kind in enumerate(kinds, start=1)
    ]


def new_server() -> TradingServer:
    """A server of its own for each example, so that nothing has to be undone between them."""
    entity, _ = LegalEntity.objects.get_or_create(
        code="house", defaults={"name": "House", "country": "CY", "base_currency": "USD"}
    )
    code = f"live-{TradingServer.objects.count()}"
    return TradingServer.objects.create(entity=entity, code=code, name=code)


def check_against(server: TradingServer, walks: dict[int, Walk]) -> None:
    """Positions and trades in the books are those of the walks, and a rebuild finds nothing to put right."""
    assert {
        position.position_ticket: (position.side * position.volume_lots, position.open_price, position.opened_at)
        for position in Position.objects.filter(account__server=server)
    } == {number: (walk.volume, cents(walk.price), walk.opened_at) for number, walk in walks.items() if walk.volume}
    trades = Trade.objects.filter(server=server)
    assert sorted(trades.values_list("ticket", "side", "volume_lots", "open_price", "opened_at")) == sorted(
        trade for walk in walks.values() for trade in walk.trades
    )
    assert verify_books(CHECKS)["ok"]
    assert rebuild_projections(server_id=server.pk, actor=Actor.system("test")).pk is None
