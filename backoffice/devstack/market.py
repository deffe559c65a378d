"""The demo's market: moves prices every second, and lets the demo's traders open and close positions on them.

It talks to the product only through its use cases, as a price feed and a connector would: quotes are stored, deals are
ingested. Where the demo's MT5 server runs as a simulation of its own (`over_the_wire`), the market trades on that server
instead, and the product hears of it by following the server. Nothing in the product knows this simulator.
"""

from __future__ import annotations

import math
import random
import signal
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import Max

from backoffice.core.services import heartbeats
from backoffice.devstack.demo.behaviour import LOT_STEP
from backoffice.devstack.demo.catalogue import BY_CODE, DemoSymbol
from backoffice.devstack.demo.feeds import DemoFeeds
from backoffice.devstack.demo.history import server_symbol_name
from backoffice.devstack.demo.prices import MINUTES_PER_YEAR
from backoffice.devstack.demo.trading import SERVER_CODE
from backoffice.devstack.floor import Floor, address_of_the_demo, floor_of_the_demo
from backoffice.devstack.hedges import Hedges
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.currency import Currency
from backoffice.kernel.fx import RateProvider
from backoffice.kernel.lots import Lots
from backoffice.kernel.money import round_money
from backoffice.kernel.profit import ProfitMode, TradeSide, profit_in_profit_currency
from platform_ops.models import Deal, Position, Quote, TradingAccount, TradingServer
from platform_ops.selectors.rates import rate_provider
from platform_ops.services.ingest import ingest_records
from platform_ops.services.staging import IngestRecord
from platform_ops.types import DealEntry, DealKind, Side

SECONDS_PER_STEP = 1.0
# The demo's clock runs livelier than a real market, so that a visitor sees figures move.
LIVELINESS = 2.5
OPENINGS_PER_STEP = 0.9
CLOSINGS_PER_STEP = 0.9
MAXIMUM_OPEN_POSITIONS = 400
WIRE_SHARE = 0.6
"""How lively the simulated server is beside the servers that are fed directly."""
MINIMUM_HOLD_SECONDS = 20
SOURCE = "market"
STEPS_BETWEEN_LOOKS = 5
"""How often the market looks for the simulated server while it does not know it yet."""


@dataclass(frozen=True, slots=True)
class Server:
    """A demo server and how it counts: MT4 closes a ticket in place, MT5 with a new deal."""

    pk: int
    platform: str


