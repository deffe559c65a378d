"""Ticks in: the one door by which a source's prices enter, are judged, kept, and become the price.

A batch is one transaction under the locks of its symbols. Its second delivery changes nothing; a tick that stands in the
buffer already is counted and left alone. Of the sources that are alive in a symbol, the one with the lowest priority
number makes the price: its accepted ticks are the quote, the bars, and the closing price of the day.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from psycopg2.extras import execute_values

from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import BufferedTick, PriceSource, Symbol, SymbolPriceState, TickBatch
from platform_ops.rules.price_filter import MICROSECONDS, PriceFilter, SourceState, Verdict
from platform_ops.rules.price_points import quote_in_points, read_price
from platform_ops.services.prices import bars, evidence
from platform_ops.services.prices.sessions import Boundaries, boundaries_by_symbol, microseconds, session_at
from platform_ops.services.prices.settings import SymbolFilter, filters_at
from platform_ops.services.prices.types import IncomingTick, TickIntake

MAXIMUM_TICKS = 20_000
"""Ticks in one batch; a source that has more sends more batches."""
FURTHEST = timedelta(days=30)
"""Further from its receipt no tick's time can lie in a session."""


@dataclass(slots=True)
class JudgedTick:
    """A tick on its way through: as it came, as points of `digits`, and what became of it. `grid` is the symbol's digits,
    in which the last accepted prices count."""

    symbol_id: int
    at: datetime
    bid_given: Decimal | None
    ask_given: Decimal | None
    bid: int
    ask: int
    digits: int
    grid: int = 0
    verdict: Verdict = Verdict.UNREADABLE
    last_bid: int | None = None
    last_ask: int = 0
    is_leading: bool = False

    @property
    def key(self) -> tuple[int, datetime, int, int, int]:
        """What makes it the same tick as another one of its source."""
        return (self.symbol_id, self.at, self.bid, self.ask, self.digits)


@dataclass(slots=True)
class _Desk:
    """What judging one symbol takes: its filter with the memory of it, and its sessions."""

    settings: SymbolFilter
    filter: PriceFilter
    row: SymbolPriceState
    boundaries: Boundaries
    ticks: list[JudgedTick] = field(default_factory=list)


def accept_ticks(*, source: str, ticks: Sequence[IncomingTick], received_at: datetime | None = None) -> TickIntake:
    """Takes in a batch of ticks of one source, in the order in which it sent them; what became of them.

    Every tick is kept with its verdict. `received_at` is now unless a recording is taken in. Ticks of a symbol without a
    specification are named in the result and not kept: without digits they are no points. Raises InvalidInput for more
    than 20,000 ticks, a float, a time without a zone, an unknown symbol; NotFound or Conflict (`source_off`) for a source
    that is unknown or switched off. Nothing of the batch is taken in then.
    """
    received = received_at or clock.now()
    sender = PriceSource.objects.filter(code=source).first()
    if sender is None:
        raise NotFound(f"No such source of prices: {source}.", source=source)
    if not sender.is_enabled:
        raise Conflict(f"The source {source} is switched off.", code="source_off", source=source)
    read = _read(ticks, received)
    if not read:
        return TickIntake(ticks=0, accepted=0, repeated=0)
    with transaction.atomic():
        digest = _digest(ticks)
        batch, is_new = TickBatch.objects.get_or_create(
            source=sender, digest=digest, defaults={"received_at": received, "ticks": len(ticks)}
        )
        if not is_new:
            return TickIntake(
                **(batch.figures | {"is_known": True, "unspecified": tuple(batch.figures["unspecified"])})
            )
        intake = _take_in(sender, read, received)
        TickBatch.objects.filter(pk=batch.pk).update(figures=asdict(intake))
    return intake


def _read(ticks: Sequence[IncomingTick], received: datetime) -> list[JudgedTick]:
    """The ticks with exact prices; points come later, with the digits of the symbol."""
    if len(ticks) > MAXIMUM_TICKS:
        raise InvalidInput(f"At most {MAXIMUM_TICKS:,} ticks at once.", field="ticks", value=len(ticks))
    if received.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="received_at")
    read = []
    for number, tick in enumerate(ticks, 1):
        if tick.at.utcoffset() is None:
            raise InvalidInput("A tick's time needs a zone.", field="at", row=number)
        bid, ask = read_price(tick.bid, field="bid"), read_price(tick.ask, field="ask")
        read.append(JudgedTick(tick.symbol_id, tick.at, bid, ask, 0, 0, 0))
    return read


