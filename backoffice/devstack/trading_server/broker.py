"""The server's state: configuration, accounts, positions, orders, deals, quotes; and how it is changed and kept.

Everything that changes goes through `put` and `remove` inside `transaction`, which journals the lot as one line before
anybody is told. Money moves only through `book_deal`: balance is always the sum of an account's deals.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any

from backoffice.devstack.trading_server import sums
from backoffice.devstack.trading_server.journal import Change, Journal
from backoffice.devstack.trading_server.records import (
    CREDIT_ACTIONS,
    STATE_PLACED,
    ZERO,
    Deal,
    Order,
    Position,
    Quote,
    User,
    from_plain,
    to_plain,
)
from backoffice.devstack.trading_server.retcodes import NOT_FOUND, TRADE_NO_PRICES, Refused
from backoffice.devstack.trading_server.terms import (
    GroupTerms,
    SymbolTerms,
    group_terms,
    symbol_configuration,
    symbol_terms,
)
from backoffice.kernel.business_day import ServerZone

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - server-local times carry no zone
FIRST_TICKET = 1_000_001
FIRST_LOGIN = 10_001
QUOTE_JOURNAL_MSC = 5_000
SNAPSHOT_CHUNK = 500
UNSET = frozenset(
    {"4294967295", "2147483647", "18446744073709551615", "9223372036854775807", "1.7976931348623158e+308"}
)
"""What a group's setting says where it leaves the symbol's."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's figures now. `profit` is the floating result without `storage`, the open swap."""

    balance: Decimal
    credit: Decimal
    profit: Decimal
    storage: Decimal
    margin: Decimal

    @property
    def equity(self) -> Decimal:
        return self.balance + self.credit + self.profit + self.storage

    @property
    def free(self) -> Decimal:
        return self.equity - self.margin

    @property
    def level(self) -> Decimal:
        """Equity as a percentage of margin; 0 without margin, as the platform says it."""
        return ZERO if not self.margin else sums.rounded(Fraction(self.equity) * 100 / Fraction(self.margin), 2)