class Market:
    """One running market. `step` moves prices and trades once."""

    def __init__(
        self, *, seed: int | None = None, say: Callable[[str], None] = print, over_the_wire: bool = False
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a demo, not a secret
        self.say = say
        self.symbol_codes = dict(Quote.objects.values_list("symbol_id", "symbol__code"))
        self.middle = {
            code: float((bid + ask) / 2)
            for code, bid, ask in Quote.objects.values_list("symbol__code", "bid", "ask")
            if code in BY_CODE
        }
        servers = TradingServer.objects.filter(platform__in=["mt4", "mt5"])
        if over_the_wire:
            servers = servers.exclude(code=SERVER_CODE)
        self.servers = {s.pk: Server(s.pk, s.platform) for s in servers}
        self.accounts = list(
            TradingAccount.objects.filter(
                server_id__in=self.servers, client__isnull=False, status="active"
            ).values_list("pk", "server_id", "currency")
        )
        self.currencies = {pk: currency for pk, _, currency in self.accounts}
        self.next_ticket = self._first_tickets()
        self.rates: RateProvider = rate_provider()
        self.feeds = DemoFeeds(seed=seed)
        self.over_the_wire = over_the_wire
        self.floor: Floor | None = None
        self.hedges = Hedges(say=say) if over_the_wire else None
        self.steps = 0

    def step(self) -> int:
        """Moves every price, stores the quotes, and books what the traders did; how many deals."""
        now = clock.now()
        self._move_prices(now)
        records: dict[int, list[IngestRecord]] = defaultdict(list)
        self._close_some(now, records)
        self._open_some(now, records)
        for server_id, deals in records.items():
            ingest_records(server_id=server_id, source=SOURCE, records=deals, as_of=now)
        done = sum(len(deals) for deals in records.values()) + self._trade_over_the_wire()
        if self.hedges is not None:
            self.hedges.step({code: self._bid_ask(BY_CODE[code]) for code in self.middle})
        heartbeats.beat("market", {"deals": done})
        return done

    def _trade_over_the_wire(self) -> int:
        """What happens on the simulated server in this step; nothing while it is not there."""
        if not self.over_the_wire:
            return 0
        if self.steps % STEPS_BETWEEN_LOOKS == 0:
            self._look_for_the_floor()
        self.steps += 1
        if self.floor is None:
            return 0
        weights = [BY_CODE[code].popularity for code in self.middle]
        openings = self.random.choices(
            list(self.middle), weights=weights, k=_poisson(self.random, OPENINGS_PER_STEP * WIRE_SHARE)
        )
        return self.floor.step(
            quotes={code: self._bid_ask(BY_CODE[code]) for code in self.middle},
            openings=openings,
            closings=_poisson(self.random, CLOSINGS_PER_STEP * WIRE_SHARE),
        )

    def _look_for_the_floor(self) -> None:
        """The server may be set up after the market has started, and stand elsewhere after another start."""
        if self.floor is None:
            self.floor = floor_of_the_demo(self.random, say=self.say)
        elif self.floor.is_away:
            self.floor.address = address_of_the_demo() or self.floor.address

    def _first_tickets(self) -> dict[int, int]:
        used = dict(Deal.objects.values_list("server_id").annotate(last=Max("ticket")).values_list("server_id", "last"))
        return {pk: (used.get(pk) or 1_000_000) + 1 for pk in self.servers}

    def _ticket(self, server_id: int) -> int:
        ticket = self.next_ticket[server_id]
        self.next_ticket[server_id] = ticket + 1
        return ticket

    def _move_prices(self, now: datetime) -> None:
        scale = math.sqrt(SECONDS_PER_STEP / 60 / MINUTES_PER_YEAR) * LIVELINESS
        for code in self.middle:
            drift = self.random.gauss(0, 1) * BY_CODE[code].yearly_volatility * scale
            self.middle[code] *= math.exp(drift)
        quotes = {pk: self._bid_ask(BY_CODE[code]) for pk, code in self.symbol_codes.items() if code in BY_CODE}
        self.feeds.send(quotes, at=now)

    def _bid_ask(self, symbol: DemoSymbol) -> tuple[Decimal, Decimal]:
        middle = Decimal(repr(self.middle[symbol.code])).quantize(symbol.point, rounding=ROUND_HALF_UP)
        bid = middle - symbol.point * (symbol.spread_points // 2)
        return bid, bid + symbol.point * symbol.spread_points

    def _open_some(self, now: datetime, records: dict[int, list[IngestRecord]]) -> None:
        if (
            not self.accounts
            or Position.objects.filter(account__server_id__in=self.servers).count() > MAXIMUM_OPEN_POSITIONS
        ):
            return
        for _ in range(_poisson(self.random, OPENINGS_PER_STEP)):
            account_id, server_id, _currency = self.random.choice(self.accounts)
            code = self.random.choices(list(self.middle), weights=[BY_CODE[c].popularity for c in self.middle])[0]
            symbol = BY_CODE[code]
            side = self.random.choice((Side.BUY, Side.SELL))
            bid, ask = self._bid_ask(symbol)
            ticket = self._ticket(server_id)
            lots = LOT_STEP * self.random.choice((1, 2, 5, 10, 10, 20, 50, 100))
            records[server_id].append(
                IngestRecord(
                    account_id=account_id,
                    ticket=ticket,
                    kind=DealKind.BUY if side is Side.BUY else DealKind.SELL,
                    at=now,
                    entry=DealEntry.IN,
                    position_ticket=ticket,
                    order_ticket=ticket,
                    symbol=server_symbol_name(self.servers[server_id].platform, code),
                    volume_lots=lots if symbol.contract_size < 5000 or symbol.is_forex else LOT_STEP * 10,
                    price=ask if side is Side.BUY else bid,
                )
            )

    def _close_some(self, now: datetime, records: dict[int, list[IngestRecord]]) -> None:
        wanted = _poisson(self.random, CLOSINGS_PER_STEP)
        if not wanted:
            return
        open_positions = list(
            Position.objects.filter(
                account_id__in=self.currencies,
                opened_at__lt=now - timedelta(seconds=MINIMUM_HOLD_SECONDS),
                server_symbol__symbol__code__in=list(self.middle),
            )
            .select_related("server_symbol__symbol", "account")
            .order_by("-opened_at")[:60]
        )
        for position in self.random.sample(open_positions, min(wanted, len(open_positions))):
            records[position.account.server_id].append(self._closing(position, now))

    def _closing(self, position: Position, now: datetime) -> IngestRecord:
        code = position.server_symbol.symbol.code  # type: ignore[union-attr]
        symbol = BY_CODE[code]
        is_buy = position.side == Side.BUY
        bid, ask = self._bid_ask(symbol)
        price = bid if is_buy else ask
        currency = Currency.of(self.currencies[position.account_id])
        earned = profit_in_profit_currency(
            side=TradeSide.BUY if is_buy else TradeSide.SELL,
            open_price=position.open_price,
            close_price=price,
            lots=Lots(position.volume_lots),
            contract_size=symbol.contract_size,
            digits=Currency.of(symbol.profit_currency).digits,
            mode=ProfitMode.FOREX if symbol.is_forex else ProfitMode.CFD,
        )
        profit_currency = Currency.of(symbol.profit_currency)
        rate = self.rates.rate(base=profit_currency, quote=currency, on=business_day_of(now)).rate
        server = self.servers[position.account.server_id]
        mt4 = server.platform == "mt4"
        return IngestRecord(
            account_id=position.account_id,
            ticket=position.position_ticket if mt4 else self._ticket(server.pk),
            leg=1 if mt4 else 0,
            kind=DealKind.SELL if is_buy else DealKind.BUY,
            at=now,
            entry=DealEntry.OUT,
            position_ticket=position.position_ticket,
            symbol=position.server_symbol.name,
            volume_lots=position.volume_lots,
            price=price,
            open_price=position.open_price,
            opened_at=position.opened_at,
            profit=round_money(earned * rate, currency.digits),
        )


def run_until_stopped(*, say: Callable[[str], None], over_the_wire: bool = False) -> None:
    """Steps once a second until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    market = Market(say=say, over_the_wire=over_the_wire)
    say(f"market: {len(market.middle)} symbols, {len(market.accounts)} accounts")
    while not stop.wait(SECONDS_PER_STEP):
        market.step()
    say("market: stopped")


def _poisson(source: random.Random, mean: float) -> int:
    """A Poisson number by multiplication of uniforms; bounded by its mean being small."""
    limit, product, number = math.exp(-mean), source.random(), 0
    while product > limit:
        product *= source.random()
        number += 1
    return number
