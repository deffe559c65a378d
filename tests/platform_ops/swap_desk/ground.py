"""A small market for the swap desk: two symbols on a server, clients with positions, two people who see the whole broker."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from platform_ops.models import (
    AccountGroup,
    FxReferenceRate,
    Position,
    Quote,
    SwapMarkupRule,
    SwapSheet,
    Symbol,
)
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.swap_desk import sheets
from platform_ops.services.swap_desk.editing import CellEdit, edit_cells
from platform_ops.services.swaps.rates import set_swap_rates
from platform_ops.types import Side
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import SYSTEM

D = Decimal
SHEET = "Symbol,Swap long,Swap short\nEURUSD,-6.60,2.20\nXAUUSD,-31.0,12.5\n"


class Desk:
    """EURUSD −6.5/2.1 and XAUUSD −30/12 in points; one buy of 2 lots EURUSD, one sell of 1 lot XAUUSD, in dollars."""

    def __init__(self) -> None:
        entity = LegalEntity.objects.order_by("pk").first() or platform.make_entity(base_currency="USD")
        self.entity = entity
        self.server = platform.make_server(entity, code=f"MT5-{platform.number()}", platform="mt5")
        self.symbols: dict[str, Symbol] = {}
        for code, digits, contract, mode, price in (
            ("EURUSD", 5, 100_000, "forex", "1.10000"),
            ("XAUUSD", 2, 100, "cfd", "2000.00"),
        ):
            symbol = platform.make_symbol(code, base_asset=code[:3], profit_currency="USD")
            if not symbol.specs.exists():
                platform.make_spec(
                    symbol, digits=digits, contract_size=D(contract), profit_mode=mode, margin_currency="USD"
                )
            Quote.objects.update_or_create(
                symbol=symbol, defaults={"bid": D(price), "ask": D(price), "at": clock.now(), "source": "test"}
            )
            self.symbols[code] = symbol
        self.names = {
            code: platform.make_server_symbol(self.server, code, symbol) for code, symbol in self.symbols.items()
        }
        self.group = AccountGroup.objects.create(server=self.server, name="real\\vip", currency="USD")
        self.clients = [platform.make_client(platform.make_brand(entity)) for _ in range(2)]
        self.position(self.clients[0], "EURUSD", Side.BUY, "2", "1.1")
        self.position(self.clients[1], "XAUUSD", Side.SELL, "1", "2000")
        self.rate("EURUSD", "-6.5", "2.1")
        self.rate("XAUUSD", "-30", "12")
        today = clock.now().date()
        FxReferenceRate.objects.get_or_create(
            source="ECB", date=_weekday(today), currency="USD", defaults={"per_euro": D("1.1")}
        )
        everywhere = list(LegalEntity.objects.all())
        self.maker = make_person(Role.PLATFORM_OPERATIONS, entities=everywhere)
        self.checker = make_person(Role.DEALING, entities=everywhere)

    def position(self, client: object, code: str, side: Side, lots: str, price: str, **fields: object) -> Position:
        account = platform.make_account(self.server, client=client, **fields)
        return Position.objects.create(
            account=account,
            position_ticket=platform.number() + 900_000,
            server_symbol=self.names[code],
            side=side,
            volume_lots=D(lots),
            open_price=D(price),
            opened_at=clock.now() - timedelta(days=2),
            batch=platform.make_batch(self.server),
        )

    def rate(
        self, code: str, long: str, short: str, group: AccountGroup | None = None, at: datetime | None = None
    ) -> None:
        draft = RateDraft(
            symbol_id=self.symbols[code].pk, group_id=group.pk if group else None, long=D(long), short=D(short)
        )
        moment = at or clock.now() - timedelta(days=30)
        set_swap_rates(rates=[draft], valid_from=moment, approval=None, actor=SYSTEM)

    def sheet(self, text: str = SHEET, **fields: object) -> SwapSheet:
        return sheets.open_sheet(
            provider="Prime LP", data=text.encode(), file_name="lp.csv", actor=self.maker, **fields
        )

    def edit(self, sheet: SwapSheet, code: str, actor: Actor | None = None, **values: str) -> SwapSheet:
        row = sheet.rows.get(symbol=self.symbols[code], group=None)
        edits = [CellEdit(row.pk, field, value) for field, value in values.items()]
        return edit_cells(sheet_id=sheet.pk, edits=edits, actor=actor or self.maker)

    def markup(self, **fields: object) -> SwapMarkupRule:
        return SwapMarkupRule.objects.create(**fields)


def _weekday(day: date) -> date:
    while day.weekday() > 4:
        day -= timedelta(days=1)
    return day