class Broker:
    """The whole server without its socket."""

    def __init__(
        self, *, zone: str = "EET_US", journal: Journal | None = None, now: Callable[[], datetime] | None = None
    ) -> None:
        self.zone = ServerZone.parse(zone)
        self.journal = journal or Journal(None)
        self._now = now or (lambda: datetime.now(UTC))
        self._moment: int | None = None
        self.clock_offset_seconds = 0
        self.symbols: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.terms: dict[str, SymbolTerms] = {}
        self.group_terms: dict[str, GroupTerms] = {}
        self.users: dict[int, User] = {}
        self.positions: dict[int, Position] = {}
        self.orders: dict[int, Order] = {}
        self.history: dict[int, Order] = {}
        self.deals: dict[int, Deal] = {}
        self.quotes: dict[str, Quote] = {}
        self.counters: dict[str, int] = {"ticket": FIRST_TICKET, "login": FIRST_LOGIN, "day": 0, "stopped": 0}
        self.positions_of: dict[int, dict[int, Position]] = defaultdict(dict)
        self.deals_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.history_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._changes: list[Change] = []
        self._depth = 0
        self._quote_written: dict[str, int] = {}
        self._load()

    # Time

    def now_msc(self) -> int:
        """The server's wall clock, in milliseconds since 1970 as if it were UTC."""
        if self._moment is not None:
            return self._moment
        return self.msc_of(self._now() + timedelta(seconds=self.clock_offset_seconds))

    @contextmanager
    def as_of(self, msc: int) -> Iterator[None]:
        """What is done inside happened at that time."""
        self._moment = msc
        try:
            yield
        finally:
            self._moment = None

    def last_alive_msc(self) -> int:
        """The latest time that the memory tells of."""
        times = [quote.time_msc for quote in self.quotes.values()]
        return max([*times, *(index[-1][0] for index in self.deals_of.values() if index)], default=0)

    def msc_of(self, at: datetime) -> int:
        """What the server's clock shows at an instant."""
        return (self.zone.to_local(at) - EPOCH) // timedelta(milliseconds=1)

    def zone_minutes(self) -> int:
        """How far the server's zone is ahead of UTC now, its summer time included."""
        at = self._now()
        return round((self.zone.to_local(at) - at.replace(tzinfo=None)) / timedelta(minutes=1))

    def local(self, msc: int) -> datetime:
        """A wall-clock count as a naive time."""
        return EPOCH + timedelta(milliseconds=msc)

    # Changing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Whatever is put and removed inside is journalled together; nested ones belong to the outermost."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                changes, self._changes = self._changes, []
                self.journal.append(changes)

    def put(self, kind: str, key: Any, record: Any) -> None:
        """Keeps a record and notes it for the journal."""
        self._keep(kind, key, record)
        self._changes.append([kind, key, record if isinstance(record, dict | int) else to_plain(record)])
        if not self._depth:
            changes, self._changes = self._changes, []
            self.journal.append(changes)

    def remove(self, kind: str, key: Any) -> None:
        """Takes a record away."""
        self._forget(kind, key)
        self._changes.append([kind, key, None])
        if not self._depth:
            changes, self._changes = self._changes, []
            self.journal.append(changes)

    def next_ticket(self) -> int:
        """Orders, deals and positions are numbered from one row."""
        ticket = self.counters["ticket"]
        self.put("counter", "ticket", ticket + 1)
        return ticket

    def book_deal(self, deal: Deal) -> Deal:
        """Books a deal and moves its account's money by it."""
        user = self.user(deal.login)
        if deal.action in CREDIT_ACTIONS:
            user.credit += deal.money
        else:
            user.balance += deal.money
        with self.transaction():
            self.put("deal", deal.ticket, deal)
            self.put("user", user.login, user)
        return deal

    def set_quote(self, symbol: str, bid: Decimal, ask: Decimal) -> Quote:
        """The market moved. Only every few seconds is a price written down: it is not worth more after a restart."""
        quote = Quote(symbol=symbol, bid=bid, ask=ask, time_msc=self.now_msc())
        if quote.time_msc - self._quote_written.get(symbol, -QUOTE_JOURNAL_MSC) >= QUOTE_JOURNAL_MSC:
            self._quote_written[symbol] = quote.time_msc
            self.put("quote", symbol, quote)
        else:
            self.quotes[symbol] = quote
        return quote

    # Reading

    def user(self, login: int) -> User:
        """The account. Raises Refused when there is none."""
        user = self.users.get(login)
        if user is None:
            raise Refused(NOT_FOUND)
        return user

    def group_of(self, user: User) -> GroupTerms:
        """The terms of the account's group."""
        return self.group_terms[user.group]

    def symbol(self, name: str) -> SymbolTerms:
        """The terms of a symbol. Raises Refused when there is none."""
        terms = self.terms.get(name)
        if terms is None:
            raise Refused(NOT_FOUND)
        return terms

    def symbol_in_group(self, name: str, group: str) -> dict[str, Any]:
        """A symbol as one group has it: the group's own settings over the symbol's."""
        whole = dict(self.symbols[name])
        for own in self.groups[group]["Symbols"]:
            if any(fnmatchcase(each, str(own.get("Path", ""))) for each in (name, str(whole.get("Path", "")))):
                given = {key: value for key, value in own.items() if key != "Path" and str(value) not in UNSET}
                whole = symbol_configuration(given, whole)
        return whole

    def terms_in_group(self, name: str, group: str) -> SymbolTerms:
        """The terms of a symbol for the accounts of a group."""
        if not self.groups[group]["Symbols"]:
            return self.symbol(name)
        return symbol_terms(self.symbol_in_group(name, group))

    def quote(self, name: str) -> Quote:
        """The last quote of a symbol. Raises Refused when it has none."""
        quote = self.quotes.get(name)
        if quote is None or quote.bid <= 0:
            raise Refused(TRADE_NO_PRICES)
        return quote

    def rate(self, source: str, target: str, at_ask: bool) -> Fraction:
        """Units of *target* for one of *source*: by their pair, by the pair turned round, or across the dollar."""
        if source == target:
            return Fraction(1)
        found = self._pair_rate(source, target, at_ask)
        if found is None and "USD" not in (source, target):
            first, second = self._pair_rate(source, "USD", at_ask), self._pair_rate("USD", target, at_ask)
            found = first * second if first is not None and second is not None else None
        if found is None:
            raise Refused(TRADE_NO_PRICES)
        return found

    def _pair_rate(self, source: str, target: str, at_ask: bool) -> Fraction | None:
        for name, terms in self.terms.items():
            if terms.calculation not in sums.FOREX_MODES:
                continue
            quote = self.quotes.get(name)
            if quote is None or quote.bid <= 0:
                continue
            if (terms.base, terms.profit_currency) == (source, target):
                return Fraction(quote.ask if at_ask else quote.bid)
            if (terms.base, terms.profit_currency) == (target, source):
                return 1 / Fraction(quote.bid if at_ask else quote.ask)
        return None

    def floating(self, position: Position) -> Decimal:
        """What the position would earn if it were closed now; nothing while there is no price for it."""
        quote = self.quotes.get(position.symbol)
        terms = self.terms.get(position.symbol)
        if quote is None or terms is None or quote.bid <= 0:
            return ZERO
        group = self.group_of(self.user(position.login))
        price = quote.bid if position.is_buy else quote.ask
        raw = sums.raw_profit(
            terms, is_buy=position.is_buy, lots=position.lots, opened=position.open_price, closed=price
        )
        try:
            rate = sums.profit_rate(
                terms, account_currency=group.currency, is_buy=position.is_buy, raw=raw, closed=price, rate=self.rate
            )
        except Refused:
            return ZERO
        return sums.rounded(Fraction(raw) * rate, group.digits)

    def standing(self, login: int) -> Standing:
        """The account's figures now."""
        user = self.user(login)
        group = self.group_of(user)
        positions = self.positions_of[login].values()
        by_symbol: dict[str, list[Position]] = defaultdict(list)
        profit = storage = ZERO
        for position in positions:
            by_symbol[position.symbol].append(position)
            profit += self.floating(position)
            storage += position.storage
        margin = sum(
            (
                sums.rounded(sums.symbol_margin(self.terms[name], legs, leverage=user.leverage), group.digits)
                for name, legs in by_symbol.items()
            ),
            ZERO,
        )
        return Standing(user.balance, user.credit, profit, storage, margin)

    def deals_between(self, login: int, start_msc: int, end_msc: int) -> list[Deal]:
        """An account's deals from the one time to the other, both included, oldest first."""
        index = self.deals_of.get(login, [])
        start, end = bisect.bisect_left(index, (start_msc, 0)), bisect.bisect_right(index, (end_msc, 1 << 62))
        return [self.deals[ticket] for _, ticket in index[start:end]]

    def history_between(self, login: int, start_msc: int, end_msc: int) -> list[Order]:
        """An account's ended orders by when they ended."""
        index = self.history_of.get(login, [])
        start, end = bisect.bisect_left(index, (start_msc, 0)), bisect.bisect_right(index, (end_msc, 1 << 62))
        return [self.history[ticket] for _, ticket in index[start:end]]

    # Passwords

    @staticmethod
    def digest(login: int, password: str) -> str:
        """How a password is kept."""
        return hashlib.sha256(f"{login}:{password}".encode()).hexdigest()

    def password_fits(self, user: User, password: str, *, is_investor: bool) -> bool:
        """Whether the password is the account's."""
        kept = user.investor_digest if is_investor else user.main_digest
        return bool(kept) and hmac.compare_digest(kept, self.digest(user.login, password))

    # Keeping

    def _keep(self, kind: str, key: Any, record: Any) -> None:
        if kind == "symbol":
            self.symbols[key] = record
            self.terms[key] = symbol_terms(record)
        elif kind == "group":
            self.groups[key] = record
            self.group_terms[key] = group_terms(record)
        elif kind == "user":
            self.users[key] = record
        elif kind == "position":
            self.positions[key] = self.positions_of[record.login][key] = record
        elif kind == "order":
            self._keep_order(key, record)
        elif kind == "deal":
            if key not in self.deals:
                bisect.insort(self.deals_of[record.login], (record.time_msc, key))
            self.deals[key] = record
        elif kind == "quote":
            self.quotes[key] = record
        else:
            self.counters[key] = record

    def _keep_order(self, key: int, order: Order) -> None:
        if order.state == STATE_PLACED:
            self.orders[key] = order
            return
        self.orders.pop(key, None)
        if key not in self.history:
            bisect.insort(self.history_of[order.login], (order.done_msc, key))
        self.history[key] = order

    def _forget(self, kind: str, key: Any) -> None:
        if kind == "position":
            position = self.positions.pop(key)
            self.positions_of[position.login].pop(key)
        elif kind == "symbol":
            del self.symbols[key], self.terms[key]
        elif kind == "group":
            del self.groups[key], self.group_terms[key]
        elif kind == "user":
            del self.users[key]
        else:
            raise ValueError(f"a {kind} is never taken away")

    def _load(self) -> None:
        kinds = {"user": User, "position": Position, "order": Order, "deal": Deal, "quote": Quote}
        for changes in self.journal.read():
            for kind, key, plain in changes:
                if plain is None:
                    self._forget(kind, key)
                else:
                    self._keep(kind, key, from_plain(kinds[kind], plain) if kind in kinds else plain)
        if self.journal.is_long():
            self.journal.replace(self._snapshot())

    def _snapshot(self) -> Iterator[list[Change]]:
        """The state as few transactions as it takes, in an order that reads back."""
        kept: list[tuple[str, dict[Any, Any]]] = [
            ("group", self.groups), ("symbol", self.symbols), ("counter", self.counters), ("quote", self.quotes),
            ("user", self.users), ("deal", self.deals), ("order", self.history), ("order", self.orders),
            ("position", self.positions),
        ]  # fmt: skip
        chunk: list[Change] = []
        for kind, records in kept:
            for key, record in records.items():
                chunk.append([kind, key, record if isinstance(record, dict | int) else to_plain(record)])
                if len(chunk) == SNAPSHOT_CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk
