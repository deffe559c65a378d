"""MT4 report databases: `mt4_trades`, `mt4_users`, `mt4_prices`.

A ticket opens as leg 0, without money, and closes as leg 1 with all of it. A trade is open while its closing time is
1970. Pending orders that ended without a trade are rows of commands 2 to 5. Archived accounts vanish from the tables.
"""

# ruff: noqa: S608 -- SQL is built from constants of this module and names that information_schema told; values are bound
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from platform_ops.gateways.errors import GatewayGarbled, NotOffered
from platform_ops.gateways.report_database.connection import LOGINS_PER_QUERY, Database, Row
from platform_ops.gateways.report_database.values import (
    MT4_VOLUME_STEPS,
    QUARTER_HOUR,
    number,
    price_or_none,
    rate_or_none,
    rounded,
    text,
)
from platform_ops.gateways.statements.chains import root_tickets
from platform_ops.gateways.types import (
    Ability,
    DealReason,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    OrderState,
    ServerClock,
)
from platform_ops.types import DealEntry, DealKind, Side

TRADES, USERS, PRICES = "mt4_trades", "mt4_users", "mt4_prices"
CHANGE_OVERLAP = timedelta(minutes=5)
CHANGE_PAIRS = 200
MAX_WINDOW_ROWS = 500_000
OPEN_SINCE = datetime(1971, 1, 1)  # noqa: DTZ001 -- server-local; a closing time before it stands for none
BUY, SELL, BALANCE, CREDIT = 0, 1, 6, 7
PENDING = (2, 3, 4, 5)
MONEY_DIGITS = 2

