"""A symbol with three sources, and ticks that are short to write."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from platform_ops.models import PriceSource, Symbol
from platform_ops.rules.price_filter import FilterLevels
from platform_ops.rules.sessions import whole_week, working_week
from platform_ops.services.prices import IncomingTick, TickIntake, accept_ticks
from platform_ops.services.prices.settings import set_filter
from platform_ops.services.prices.sources import set_source
from tests.factories import platform
from tests.factories.platform import SYSTEM

MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LEVELS = FilterLevels(soft_points=150, soft_ticks=3, hard_points=750, hard_ticks=2, discard_points=15_000)


def make_source(code: str = "alpha", priority: int = 10, **fields: int) -> PriceSource:
    return set_source(code=code, name=code.title(), priority=priority, actor=SYSTEM, reason="Set up", **fields)


def make_symbol(
    code: str = "EURUSD", *, levels: FilterLevels | None = LEVELS, digits: int = 5, **fields: object
) -> Symbol:
    symbol = platform.make_symbol(code, **fields)
    week = whole_week() if symbol.asset_class == "crypto" else working_week()
    platform.make_spec(symbol, digits=digits, quote_sessions=week, trade_sessions=week)
    if levels is not None:
        set_filter(symbol_id=symbol.pk, source_id=None, levels=levels, valid_from=LONG_AGO, actor=SYSTEM)
    return symbol


def ticks(symbol: Symbol, quotes: Iterable[tuple[float, str | None, str | None]]) -> list[IncomingTick]:
    """Quotes as (seconds after Monday noon, bid, ask)."""
    return [
        IncomingTick(
            symbol_id=symbol.pk,
            at=MONDAY_NOON + timedelta(seconds=seconds),
            bid=Decimal(bid) if bid is not None else None,
            ask=Decimal(ask) if ask is not None else None,
        )
        for seconds, bid, ask in quotes
    ]


def send(symbol: Symbol, *quotes: tuple[float, str | None, str | None], source: str = "alpha") -> TickIntake:
    batch = ticks(symbol, quotes)
    return accept_ticks(source=source, ticks=batch, received_at=max(tick.at for tick in batch))


WORKED = (
    (0, "1.50213", "1.50231"),
    (1, "1.50373", "1.50391"),
    (2, "1.50370", "1.50388"),
    (3, "1.50372", "1.50390"),
    (4, "1.50374", "1.50392"),
)
"""The worked sequence of the level filter: soft 150, three dropped, the fourth accepted."""
