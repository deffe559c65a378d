"""Trading: market and pending orders, closing, close-by, stop-out, and what a moving price sets off.

An order that cannot be is refused and leaves nothing. One that is turned down by the market (requote, reject, no money)
is kept as rejected history. Sides are seen from the client; slippage above zero is to the client's cost.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from backoffice.devstack.trading_server import records, sums
from backoffice.devstack.trading_server.broker import Standing
from backoffice.devstack.trading_server.executing import RATE_DIGITS, Executing, Outcome, Request
from backoffice.devstack.trading_server.records import ZERO, Deal, Order, Position, Quote, User
from backoffice.devstack.trading_server.retcodes import (
    TRADE_CLOSE_ONLY,
    TRADE_DISABLED,
    TRADE_INVALID,
    TRADE_LIMIT_VOLUME,
    TRADE_NO_MONEY,
    TRADE_REJECT,
    TRADE_REQUOTE,
    TRADE_VOLUME,
    Refused,
)
from backoffice.devstack.trading_server.terms import GroupTerms, SymbolTerms

MODE_DISABLED, MODE_LONG_ONLY, MODE_SHORT_ONLY, MODE_CLOSE_ONLY = 0, 1, 2, 3
LONGEST_STOP_OUT = 1_000
BUY_LIMIT, SELL_LIMIT, BUY_STOP, SELL_STOP = 2, 3, 4, 5
PENDING_TYPES = frozenset({BUY_LIMIT, SELL_LIMIT, BUY_STOP, SELL_STOP})


class Dealing(Executing):
    """The trading side of a broker."""

    # Orders

    def market_order(self, request: Request) -> Outcome:
        """Executes at the market. Raises Refused for an order that cannot be."""
        user, terms, quote = self._checked(request)
        order = self._new_order(request, quote)
        shown = order.price_order
        price = self._execution_price(request, terms, quote)
        with self.broker.transaction():
            moved = (price - shown) * (1 if request.is_buy else -1)
            late = request.deviation_points is not None and moved > request.deviation_points * terms.point
            if late or self.random.random() < self.execution.requote_share:
                return self._rejected(order, TRADE_REQUOTE, "requote")
            if self.random.random() < self.execution.reject_share:
                return self._rejected(order, TRADE_REJECT, "off quotes")
            if not self._affordable(user, request, terms, price):
                return self._rejected(order, TRADE_NO_MONEY, "no money")
            return Outcome(order, self._fill(order, price, quote, user, terms))

    def place_pending(self, request: Request, *, kind: int) -> Order:
        """A limit or stop order, which waits for its price."""
        if kind not in PENDING_TYPES or not request.price or request.price <= 0 or request.position:
            raise Refused(TRADE_INVALID)
        _user, _terms, quote = self._checked(request)
        order = self._new_order(request, quote)
        order.type, order.state, order.done_msc = kind, records.STATE_PLACED, 0
        with self.broker.transaction():
            self.broker.put("order", order.ticket, order)
        return order

    def cancel_order(self, ticket: int, *, comment: str = "cancelled") -> Order:
        """Takes a waiting order away."""
        order = self.broker.orders.get(ticket)
        if order is None:
            raise Refused(TRADE_INVALID, "Order is not working")
        ended = replace(order, state=records.STATE_CANCELED, done_msc=self.broker.now_msc(), comment=comment)
        with self.broker.transaction():
            self.broker.put("order", ticket, ended)
        return ended

    def close_by(self, login: int, first: int, second: int) -> tuple[Deal, Deal]:
        """Closes two opposite positions of a hedging account by each other; the result is booked on the first."""
        broker = self.broker
        one, other = self._position(login, first), self._position(login, second)
        group = broker.group_of(broker.user(login))
        if not group.is_hedging or one.symbol != other.symbol or one.is_buy == other.is_buy:
            raise Refused(TRADE_INVALID)
        quote, terms = broker.quote(one.symbol), broker.symbol(one.symbol)
        lots = min(one.lots, other.lots)
        with broker.transaction():
            now = broker.now_msc()
            order = Order(
                ticket=broker.next_ticket(), login=login, symbol=one.symbol, type=records.TYPE_CLOSE_BY,
                state=records.STATE_FILLED, lots=lots, lots_left=ZERO, price_order=other.open_price, setup_msc=now,
                done_msc=now, price_filled=other.open_price, position=first, position_by=second,
                comment=f"close hedge by #{second}",
            )  # fmt: skip
            broker.put("order", order.ticket, order)
            closing = other.open_price
            deals = [
                self._close_part(position, lots, closing, order, quote, terms, entry=records.ENTRY_OUT_BY)
                for position in (one, other)
            ]
        return deals[0], deals[1]

    def close(self, login: int, ticket: int, *, lots: Decimal | None = None, reason: int = 0) -> Outcome:
        """Closes a position, or a part of it, at the market."""
        position = self._position(login, ticket)
        return self.market_order(
            Request(
                login=login, symbol=position.symbol, is_buy=not position.is_buy, lots=lots or position.lots,
                position=ticket, reason=reason,
            )
        )  # fmt: skip

    def set_stops(self, login: int, ticket: int, *, stop_loss: Decimal, take_profit: Decimal) -> Position:
        """Sets the prices at which a position closes by itself; 0 is none."""
        changed = replace(self._position(login, ticket), stop_loss=stop_loss, take_profit=take_profit)
        self.broker.put("position", ticket, changed)
        return changed

    # What a price sets off

    def price(self, symbol: str, bid: Decimal, ask: Decimal) -> Quote:
        """The market moved: waiting orders, stops and stop-outs follow."""
        self.broker.symbol(symbol)
        quote = self.broker.set_quote(symbol, bid, ask)
        if bid > 0:
            self._trigger_orders(symbol, quote)
            self._trigger_stops(symbol, quote)
            for login in {p.login for p in self.broker.positions.values() if p.symbol == symbol}:
                self.stop_out(login)
        return quote

    def stop_out(self, login: int) -> list[Deal]:
        """Closes the account's worst positions while its margin level is at or below the group's stop-out."""
        broker = self.broker
        group = broker.group_of(broker.user(login))
        deals: list[Deal] = []
        for _ in range(LONGEST_STOP_OUT):
            standing = broker.standing(login)
            if not self._must_stop_out(standing, group):
                break
            if self._drop_largest_order(login):
                continue
            closing = self._worst(login, group)
            if closing is None:
                break
            deals.append(self._force_out(closing, standing))
        if deals and not broker.positions_of[login]:
            self._compensate(login, group)
        return deals

    def _must_stop_out(self, standing: Standing, group: GroupTerms) -> bool:
        if standing.margin > 0:
            return standing.level <= group.stop_out
        return group.stops_out_hedged and standing.equity < 0

    def _drop_largest_order(self, login: int) -> bool:
        """Waiting orders go first, the one that would take the most margin before the others."""
        waiting = [order for order in self.broker.orders.values() if order.login == login]
        if not waiting:
            return False
        user = self.broker.user(login)
        largest = max(waiting, key=lambda order: (self._margin_of_order(order, user), -order.ticket))
        self.cancel_order(largest.ticket, comment="stop out")
        return True

    def _margin_of_order(self, order: Order, user: User) -> Fraction:
        terms = self.broker.symbol(order.symbol)
        rate = self._margin_rate(terms, user, is_buy=order.is_buy)
        return sums.order_margin(
            terms, is_buy=order.is_buy, lots=order.lots_left, price=order.price_order, leverage=user.leverage,
            margin_rate=rate,
        )  # fmt: skip

    def _worst(self, login: int, group: GroupTerms) -> Position | None:
        """The position with the largest loss; fully hedged symbols are left alone unless the group says otherwise."""
        positions = list(self.broker.positions_of[login].values())
        if not group.stops_out_hedged:
            net: dict[str, Decimal] = {}
            for position in positions:
                signed = position.lots if position.is_buy else -position.lots
                net[position.symbol] = net.get(position.symbol, ZERO) + signed
            positions = [p for p in positions if net[p.symbol]] or positions
        open_for_prices = [p for p in positions if p.symbol in self.broker.quotes]
        return min(
            open_for_prices, key=lambda p: (self.broker.floating(p) + p.storage, p.ticket), default=None
        )  # fmt: skip

    def _force_out(self, position: Position, standing: Standing) -> Deal:
        comment = f"[so {standing.level}%/{standing.equity}/{standing.margin}]"
        return self._close_now(position, reason=records.REASON_STOP_OUT, comment=comment)

    def _compensate(self, login: int, group: GroupTerms) -> None:
        """What a stop-out left below zero is the broker's loss."""
        broker = self.broker
        user = broker.user(login)
        if user.balance >= 0 or not group.compensates:
            return
        with broker.transaction():
            if group.withdraws_credit and user.credit > 0:
                self.money(login, records.SO_CREDIT_COMPENSATION, -user.credit, "so credit compensation")
            self.money(login, records.SO_COMPENSATION, -user.balance, "so compensation")

    def money(self, login: int, action: int, amount: Decimal, comment: str, *, dealer: int = 0) -> Deal:
        """A deal that only moves money."""
        broker = self.broker
        with broker.transaction():
            return broker.book_deal(
                Deal(
                    ticket=broker.next_ticket(), login=login, action=action, time_msc=broker.now_msc(), profit=amount,
                    comment=comment[:32], dealer=dealer, reason=records.REASON_DEALER if dealer else 0,
                    rate_profit=Decimal(1), digits=0,
                )
            )  # fmt: skip

    def _trigger_orders(self, symbol: str, quote: Quote) -> None:
        for order in [o for o in self.broker.orders.values() if o.symbol == symbol]:
            if _is_reached(order, quote):
                self._execute_pending(order, quote)

    def _execute_pending(self, order: Order, quote: Quote) -> None:
        broker = self.broker
        user, terms = broker.user(order.login), broker.symbol(order.symbol)
        market = quote.ask if order.is_buy else quote.bid
        price = order.price_order if order.type in {BUY_LIMIT, SELL_LIMIT} else market
        request = Request(login=order.login, symbol=order.symbol, is_buy=order.is_buy, lots=order.lots)
        with broker.transaction():
            working = replace(order, done_msc=broker.now_msc())
            if not self._affordable(user, request, terms, price):
                self._rejected(working, TRADE_NO_MONEY, "deleted [no money]")
                return
            self._fill(working, price, quote, user, terms)

    def _trigger_stops(self, symbol: str, quote: Quote) -> None:
        for position in [p for p in self.broker.positions.values() if p.symbol == symbol]:
            market = quote.bid if position.is_buy else quote.ask
            sign = 1 if position.is_buy else -1
            if position.stop_loss and (market - position.stop_loss) * sign <= 0:
                self._close_now(position, reason=records.REASON_STOP_LOSS, comment=f"[sl {position.stop_loss}]")
            elif position.take_profit and (market - position.take_profit) * sign >= 0:
                self._close_now(position, reason=records.REASON_TAKE_PROFIT, comment=f"[tp {position.take_profit}]")

    def _close_now(self, position: Position, *, reason: int, comment: str) -> Deal:
        """Closes a whole position for the server's own reasons, whatever the account may do."""
        broker = self.broker
        quote, terms = broker.quote(position.symbol), broker.symbol(position.symbol)
        request = Request(
            login=position.login, symbol=position.symbol, is_buy=not position.is_buy, lots=position.lots,
            position=position.ticket, reason=reason, comment=comment,
        )  # fmt: skip
        with broker.transaction():
            order = self._new_order(request, quote)
            price = quote.bid if position.is_buy else quote.ask
            order.state, order.lots_left, order.price_filled = records.STATE_FILLED, ZERO, price
            broker.put("order", order.ticket, order)
            return self._close_part(position, position.lots, price, order, quote, terms)

    def close_by_gateway(self, position: Position) -> Deal:
        """The provider closed it while nobody looked."""
        return self._close_now(position, reason=records.REASON_GATEWAY, comment="executed by the gateway")

    # Checks

    def _closed_by(self, request: Request) -> Position | None:
        """The position that the order closes or reduces, if any."""
        group = self.broker.group_of(self.broker.user(request.login))
        if group.is_hedging:
            return self._position(request.login, request.position) if request.position else None
        held = [p for p in self.broker.positions_of[request.login].values() if p.symbol == request.symbol]
        return held[0] if held and held[0].is_buy != request.is_buy else None

    def _checked(self, request: Request) -> tuple[User, SymbolTerms, Quote]:
        broker = self.broker
        user, terms = broker.user(request.login), broker.symbol(request.symbol)
        if not user.may_trade or terms.trade_mode == MODE_DISABLED or terms.contract_size <= 0:
            raise Refused(TRADE_DISABLED)
        closing = self._closed_by(request)
        if request.position and closing is not None:
            self._check_closing(request, closing)
        else:
            self._check_volume(request, terms)
        if closing is None or request.lots > closing.lots:
            self._check_opening(request, terms)
        return user, terms, broker.quote(request.symbol)

    @staticmethod
    def _check_closing(request: Request, closing: Position) -> None:
        if closing.symbol != request.symbol or closing.is_buy == request.is_buy:
            raise Refused(TRADE_INVALID)
        if not 0 < request.lots <= closing.lots:
            raise Refused(TRADE_VOLUME)

    @staticmethod
    def _check_volume(request: Request, terms: SymbolTerms) -> None:
        in_step = not terms.lots_step or request.lots % terms.lots_step == 0
        if not terms.lots_minimum <= request.lots <= terms.lots_maximum or request.lots <= 0 or not in_step:
            raise Refused(TRADE_VOLUME)

    def _check_opening(self, request: Request, terms: SymbolTerms) -> None:
        refused = {MODE_LONG_ONLY: not request.is_buy, MODE_SHORT_ONLY: request.is_buy, MODE_CLOSE_ONLY: True}
        if refused.get(terms.trade_mode):
            raise Refused(TRADE_CLOSE_ONLY if terms.trade_mode == MODE_CLOSE_ONLY else TRADE_DISABLED)
        if not terms.lots_limit:
            return
        held = self.broker.positions_of[request.login].values()
        same = sum((p.lots for p in held if p.symbol == request.symbol and p.is_buy == request.is_buy), ZERO)
        if same + request.lots > terms.lots_limit:
            raise Refused(TRADE_LIMIT_VOLUME)

    def _affordable(self, user: User, request: Request, terms: SymbolTerms, price: Decimal) -> bool:
        """Whether free margin would not be below zero afterwards; closing is always affordable."""
        closing = self._closed_by(request)
        if closing is not None and request.lots <= closing.lots:
            return True
        broker = self.broker
        group = broker.group_of(user)
        held = [p for p in broker.positions_of[user.login].values() if p.symbol == request.symbol]
        now = broker.standing(user.login)
        rate = self._margin_rate(terms, user, is_buy=request.is_buy)
        if not group.is_hedging and held:
            return self._affordable_netting(user, request, terms, price, rate, held[0], now)
        stored = sums.rounded(rate, RATE_DIGITS)
        leg = Position(
            ticket=0, login=user.login, symbol=request.symbol, is_buy=request.is_buy, lots=request.lots,
            open_price=price, opened_msc=0, updated_msc=0, margin_rate=stored,
        )  # fmt: skip
        before = sums.rounded(sums.symbol_margin(terms, held, leverage=user.leverage), group.digits)
        after = sums.symbol_margin(terms, [*held, leg], leverage=user.leverage)
        if terms.margin_initial > terms.margin_maintenance > 0:
            # A fixed initial margin is asked for in full before the position is kept at the maintenance margin.
            after = sums.symbol_margin(terms, held, leverage=user.leverage) + sums.order_margin(
                terms, is_buy=request.is_buy, lots=request.lots, price=price, leverage=user.leverage, margin_rate=rate
            )
        commission = sums.rounded(Fraction(group.commission_per_lot) * Fraction(request.lots), group.digits)
        return now.free + before - sums.rounded(after, group.digits) - commission >= 0

    def _affordable_netting(
        self, user: User, request: Request, terms: SymbolTerms, price: Decimal, rate: Fraction, held: Position,
        now: Standing,
    ) -> bool:  # fmt: skip
        digits = self.broker.group_of(user).digits
        before = sums.rounded(sums.symbol_margin(terms, [held], leverage=user.leverage), digits)
        lots = request.lots if held.is_buy == request.is_buy else request.lots - held.lots
        extra = sums.order_margin(
            terms, is_buy=request.is_buy, lots=lots, price=price, leverage=user.leverage, margin_rate=rate
        )
        kept = before if held.is_buy == request.is_buy else ZERO
        return now.free + before - kept - sums.rounded(extra, digits) >= 0


def _is_reached(order: Order, quote: Quote) -> bool:
    if order.type == BUY_LIMIT:
        return quote.ask <= order.price_order
    if order.type == SELL_LIMIT:
        return quote.bid >= order.price_order
    if order.type == BUY_STOP:
        return quote.ask >= order.price_order
    return quote.bid <= order.price_order
