"""How the demo's traders trade: habits, and the deal history that follows from them and the price paths.

Profit, swap and commission are computed as a trading server does it: by the kernel's rules, rounded once per booking
to the account currency. Histories are independent of each other, so that more accounts do not change earlier ones.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from backoffice.devstack.demo.catalogue import SYMBOLS, DemoSymbol
from backoffice.devstack.demo.prices import PricePaths
from backoffice.kernel.business_day import business_day_of, day_bounds, next_business_day
from backoffice.kernel.currency import Currency
from backoffice.kernel.lots import Lots
from backoffice.kernel.money import round_money
from backoffice.kernel.profit import ProfitMode, TradeSide, profit_in_profit_currency
from platform_ops.types import DealEntry, DealKind

LOT_STEP = Decimal("0.01")
ECN_COMMISSION_PER_LOT_AND_SIDE = {"USD": "3.50", "EUR": "3.20", "GBP": "2.80", "JPY": "520"}
MAXIMUM_TRADES_PER_ACCOUNT = 600


@dataclass(frozen=True, slots=True)
class Habit:
    """A way of trading: how often, how long positions stay open, and how large they are for the money at hand."""

    name: str
    trades_per_day: float
    hold_minutes_median: float
    hold_spread: float
    leverage_used: float
    share: int


HABITS: tuple[Habit, ...] = (
    Habit("scalper", 4.0, 5, 0.9, 8.0, 14),
    Habit("day trader", 1.6, 110, 0.8, 5.0, 30),
    Habit("robot", 5.0, 260, 1.0, 1.5, 12),
    Habit("swing trader", 0.35, 3200, 0.7, 3.0, 18),
    Habit("casual trader", 0.45, 420, 1.2, 6.0, 26),
)


@dataclass(frozen=True, slots=True)
class DemoDeal:
    """One row of a server's deal history, as the server would state it; times are UTC."""

    login: str
    ticket: int
    leg: int
    kind: DealKind
    at: datetime
    entry: DealEntry | None = None
    position: int = 0
    symbol: str = ""
    lots: Decimal = Decimal(0)
    price: Decimal | None = None
    open_price: Decimal | None = None
    opened_at: datetime | None = None
    profit: Decimal = Decimal(0)
    swap: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    comment: str = ""


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """What an account will be: its habit, currency, type, platform, first deposit, and when it is active."""

    login: str
    currency: str
    platform: str
    is_ecn: bool
    habit: Habit
    first_deposit: Decimal
    active_from: datetime
    active_to: datetime
    seed: int


@dataclass(slots=True)
class _OpenTrade:
    closes_at: datetime
    ticket: int
    symbol: DemoSymbol
    side: TradeSide
    lots: Decimal
    price: Decimal
    opened_at: datetime


@dataclass
class _AccountState:
    balance: Decimal = Decimal(0)
    deals: list[DemoDeal] = field(default_factory=list)
    open: list[tuple[datetime, int, _OpenTrade]] = field(default_factory=list)


class TicketCounter:
    """Ticket numbers of a server; never the same twice."""

    def __init__(self, first: int) -> None:
        self._numbers = count(first)

    def next(self) -> int:
        """The next free number."""
        return next(self._numbers)


