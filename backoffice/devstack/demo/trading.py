"""What the demo's simulated trading server starts from: the demo's own MT5 server as the database has it.

Groups, symbols, accounts, open positions and the whole deal history are written into the server's journal once; from then
on the server lives by itself, and the product only learns from it over the wire. Also: how orders of the past days were
executed, so that the board has something to show.
"""

from __future__ import annotations

import json
import random
import secrets
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from backoffice.core.types import Actor
from backoffice.devstack.demo.behaviour import ECN_COMMISSION_PER_LOT_AND_SIDE
from backoffice.devstack.demo.catalogue import BY_CODE
from backoffice.devstack.trading_server import records
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.journal import Journal
from backoffice.devstack.trading_server.terms import WEEKDAYS, group_configuration, symbol_configuration
from backoffice.kernel import clock
from platform_ops.gateways.types import DealReason, GatewayOrder, OrderState, SymbolTerms
from platform_ops.models import (
    AccountGroup,
    CurrentDeal,
    Position,
    Quote,
    ServerConnection,
    ServerSymbol,
    TradingAccount,
    TradingServer,
)
from platform_ops.selectors.symbol_terms import terms_of_symbols
from platform_ops.services.connections import ConnectionTerms, save_connection
from platform_ops.services.execution import store_orders
from platform_ops.types import Side

SERVER_CODE = "MT5-LIVE"
HOST = "127.0.0.1"
MANAGER_LOGIN = 1000
CHUNK = 2_000
TICKETS_LEFT_FREE = 1_000
STATED_EVERY_SECONDS = 2
OVERLAP_SECONDS = 60
EXECUTION = {
    "fill_milliseconds": 34, "fill_spread": 0.45, "slippage_points": 1.2, "reject_share": 0.006, "requote_share": 0.004,
    "mark_up_points": 1,
}  # fmt: skip
NO_PASSWORD = ""
_LOTS = Decimal(10_000)
ORDER_DAYS = 12
MOST_PAST_ORDERS = 20_000
SEED = 20_261


def prepare(*, folder: Path, port: int) -> Path | None:
    """Writes what the server starts from, where it is not there yet, and tells the product how to reach it.

    The path of the server's description; None without the demo's MT5 server in the database.
    """
    server = TradingServer.objects.filter(code=SERVER_CODE).first()
    if server is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    description = folder / "server.json"
    known = json.loads(description.read_text(encoding="utf-8")) if description.exists() else {}
    password = known.get("managers", {}).get(str(MANAGER_LOGIN)) or secrets.token_urlsafe(18)
    journal = folder / "server.journal"
    if not journal.exists():
        _write_journal(server, folder, journal)
    plan = {
        "host": HOST, "port": port, "zone": server.zone, "journal": str(journal), "catches_up": True,
        "managers": {str(MANAGER_LOGIN): password}, "execution": EXECUTION,
    }  # fmt: skip
    fresh = description.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    fresh.replace(description)
    _connect(server, port, password)
    return description


def _connect(server: TradingServer, port: int, password: str) -> None:
    found = ServerConnection.objects.filter(server=server).first()
    if found is not None and (found.port, found.password) == (port, password):
        return
    last = CurrentDeal.objects.filter(server=server).order_by("-at").values_list("at", flat=True).first()
    started_at = found.started_at if found is not None else (last or clock.now()) + timedelta(milliseconds=1)
    save_connection(
        server_id=server.pk,
        terms=ConnectionTerms(
            kind=ServerConnection.Kind.MT5_WEB,
            host=HOST,
            port=port,
            login=str(MANAGER_LOGIN),
            password=password,
            is_enabled=True,
            interval_seconds=STATED_EVERY_SECONDS,
            overlap_seconds=OVERLAP_SECONDS,
            started_at=min(started_at, clock.now()),
        ),
        actor=Actor.system("trading_server"),
        reason="The demo's simulated server",
    )


# The journal


