"""Executing: what an order that was taken does to positions and money. It checks nothing: who calls has.

Sides are seen from the client; slippage above zero is to the client's cost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from backoffice.devstack.trading_server import records, sums
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.records import ZERO, Deal, Order, Position, Quote, User
from backoffice.devstack.trading_server.retcodes import TRADE_CLOSED_POSITION, Refused
from backoffice.devstack.trading_server.terms import SymbolTerms

RATE_DIGITS = 10
AVERAGE_PRICE_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How well orders are executed. Shares are of 1; the provider's price is better than the client's by the mark-up."""

    fill_milliseconds: int = 0
    fill_spread: float = 0.0
    slippage_points: float = 0.0
    reject_share: float = 0.0
    requote_share: float = 0.0
    mark_up_points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A market order as a client's terminal sends it. `position` names what it closes, in a hedging account."""

    login: int
    symbol: str
    is_buy: bool
    lots: Decimal
    position: int = 0
    price: Decimal | None = None
    deviation_points: int | None = None
    stop_loss: Decimal = ZERO
    take_profit: Decimal = ZERO
    reason: int = records.REASON_CLIENT
    expert: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: code 0 and a deal, or the code of the refusal."""

    order: Order
    deal: Deal | None
    code: int = 0


class Executing:
    """Fills orders on a broker's books as well, or as badly, as it was told to."""

    def __init__(self, broker: Broker, *, execution: Execution | None = None, seed: int | None = None) -> None:
        self.broker = broker
        self.execution = execution or Execution()
        self.random = random.Random(seed)  # noqa: S311 - a simulation, not a secret

    def _position(self, login: int, ticket: int) -> Position:
        position = self.broker.positions_of[login].get(ticket)
        if position is None:
            raise Refused(TRADE_CLOSED_POSITION)
        return position

    def _margin_rate(self, terms: SymbolTerms, user: User, *, is_buy: bool) -> Fraction:
        """Margin currency → account currency now: the ask for a buy, the bid for a sell."""
        currency = self.broker.group_of(user).currency
        if terms.margin_currency == currency:
            return Fraction(1)
        own = (terms.base, terms.profit_currency) == (terms.margin_currency, currency)
        if own and terms.calculation in sums.FOREX_MODES:
            quote = self.broker.quote(terms.name)
            return Fraction(quote.ask if is_buy else quote.bid)
        return self.broker.rate(terms.margin_currency, currency, is_buy)

    def _new_order(self, request: Request, quote: Quote) -> Order:
        """The order as it was taken: asked at the price that the client saw."""
        now = self.broker.now_msc()
        shown = request.price if request.price else quote.ask if request.is_buy else quote.bid
        taken = max(0, self._fill_milliseconds())
        return Order(
            ticket=self.broker.next_ticket(), login=request.login, symbol=request.symbol, type=0 if request.is_buy else 1,
            state=records.STATE_FILLED, lots=request.lots, lots_left=request.lots, price_order=shown,
            setup_msc=now - taken, done_msc=now, stop_loss=request.stop_loss, take_profit=request.take_profit,
            position=request.position, reason=request.reason, expert=request.expert, comment=request.comment[:32],
        )  # fmt: skip

    def _fill_milliseconds(self) -> int:
        median = self.execution.fill_milliseconds
        if not median or not self.execution.fill_spread:
            return median
        return round(median * self.random.lognormvariate(0, self.execution.fill_spread))

    def _execution_price(self, request: Request, terms: SymbolTerms, quote: Quote) -> Decimal:
        market = quote.ask if request.is_buy else quote.bid
        spread = self.execution.slippage_points
        points = round(self.random.gauss(spread / 4, spread)) if spread else 0
        return max(terms.point, market + terms.point * (points if request.is_buy else -points))

    def _rejected(self, order: Order, code: int, comment: str) -> Outcome:
        ended = replace(order, state=records.STATE_REJECTED, comment=comment)
        self.broker.put("order", ended.ticket, ended)
        return Outcome(ended, None, code)

    def _fill(self, order: Order, price: Decimal, quote: Quote, user: User, terms: SymbolTerms) -> Deal:
        """Books the order's deal: it opens, adds, reduces, closes or turns round."""
        broker = self.broker
        order.state, order.lots_left, order.price_filled = records.STATE_FILLED, ZERO, price
        group = broker.group_of(user)
        held: Position | None = None
        if group.is_hedging:
            held = self._position(user.login, order.position) if order.position else None
        else:
            held = next((p for p in broker.positions_of[user.login].values() if p.symbol == order.symbol), None)
        order.position = held.ticket if held is not None else order.ticket
        broker.put("order", order.ticket, order)
        if held is None:
            return self._open(order, price, quote, user, terms)
        if held.is_buy == order.is_buy:
            return self._add(held, order, price, quote, user, terms)
        if order.lots <= held.lots:
            return self._close_part(held, order.lots, price, order, quote, terms)
        return self._turn_round(held, order, price, quote, user, terms)

    def _deal(self, order: Order, price: Decimal, quote: Quote, terms: SymbolTerms, lots: Decimal) -> Deal:
        """The part of a deal that all have."""
        user = self.broker.user(order.login)
        group = self.broker.group_of(user)
        mark_up = terms.point * self.execution.mark_up_points
        commission = -sums.rounded(Fraction(group.commission_per_lot) * Fraction(lots), group.digits)
        return Deal(
            ticket=self.broker.next_ticket(), login=order.login, action=0 if order.is_buy else 1,
            time_msc=order.done_msc, order=order.ticket, position=order.position, reason=order.reason,
            symbol=order.symbol, digits=terms.digits, contract_size=terms.contract_size, price=price, lots=lots,
            commission=commission, rate_profit=Decimal(1),
            rate_margin=sums.rounded(self._margin_rate(terms, user, is_buy=order.is_buy), RATE_DIGITS),
            market_bid=quote.bid, market_ask=quote.ask,
            price_gateway=price - mark_up if order.is_buy else price + mark_up, expert=order.expert,
            comment=order.comment,
        )  # fmt: skip

    def _open(self, order: Order, price: Decimal, quote: Quote, user: User, terms: SymbolTerms) -> Deal:
        deal = self._deal(order, price, quote, terms, order.lots)
        self.broker.put(
            "position",
            order.ticket,
            Position(
                ticket=order.ticket, login=user.login, symbol=order.symbol, is_buy=order.is_buy, lots=order.lots,
                open_price=price, opened_msc=order.done_msc, updated_msc=order.done_msc, margin_rate=deal.rate_margin,
                stop_loss=order.stop_loss, take_profit=order.take_profit, reason=order.reason, expert=order.expert,
                comment=order.comment,
            ),
        )  # fmt: skip
        return self.broker.book_deal(deal)

    def _add(self, held: Position, order: Order, price: Decimal, quote: Quote, user: User, terms: SymbolTerms) -> Deal:
        """Netting: the position grows and its price becomes the average by volume."""
        deal = self._deal(order, price, quote, terms, order.lots)
        lots = held.lots + order.lots

        def average(old: Decimal, new: Decimal, digits: int) -> Decimal:
            return sums.rounded(
                (Fraction(old) * Fraction(held.lots) + Fraction(new) * Fraction(order.lots)) / Fraction(lots), digits
            )

        changed = replace(
            held,
            lots=lots,
            open_price=average(held.open_price, price, AVERAGE_PRICE_DIGITS),
            margin_rate=average(held.margin_rate, deal.rate_margin, RATE_DIGITS),
            updated_msc=order.done_msc,
        )
        self.broker.put("position", held.ticket, changed)
        return self.broker.book_deal(deal)

    def _close_part(
        self, held: Position, lots: Decimal, price: Decimal, order: Order, quote: Quote, terms: SymbolTerms,
        *, entry: int = records.ENTRY_OUT, is_free: bool = False,
    ) -> Deal:  # fmt: skip
        """Realises *lots* of a position, with their share of its swap."""
        deal = self._deal(order, price, quote, terms, lots)
        deal.action = records.SELL if held.is_buy else records.BUY
        deal.position, deal.entry = held.ticket, entry
        if is_free or (entry == records.ENTRY_OUT_BY and held.ticket == order.position_by):
            deal.commission = ZERO
        storage = self._realise(deal, held, lots, price, terms)
        if lots == held.lots:
            self.broker.remove("position", held.ticket)
        else:
            changed = replace(held, lots=held.lots - lots, storage=held.storage - storage, updated_msc=order.done_msc)
            self.broker.put("position", held.ticket, changed)
        return self.broker.book_deal(deal)

    def _realise(self, deal: Deal, held: Position, lots: Decimal, price: Decimal, terms: SymbolTerms) -> Decimal:
        """Writes the result of closing *lots* into the deal; the swap that it takes along."""
        group = self.broker.group_of(self.broker.user(held.login))
        raw = sums.raw_profit(terms, is_buy=held.is_buy, lots=lots, opened=held.open_price, closed=price)
        rate = sums.profit_rate(
            terms, account_currency=group.currency, is_buy=held.is_buy, raw=raw, closed=price, rate=self.broker.rate
        )
        share = Fraction(lots) / Fraction(held.lots)
        storage = held.storage if lots == held.lots else sums.rounded(Fraction(held.storage) * share, group.digits)
        deal.price_position, deal.lots_closed, deal.profit_raw = held.open_price, lots, raw
        deal.profit, deal.storage = sums.rounded(Fraction(raw) * rate, group.digits), storage
        deal.rate_profit = sums.rounded(rate, RATE_DIGITS)
        return storage

    def _turn_round(
        self, held: Position, order: Order, price: Decimal, quote: Quote, user: User, terms: SymbolTerms
    ) -> Deal:
        """Netting: the old position is realised whole, the rest opens on the other side at the deal's price."""
        deal = self._deal(order, price, quote, terms, order.lots)
        deal.entry = records.ENTRY_INOUT
        self._realise(deal, held, held.lots, price, terms)
        turned = replace(
            held,
            is_buy=order.is_buy,
            lots=order.lots - held.lots,
            open_price=price,
            storage=ZERO,
            margin_rate=deal.rate_margin,
            opened_msc=order.done_msc,
            updated_msc=order.done_msc,
        )
        self.broker.put("position", held.ticket, turned)
        return self.broker.book_deal(deal)

    def realise_for_rollover(self, position: Position, price: Decimal) -> Deal:
        """Closes a position in the books, to be opened again at once."""
        return self._rollover_deal(position, price, is_buy=not position.is_buy)

    def open_for_rollover(self, position: Position, price: Decimal) -> Deal:
        """Opens a position again under its own ticket."""
        deal = self._rollover_deal(position, price, is_buy=position.is_buy)
        self.broker.put("position", position.ticket, position)
        return deal

    def _rollover_deal(self, position: Position, price: Decimal, *, is_buy: bool) -> Deal:
        broker = self.broker
        quote, terms = broker.quote(position.symbol), broker.symbol(position.symbol)
        request = Request(
            login=position.login, symbol=position.symbol, is_buy=is_buy, lots=position.lots, position=position.ticket,
            price=price, reason=records.REASON_ROLLOVER, comment="rollover",
        )  # fmt: skip
        order = self._new_order(request, quote)
        order.lots_left, order.price_filled = ZERO, price
        broker.put("order", order.ticket, order)
        if is_buy != position.is_buy:
            return self._close_part(position, position.lots, price, order, quote, terms, is_free=True)
        deal = self._deal(order, price, quote, terms, position.lots)
        deal.commission = ZERO
        return broker.book_deal(deal)