_COLUMNS = [
    "TICKET",
    "LOGIN",
    "SYMBOL",
    "DIGITS",
    "CMD",
    "VOLUME",
    "OPEN_TIME",
    "OPEN_PRICE",
    "CLOSE_TIME",
    "REASON",
    "CONV_RATE1",
    "CONV_RATE2",
    "COMMISSION",
    "SWAPS",
    "CLOSE_PRICE",
    "PROFIT",
    "TAXES",
    "COMMENT",
    "MARGIN_RATE",
    "MAGIC",
    "MODIFY_TIME",
]
_USER_COLUMNS = [
    "LOGIN",
    "GROUP",
    "ENABLE",
    "ENABLE_READONLY",
    "NAME",
    "COUNTRY",
    "EMAIL",
    "COMMENT",
    "REGDATE",
    "LEVERAGE",
    "BALANCE",
    "CREDIT",
    "EQUITY",
    "MARGIN",
    "MARGIN_FREE",
    "CURRENCY",
]
_LINKED = re.compile(r"#\d|partial close", re.IGNORECASE)
_REASONS = {
    0: DealReason.CLIENT,
    1: DealReason.EXPERT,
    2: DealReason.DEALER,
    3: DealReason.SIGNAL,
    4: DealReason.GATEWAY,
    5: DealReason.MOBILE,
    6: DealReason.WEB,
}
_CLOSED_BY = ((re.compile(r"\[sl"), DealReason.STOP_LOSS), (re.compile(r"\[tp"), DealReason.TAKE_PROFIT))
_STOPPED_OUT = re.compile(r"\bso: ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What the chains of partial closes need of a row."""

    ticket: int
    symbol: str
    side: Side
    open_time: datetime
    open_price: Decimal
    close_time: datetime | None
    comment: str


class Mt4ReportDatabase:
    """A `ReadingGateway` over the SQL export of an MT4 server, which also tells what changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        if not database.has(TRADES, "TICKET", "LOGIN", "CMD", "VOLUME", "OPEN_TIME", "CLOSE_TIME", "PROFIT"):
            database.garbled("the database holds no trades of an MT4 server", table=TRADES)
        if database.settings.zone is None:
            raise GatewayGarbled(
                f"{database.server}: an MT4 export does not tell its clock: give the server's zone.",
                server=database.server,
                table=TRADES,
                field="zone",
            )
        self._zone = database.settings.zone

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this export holds; MT4 exports no terms of symbols."""
        held = {
            Ability.TIME: self._database.has(PRICES, "TIME"),
            Ability.DEALS: True,
            Ability.ORDERS: True,
            Ability.POSITIONS: True,
            Ability.ACCOUNTS: self._database.has(USERS, "LOGIN", "BALANCE"),
            Ability.GROUPS: self._database.has(USERS, "LOGIN", "GROUP"),
            Ability.TICKS: self._database.has(PRICES, "SYMBOL", "BID", "ASK"),
        }
        return frozenset(ability for ability, is_held in held.items() if is_held)

    def clock(self) -> ServerClock:
        """The time of the newest quote: all that an export tells of the server's clock. It stands still over a weekend."""
        self._require(Ability.TIME)
        newest = self._database.query(f"SELECT MAX(`TIME`) AS t FROM `{PRICES}`")[0]["t"]
        if newest is None:
            self._database.garbled("no quote tells the server's time", table=PRICES, name="TIME")
        return ServerClock(local=newest, utc=self._zone.to_utc(newest))

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Openings and closings of the window, in the order of time and ticket."""
        low, high = self._window(from_time, to_time)
        rows = self._trades(
            "((`OPEN_TIME` >= %s AND `OPEN_TIME` < %s) OR (`CLOSE_TIME` >= %s AND `CLOSE_TIME` < %s))",
            [low, high, low, high],
            logins=logins,
        )
        found = [deal for deal in self._deals_of(rows) if from_time <= deal.at < to_time]
        yield from sorted(found, key=lambda deal: (deal.at, deal.ticket, deal.leg))

    def changed_deals(self, *, since: datetime) -> Iterator[GatewayDeal]:
        """Both legs of every ticket that was modified since then. MODIFY_TIME has a zone of its own, which is measured."""
        if not self._database.has(TRADES, "MODIFY_TIME"):
            self._not_offered("changes")
        marker = self._zone.to_local(since) + self._modify_offset() - CHANGE_OVERLAP
        yield from self._deals_of(self._trades("`MODIFY_TIME` >= %s", [marker]))

    def _modify_offset(self) -> timedelta:
        """By how much MODIFY_TIME is ahead of the server's clock: a ticket is written when it closes."""
        votes: dict[timedelta, int] = {}
        for row in self._database.query(
            f"SELECT `CLOSE_TIME`, `MODIFY_TIME` FROM `{TRADES}` WHERE `CMD` IN (0, 1) AND `CLOSE_TIME` > %s "
            f"ORDER BY `MODIFY_TIME` DESC LIMIT {CHANGE_PAIRS}",
            [OPEN_SINCE],
        ):
            difference = row["MODIFY_TIME"] - row["CLOSE_TIME"]
            offset = round(difference / QUARTER_HOUR) * QUARTER_HOUR
            if abs(difference - offset) <= timedelta(minutes=1):
                votes[offset] = votes.get(offset, 0) + 1
        return max(votes, key=lambda offset: votes[offset]) if votes else timedelta(0)

    def _window(self, from_time: datetime, to_time: datetime) -> tuple[datetime, datetime]:
        """Server-local bounds, an hour wider: the hour that comes twice in autumn is sorted out afterwards."""
        hour = timedelta(hours=1)
        low = self._zone.to_local(from_time).replace(microsecond=0) - hour
        return max(low, OPEN_SINCE), self._zone.to_local(to_time) + hour

    def _trades(self, condition: str, values: Sequence[Any], *, logins: Sequence[str] | None = None) -> list[Row]:
        among = _numbers(logins)
        if among is not None and not among:
            return []
        limit = f" AND `LOGIN` IN ({', '.join(map(str, among))})" if among else ""
        columns = self._database.select(TRADES, _COLUMNS)
        rows: list[Row] = []
        sql = f"SELECT {columns} FROM `{TRADES}` WHERE {condition}{limit}{{after}}"
        for row in self._database.pages(sql, values, key=("TICKET",)):
            rows.append(row)
            if len(rows) > MAX_WINDOW_ROWS:
                raise GatewayGarbled(
                    f"{self._database.server}: more than {MAX_WINDOW_ROWS} tickets in one window: ask for less.",
                    server=self._database.server,
                    table=TRADES,
                )
        return rows

    def _deals_of(self, rows: Sequence[Row]) -> Iterator[GatewayDeal]:
        roots = self._roots(rows)
        for row in rows:
            command = number(row["CMD"])
            if command in (BUY, SELL):
                yield self._opening(row, roots)
                if _is_closed(row):
                    yield self._closing(row, roots)
            elif command in (BALANCE, CREDIT):
                yield self._money(row)
            elif command not in PENDING:
                self._database.garbled(
                    "not a known command", table=TRADES, row=row["TICKET"], name="CMD", value=row["CMD"]
                )

    def _opening(self, row: Row, roots: Mapping[int, int]) -> GatewayDeal:
        ticket = number(row["TICKET"])
        return GatewayDeal(
            ticket=ticket,
            login=str(number(row["LOGIN"])),
            kind=DealKind(number(row["CMD"])),
            at=self._moment(row, "OPEN_TIME"),
            leg=0,
            entry=DealEntry.IN,
            reason=_REASONS.get(number(row["REASON"])),
            order_ticket=ticket,
            position_ticket=roots.get(ticket, ticket),
            symbol=text(row["SYMBOL"]),
            volume_lots=Decimal(number(row["VOLUME"])) / MT4_VOLUME_STEPS,
            price=rounded(row["OPEN_PRICE"], row["DIGITS"]),
            margin_rate=rate_or_none(row["MARGIN_RATE"]),
            expert=number(row["MAGIC"]),
        )

    def _closing(self, row: Row, roots: Mapping[int, int]) -> GatewayDeal:
        ticket, bought = number(row["TICKET"]), number(row["CMD"]) == BUY
        comment = text(row["COMMENT"])
        return GatewayDeal(
            ticket=ticket,
            login=str(number(row["LOGIN"])),
            kind=DealKind.SELL if bought else DealKind.BUY,
            at=self._moment(row, "CLOSE_TIME"),
            leg=1,
            entry=DealEntry.OUT,
            reason=_closing_reason(comment, number(row["REASON"])),
            order_ticket=ticket,
            position_ticket=roots.get(ticket, ticket),
            symbol=text(row["SYMBOL"]),
            volume_lots=Decimal(number(row["VOLUME"])) / MT4_VOLUME_STEPS,
            price=rounded(row["CLOSE_PRICE"], row["DIGITS"]),
            open_price=rounded(row["OPEN_PRICE"], row["DIGITS"]),
            opened_at=self._moment(row, "OPEN_TIME"),
            profit=rounded(row["PROFIT"], MONEY_DIGITS),
            swap=rounded(row["SWAPS"], MONEY_DIGITS),
            commission=rounded(row["COMMISSION"], MONEY_DIGITS),
            fee=rounded(row["TAXES"], MONEY_DIGITS),
            comment=comment,
            profit_rate=rate_or_none(row["CONV_RATE2"]),
            expert=number(row["MAGIC"]),
        )

    def _money(self, row: Row) -> GatewayDeal:
        return GatewayDeal(
            ticket=number(row["TICKET"]),
            login=str(number(row["LOGIN"])),
            kind=DealKind.CREDIT if number(row["CMD"]) == CREDIT else DealKind.BALANCE,
            at=self._moment(row, "OPEN_TIME"),
            profit=rounded(row["PROFIT"], MONEY_DIGITS),
            swap=rounded(row["SWAPS"], MONEY_DIGITS),
            commission=rounded(row["COMMISSION"], MONEY_DIGITS),
            fee=rounded(row["TAXES"], MONEY_DIGITS),
            comment=text(row["COMMENT"]),
        )

    def _roots(self, rows: Sequence[Row]) -> dict[int, int]:
        """The first ticket of each chain of partial closes; the chain is read whole, it may reach out of the window."""
        linked = sorted({number(row["LOGIN"]) for row in rows if _LINKED.search(text(row["COMMENT"]))})
        roots: dict[int, int] = {}
        for start in range(0, len(linked), LOGINS_PER_QUERY):
            part = ", ".join(str(login) for login in linked[start : start + LOGINS_PER_QUERY])
            sql = (
                f"SELECT {self._database.select(TRADES, _COLUMNS)} FROM `{TRADES}` WHERE `LOGIN` IN ({part}) "
                "AND `CMD` IN (0, 1) AND (`COMMENT` LIKE '%%#%%' OR `COMMENT` LIKE '%%partial close%%'){after}"
            )
            tickets: dict[int, list[_Ticket]] = {}
            for row in self._database.pages(sql, (), key=("TICKET",)):
                tickets.setdefault(number(row["LOGIN"]), []).append(_ticket(row))
            for chain in tickets.values():
                roots |= root_tickets(chain)
        return roots

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Pending orders that ended without a trade within the window."""
        low, high = self._window(from_time, to_time)
        rows = self._trades(
            "`CMD` IN (2, 3, 4, 5) AND `CLOSE_TIME` >= %s AND `CLOSE_TIME` < %s", [low, high], logins=logins
        )
        for row in rows:
            done = self._moment(row, "CLOSE_TIME")
            if not from_time <= done < to_time:
                continue
            comment = text(row["COMMENT"])
            yield GatewayOrder(
                ticket=number(row["TICKET"]),
                login=str(number(row["LOGIN"])),
                symbol=text(row["SYMBOL"]),
                state=_ended_as(comment),
                type=number(row["CMD"]),
                side=Side.BUY if number(row["CMD"]) % 2 == 0 else Side.SELL,
                volume_initial_lots=Decimal(number(row["VOLUME"])) / MT4_VOLUME_STEPS,
                volume_filled_lots=Decimal(0),
                requested_price=price_or_none(row["OPEN_PRICE"], row["DIGITS"]),
                placed_at=self._moment(row, "OPEN_TIME"),
                done_at=done,
                reason=_REASONS.get(number(row["REASON"])),
                comment=comment,
            )

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """Trades without a closing time."""
        rows = self._trades("`CMD` IN (0, 1) AND `CLOSE_TIME` < %s", [OPEN_SINCE], logins=logins)
        roots = self._roots(rows)
        for row in rows:
            ticket = number(row["TICKET"])
            yield GatewayPosition(
                ticket=roots.get(ticket, ticket),
                login=str(number(row["LOGIN"])),
                symbol=text(row["SYMBOL"]),
                side=Side.BUY if number(row["CMD"]) == BUY else Side.SELL,
                volume_lots=Decimal(number(row["VOLUME"])) / MT4_VOLUME_STEPS,
                open_price=rounded(row["OPEN_PRICE"], row["DIGITS"]),
                current_price=rounded(row["CLOSE_PRICE"], row["DIGITS"]),
                opened_at=self._moment(row, "OPEN_TIME"),
                profit=rounded(row["PROFIT"], MONEY_DIGITS),
                swap=rounded(row["SWAPS"], MONEY_DIGITS),
                commission=rounded(row["COMMISSION"], MONEY_DIGITS),
                comment=text(row["COMMENT"]),
            )

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Accounts with their money."""
        self._require(Ability.ACCOUNTS)
        columns = self._database.select(USERS, _USER_COLUMNS)
        among = _numbers(logins)
        chunks = (
            [among[start : start + LOGINS_PER_QUERY] for start in range(0, len(among), LOGINS_PER_QUERY)]
            if among
            else []
        )
        parts = ["TRUE"] if among is None else [f"`LOGIN` IN ({', '.join(map(str, chunk))})" for chunk in chunks]
        for part in parts:
            for row in self._database.pages(
                f"SELECT {columns} FROM `{USERS}` WHERE {part}{{after}}", (), key=("LOGIN",)
            ):
                yield self._account(row)

    def _account(self, row: Row) -> GatewayAccount:
        registered = row["REGDATE"]
        return GatewayAccount(
            login=str(number(row["LOGIN"])),
            group=text(row["GROUP"]),
            name=text(row["NAME"]),
            currency=text(row["CURRENCY"]) or self._database.settings.currency,
            leverage=number(row["LEVERAGE"]),
            balance=rounded(row["BALANCE"], MONEY_DIGITS),
            credit=rounded(row["CREDIT"], MONEY_DIGITS),
            equity=None if row["EQUITY"] is None else rounded(row["EQUITY"], MONEY_DIGITS),
            margin=None if row["MARGIN"] is None else rounded(row["MARGIN"], MONEY_DIGITS),
            margin_free=None if row["MARGIN_FREE"] is None else rounded(row["MARGIN_FREE"], MONEY_DIGITS),
            email=text(row["EMAIL"]),
            country=text(row["COUNTRY"]),
            comment=text(row["COMMENT"]),
            is_enabled=row["ENABLE"] is None or bool(number(row["ENABLE"])),
            is_trading_allowed=not number(row["ENABLE_READONLY"]),
            registered_at=None if registered is None else self._zone.to_utc(registered),
        )

    def groups(self) -> Iterator[GatewayGroup]:
        """The groups that accounts are in; an export of MT4 has no table of its own for them."""
        self._require(Ability.GROUPS)
        has_currency = self._database.has(USERS, "CURRENCY")
        currency = "MAX(`CURRENCY`)" if has_currency else "''"
        for row in self._database.query(
            f"SELECT `GROUP` AS name, {currency} AS currency FROM `{USERS}` GROUP BY `GROUP` ORDER BY `GROUP`"
        ):
            yield GatewayGroup(
                name=text(row["name"]),
                currency=text(row["currency"]) or self._database.settings.currency,
                is_hedging=True,
            )

    def symbols(self) -> Iterator[GatewaySymbol]:
        """Not told by an MT4 export."""
        self._not_offered(Ability.SYMBOLS.value)

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """The last quote by symbol."""
        self._require(Ability.TICKS)
        ticks: dict[str, GatewayTick] = {}
        columns = self._database.select(PRICES, ("SYMBOL", "TIME", "BID", "ASK", "DIGITS"))
        for start in range(0, len(symbols), LOGINS_PER_QUERY):
            part = list(symbols[start : start + LOGINS_PER_QUERY])
            marks = ", ".join(["%s"] * len(part))
            for row in self._database.query(f"SELECT {columns} FROM `{PRICES}` WHERE `SYMBOL` IN ({marks})", part):
                bid, ask = price_or_none(row["BID"], row["DIGITS"]), price_or_none(row["ASK"], row["DIGITS"])
                if bid is not None and ask is not None and row["TIME"] is not None:
                    name = text(row["SYMBOL"])
                    ticks[name] = GatewayTick(symbol=name, bid=bid, ask=ask, at=self._zone.to_utc(row["TIME"]))
        return ticks

    def close(self) -> None:
        """Ends the session."""
        self._database.close()

    def _moment(self, row: Row, column: str) -> datetime:
        local = row[column]
        if local is None:
            self._database.garbled("the time is missing", table=TRADES, row=row["TICKET"], name=column)
        return self._zone.to_utc(local).astimezone(UTC)

    def _require(self, ability: Ability) -> None:
        if ability not in self.abilities:
            self._not_offered(ability.value)

    def _not_offered(self, what: str) -> NoReturn:
        server = self._database.server
        raise NotOffered(f"{server}: this report database holds no {what}.", server=server, ability=what)


def _is_closed(row: Row) -> bool:
    return row["CLOSE_TIME"] is not None and row["CLOSE_TIME"] >= OPEN_SINCE


def _ticket(row: Row) -> _Ticket:
    return _Ticket(
        ticket=number(row["TICKET"]),
        symbol=text(row["SYMBOL"]),
        side=Side.BUY if number(row["CMD"]) == BUY else Side.SELL,
        open_time=row["OPEN_TIME"],
        open_price=rounded(row["OPEN_PRICE"], row["DIGITS"]),
        close_time=row["CLOSE_TIME"] if _is_closed(row) else None,
        comment=text(row["COMMENT"]),
    )


def _closing_reason(comment: str, reason: int) -> DealReason | None:
    """What closed the ticket, which only the comment tells."""
    if _STOPPED_OUT.search(comment):
        return DealReason.STOP_OUT
    return next((found for pattern, found in _CLOSED_BY if pattern.search(comment)), _REASONS.get(reason))


def _ended_as(comment: str) -> OrderState:
    if "no money" in comment:
        return OrderState.REJECTED
    return OrderState.EXPIRED if "expir" in comment else OrderState.CANCELED


def _numbers(logins: Sequence[str] | None) -> list[int] | None:
    return None if logins is None else sorted({int(login) for login in logins if login.isascii() and login.isdigit()})