def _write_journal(server: TradingServer, folder: Path, target: Path) -> None:
    """The server as the database has it, under another name until it is whole."""
    part = folder / "server.journal.part"
    part.unlink(missing_ok=True)
    journal = Journal(part)
    broker = Broker(zone=server.zone, journal=journal)
    with broker.transaction():
        _write_groups(broker, server)
        _write_symbols(broker, server)
    _write_accounts(broker, server)
    with broker.transaction():
        _write_positions(broker, server)
        _write_quotes(broker, server)
        highest = max([0, *broker.deals, *broker.positions])
        broker.put("counter", "ticket", highest + TICKETS_LEFT_FREE)
        broker.put("counter", "login", max(broker.users, default=0) + 1)
        broker.put("counter", "stopped", broker.now_msc())
    journal.close()
    part.rename(target)


def _write_groups(broker: Broker, server: TradingServer) -> None:
    for group in AccountGroup.objects.filter(server=server).select_related("account_type"):
        kind = group.account_type.code if group.account_type else ""
        per_lot = ECN_COMMISSION_PER_LOT_AND_SIDE.get(group.currency, "0") if kind == "ecn" else "0"
        swap_free = [{"Path": "*", "SwapMode": "0"}] if group.account_type and group.account_type.is_swap_free else []
        broker.put("group", group.name, _group(group.name, group.currency, group.position_mode, per_lot, swap_free))


