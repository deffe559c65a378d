"""The end of the server's day: swap on every open position, at the server's own midnight.

A day is closed in one transaction together with the note that it was closed, so it is never charged twice nor half.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from backoffice.devstack.trading_server import records, sums
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.records import Position
from backoffice.devstack.trading_server.retcodes import Refused
from backoffice.devstack.trading_server.terms import SymbolTerms

MOST_DAYS_AT_ONCE = 31


def close_ended_days(dealing: Dealing) -> int:
    """Closes every day that ended since the last one closed; how many positions were charged."""
    broker = dealing.broker
    today = broker.local(broker.now_msc()).date().toordinal()
    last = broker.counters["day"]
    if not last or today - last > MOST_DAYS_AT_ONCE:
        broker.put("counter", "day", today - 1)
        return 0
    return sum(close_day(dealing, date.fromordinal(day)) for day in range(last + 1, today))


def close_day(dealing: Dealing, day: date) -> int:
    """Charges the night that follows *day*; how many positions it moved."""
    broker = dealing.broker
    charged = 0
    with broker.transaction():
        for position in list(broker.positions.values()):
            charged += _charge(dealing, broker, position, day)
        broker.put("counter", "day", max(broker.counters["day"], day.toordinal()))
    for login in {position.login for position in broker.positions.values()}:
        dealing.stop_out(login)
    return charged


def _charge(dealing: Dealing, broker: Broker, position: Position, day: date) -> bool:
    group = broker.group_of(broker.user(position.login))
    terms = broker.terms_in_group(position.symbol, group.name)
    nights = terms.swap_multipliers[day.isoweekday() % 7]
    quote = broker.quotes.get(position.symbol)
    if quote is None or not nights:
        return False
    current = quote.bid if position.is_buy else quote.ask
    if terms.swap_mode in {sums.SWAP_REOPEN_CLOSE, sums.SWAP_REOPEN_BID}:
        _reopen(dealing, position, terms, nights)
        return True
    try:
        swap = sums.night_swap(
            terms, is_buy=position.is_buy, lots=position.lots, opened=position.open_price, current=current,
            nights=nights, account_currency=group.currency, digits=group.digits, rate=broker.rate,
        )  # fmt: skip
    except Refused:
        return False  # without a rate nothing can be charged; the next day is charged as usual
    if swap:
        broker.put("position", position.ticket, replace(position, storage=position.storage + swap))
    return bool(swap)


def _reopen(dealing: Dealing, position: Position, terms: SymbolTerms, nights: Decimal) -> None:
    """Closes at the market and opens again, worse or better by the swap's points; the ticket stays."""
    broker = dealing.broker
    quote = broker.quote(position.symbol)
    price = quote.bid if position.is_buy or terms.swap_mode == sums.SWAP_REOPEN_BID else quote.ask
    value = terms.swap_long if position.is_buy else terms.swap_short
    shift = sums.rounded(Fraction(value) * Fraction(nights) * Fraction(terms.point), terms.digits)
    dealing.realise_for_rollover(position, price)
    opened = price - shift if position.is_buy else price + shift
    again = replace(position, open_price=opened, storage=records.ZERO, updated_msc=broker.now_msc())
    dealing.open_for_rollover(again, opened)