def _take_in(sender: PriceSource, ticks: list[JudgedTick], received: datetime) -> TickIntake:
    wanted = sorted({tick.symbol_id for tick in ticks})
    symbols = Symbol.objects.in_bulk(wanted)
    if unknown := [pk for pk in wanted if pk not in symbols]:
        raise InvalidInput(f"No such symbol: {unknown[0]}.", field="symbol_id", value=unknown[0])
    desks = _open_desks(wanted, ticks, received)
    for tick in ticks:
        if tick.symbol_id in desks:
            desks[tick.symbol_id].ticks.append(tick)
    known = 0
    senders = list(PriceSource.objects.filter(is_enabled=True).values_list("pk", "priority", "silence_seconds"))
    priorities = {pk: priority for pk, priority, _ in senders}
    silences = {pk: seconds for pk, _, seconds in senders}
    for desk in desks.values():
        known += _forget_known(sender, desk)
        _judge(sender, desk, received, priorities, silences)
    judged = [tick for desk in desks.values() for tick in desk.ticks]
    _keep(sender, judged, received)
    _remember(desks.values())
    quotes = _quote(sender, desks.values())
    evidence.note(sender, judged, received)
    bars.add_ticks([tick for tick in judged if tick.is_leading])
    counts = Counter(tick.verdict for tick in judged)
    return TickIntake(
        ticks=len(ticks),
        accepted=counts[Verdict.ACCEPTED],
        repeated=counts[Verdict.REPEATED],
        rejected={verdict.name.lower(): n for verdict, n in sorted(counts.items()) if verdict.is_rejected},
        duplicates=known,
        unspecified=tuple(symbols[pk].code for pk in wanted if pk not in desks),
        quotes=quotes,
    )


def _open_desks(symbol_ids: list[int], ticks: list[JudgedTick], received: datetime) -> dict[int, _Desk]:
    """Locks the symbols in the order of their numbers and takes up their filters where they stopped."""
    filters = filters_at(symbol_ids=symbol_ids, at=received)
    SymbolPriceState.objects.bulk_create(
        [SymbolPriceState(symbol_id=pk, digits=found.digits) for pk, found in sorted(filters.items())],
        ignore_conflicts=True,
    )
    rows = (
        SymbolPriceState.objects.select_for_update(of=("self",)).filter(symbol__in=list(filters)).order_by("symbol_id")
    )
    # A wild time in a tick must not have years of sessions laid out: outside of these days nothing is in session.
    times = [tick.at for tick in ticks if abs(tick.at - received) < FURTHEST] or [received]
    start, end = min(times), max(times)
    boundaries = boundaries_by_symbol(symbols=[found.symbol for found in filters.values()], start=start, end=end)
    desks = {}
    for row in rows:
        found = filters[row.symbol_id]
        judge = found.fresh()
        if row.digits == found.digits:
            judge.sources = {int(pk): SourceState(**state) for pk, state in row.sources.items()}
        row.digits = found.digits
        desks[row.symbol_id] = _Desk(found, judge, row, boundaries[row.symbol_id])
    return desks


def _forget_known(sender: PriceSource, desk: _Desk) -> int:
    """Turns the prices into points and leaves out ticks that were taken in before; how many those were."""
    fresh: dict[tuple[int, datetime, int, int, int], JudgedTick] = {}
    for tick in desk.ticks:
        points = quote_in_points(tick.bid_given, tick.ask_given, desk.settings.digits)
        tick.bid, tick.ask, tick.digits = points or (0, 0, desk.settings.digits)
        tick.grid = desk.settings.digits
        fresh.setdefault(tick.key, tick)
    state = desk.filter.sources.get(sender.pk)
    latest = state.latest if state is not None else None
    seen = [tick for tick in fresh.values() if latest is not None and microseconds(tick.at) <= latest]
    if seen:
        stored = BufferedTick.objects.filter(
            symbol_id=desk.row.symbol_id,
            source=sender,
            at__gte=min(t.at for t in seen),
            at__lte=max(t.at for t in seen),
        ).values_list("symbol_id", "at", "bid", "ask", "digits")
        for key in stored:
            fresh.pop(key, None)
    known = len(desk.ticks) - len(fresh)
    desk.ticks = list(fresh.values())
    return known


