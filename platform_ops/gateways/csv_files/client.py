"""A `ReadingGateway` over a folder of deals CSV files, one account's history each.

A file is read when it has been complete for some seconds, and again when it changed. A file that cannot be read refuses
the whole reading and is named with its row and field: what it would have told is not silently missing. Of two files of an
account the later `as_of` tells its figures; a deal that several tell is taken from the latest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import GatewayGarbled, GatewayUnavailable, NotOffered
from platform_ops.gateways.statements import Statement
from platform_ops.gateways.statements.deals_csv import read_deals_csv
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

MAX_FILES = 2_000
MAX_FILE_BYTES = 64 * 1024 * 1024
SETTLED_SECONDS = 2.0
"""A file that was written to within these seconds is still being copied."""

ABILITIES = frozenset({Ability.DEALS, Ability.POSITIONS, Ability.ACCOUNTS})


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was when it was read."""

    modified_ns: int
    size: int
    statement: Statement


class CsvFolderGateway:
    """The connector. What was read is kept until its file changes."""

    abilities = ABILITIES

    def __init__(
        self, *, server: str, folder: Path, zone: ServerZone, settled_seconds: float = SETTLED_SECONDS
    ) -> None:
        self._server = server
        self._folder = folder
        self._zone = zone
        self._settled = settled_seconds
        self._files: dict[Path, _Read] = {}

    def earliest_news(self, *, since: datetime) -> datetime | None:
        """The first deal of the files that came or changed after *since*: a folder tells old deals at any time."""
        times = [
            self._zone.to_utc(deal.time)
            for read in self._read_all()
            if read.modified_ns >= since.timestamp() * 1e9
            for deal in read.statement.deals
        ]
        return min(times, default=None)

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Deals of the window, each once, by time and ticket."""
        found: dict[tuple[int, int], GatewayDeal] = {}
        for statement in self._statements(logins):
            for record in statement.deals:
                at = self._zone.to_utc(record.time)
                if not from_time <= at < to_time:
                    continue
                found[record.ticket, record.leg] = GatewayDeal(
                    ticket=record.ticket,
                    leg=record.leg,
                    login=statement.account,
                    kind=record.kind,
                    at=at,
                    entry=record.entry,
                    order_ticket=record.order,
                    position_ticket=record.position,
                    symbol=record.symbol,
                    volume_lots=record.volume_lots,
                    price=record.price,
                    open_price=record.open_price,
                    opened_at=None if record.open_time is None else self._zone.to_utc(record.open_time),
                    profit=record.profit,
                    swap=record.swap,
                    commission=record.commission,
                    fee=record.fee,
                    comment=record.comment,
                    currency=statement.currency,
                    market_bid=record.market_bid,
                    market_ask=record.market_ask,
                    gateway_price=record.gateway_price,
                )
        return iter(sorted(found.values(), key=lambda deal: (deal.at, deal.ticket, deal.leg)))

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """What each account's latest file says is open."""
        for statement in self._latest(logins):
            for mark in statement.open_positions:
                yield GatewayPosition(
                    ticket=mark.position,
                    login=statement.account,
                    symbol=mark.symbol,
                    side=mark.side,
                    volume_lots=mark.volume_lots,
                    open_price=mark.open_price,
                    current_price=mark.current_price,
                    opened_at=self._zone.to_utc(mark.open_time),
                    profit=mark.profit,
                    swap=mark.swap,
                    commission=mark.commission,
                    comment=mark.comment,
                )

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """The accounts of the files; balance and credit follow from opening figures and deals."""
        for statement in self._latest(logins):
            balance, credit = statement.opening_balance, statement.opening_credit
            for deal in statement.deals:
                if deal.kind.is_credit:
                    credit += deal.money
                else:
                    balance += deal.money
            yield GatewayAccount(
                login=statement.account,
                group="",
                name=statement.name,
                currency=statement.currency,
                leverage=statement.leverage or 0,
                balance=balance,
                credit=credit,
            )

    def clock(self) -> ServerClock:
        """A folder has no clock."""
        self._not_offered("a clock")

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Files tell no orders."""
        self._not_offered("orders")

    def groups(self) -> Iterator[GatewayGroup]:
        """Files tell no groups."""
        self._not_offered("groups")

    def symbols(self) -> Iterator[GatewaySymbol]:
        """Files tell no terms of symbols."""
        self._not_offered("symbols")

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """Files tell no prices."""
        self._not_offered("prices")

    def close(self) -> None:
        """Nothing is held open."""
        self._files = {}

    def _not_offered(self, what: str) -> NoReturn:
        raise NotOffered(f"Files of {self._server} tell no {what}.", server=self._server)

    def _latest(self, logins: Sequence[str] | None) -> list[Statement]:
        by_login = {statement.account: statement for statement in self._statements(logins)}
        return [by_login[login] for login in sorted(by_login)]

    def _statements(self, logins: Sequence[str] | None) -> list[Statement]:
        """By `as_of`, so that the latest has the last word."""
        wanted = None if logins is None else set(logins)
        found = [read.statement for read in self._read_all() if wanted is None or read.statement.account in wanted]
        return sorted(found, key=lambda statement: statement.as_of)

    def _read_all(self) -> list[_Read]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix.lower() == ".csv")
        except OSError as error:
            raise GatewayUnavailable(
                f"The folder of {self._server} cannot be read ({error.strerror}).", server=self._server
            ) from error
        if len(paths) > MAX_FILES:
            self._refuse(f"holds more than {MAX_FILES:,} files")
        fresh = {path: read for path in paths if (read := self._read(path)) is not None}
        self._files = fresh
        return list(fresh.values())

    def _read(self, path: Path) -> _Read | None:
        """The file; None while it is still being written, or when it vanished."""
        try:
            # A link could lead out of the folder.
            if path.is_symlink() or not path.is_file():
                return None
            found = path.stat()
            known = self._files.get(path)
            if known is not None and (known.modified_ns, known.size) == (found.st_mtime_ns, found.st_size):
                return known
            if time.time() - found.st_mtime < self._settled:
                return known
            if found.st_size > MAX_FILE_BYTES:
                self._refuse(f"holds {path.name}, which is larger than {MAX_FILE_BYTES:,} bytes")
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GatewayUnavailable(
                f"{path.name} of {self._server} cannot be read ({error.strerror}).", server=self._server
            ) from error
        try:
            statement = read_deals_csv(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise GatewayGarbled(
                f"{self._server}: {path.name} is no UTF-8 text.", server=self._server, file=path.name
            ) from error
        except InvalidInput as error:
            row, field = error.details.get("row"), error.details.get("field")
            where = f", row {row}" if row else ""
            raise GatewayGarbled(
                f"{self._server}: {path.name}{where}, {field or 'file'}: {error.message}",
                server=self._server,
                file=path.name,
                row=row,
                field=field,
            ) from error
        return _Read(found.st_mtime_ns, found.st_size, statement)

    def _refuse(self, problem: str) -> NoReturn:
        raise GatewayGarbled(f"The folder of {self._server} {problem}.", server=self._server)
