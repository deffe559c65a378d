"""What waits in the demo broker's inbox on its first morning, and the one flow that is stopped.

Nothing here is written into the inbox: files, deals and days arrive as they would, and the use cases open the items.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import Switch, User, WorkItem
from backoffice.core.services import switches, work_items
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import SERVERS, Seeding
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from platform_ops.gateways.types import CalculationMode
from platform_ops.services import catalogue
from platform_ops.services.business_day import run_business_day
from platform_ops.services.imports import import_statement
from platform_ops.services.ingest import ingest_records
from platform_ops.services.staging import IngestRecord
from platform_ops.services.work import QUARANTINED_IMPORT, UNASSIGNED_ACCOUNT, UNMATCHED_SYMBOL
from platform_ops.types import DealEntry, DealKind

FIRST_TICKET = 900_000_000
OLD_SERVER = "MT4-OLD"
# Names that no naming rule of the house explains, and logins that were opened on the server by hand.
NAMES = ("GER40.cash#", "BRENT_Z6")
LOGINS = ("990017", "990018", "990023")


def write_work(seeding: Seeding) -> None:
    """Deals of unknown accounts in unknown symbols, a file cut in two, a day without a price; and what people did."""
    seeding.say("what waits for somebody")
    _unknown_deals(seeding)
    _damaged_file(seeding)
    _day_without_a_price(seeding)
    _first_steps()
    switches.stop(
        switch=Switch.HEDGES,
        actor=_person(Role.DEALING),
        entity_id=seeding.entity.pk,
        reason="The liquidity provider changes its FIX sessions this morning; hedge by phone until noon.",
    )


def _unknown_deals(seeding: Seeding) -> None:
    """Three accounts that nobody assigned trade two things that nobody mapped."""
    at = day_bounds(seeding.world.last_day)[1]
    records: list[IngestRecord] = []
    for number, login in enumerate(LOGINS):
        name = NAMES[number % len(NAMES)]
        records += _round_trip(FIRST_TICKET + number * 10, login, name, at + timedelta(minutes=2 + number))
    ingest_records(
        server_id=seeding.servers["mt5"],
        source=f"demo:{SERVERS['mt5'][0]}",
        records=records,
        as_of=max(clock.now(), at + timedelta(minutes=10)),
    )


def _round_trip(ticket: int, login: str, symbol: str, at: datetime) -> list[IngestRecord]:
    opened = IngestRecord(
        ticket=ticket,
        kind=DealKind.BUY,
        entry=DealEntry.IN,
        at=at,
        login=login,
        currency="USD",
        position_ticket=ticket,
        symbol=symbol,
        volume_lots=Decimal("0.50"),
        price=Decimal("100.00"),
    )
    closed = IngestRecord(
        ticket=ticket + 1,
        kind=DealKind.SELL,
        entry=DealEntry.OUT,
        at=at + timedelta(minutes=1),
        login=login,
        currency="USD",
        position_ticket=ticket,
        symbol=symbol,
        volume_lots=Decimal("0.50"),
        price=Decimal("100.40"),
        open_price=Decimal("100.00"),
        opened_at=at,
        profit=Decimal("20.00"),
    )
    return [opened, closed]


def _damaged_file(seeding: Seeding) -> None:
    """A statement that somebody saved while the page was still loading, given twice."""
    half = b"<html><head><title>Statement: 40017</title></head><body><table><tr><td>Closed Transactions:</td></tr>"
    for _ in range(2):
        import_statement(
            server_code=SERVERS["mt4"][0], data=half, file_name="DetailedStatement-40017.htm", actor=seeding.actor
        )


def _day_without_a_price(seeding: Seeding) -> None:
    """A server that is being closed down still has one open position, in a symbol that nobody quotes any more."""
    server = catalogue.register_server(
        entity_id=seeding.entity.pk,
        code=OLD_SERVER,
        name="Northgate MT4, closing down",
        platform="mt4",
        zone="EET_US",
        actor=seeding.actor,
    )
    catalogue.register_symbol(
        code="XPDUSD",
        name="Palladium",
        asset_class="metal",
        group_code="metals",
        group_name="Metals",
        base_asset="XPD",
        profit_currency="USD",
        specification=catalogue.Specification(
            digits=2,
            contract_size=Decimal(100),
            pip_size=Decimal("0.01"),
            calculation_mode=CalculationMode.CFD_LEVERAGE,
            margin_currency="USD",
            spread_points=Decimal(80),
            leverage_maximum=10,
        ),
        valid_from=seeding.start - timedelta(days=30),
        actor=seeding.actor,
    )
    start, end = day_bounds(seeding.world.last_day)
    position = IngestRecord(
        ticket=FIRST_TICKET + 500,
        kind=DealKind.BUY,
        entry=DealEntry.IN,
        at=start + timedelta(hours=15),
        login="880001",
        currency="USD",
        position_ticket=FIRST_TICKET + 500,
        symbol="XPDUSD",
        volume_lots=Decimal("0.10"),
        price=Decimal("1012.50"),
    )
    ingest_records(server_id=server.pk, source=f"demo:{OLD_SERVER}", records=[position], as_of=end)
    run_business_day(server_id=server.pk, day=seeding.world.last_day, actor=Actor.system("business_day"))


def _first_steps() -> None:
    """Platform operations has begun: one item taken and discussed, one kept quiet for two days."""
    operator = _person(Role.PLATFORM_OPERATIONS)
    waiting = {item.kind: item for item in WorkItem.objects.order_by("-id")}
    work_items.take_item(item_id=waiting[UNMATCHED_SYMBOL].pk, actor=operator)
    work_items.comment_item(
        item_id=waiting[UNMATCHED_SYMBOL].pk,
        text="Asked dealing whether this is the cash index or the future; the specifications differ.",
        actor=operator,
    )
    work_items.comment_item(
        item_id=waiting[QUARANTINED_IMPORT].pk, text="The client was asked for the whole file.", actor=operator
    )
    quiet = waiting[UNASSIGNED_ACCOUNT]
    work_items.mute_items(
        kind=quiet.kind,
        group_key=quiet.group_key,
        entity_id=quiet.entity_id,
        until=clock.now() + timedelta(days=2),
        reason="Opened for a client whose papers arrive on Thursday.",
        actor=operator,
    )


def _person(role: Role) -> Actor:
    """The demo's person of a role."""
    return actor_of_user(User.objects.filter(roles__contains=[role.value]).order_by("pk")[0])
