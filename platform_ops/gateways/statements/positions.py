"""Which position each MT5 deal belongs to, when the report does not print it.

The report's Deals carry only the order that made them. An opening deal's order is its position. For closings there
are two worlds: on a hedging account each closing is matched to the Positions row whose figures it explains; on a
netting account a symbol has one position at a time, so its deals are replayed in order. A reversal keeps the
position's number, as MT5's own position identifier does. All choices are made in ticket order: the same report
always gives the same positions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal

from platform_ops.gateways.statements.types import ZERO
from platform_ops.types import DealEntry, Side

MAX_SUBSET_STEPS = 20_000
"""Bound on the search for the partial closes that make up one Positions row; beyond it time order decides."""
MAX_PARTIAL_CLOSES = 200
AVERAGE_PRICE_DECIMALS = 10

_AVERAGE = Context(prec=40, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class TradeDeal:
    """A bought or sold deal as the Deals section prints it; `side` is what was done, not the position's."""

    ticket: int
    order: int
    symbol: str
    side: Side
    entry: DealEntry
    lots: Decimal
    price: Decimal
    time: datetime
    profit: Decimal
    swap: Decimal
    comment: str


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """A row of the Positions section: a position's whole life, all its partial closes in one row."""

    row: int = field(compare=False)
    ticket: int
    symbol: str
    side: Side
    lots: Decimal
    open_time: datetime
    open_price: Decimal
    close_time: datetime
    close_price: Decimal
    commission: Decimal
    swap: Decimal
    profit: Decimal


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """What the derivation needs of a row of the Open Positions section."""

    ticket: int
    symbol: str
    side: Side
    lots: Decimal
    open_time: datetime
    open_price: Decimal


