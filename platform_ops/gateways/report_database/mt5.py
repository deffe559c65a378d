"""MT5 report databases: the single table `mt5_deals` of older exports, the yearly tables of newer ones, or both at once.

No table is taken for the whole: a deal counts wherever it stands, once, in its latest version. Times are turned into UTC
by the pairs of FILETIME and server time that the deals themselves hold. A login that is gone from `mt5_accounts` was
archived or deleted; nobody can tell which from here, so nothing is said about it.
"""

# ruff: noqa: S608 -- SQL is built from names that information_schema told and constants of this module; values are bound
from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from platform_ops.gateways.errors import GatewayGarbled, NotOffered
from platform_ops.gateways.report_database.connection import LOGINS_PER_QUERY, Database, Row
from platform_ops.gateways.report_database.mt5_records import (
    ACCOUNT_COLUMNS,
    DEAL_COLUMNS,
    DEALS,
    GROUP_COLUMNS,
    ORDER_COLUMNS,
    ORDERS,
    POSITION_COLUMNS,
    POSITIONS,
    USER_COLUMNS,
    account_of,
    deal_of,
    group_of,
    order_of,
    position_of,
)
from platform_ops.gateways.report_database.mt5_terms import SYMBOL_COLUMNS, symbol_of
from platform_ops.gateways.report_database.offsets import DayOffset, Offsets
from platform_ops.gateways.report_database.values import (
    MAX_OFFSET,
    filetime_of,
    number,
    offset_of_pair,
    price_or_none,
    text,
    utc_of_filetime,
)
from platform_ops.gateways.types import (
    Ability,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    ServerClock,
)

CHANGE_OVERLAP = timedelta(minutes=5)
"""How far a look for changes goes back behind the last one: writers commit in another order than they stamp."""
CLOCK_PAIRS = 50
MAX_SAMPLES = 50

_YEAR = r"_\d{4}"
_MICROSECONDS = "TIMESTAMPDIFF(MICROSECOND, '1601-01-01 00:00:00', `{time}`)"


