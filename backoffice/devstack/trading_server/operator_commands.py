"""The simulator's own commands, which no real server has: clients' orders, the market, faults, the clock.

They stand in for what reaches a real server by other ways: terminals, price feeds, and misfortune. Their names start
with `SIM_`; no fault hits them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from backoffice.devstack.trading_server import nights
from backoffice.devstack.trading_server.accounts import integer, number
from backoffice.devstack.trading_server.commands import Answer, Context, set_symbol_unchecked
from backoffice.devstack.trading_server.executing import Execution, Outcome
from backoffice.devstack.trading_server.executing import Request as OrderRequest
from backoffice.devstack.trading_server.faults import FOREVER, Fault
from backoffice.devstack.trading_server.records import ZERO, Deal
from backoffice.devstack.trading_server.retcodes import OK, PARAMETERS, TEXT, Refused, status
from backoffice.devstack.trading_server.terms import parse_extension
from backoffice.devstack.trading_server.wire import Request, answer_line

if TYPE_CHECKING:
    from backoffice.devstack.trading_server.server import TradingServer

LARGEST_CLOCK_OFFSET_SECONDS = 86_400
LONGEST_ABSENCE_SECONDS = 3_600.0
MOST_CAUGHT_UP = 5
Handler = Callable[["TradingServer", Context, Request], Answer]


def answer(server: TradingServer, context: Context, request: Request) -> str:
    """The text that answers a simulator's command."""
    handler = _HANDLERS.get(request.command)
    try:
        if handler is None:
            raise Refused(PARAMETERS, "Unknown command")
        found = handler(server, context, request)
    except Refused as refusal:
        return answer_line(request.command, {"RETCODE": status(refusal.code, refusal.text)})
    line = answer_line(request.command, {"RETCODE": status(OK), **found.parameters})
    return line if found.body is None else line + json.dumps(found.body)


def _order_request(request: Request, *, priced: bool = False) -> OrderRequest:
    given = request.parameters
    if given.get("SIDE") not in {"BUY", "SELL"}:
        raise Refused(PARAMETERS, "Invalid parameters: SIDE")
    deviation = given.get("DEVIATION", "")
    return OrderRequest(
        login=integer(given, "LOGIN"),
        symbol=given.get("SYMBOL", ""),
        is_buy=given["SIDE"] == "BUY",
        lots=number(given, "LOTS"),
        position=integer(given, "POSITION", 0),
        price=number(given, "PRICE") if given.get("PRICE") or priced else None,
        deviation_points=int(deviation) if deviation else None,
        stop_loss=number(given, "SL", ZERO),
        take_profit=number(given, "TP", ZERO),
        reason=integer(given, "REASON", 0),
        comment=given.get("COMMENT", ""),
    )


def _outcome(outcome: Outcome) -> Answer:
    deal = outcome.deal
    return Answer(
        {
            "ORDER": outcome.order.ticket,
            "DEAL": deal.ticket if deal else 0,
            "POSITION": deal.position if deal else 0,
            "PRICE": deal.price if deal else 0,
            "RESULT": outcome.code,
            "TEXT": TEXT[outcome.code],
        }
    )


def _order(_server: TradingServer, context: Context, request: Request) -> Answer:
    return _outcome(context.dealing.market_order(_order_request(request)))


def _close(_server: TradingServer, context: Context, request: Request) -> Answer:
    given = request.parameters
    lots = number(given, "LOTS") if given.get("LOTS") else None
    return _outcome(context.dealing.close(integer(given, "LOGIN"), integer(given, "POSITION"), lots=lots))


def _close_by(_server: TradingServer, context: Context, request: Request) -> Answer:
    given = request.parameters
    first, second = context.dealing.close_by(
        integer(given, "LOGIN"), integer(given, "POSITION"), integer(given, "BY")
    )  # fmt: skip
    return Answer({"DEAL": first.ticket, "DEAL_BY": second.ticket})


def _pending(_server: TradingServer, context: Context, request: Request) -> Answer:
    kind = integer(request.parameters, "TYPE")
    placed = context.dealing.place_pending(_order_request(request, priced=True), kind=kind)
    return Answer({"ORDER": placed.ticket})