class Trader:
    """Writes one account's history from its plan."""

    def __init__(self, plan: AccountPlan, paths: PricePaths, tickets: TicketCounter) -> None:
        self.plan = plan
        self.paths = paths
        self.tickets = tickets
        self.random = random.Random(plan.seed)  # noqa: S311 - a demo, not a secret
        self.digits = Currency.of(plan.currency).digits
        self.state = _AccountState()
        self.favourites = self._favourites()

    def history(self) -> list[DemoDeal]:
        """All deals of the account in the order in which they happened; what is still open has no closing deal."""
        plan = self.plan
        self._money(plan.active_from, plan.first_deposit, DealKind.BALANCE, "Deposit")
        for opens_at in self._opening_times():
            self._close_until(opens_at)
            if self.state.balance < plan.first_deposit * Decimal("0.15") and not self._top_up(opens_at):
                break
            self._open_trade(opens_at)
        self._close_until(plan.active_to)
        self._perhaps_withdraw()
        return sorted(self.state.deals, key=lambda deal: (deal.at, deal.ticket, deal.leg))

    def _favourites(self) -> list[DemoSymbol]:
        weights = [symbol.popularity for symbol in SYMBOLS]
        return self.random.choices(SYMBOLS, weights=weights, k=4)

    def _opening_times(self) -> list[datetime]:
        times: list[datetime] = []
        day = business_day_of(self.plan.active_from + timedelta(hours=1))
        while (start := day_bounds(day)[1] - timedelta(days=1)) < self.plan.active_to:
            if len(times) >= MAXIMUM_TRADES_PER_ACCOUNT:
                break
            expected = self.plan.habit.trades_per_day * self.random.uniform(0.3, 1.7)
            number = int(expected) + (self.random.random() < expected % 1)
            minutes = sorted(self.random.triangular(60, 1380, 900) for _ in range(number))
            for minute in minutes:
                at = start + timedelta(minutes=int(minute), seconds=self.random.randrange(60))
                if self.plan.active_from + timedelta(minutes=30) < at < self.plan.active_to:
                    times.append(at)
            day = next_business_day(day)
        return times

    def _open_trade(self, at: datetime) -> None:
        symbol = self.random.choice(self.favourites)
        side = self.random.choice((TradeSide.BUY, TradeSide.SELL))
        bid, ask = self.paths.bid_ask(symbol.code, at)
        price = ask if side is TradeSide.BUY else bid
        lots = self._lots(symbol, price, at)
        hold = self.random.lognormvariate(0, self.plan.habit.hold_spread) * self.plan.habit.hold_minutes_median
        closes_at = _when_market_opens(at + timedelta(minutes=max(1.0, hold), seconds=self.random.randrange(60)))
        ticket = self.tickets.next()
        trade = _OpenTrade(closes_at, ticket, symbol, side, lots, price, at)
        kind = DealKind.BUY if side is TradeSide.BUY else DealKind.SELL
        commission = self._commission(lots) if self.plan.platform == "mt5" else Decimal(0)
        self.state.balance += commission
        self.state.deals.append(
            DemoDeal(
                self.plan.login, ticket, 0, kind, at, DealEntry.IN, ticket, symbol.code, lots, price,
                commission=commission,
            )
        )  # fmt: skip
        heapq.heappush(self.state.open, (closes_at, ticket, trade))

    def _lots(self, symbol: DemoSymbol, price: Decimal, at: datetime) -> Decimal:
        value_of_lot = symbol.contract_size * price * self.paths.rate(symbol.profit_currency, self.plan.currency, at)
        wanted = self.state.balance * Decimal(repr(round(self.plan.habit.leverage_used, 2))) / value_of_lot
        wanted *= Decimal(repr(round(self.random.uniform(0.4, 1.6), 3)))
        return min(Decimal(20), max(LOT_STEP, (wanted // LOT_STEP) * LOT_STEP))

    def _close_until(self, at: datetime) -> None:
        while self.state.open and self.state.open[0][0] < min(at, self.plan.active_to):
            self._close(heapq.heappop(self.state.open)[2])

    def _close(self, trade: _OpenTrade) -> None:
        symbol, at = trade.symbol, trade.closes_at
        bid, ask = self.paths.bid_ask(symbol.code, at)
        price = bid if trade.side is TradeSide.BUY else ask
        earned = profit_in_profit_currency(
            side=trade.side, open_price=trade.price, close_price=price, lots=Lots(trade.lots),
            contract_size=symbol.contract_size, digits=Currency.of(symbol.profit_currency).digits,
            mode=ProfitMode.FOREX if symbol.is_forex else ProfitMode.CFD,
        )  # fmt: skip
        profit = round_money(earned * self.paths.rate(symbol.profit_currency, self.plan.currency, at), self.digits)
        swap = self._swap(trade)
        commission = self._commission(trade.lots) * (1 if self.plan.platform == "mt5" else 2)
        mt5 = self.plan.platform == "mt5"
        kind = DealKind.SELL if trade.side is TradeSide.BUY else DealKind.BUY
        self.state.deals.append(
            DemoDeal(
                self.plan.login, self.tickets.next() if mt5 else trade.ticket, 0 if mt5 else 1, kind, at, DealEntry.OUT,
                trade.ticket, symbol.code, trade.lots, price, trade.price, trade.opened_at, profit, swap, commission,
            )
        )  # fmt: skip
        self.state.balance += profit + swap + commission
        if self.state.balance < 0:
            self._money(at + timedelta(seconds=1), -self.state.balance, DealKind.SO_COMPENSATION, "Negative balance")

    def _commission(self, lots: Decimal) -> Decimal:
        if not self.plan.is_ecn:
            return Decimal(0)
        return -round_money(lots * Decimal(ECN_COMMISSION_PER_LOT_AND_SIDE[self.plan.currency]), self.digits)

    def _swap(self, trade: _OpenTrade) -> Decimal:
        nights = _swap_nights(trade.opened_at, trade.closes_at, trade.symbol.triple_swap_weekday)
        points = trade.symbol.swap_long_points if trade.side is TradeSide.BUY else trade.symbol.swap_short_points
        value = Decimal(points) * trade.symbol.point * trade.symbol.contract_size * trade.lots * nights
        rate = self.paths.rate(trade.symbol.profit_currency, self.plan.currency, trade.closes_at)
        return round_money(value * rate, self.digits)

    def _money(self, at: datetime, amount: Decimal, kind: DealKind, comment: str) -> None:
        self.state.balance += amount
        self.state.deals.append(
            DemoDeal(self.plan.login, self.tickets.next(), 0, kind, at, profit=amount, comment=comment)
        )

    def _top_up(self, at: datetime) -> bool:
        """Half of the traders who have lost most of their money pay in again; the others stop."""
        if self.random.random() < 0.5:
            return False
        share = Decimal(self.random.randrange(30, 90)) / 100
        self._money(
            at - timedelta(minutes=2), round_money(self.plan.first_deposit * share, 0), DealKind.BALANCE, "Deposit"
        )
        return True

    def _perhaps_withdraw(self) -> None:
        gain = self.state.balance - self.plan.first_deposit
        if gain > self.plan.first_deposit * Decimal("0.2") and not self.state.open and self.random.random() < 0.6:
            self._money(
                self.plan.active_to - timedelta(minutes=5), -round_money(gain / 2, 0), DealKind.BALANCE, "Withdrawal"
            )


def _market_open_of(at: datetime) -> datetime:
    """When the market opened for the business day of an instant: a day before its close (Monday: Sunday evening)."""
    return day_bounds(business_day_of(at))[1] - timedelta(days=1)


def _when_market_opens(at: datetime) -> datetime:
    """The instant itself, or shortly after the market opens when it falls on a weekend."""
    return max(at, _market_open_of(at) + timedelta(minutes=5, seconds=at.second))


def _swap_nights(opened_at: datetime, closed_at: datetime, triple_weekday: int) -> int:
    """How many nights are charged between two instants: one per business day crossed, three on the triple day."""
    nights, day, last = 0, business_day_of(opened_at), business_day_of(closed_at)
    while day < last:
        nights += 3 if day.weekday() == triple_weekday else 1
        day = next_business_day(day)
    return nights