@dataclass(frozen=True, slots=True)
class PositionLink:
    """The position of a deal; for closings, what is known of its opening."""

    position: int
    open_price: Decimal | None = None
    open_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Position of each deal by deal ticket, and of each open row by its printed ticket."""

    deals: dict[int, PositionLink]
    open_rows: dict[int, int]


def link_positions(
    deals: Sequence[TradeDeal],
    closed: Sequence[ClosedPosition],
    open_rows: Sequence[OpenPosition],
    *,
    is_hedging: bool | None,
) -> Links:
    """Find the position of every deal. A closing whose opening nothing in the report tells of is its own position
    (the number of its order), without opening price and time."""
    ordered = sorted(deals, key=lambda deal: (deal.time, deal.ticket))
    if is_hedging is None:
        is_hedging = _every_opening_has_its_row(ordered, closed, open_rows)
    if is_hedging:
        return _Hedging(ordered, closed, open_rows).link()
    return _link_netting(ordered, closed, open_rows)


def _every_opening_has_its_row(
    deals: Iterable[TradeDeal], closed: Iterable[ClosedPosition], open_rows: Iterable[OpenPosition]
) -> bool:
    tickets = {row.ticket for row in closed} | {row.ticket for row in open_rows}
    return all(deal.order in tickets for deal in deals if deal.entry is DealEntry.IN)


def weighted_price(price: Decimal, lots: Decimal, added_price: Decimal, added_lots: Decimal) -> Decimal:
    """Average price of a position after an addition, to AVERAGE_PRICE_DECIMALS, without trailing zeros."""
    total = lots + added_lots
    if not total:
        return added_price
    average = _AVERAGE.divide(price * lots + added_price * added_lots, total)
    average = average.quantize(Decimal(1).scaleb(-AVERAGE_PRICE_DECIMALS), context=_AVERAGE)
    shortest = max(-_exponent(price), -_exponent(added_price), 0)
    while -_exponent(average) > shortest and average == average.quantize(
        Decimal(1).scaleb(_exponent(average) + 1), context=_AVERAGE
    ):
        average = average.quantize(Decimal(1).scaleb(_exponent(average) + 1), context=_AVERAGE)
    return average


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


@dataclass(slots=True)
class _Opening:
    """A hedging position: how it was opened, and how many lots may still be closed (None: nobody knows)."""

    ticket: int
    symbol: str
    side: Side
    time: datetime
    price: Decimal
    lots: Decimal
    room: Decimal | None
    comment: str = ""


class _Hedging:
    """Matches closings to positions in three passes, each only for what the pass before left over."""

    def __init__(
        self, deals: Sequence[TradeDeal], closed: Sequence[ClosedPosition], open_rows: Sequence[OpenPosition]
    ) -> None:
        self._deals = deals
        self._closed = sorted(closed, key=lambda row: row.ticket)
        self._open_rows = open_rows
        self._openings = self._collect_openings()
        self._links: dict[int, PositionLink] = {}

    def link(self) -> Links:
        closings = [deal for deal in self._deals if deal.entry is not DealEntry.IN]
        for deal in self._deals:
            if deal.entry is DealEntry.IN:
                self._links[deal.ticket] = PositionLink(deal.order)
        rest_rows = self._match_single_closes(closings)
        self._match_partial_closes(closings, rest_rows)
        self._match_still_open(closings)
        for deal in self._unlinked(closings):
            self._links[deal.ticket] = PositionLink(deal.order)
        return Links(deals=self._links, open_rows={row.ticket: row.ticket for row in self._open_rows})

    def _collect_openings(self) -> dict[int, _Opening]:
        openings: dict[int, _Opening] = {}
        for deal in self._deals:
            if deal.entry is not DealEntry.IN:
                continue
            known = openings.get(deal.order)
            if known is None:
                openings[deal.order] = _Opening(
                    deal.order, deal.symbol, deal.side, deal.time, deal.price, deal.lots, deal.lots, deal.comment
                )
            else:  # one order filled in several deals
                known.price = weighted_price(known.price, known.lots, deal.price, deal.lots)
                known.lots += deal.lots
                known.room = known.lots
        for closed in self._closed:
            openings.setdefault(
                closed.ticket,
                _Opening(
                    closed.ticket, closed.symbol, closed.side, closed.open_time, closed.open_price, closed.lots,
                    closed.lots,
                ),
            )  # fmt: skip
        for row in self._open_rows:
            known = openings.get(row.ticket)
            if known is None:
                openings[row.ticket] = _Opening(
                    row.ticket, row.symbol, row.side, row.open_time, row.open_price, row.lots, None
                )
            elif known.room is not None:
                known.room -= row.lots
        return openings

    def _unlinked(self, closings: Iterable[TradeDeal]) -> list[TradeDeal]:
        return [deal for deal in closings if deal.ticket not in self._links]

    def _assign(self, deal: TradeDeal, position: int) -> None:
        opening = self._openings[position]
        self._links[deal.ticket] = PositionLink(position, opening.price, opening.time)
        if opening.room is not None:
            opening.room -= deal.lots

    def _match_single_closes(self, closings: Sequence[TradeDeal]) -> list[ClosedPosition]:
        """Positions closed by one deal: every printed figure agrees. Among equals, the same comment goes first."""

        def row_figures(row: ClosedPosition) -> Hashable:
            return row.symbol, row.side, row.close_time, row.lots, row.close_price, row.profit, row.swap

        def deal_figures(deal: TradeDeal) -> Hashable:
            return deal.symbol, deal.side.opposite, deal.time, deal.lots, deal.price, deal.profit, deal.swap

        rest = self._match_equal(
            closings,
            self._closed,
            lambda row: (row_figures(row), self._openings[row.ticket].comment),
            lambda deal: (deal_figures(deal), deal.comment),
        )
        return self._match_equal(closings, rest, row_figures, deal_figures)

    def _match_equal(
        self,
        closings: Sequence[TradeDeal],
        rows: Sequence[ClosedPosition],
        row_key: Callable[[ClosedPosition], Hashable],
        deal_key: Callable[[TradeDeal], Hashable],
    ) -> list[ClosedPosition]:
        waiting: dict[Hashable, list[ClosedPosition]] = defaultdict(list)
        for row in reversed(rows):
            waiting[row_key(row)].append(row)
        for deal in self._unlinked(closings):
            found = waiting.get(deal_key(deal))
            if found:
                self._assign(deal, found.pop().ticket)
        left = {row.row for group in waiting.values() for row in group}
        return [row for row in rows if row.row in left]

    def _match_partial_closes(self, closings: Sequence[TradeDeal], rows: Sequence[ClosedPosition]) -> None:
        """Positions closed in parts: the deals whose lots, profit and swap add up to the row."""
        by_symbol: dict[tuple[str, Side], list[TradeDeal]] = defaultdict(list)
        for deal in self._unlinked(closings):
            by_symbol[deal.symbol, deal.side.opposite].append(deal)
        for row in rows:
            closings_of_side = by_symbol[row.symbol, row.side]
            start = bisect_left(closings_of_side, row.open_time, key=_time_of)
            end = bisect_right(closings_of_side, row.close_time, key=_time_of)
            candidates = [deal for deal in closings_of_side[start:end] if deal.ticket not in self._links]
            for deal in _deals_that_make(row, candidates):
                self._assign(deal, row.ticket)

    def _match_still_open(self, closings: Sequence[TradeDeal]) -> None:
        """Partial closes of positions that have no Positions row yet: the first that still has room for them."""
        by_symbol: dict[tuple[str, Side], list[_Opening]] = defaultdict(list)
        for ticket in sorted(self._openings):
            opening = self._openings[ticket]
            if opening.room is None or opening.room > 0:
                by_symbol[opening.symbol, opening.side].append(opening)
        for deal in self._unlinked(closings):
            fitting = [
                opening
                for opening in by_symbol[deal.symbol, deal.side.opposite]
                if opening.time <= deal.time and (opening.room is None or opening.room >= deal.lots)
            ]
            known = [opening for opening in fitting if opening.room is not None]
            if fitting:
                self._assign(deal, (known or fitting)[0].ticket)


def _time_of(deal: TradeDeal) -> datetime:
    return deal.time


def _deals_that_make(row: ClosedPosition, candidates: Sequence[TradeDeal]) -> list[TradeDeal]:
    """The deals, one of them at the row's closing time, that add up to the row exactly; failing that the last ones
    in time order that fill its lots."""
    latest_first = sorted(candidates, key=lambda deal: (deal.time, deal.ticket), reverse=True)
    steps = 0
    chosen: list[TradeDeal] = []

    def search(start: int, lots: Decimal, profit: Decimal, swap: Decimal) -> bool:
        nonlocal steps
        if not lots or len(chosen) == MAX_PARTIAL_CLOSES:
            return not (lots or profit or swap)
        for index in range(start, len(latest_first)):
            deal = latest_first[index]
            steps += 1
            if steps > MAX_SUBSET_STEPS or (not chosen and deal.time != row.close_time):
                return False
            if deal.lots <= lots:
                chosen.append(deal)
                if search(index + 1, lots - deal.lots, profit - deal.profit, swap - deal.swap):
                    return True
                chosen.pop()
        return False

    if search(0, row.lots, row.profit, row.swap):
        return chosen
    left = row.lots
    filling = []
    for deal in latest_first:
        if deal.lots <= left:
            filling.append(deal)
            left -= deal.lots
    return filling


@dataclass(slots=True)
class _NetPosition:
    """The one position of a symbol on a netting account. `price_is_final` where the report prints its average."""

    ticket: int
    lots: Decimal
    price: Decimal | None
    time: datetime | None
    price_is_final: bool = False


def _link_netting(
    deals: Sequence[TradeDeal], closed: Sequence[ClosedPosition], open_rows: Sequence[OpenPosition]
) -> Links:
    by_symbol: dict[str, list[TradeDeal]] = defaultdict(list)
    for deal in deals:
        by_symbol[deal.symbol].append(deal)
    links: dict[int, PositionLink] = {}
    positions = {row.ticket: row.ticket for row in open_rows}
    for symbol, symbol_deals in by_symbol.items():
        open_row = next((row for row in open_rows if row.symbol == symbol), None)
        current = _held_before(symbol_deals, closed, open_row)
        for deal in symbol_deals:
            current = _replay(deal, current, links)
        if open_row is not None and current is not None:
            positions[open_row.ticket] = current.ticket
    return Links(deals=links, open_rows=positions)


def _held_before(
    deals: Sequence[TradeDeal], closed: Sequence[ClosedPosition], open_row: OpenPosition | None
) -> _NetPosition | None:
    """What the account held of the symbol before the first deal: what it holds now less what the deals changed."""
    final = open_row.side * open_row.lots if open_row is not None else ZERO
    before = final - sum((deal.side * deal.lots for deal in deals), ZERO)
    if not before:
        return None
    orders = {deal.order for deal in deals}
    rows: list[ClosedPosition | OpenPosition] = [
        row for row in closed if row.symbol == deals[0].symbol and row.ticket not in orders
    ]
    if open_row is not None and open_row.ticket not in orders:
        rows.append(open_row)
    if not rows:
        return None
    first = min(rows, key=lambda row: (row.open_time, row.ticket))
    return _NetPosition(first.ticket, abs(before), first.open_price, first.open_time, price_is_final=True)


def _replay(deal: TradeDeal, held: _NetPosition | None, links: dict[int, PositionLink]) -> _NetPosition | None:
    """Apply one deal to what is held, and link it."""
    if deal.entry is DealEntry.IN:
        if held is None:
            held = _NetPosition(deal.order, deal.lots, deal.price, deal.time)
        else:
            if held.price is not None and not held.price_is_final:
                held.price = weighted_price(held.price, held.lots, deal.price, deal.lots)
            held.lots += deal.lots
        links[deal.ticket] = PositionLink(held.ticket)
        return held
    if held is None:
        links[deal.ticket] = PositionLink(deal.order)
        if deal.entry is DealEntry.INOUT:  # its closing part is unknown, and so is how much it opened
            return _NetPosition(deal.order, deal.lots, deal.price, deal.time)
        return None
    links[deal.ticket] = PositionLink(held.ticket, held.price, held.time)
    left = held.lots - deal.lots
    if left > 0:
        held.lots = left
        return held
    if left < 0 and deal.entry is DealEntry.INOUT:
        return _NetPosition(held.ticket, -left, deal.price, deal.time)
    return None