def _judge(
    sender: PriceSource, desk: _Desk, received: datetime, priorities: dict[int, int], silences: dict[int, int]
) -> None:
    received_at, number = microseconds(received), int(sender.pk)
    above = [
        pk for pk, priority in priorities.items()
        if pk in desk.filter.sources and (priority, pk) < (sender.priority, number)
    ]  # fmt: skip
    for tick in desk.ticks:
        at = microseconds(tick.at)
        state = desk.filter.state_of(number)
        tick.last_bid, tick.last_ask = state.bid, state.ask
        tick.verdict = _verdict(desk, number, tick, at, received_at)
        tick.is_leading = tick.verdict is Verdict.ACCEPTED and not any(
            _is_alive(desk.filter.sources[pk], at, silences[pk]) for pk in above
        )


def _verdict(desk: _Desk, source: int, tick: JudgedTick, at: int, received_at: int) -> Verdict:
    if not all(side is None or side.is_finite() for side in (tick.bid_given, tick.ask_given)) or (
        tick.bid == tick.ask == 0 and (tick.bid_given or tick.ask_given)
    ):
        return Verdict.UNREADABLE
    if tick.digits != desk.settings.digits:
        return Verdict.OFF_GRID
    session = session_at(desk.boundaries, at)
    return desk.filter.judge(source, at, tick.bid, tick.ask, session=session, received=received_at)


def _is_alive(state: SourceState, at: int, silence_seconds: int) -> bool:
    return state.bid is not None and at - state.at < silence_seconds * MICROSECONDS


def _keep(sender: PriceSource, ticks: list[JudgedTick], received: datetime) -> None:
    rows = [
        (t.symbol_id, sender.pk, t.at, received, t.bid, t.ask, t.digits, int(t.verdict), t.is_leading) for t in ticks
    ]
    with connection.cursor() as cursor:
        execute_values(
            cursor.cursor,
            "INSERT INTO platform_ops_bufferedtick"
            " (symbol_id, source_id, at, received_at, bid, ask, digits, verdict, is_leading) VALUES %s"
            " ON CONFLICT DO NOTHING",
            rows,
            page_size=1_000,
        )


def _remember(desks: Any) -> None:
    now = clock.now()
    for desk in desks:
        desk.row.sources = {str(pk): state.as_dict() for pk, state in desk.filter.sources.items()}
        desk.row.updated_at = now
    SymbolPriceState.objects.bulk_create(
        [desk.row for desk in desks],
        update_conflicts=True,
        unique_fields=["symbol"],
        update_fields=["sources", "digits", "updated_at"],
    )


def _quote(sender: PriceSource, desks: Any) -> int:
    """Makes the last leading tick of each symbol its quote, unless a later one stands; how many became one."""
    rows = []
    for desk in desks:
        last = next((tick for tick in reversed(desk.ticks) if tick.is_leading), None)
        if last is not None:
            rows.append((desk.row.symbol_id, last.bid_given, last.ask_given, last.at, sender.code))
    if rows:
        with connection.cursor() as cursor:
            execute_values(
                cursor.cursor,
                "INSERT INTO platform_ops_quote (symbol_id, bid, ask, at, source) VALUES %s"
                " ON CONFLICT (symbol_id) DO UPDATE SET bid = excluded.bid, ask = excluded.ask, at = excluded.at,"
                " source = excluded.source WHERE platform_ops_quote.at <= excluded.at",
                rows,
            )
    return len(rows)


def _digest(ticks: Sequence[IncomingTick]) -> bytes:
    digest = hashlib.sha256()
    for tick in ticks:
        digest.update(f"{tick.symbol_id}|{tick.at.isoformat()}|{tick.bid}|{tick.ask}\n".encode())
    return digest.digest()


__all__ = ["MAXIMUM_TICKS", "JudgedTick", "accept_ticks"]