def _cancel(_server: TradingServer, context: Context, request: Request) -> Answer:
    return Answer({"ORDER": context.dealing.cancel_order(integer(request.parameters, "ORDER")).ticket})


def _quotes(_server: TradingServer, context: Context, request: Request) -> Answer:
    given = parse_extension(request.extension)
    quotes = {name: (number({"B": pair[0]}, "B"), number({"A": pair[1]}, "A")) for name, pair in given.items()}
    with context.dealing.broker.transaction():
        for name, (bid, ask) in quotes.items():
            context.dealing.price(name, bid, ask)
    return Answer({"TOTAL": len(quotes)})


def _fault(server: TradingServer, context: Context, request: Request) -> Answer:
    given = request.parameters
    seconds = float(number(given, "SECONDS", Decimal(0)))
    if given.get("KIND") == "gone":
        server.go_away(min(max(seconds, 0.0), LONGEST_ABSENCE_SECONDS))
        return Answer()
    times = integer(given, "TIMES", FOREVER)
    context.faults.set(
        Fault(kind=given.get("KIND", ""), commands=given.get("COMMANDS", "*"), times=times, seconds=seconds)
    )
    return Answer()


def _clock(_server: TradingServer, context: Context, request: Request) -> Answer:
    seconds = integer(request.parameters, "SECONDS")
    if abs(seconds) > LARGEST_CLOCK_OFFSET_SECONDS:
        raise Refused(PARAMETERS, "Invalid parameters: SECONDS")
    context.dealing.broker.clock_offset_seconds = seconds
    return Answer()


def _hide(_server: TradingServer, context: Context, request: Request) -> Answer:
    given = request.parameters
    context.faults.hidden.append((integer(given, "FROM") * 1000, integer(given, "TO") * 1000 + 999))
    return Answer()


def _lift(_server: TradingServer, context: Context, _request: Request) -> Answer:
    context.faults.lift()
    context.dealing.broker.clock_offset_seconds = 0
    return Answer()


def _symbol(_server: TradingServer, context: Context, request: Request) -> Answer:
    set_symbol_unchecked(context, parse_extension(request.extension))
    return Answer()


def _end_of_day(_server: TradingServer, context: Context, request: Request) -> Answer:
    try:
        day = date.fromisoformat(request.parameters.get("DAY", ""))
    except ValueError as error:
        raise Refused(PARAMETERS, "Invalid parameters: DAY") from error
    return Answer({"TOTAL": nights.close_day(context.dealing, day)})


def _execution(_server: TradingServer, context: Context, request: Request) -> Answer:
    given = parse_extension(request.extension)
    known = {item.name: type(getattr(Execution(), item.name)) for item in dataclasses.fields(Execution)}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise Refused(PARAMETERS, f"Invalid parameters: {unknown[0]}")
    changes: dict[str, Any] = {name: known[name](value) for name, value in given.items()}
    context.dealing.execution = dataclasses.replace(context.dealing.execution, **changes)
    return Answer()


def catch_up(context_dealing: Any, *, since_msc: int) -> list[Deal]:
    """What a provider executed while the server was away: a few positions closed at times inside the absence."""
    broker = context_dealing.broker
    now = broker.now_msc()
    positions = sorted(broker.positions.values(), key=lambda position: position.ticket)[:MOST_CAUGHT_UP]
    deals: list[Deal] = []
    for number_of, position in enumerate(positions, start=1):
        with broker.as_of(since_msc + (now - since_msc) * number_of // (len(positions) + 1)):
            deals.append(context_dealing.close_by_gateway(position))
    return deals


_HANDLERS: dict[str, Handler] = {
    "SIM_ORDER": _order,
    "SIM_CLOSE": _close,
    "SIM_CLOSE_BY": _close_by,
    "SIM_PENDING": _pending,
    "SIM_CANCEL": _cancel,
    "SIM_QUOTES": _quotes,
    "SIM_FAULT": _fault,
    "SIM_CLOCK": _clock,
    "SIM_HIDE": _hide,
    "SIM_LIFT": _lift,
    "SIM_SYMBOL": _symbol,
    "SIM_END_OF_DAY": _end_of_day,
    "SIM_EXECUTION": _execution,
}