def _group(
    name: str, currency: str, mode: str = "hedging", per_lot: str = "0", symbols: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    given = {
        "Group": name, "Currency": currency, "MarginMode": "0" if mode == "netting" else "2", "MarginCall": "100.00",
        "MarginStopOut": "30.00", "Commissions": [{"Value": per_lot}] if per_lot != "0" else [],
        "Symbols": symbols or [],
    }  # fmt: skip
    return group_configuration(given)


def _write_symbols(broker: Broker, server: TradingServer) -> None:
    rows = ServerSymbol.objects.filter(server=server).select_related("symbol__group")
    known = [(row.name, row.symbol) for row in rows if row.symbol is not None]
    terms = terms_of_symbols(symbol_ids=[symbol.pk for _, symbol in known], at=clock.now())
    for name, symbol in known:
        if symbol.pk in terms:
            path = f"{symbol.group.name}\\{name}"
            broker.put("symbol", name, symbol_from(name, terms[symbol.pk], path, symbol.name))


def symbol_from(name: str, terms: SymbolTerms, path: str, description: str) -> dict[str, Any]:
    """The terms in the server's own words."""

    def sessions(week: tuple[tuple[tuple[int, int], ...], ...]) -> list[list[dict[str, str]]]:
        return [[{"Open": str(start), "Close": str(end)} for start, end in day] for day in week]

    def volume(lots: Decimal) -> str:
        return str(int(lots * _LOTS))

    given: dict[str, Any] = {
        "Symbol": name, "Path": path, "Description": description, "Digits": terms.digits, "ISIN": terms.isin,
        "CurrencyBase": terms.base_currency, "CurrencyProfit": terms.profit_currency,
        "CurrencyMargin": terms.margin_currency, "CalcMode": int(terms.calculation_mode),
        "ContractSize": terms.contract_size, "TickSize": terms.tick_size, "TickValue": terms.tick_value,
        "TradeMode": int(terms.trade_mode), "TradeFlags": 3 if terms.converts_by_market else 2,
        "Spread": terms.spread_points, "StopsLevel": terms.stops_level_points, "FreezeLevel": terms.freeze_level_points,
        "VolumeMin": volume(terms.lots_minimum), "VolumeMax": volume(terms.lots_maximum),
        "VolumeStep": volume(terms.lots_step), "VolumeLimit": volume(terms.lots_limit),
        "MarginInitial": terms.margin_initial, "MarginMaintenance": terms.margin_maintenance,
        "MarginHedged": terms.margin_hedged, "MarginInitialBuy": terms.margin_rate_buy,
        "MarginInitialSell": terms.margin_rate_sell, "MarginFlags": 4 if terms.is_hedged_by_larger_leg else 0,
        "FaceValue": terms.face_value, "AccruedInterest": terms.accrued_interest, "SwapMode": int(terms.swap_mode),
        "SwapLong": terms.swap_long, "SwapShort": terms.swap_short, "SwapYearDays": terms.swap_year_days,
        "SwapFlags": 1 if terms.swap_considers_holidays else 0, "FilterSoft": terms.filter_soft_points,
        "FilterSoftTicks": terms.filter_soft_ticks, "FilterHard": terms.filter_hard_points,
        "FilterHardTicks": terms.filter_hard_ticks, "FilterDiscard": terms.filter_discard_points,
        "FilterSpreadMin": terms.filter_spread_minimum_points, "FilterSpreadMax": terms.filter_spread_maximum_points,
        "FilterGap": terms.gap_points, "FilterGapTicks": terms.gap_ticks,
        "SessionsQuotes": sessions(terms.quote_sessions), "SessionsTrades": sessions(terms.trade_sessions),
    }  # fmt: skip
    nights = {f"SwapRate{day}": rate for day, rate in zip(WEEKDAYS, terms.swap_multipliers, strict=True)}
    triple = [number for number, rate in enumerate(terms.swap_multipliers) if rate == 3]
    return symbol_configuration({**given, **nights, "Swap3Day": triple[0] if triple else 7})


def _write_accounts(broker: Broker, server: TradingServer) -> None:
    accounts = TradingAccount.objects.filter(server=server).select_related("group")
    kept: dict[int, int] = {}
    with broker.transaction():
        for account in accounts:
            if not account.login.isdecimal():
                continue
            group = account.group.name if account.group else f"real\\unassigned-{account.currency.lower()}"
            if group not in broker.groups:
                broker.put("group", group, _group(group, account.currency))
            login = int(account.login)
            kept[account.pk] = login
            user = records.User(
                login=login,
                group=group,
                name=account.name,
                leverage=account.leverage or 100,
                registered_msc=broker.msc_of(account.opened_at) if account.opened_at else 0,
            )
            broker.put("user", login, user)
    _write_deals(broker, server, kept)


def _write_deals(broker: Broker, server: TradingServer, logins: dict[int, int]) -> None:
    """The history as it was booked; balance and credit are its sums."""
    rows = CurrentDeal.objects.filter(server=server).select_related("server_symbol").order_by("at", "ticket")
    touched: dict[int, records.User] = {}
    with broker.transaction():
        for row in rows.iterator(chunk_size=CHUNK):
            login = logins.get(row.account_id)
            if login is None:
                continue
            deal = _deal(broker, row, login)
            broker.put("deal", deal.ticket, deal)
            user = touched.setdefault(login, broker.users[login])
            if deal.action in records.CREDIT_ACTIONS:
                user.credit += deal.money
            else:
                user.balance += deal.money
        for login, user in touched.items():
            broker.put("user", login, user)


def _deal(broker: Broker, row: CurrentDeal, login: int) -> records.Deal:
    name = row.server_symbol.name if row.server_symbol else ""
    terms = broker.terms.get(name)
    closes = row.entry is not None and row.entry != records.ENTRY_IN
    return records.Deal(
        ticket=row.ticket,
        login=login,
        action=row.kind,
        time_msc=broker.msc_of(row.at),
        entry=row.entry or records.ENTRY_IN,
        order=row.order_ticket,
        position=row.position_ticket,
        symbol=name,
        digits=terms.digits if terms else 0,
        contract_size=terms.contract_size if terms else records.ZERO,
        price=row.price or records.ZERO,
        price_position=(row.open_price or records.ZERO) if closes else records.ZERO,
        lots=row.volume_lots,
        lots_closed=row.volume_lots if closes else records.ZERO,
        profit=row.profit,
        storage=row.swap,
        commission=row.commission,
        fee=row.fee,
        comment=row.comment[:32],
        price_gateway=row.price or records.ZERO,
        rate_profit=Decimal(1),
        rate_margin=Decimal(1),
    )


def _write_positions(broker: Broker, server: TradingServer) -> None:
    rows = Position.objects.filter(account__server=server).select_related("account", "server_symbol")
    for row in rows:
        login = int(row.account.login) if row.account.login.isdecimal() else 0
        if login not in broker.users or row.server_symbol.name not in broker.terms:
            continue
        opened = broker.msc_of(row.opened_at)
        position = records.Position(
            ticket=row.position_ticket,
            login=login,
            symbol=row.server_symbol.name,
            is_buy=row.side == Side.BUY,
            lots=row.volume_lots,
            open_price=row.open_price,
            opened_msc=opened,
            updated_msc=opened,
            margin_rate=Decimal(1),
        )
        broker.put("position", position.ticket, position)


def _write_quotes(broker: Broker, server: TradingServer) -> None:
    names = dict(ServerSymbol.objects.filter(server=server, symbol__isnull=False).values_list("symbol_id", "name"))
    for symbol_id, bid, ask, at in Quote.objects.values_list("symbol_id", "bid", "ask", "at"):
        name = names.get(symbol_id, "")
        if name in broker.terms:
            broker.put("quote", name, records.Quote(symbol=name, bid=bid, ask=ask, time_msc=broker.msc_of(at)))
    for position in broker.positions.values():
        position.margin_rate = _margin_rate(broker, position)
        broker.put("position", position.ticket, position)


def _margin_rate(broker: Broker, position: records.Position) -> Decimal:
    """Margin currency → account currency at today's prices: the day of opening is long gone."""
    terms = broker.terms[position.symbol]
    currency = broker.group_of(broker.users[position.login]).currency
    rate = broker.rate(terms.margin_currency, currency, position.is_buy) if terms.margin_currency != currency else 1
    return Decimal(rate.numerator) / Decimal(rate.denominator) if not isinstance(rate, int) else Decimal(rate)


# Orders of the past days


def write_past_orders() -> int:
    """How the deals of the last days were executed, with the few orders that were turned down; how many orders."""
    source = random.Random(SEED)  # noqa: S311 - a demo, not a secret
    since = clock.now() - timedelta(days=ORDER_DAYS)
    rows = (
        CurrentDeal.objects.filter(at__gte=since, server_symbol__symbol__code__in=list(BY_CODE), entry__isnull=False)
        .select_related("account", "server_symbol__symbol")
        .order_by("at", "ticket")[:MOST_PAST_ORDERS]
    )
    by_server: dict[int, list[CurrentDeal]] = defaultdict(list)
    for row in rows:
        by_server[row.server_id].append(row)
    return sum(
        store_orders(server_id=server_id, orders=_past_orders(source, deals)).new
        for server_id, deals in by_server.items()
    )


def _past_orders(source: random.Random, deals: list[CurrentDeal]) -> Iterator[GatewayOrder]:
    for deal in deals:
        yield _past_order(source, deal, ticket=deal.ticket, state=OrderState.FILLED)
        if source.random() < EXECUTION["reject_share"] + EXECUTION["requote_share"]:
            yield _past_order(source, deal, ticket=-deal.ticket, state=OrderState.REJECTED)


def _past_order(source: random.Random, deal: CurrentDeal, *, ticket: int, state: OrderState) -> GatewayOrder:
    # Around the hour of the daily close and of American news the market is thin.
    thin = 1.8 if deal.at.hour in (13, 21, 22) else 1.0
    taken = round(EXECUTION["fill_milliseconds"] * thin * source.lognormvariate(0, EXECUTION["fill_spread"]))
    price = deal.price or Decimal(0)
    point = BY_CODE[deal.server_symbol.symbol.code].point if deal.server_symbol and deal.server_symbol.symbol else price
    worse = round(source.gauss(EXECUTION["slippage_points"] / 4, EXECUTION["slippage_points"] * thin))
    side = Side.BUY if deal.kind == 0 else Side.SELL
    is_filled = state is OrderState.FILLED
    return GatewayOrder(
        ticket=ticket,
        login=deal.account.login,
        symbol=deal.server_symbol.name if deal.server_symbol else "",
        state=state,
        type=0 if side is Side.BUY else 1,
        side=side,
        volume_initial_lots=deal.volume_lots,
        volume_filled_lots=deal.volume_lots if is_filled else Decimal(0),
        requested_price=price - worse * point * side.value,
        placed_at=deal.at - timedelta(milliseconds=taken),
        done_at=deal.at,
        filled_price=price if is_filled else None,
        position_ticket=deal.position_ticket,
        reason=DealReason.CLIENT,
        comment="" if is_filled else source.choice(("requote", "off quotes", "no money")),
    )