class Mt5ReportDatabase:
    """A `ReadingGateway` over the SQL export of an MT5 server, which also tells what changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deal_tables = _family(database, DEALS, {"Deal", "Login", "Action", "Time", "Profit"})
        self._order_tables = _family(database, ORDERS, {"Order", "Login", "State", "Type"})
        if not self._deal_tables:
            database.garbled("the database holds no deals of an MT5 server", table=DEALS)
        self._time = "TimeMsc" if all(database.has(table, "TimeMsc") for table in self._deal_tables) else "Time"
        self._has_stamps = all(database.has(table, "Timestamp") for table in self._deal_tables)

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this export holds."""
        held = {
            Ability.TIME: True,
            Ability.DEALS: True,
            Ability.ORDERS: bool(self._order_tables),
            Ability.POSITIONS: self._database.has(POSITIONS, "Login", "Symbol", "Action"),
            Ability.ACCOUNTS: self._database.has("mt5_accounts", "Login", "Balance"),
            Ability.GROUPS: self._database.has("mt5_groups", "Group", "Currency"),
            Ability.SYMBOLS: self._database.has("mt5_symbols", "Symbol", "Digits", "ContractSize"),
            Ability.TICKS: self._database.has("mt5_prices", "Symbol", "BidLast", "AskLast"),
        }
        return frozenset(ability for ability, is_held in held.items() if is_held)

    def clock(self) -> ServerClock:
        """The database's clock, ahead by what the newest deals say. `utc` follows from the zone that we keep, so that a
        zone that does not fit the deals shows as a clock that is off."""
        now = self._database.query("SELECT UTC_TIMESTAMP(6) AS now")[0]["now"]
        zone = self._database.settings.zone
        offset = self._newest_offset()
        if offset is None:
            if zone is None:
                self._no_offset()
            local = zone.to_local(_aware(now))
        else:
            local = now + offset
        return ServerClock(local=local, utc=_aware(now) if zone is None else zone.to_utc(local))

    # Deals

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Deals of the window, each once, in the order of time and number."""
        offsets = self._offsets(from_time, to_time)
        least, most = offsets.spread()
        low, high = _local(from_time) + least, _local(to_time) + most
        condition = "`Time` >= %s AND `Time` < %s"
        values = [low.replace(microsecond=0), high + timedelta(seconds=1)]
        rows = self._deal_rows(condition, values, key=(self._time, "Deal"), logins=logins)
        found = ((self._moment(row, offsets), row) for row in rows)
        wanted = ((at, row) for at, row in found if from_time <= at < to_time)
        for at, row in _in_order(wanted, offsets.disorder()):
            yield deal_of(row, at, self._database)

    def changed_deals(self, *, since: datetime) -> Iterator[GatewayDeal]:
        """Deals whose change marker is younger than *since* less an overlap. Needs an export that has the marker."""
        if not self._has_stamps:
            self._not_offered("changes")
        marker = filetime_of(since - CHANGE_OVERLAP)
        rows = self._deal_rows("`Timestamp` >= %s", [marker], key=("Timestamp", "Deal"))
        offsets: dict[Any, Offsets] = {}
        for row in rows:
            month = (row["Time"].year, row["Time"].month)
            if month not in offsets:
                start = _aware(row["Time"].replace(day=1, hour=0, minute=0, second=0, microsecond=0))
                offsets[month] = self._offsets(start, start + timedelta(days=32))
            yield deal_of(row, self._moment(row, offsets[month]), self._database)

    def coverage(self) -> dict[str, Any]:
        """How many deals each table holds, and which of the single table no yearly one has: no union is the whole."""
        tables = {
            table: number(self._database.query(f"SELECT COUNT(*) AS n FROM `{table}`")[0]["n"])
            for table in self._deal_tables
        }
        years = [table for table in self._deal_tables if table != DEALS]
        if not years or DEALS not in tables:
            return {"tables": tables, "missing_from_years": 0, "samples": []}
        absent = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM `{year}` y{n} WHERE y{n}.`Deal` = d.`Deal`)" for n, year in enumerate(years)
        )
        count = self._database.query(f"SELECT COUNT(*) AS n FROM `{DEALS}` d WHERE {absent}")[0]["n"]
        samples = self._database.query(
            f"SELECT d.`Deal` FROM `{DEALS}` d WHERE {absent} ORDER BY d.`Deal` LIMIT {MAX_SAMPLES}"
        )
        return {"tables": tables, "missing_from_years": number(count), "samples": [row["Deal"] for row in samples]}

    def _deal_rows(
        self, condition: str, values: Sequence[Any], *, key: Sequence[str], logins: Sequence[str] | None = None
    ) -> Iterator[Row]:
        return self._rows(self._deal_tables, "Deal", DEAL_COLUMNS, condition, values, key=key, logins=logins)

    def _rows(
        self,
        tables: Sequence[str],
        number_column: str,
        columns: Sequence[str],
        condition: str,
        values: Sequence[Any],
        *,
        key: Sequence[str],
        logins: Sequence[str] | None,
    ) -> Iterator[Row]:
        """Rows of a family of tables; one that stands in several is taken in its latest version, once."""
        among = _numbers(logins)
        if among is not None and not among:
            return
        limit = f" AND `Login` IN ({', '.join(map(str, among))})" if among else ""
        parts = []
        for place, table in enumerate(tables):
            alone = "".join(
                f" AND NOT EXISTS (SELECT 1 FROM `{other}` o WHERE o.`{number_column}` = t.`{number_column}`"
                f"{self._is_later(table, other, place, n)})"
                for n, other in enumerate(tables)
                if other != table
            )
            parts.append(
                f"SELECT {self._database.select(table, columns, alias='t')} FROM `{table}` t WHERE {condition}{limit}{alone}"
            )
        sql = f"SELECT * FROM ({' UNION ALL '.join(parts)}) r WHERE TRUE{{after}}"
        yield from self._database.pages(sql, list(values) * len(tables), key=key)

    def _is_later(self, table: str, other: str, place: int, other_place: int) -> str:
        """When another table's copy of a row goes before this one: written later, or the same and named first."""
        if not (self._database.has(table, "Timestamp") and self._database.has(other, "Timestamp")):
            return "" if other_place < place else " AND FALSE"
        tie = ">=" if other_place < place else ">"
        return f" AND o.`Timestamp` {tie} t.`Timestamp`"

    # What else the export holds

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Ended orders done within the window."""
        self._require(Ability.ORDERS)
        offsets = self._offsets(from_time, to_time)
        least, most = offsets.spread()
        low, high = _local(from_time) + least, _local(to_time) + most
        rows = self._rows(
            self._order_tables,
            "Order",
            ORDER_COLUMNS,
            "`TimeDone` >= %s AND `TimeDone` < %s",
            [low.replace(microsecond=0), high + timedelta(seconds=1)],
            key=("TimeDone", "Order"),
            logins=logins,
        )
        for row in rows:
            done = self._utc(row["TimeDoneMsc"] or row["TimeDone"], offsets, table=ORDERS, row=row["Order"])
            if from_time <= done < to_time:
                placed = row["TimeSetupMsc"] or row["TimeSetup"]
                yield order_of(
                    row,
                    placed=done if placed is None else self._utc(placed, offsets, table=ORDERS, row=row["Order"]),
                    done=done,
                    database=self._database,
                )

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """What is open now."""
        self._require(Ability.POSITIONS)
        key = "Position" if self._database.has(POSITIONS, "Position") else "PositionID"
        columns = [key if name == "Position" else name for name in POSITION_COLUMNS]
        zone = Offsets([], self._database.settings.zone)
        newest = self._newest_offset()
        for row in self._one_table(POSITIONS, columns, key=(key,), logins=logins):
            opened = row["TimeCreateMsc"] or row["TimeCreate"]
            if opened is None:
                self._database.garbled("the time is missing", table=POSITIONS, row=row[key], name="TimeCreate")
            offsets = self._offsets(_aware(opened), _aware(opened) + timedelta(days=1)) if newest is not None else zone
            opened_at = self._utc(opened, offsets, table=POSITIONS, row=row[key])
            yield position_of(row, number(row[key]), opened_at)

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Accounts with their money; names and groups where the export has `mt5_users`."""
        self._require(Ability.ACCOUNTS)
        currencies = self._group_currencies()
        for page in self._account_pages(logins):
            users = self._users([row["Login"] for row in page])
            for row in page:
                yield account_of(
                    row,
                    users.get(row["Login"], {}),
                    currencies=currencies,
                    currency=self._database.settings.currency,
                    zone=self._database.settings.zone,
                )

    def _account_pages(self, logins: Sequence[str] | None) -> Iterator[list[Row]]:
        page: list[Row] = []
        for row in self._one_table("mt5_accounts", ACCOUNT_COLUMNS, key=("Login",), logins=logins):
            page.append(row)
            if len(page) == LOGINS_PER_QUERY:
                yield page
                page = []
        if page:
            yield page

    def _users(self, logins: Sequence[int]) -> dict[int, Row]:
        if not self._database.has("mt5_users", "Login"):
            return {}
        columns = self._database.select("mt5_users", ["Login", *USER_COLUMNS])
        among = ", ".join(str(int(login)) for login in logins)
        rows = self._database.query(f"SELECT {columns} FROM `mt5_users` WHERE `Login` IN ({among})")
        return {row["Login"]: row for row in rows}

    def _group_currencies(self) -> dict[str, str]:
        if not self._database.has("mt5_groups", "Group", "Currency"):
            return {}
        return {text(row["Group"]): text(row["Currency"]) for row in self._group_rows()}

    def groups(self) -> Iterator[GatewayGroup]:
        """All groups."""
        self._require(Ability.GROUPS)
        for row in self._group_rows():
            yield group_of(row)

    def _group_rows(self) -> Iterator[Row]:
        yield from self._one_table("mt5_groups", GROUP_COLUMNS, key=("Group",))

    def symbols(self) -> Iterator[GatewaySymbol]:
        """All symbols with the terms that the export holds. A contract size that is not above zero is refused by name."""
        self._require(Ability.SYMBOLS)
        for row in self._one_table("mt5_symbols", SYMBOL_COLUMNS, key=("Symbol",)):
            yield symbol_of(row, self._database)

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """The last quote by symbol."""
        self._require(Ability.TICKS)
        ticks: dict[str, GatewayTick] = {}
        newest = self._newest_offset()
        zone = self._database.settings.zone
        columns = self._database.select("mt5_prices", ("Symbol", "Digits", "Time", "BidLast", "AskLast"))
        for start in range(0, len(symbols), LOGINS_PER_QUERY):
            part = list(symbols[start : start + LOGINS_PER_QUERY])
            marks = ", ".join(["%s"] * len(part))
            for row in self._database.query(f"SELECT {columns} FROM `mt5_prices` WHERE `Symbol` IN ({marks})", part):
                bid, ask = price_or_none(row["BidLast"], row["Digits"]), price_or_none(row["AskLast"], row["Digits"])
                if bid is None or ask is None or row["Time"] is None:
                    continue
                if newest is None and zone is None:
                    self._no_offset()
                at = (
                    zone.to_utc(row["Time"])
                    if newest is None and zone
                    else _aware(row["Time"] - (newest or timedelta(0)))
                )
                ticks[text(row["Symbol"])] = GatewayTick(symbol=text(row["Symbol"]), bid=bid, ask=ask, at=at)
        return ticks

    def close(self) -> None:
        """Ends the session."""
        self._database.close()

    # Time

    def _offsets(self, from_time: datetime, to_time: datetime) -> Offsets:
        """The offsets of a window, from the pairs of all its deals, a day more on both sides."""
        if not self._has_stamps:
            return Offsets([], self._database.settings.zone)
        low, high = _local(from_time) - MAX_OFFSET - timedelta(days=1), _local(to_time) + MAX_OFFSET + timedelta(days=1)
        micro = _MICROSECONDS.format(time=self._time)
        counts: dict[tuple[Any, int], int] = {}
        for table in self._deal_tables:
            for row in self._database.query(
                f"SELECT CAST(`Time` AS DATE) AS d, q, COUNT(*) AS n FROM (SELECT `Time`, "
                f"CAST(ROUND(({micro} - `Timestamp` DIV 10) / 900000000) AS SIGNED) AS q, "
                f"{micro} - CAST(`Timestamp` DIV 10 AS SIGNED) AS us FROM `{table}` "
                "WHERE `Time` >= %s AND `Time` < %s) p WHERE ABS(us - q * 900000000) <= 2000000 AND ABS(q) <= 56 "
                "GROUP BY 1, 2",
                [low, high],
            ):
                key = (row["d"].date(), int(row["q"]))
                counts[key] = counts.get(key, 0) + int(row["n"])
        offsets = Offsets(
            [DayOffset(day, quarters, deals) for (day, quarters), deals in counts.items()], self._database.settings.zone
        )
        if not offsets.is_known and self._newest_offset() is None and self._holds_deals():
            self._no_offset()
        return offsets

    def _holds_deals(self) -> bool:
        return any(self._database.query(f"SELECT 1 FROM `{table}` LIMIT 1") for table in self._deal_tables)

    def _newest_offset(self) -> timedelta | None:
        """What the newest pairs agree on."""
        if not self._has_stamps:
            return None
        votes: dict[timedelta, int] = {}
        for table in self._deal_tables:
            columns = self._database.select(table, ("Timestamp", "Time", "TimeMsc"))
            for row in self._database.query(
                f"SELECT {columns} FROM `{table}` ORDER BY `Timestamp` DESC LIMIT {CLOCK_PAIRS}"
            ):
                local = row["TimeMsc"] or row["Time"]
                offset = None if local is None else offset_of_pair(filetime=number(row["Timestamp"]), local=local)
                if offset is not None:
                    votes[offset] = votes.get(offset, 0) + 1
        return max(votes, key=lambda offset: votes[offset]) if votes else None

    def _moment(self, row: Row, offsets: Offsets) -> datetime:
        local = row["TimeMsc"] or row["Time"]
        filetime = None if row["Timestamp"] is None else number(row["Timestamp"])
        return self._utc(local, offsets, table=DEALS, row=row["Deal"], filetime=filetime)

    def _utc(
        self, local: datetime | None, offsets: Offsets, *, table: str, row: object, filetime: int | None = None
    ) -> datetime:
        if local is None:
            self._database.garbled("the time is missing", table=table, row=row, name="Time")
        at = offsets.to_utc(local, filetime)
        if at is None:
            newest = self._newest_offset()
            if newest is None:
                self._no_offset()
            at = _aware(local - newest)
        return at

    def _no_offset(self) -> NoReturn:
        server = self._database.server
        raise GatewayGarbled(
            f"{server}: no deal tells how far the server's clock is from UTC, and the server has no zone: give its zone.",
            server=server,
            table=DEALS,
            field="zone",
        )

    # Small parts

    def _one_table(
        self, table: str, wanted: Sequence[str], *, key: Sequence[str], logins: Sequence[str] | None = None
    ) -> Iterator[Row]:
        among = _numbers(logins)
        columns = self._database.select(table, wanted)
        if among is None:
            yield from self._database.pages(f"SELECT {columns} FROM `{table}` WHERE TRUE{{after}}", (), key=key)
            return
        for start in range(0, len(among), LOGINS_PER_QUERY):
            part = ", ".join(str(login) for login in among[start : start + LOGINS_PER_QUERY])
            yield from self._database.pages(
                f"SELECT {columns} FROM `{table}` WHERE `Login` IN ({part}){{after}}", (), key=key
            )

    def _require(self, ability: Ability) -> None:
        if ability not in self.abilities:
            self._not_offered(ability.value)

    def _not_offered(self, what: str) -> NoReturn:
        server = self._database.server
        raise NotOffered(f"{server}: this report database holds no {what}.", server=server, ability=what)


def _family(database: Database, name: str, needed: set[str]) -> list[str]:
    """The single table and those of years, the single one first."""
    tables = [table for table in sorted(database.columns) if table == name or re.fullmatch(name + _YEAR, table)]
    return [table for table in tables if database.has(table, *needed)]


def _numbers(logins: Sequence[str] | None) -> list[int] | None:
    """Logins as numbers; what is no number names no account of an MT5 server."""
    return None if logins is None else sorted({int(login) for login in logins if login.isascii() and login.isdigit()})


def _local(at: datetime) -> datetime:
    """The UTC wall clock, naive, as the database's own times are."""
    return utc_of_filetime(filetime_of(at)).replace(tzinfo=None)


def _aware(naive_utc: datetime) -> datetime:
    return naive_utc.replace(tzinfo=UTC)


def _in_order(rows: Iterator[tuple[datetime, Row]], slack: timedelta) -> Iterator[tuple[datetime, Row]]:
    """Rows in the order of their moments, although they come in the order of a clock that may have been set back."""
    waiting: list[tuple[datetime, int, Row]] = []
    for at, row in rows:
        heapq.heappush(waiting, (at, number(row["Deal"]), row))
        while waiting and waiting[0][0] < at - slack:
            first, _, found = heapq.heappop(waiting)
            yield first, found
    while waiting:
        first, _, found = heapq.heappop(waiting)
        yield first, found
