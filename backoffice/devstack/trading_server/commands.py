"""What a manager may ask: every command of the protocol that the server knows, each a function of its parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from backoffice.devstack.trading_server import accounts, answers
from backoffice.devstack.trading_server.accounts import integer, number
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.faults import Faults
from backoffice.devstack.trading_server.records import Deal, Order, User
from backoffice.devstack.trading_server.retcodes import DUPLICATE, NOT_FOUND, OK, PARAMETERS, Refused, status
from backoffice.devstack.trading_server.terms import (
    checked_symbol,
    group_configuration,
    group_terms,
    parse_extension,
    symbol_configuration,
    symbol_terms,
)
from backoffice.devstack.trading_server.wire import Request, answer_line

LARGEST_PAGE = 1_000
LARGEST_LOGIN_LIST = 10_000
BUILD = "3211"


@dataclass(frozen=True, slots=True)
class Answer:
    """Parameters and JSON of an answer; without JSON there is only the command line."""

    parameters: Mapping[str, object] = field(default_factory=dict)
    body: Any = None


@dataclass(slots=True)
class Context:
    """What a command works on: the server's trading side, its faults, and who asks."""

    dealing: Dealing
    faults: Faults
    manager: int = 0
    knows_batches: bool = True


Handler = Callable[[Context, Request], Answer]
HANDLERS: dict[str, Handler] = {}


def command(*names: str) -> Callable[[Handler], Handler]:
    """Registers the function as the answer to the commands."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def answer(context: Context, request: Request) -> str:
    """The text that answers a request, refusals included."""
    handler = HANDLERS.get(request.command)
    try:
        if handler is None or (request.command.endswith("_BATCH") and not context.knows_batches):
            raise Refused(PARAMETERS, "Unknown command")
        found = handler(context, request)
    except Refused as refusal:
        return answer_line(request.command, {"RETCODE": status(refusal.code, refusal.text)})
    line = answer_line(request.command, {"RETCODE": status(OK), **found.parameters})
    return line if found.body is None else line + json.dumps(found.body, ensure_ascii=False, separators=(",", ":"))


def _rows(context: Context, request: Request, rows: list[Any]) -> list[Any]:
    """Rows as the faults would have them."""
    if context.faults.take("duplicate", request.command):
        rows = [row for row in rows for _ in range(2)]
    if context.faults.take("reorder", request.command):
        rows = rows[::-1]
    return rows


# Common


@command("PING", "QUIT", "MAIL_SEND", "NEWS_SEND", "SERVER_RESTART")
def _nothing_to_say(_context: Context, _request: Request) -> Answer:
    return Answer()


@command("TIME_SERVER")
def _time(context: Context, _request: Request) -> Answer:
    broker = context.dealing.broker
    now = broker.now_msc()
    return Answer({"TIME": f"{now // 1000} {broker.local(now):%Y.%m.%d %H:%M:%S}"})


@command("TIME_GET")
def _time_configuration(context: Context, _request: Request) -> Answer:
    offset = context.dealing.broker.zone_minutes()
    body = {"Daylight": "1", "DaylightState": "0", "TimeZone": str(offset), "TimeServer": "", "Days": []}
    return Answer(body=body)


@command("COMMON_GET")
def _common(context: Context, _request: Request) -> Answer:
    broker = context.dealing.broker
    totals = {
        "TotalUsers": len(broker.users), "TotalDeals": len(broker.deals), "TotalOrders": len(broker.orders),
        "TotalOrdersHistory": len(broker.history), "TotalPositions": len(broker.positions),
    }  # fmt: skip
    body = {
        "Name": "Simulated server",
        "Owner": "",
        "OwnerID": "",
        "Product": "MetaTrader 5 Server",
        "LimitLogins": "0",
    }
    return Answer(body={**body, **{name: str(value) for name, value in totals.items()}})


# Groups and symbols


def _body(request: Request) -> dict[str, Any]:
    """The JSON behind the command line; some clients send it as a parameter."""
    text = request.extension.strip() or request.parameters.get("BODY_TEXT", "")
    return parse_extension(text) if text else {}


def _indexed(names: Mapping[str, Any], request: Request) -> Any:
    position = integer(request.parameters, "INDEX")
    if not 0 <= position < len(names):
        raise Refused(NOT_FOUND)
    return list(names.values())[position]


@command("GROUP_TOTAL")
def _group_total(context: Context, _request: Request) -> Answer:
    return Answer({"TOTAL": len(context.dealing.broker.groups)})


@command("GROUP_NEXT")
def _group_next(context: Context, request: Request) -> Answer:
    return Answer(body=_indexed(context.dealing.broker.groups, request))


@command("GROUP_GET")
def _group_get(context: Context, request: Request) -> Answer:
    found = context.dealing.broker.groups.get(request.parameters.get("GROUP", ""))
    if found is None:
        raise Refused(NOT_FOUND)
    return Answer(body=found)


@command("GROUP_ADD", "GROUP_UPDATE")
def _group_add(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    given = {**request.parameters, **_body(request)}
    given.pop("BODY_TEXT", None)
    name = str(given.get("Group") or given.get("GROUP") or "")
    whole = group_configuration(given, broker.groups.get(name))
    group_terms(whole)
    broker.put("group", name, whole)
    return Answer(body=whole)


@command("GROUP_DELETE")
def _group_delete(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    name = request.parameters.get("GROUP", "")
    if name not in broker.groups:
        raise Refused(NOT_FOUND)
    if any(user.group == name for user in broker.users.values()):
        raise Refused(DUPLICATE, "Group has accounts")
    broker.remove("group", name)
    return Answer()


@command("SYMBOL_TOTAL")
def _symbol_total(context: Context, _request: Request) -> Answer:
    return Answer({"TOTAL": len(context.dealing.broker.symbols)})


@command("SYMBOL_NEXT")
def _symbol_next(context: Context, request: Request) -> Answer:
    return Answer(body=_indexed(context.dealing.broker.symbols, request))


def _symbol_name(request: Request) -> str:
    return request.parameters.get("SYMBOL") or request.parameters.get("NAME", "")


@command("SYMBOL_GET")
def _symbol_get(context: Context, request: Request) -> Answer:
    found = context.dealing.broker.symbols.get(_symbol_name(request))
    if found is None:
        raise Refused(NOT_FOUND)
    return Answer(body=found)


@command("SYMBOL_GET_GROUP")
def _symbol_get_group(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    group = broker.groups.get(request.parameters.get("GROUP", ""))
    if group is None or _symbol_name(request) not in broker.symbols:
        raise Refused(NOT_FOUND)
    return Answer(body=broker.symbol_in_group(_symbol_name(request), group["Group"]))


@command("SYMBOL_ADD", "SYMBOL_UPDATE")
def _symbol_add(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    given = {**request.parameters, **_body(request)}
    given.pop("BODY_TEXT", None)
    name = str(given.get("Symbol") or given.get("SYMBOL") or "")
    whole = symbol_configuration(given, broker.symbols.get(name))
    checked_symbol(whole)
    broker.put("symbol", name, whole)
    return Answer(body=whole)


@command("SYMBOL_DELETE")
def _symbol_delete(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    name = _symbol_name(request)
    broker.symbol(name)
    if any(position.symbol == name for position in broker.positions.values()):
        raise Refused(DUPLICATE, "Symbol has open positions")
    broker.remove("symbol", name)
    return Answer()


# Accounts


@command("USER_ADD")
def _user_add(context: Context, request: Request) -> Answer:
    user = accounts.open_account(context.dealing, _account_parameters(request))
    return Answer({"LOGIN": user.login}, answers.user_answer(context.dealing.broker, user))


@command("USER_UPDATE")
def _user_update(context: Context, request: Request) -> Answer:
    user = accounts.change_account(context.dealing, _account_parameters(request))
    return Answer(body=answers.user_answer(context.dealing.broker, user))


def _account_parameters(request: Request) -> dict[str, Any]:
    """The command line's parameters over the JSON's fields, all in capitals."""
    fields = {name.upper(): value for name, value in _body(request).items()}
    if "MAINPASSWORD" in fields:
        fields.setdefault("PASS_MAIN", fields["MAINPASSWORD"])
    return {**fields, **request.parameters}


@command("USER_DELETE")
def _user_delete(context: Context, request: Request) -> Answer:
    accounts.delete_account(context.dealing, integer(request.parameters, "LOGIN"))
    return Answer()


@command("USER_GET")
def _user_get(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    return Answer(body=answers.user_answer(broker, broker.user(integer(request.parameters, "LOGIN"))))


@command("USER_GET_BATCH")
def _user_batch(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    return Answer(body=[answers.user_answer(broker, user) for user in _chosen(context, request)])


@command("USER_ACCOUNT_GET", "USER_ACCOUNT_GET_BATCH")
def _account(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    if request.command.endswith("_BATCH"):
        users = _chosen(context, request)
    else:
        users = [broker.user(integer(request.parameters, "LOGIN"))]
    found = [answers.account_answer(user, broker.standing(user.login), broker.group_of(user)) for user in users]
    return Answer(body=found if request.command.endswith("_BATCH") else found[0])


@command("USER_LOGINS")
def _logins(context: Context, request: Request) -> Answer:
    mask = request.parameters.get("GROUP", "*")
    users = context.dealing.broker.users.values()
    return Answer(body=[str(user.login) for user in users if in_mask(user.group, mask)])


@command("USER_PASS_CHECK")
def _password_check(context: Context, request: Request) -> Answer:
    parameters = request.parameters
    kind = parameters.get("TYPE", "MAIN")
    accounts.check_password(context.dealing, integer(parameters, "LOGIN"), kind, parameters.get("PASSWORD", ""))
    return Answer()


@command("USER_PASS_CHANGE")
def _password_change(context: Context, request: Request) -> Answer:
    parameters = request.parameters
    kind = parameters.get("TYPE", "MAIN")
    accounts.change_password(context.dealing, integer(parameters, "LOGIN"), kind, parameters.get("PASSWORD", ""))
    return Answer()


@command("TRADE_BALANCE", "USER_DEPOSIT_CHANGE")
def _balance(context: Context, request: Request) -> Answer:
    parameters = request.parameters
    deal = accounts.balance_operation(
        context.dealing,
        login=integer(parameters, "LOGIN"),
        action=integer(parameters, "TYPE", 2),
        amount=number(parameters, "BALANCE"),
        comment=parameters.get("COMMENT", ""),
        checks_margin=integer(parameters, "CHECK_MARGIN", 1) != 0,
        dealer=context.manager,
    )
    return Answer({"TICKET": deal.ticket})


def in_mask(group: str, mask: str) -> bool:
    """Whether a group is meant by a list of patterns; `!` takes away, whatever stands before it."""
    chosen = False
    for pattern in mask.split(","):
        if pattern.startswith("!"):
            chosen = chosen and not fnmatchcase(group.lower(), _pattern(pattern[1:]))
        elif fnmatchcase(group.lower(), _pattern(pattern)):
            chosen = True
    return chosen


def _pattern(text: str) -> str:
    return text.strip().lower().replace("[", "[[]")


def _chosen(context: Context, request: Request) -> list[User]:
    """The accounts of a batch command, by a list of logins or by group; unknown logins are left out."""
    broker = context.dealing.broker
    listed = request.parameters.get("LOGIN", "")
    if not listed:
        mask = request.parameters.get("GROUP", "*")
        return [user for user in broker.users.values() if in_mask(user.group, mask)]
    logins = [integer({"LOGIN": part}, "LOGIN") for part in listed.split(",")]
    if len(logins) > LARGEST_LOGIN_LIST:
        raise Refused(PARAMETERS, "Invalid parameters: LOGIN")
    return [broker.users[login] for login in dict.fromkeys(logins) if login in broker.users]


# Deals, orders, positions


def _window(request: Request) -> tuple[int, int]:
    """The asked times as milliseconds; whole seconds, both included."""
    start, end = integer(request.parameters, "FROM", 0), integer(request.parameters, "TO", 1 << 33)
    return start * 1000, end * 1000 + 999


def _page(request: Request, rows: list[Any]) -> list[Any]:
    offset, total = integer(request.parameters, "OFFSET", 0), integer(request.parameters, "TOTAL", LARGEST_PAGE)
    if offset < 0 or total < 1:
        raise Refused(PARAMETERS, "Invalid parameters: OFFSET")
    return rows[offset : offset + min(total, LARGEST_PAGE)]


def _deals(context: Context, request: Request, login: int) -> list[Deal]:
    start, end = _window(request)
    found = context.dealing.broker.deals_between(login, start, end)
    if not context.faults.hidden:
        return found
    return [deal for deal in found if not context.faults.is_hidden(deal.time_msc)]


@command("DEAL_GET")
def _deal(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = broker.deals.get(integer(request.parameters, "TICKET"))
    if found is None or context.faults.is_hidden(found.time_msc):
        raise Refused(NOT_FOUND)
    return Answer(body=answers.deal_answer(broker, found))


@command("DEAL_GET_TOTAL")
def _deal_total(context: Context, request: Request) -> Answer:
    user = context.dealing.broker.user(integer(request.parameters, "LOGIN"))
    return Answer({"TOTAL": len(_deals(context, request, user.login))})


@command("DEAL_GET_PAGE")
def _deal_page(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    found = _page(request, _deals(context, request, user.login))
    return Answer(body=_rows(context, request, [answers.deal_answer(broker, deal) for deal in found]))


@command("DEAL_GET_BATCH")
def _deal_batch(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = [deal for user in _chosen(context, request) for deal in _deals(context, request, user.login)]
    found.sort(key=lambda deal: (deal.time_msc, deal.ticket))
    if "TOTAL" in request.parameters:
        found = _page(request, found)
    return Answer(body=_rows(context, request, [answers.deal_answer(broker, deal) for deal in found]))


@command("HISTORY_GET")
def _history(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = broker.history.get(integer(request.parameters, "TICKET"))
    if found is None:
        raise Refused(NOT_FOUND)
    return Answer(body=answers.order_answer(broker, found))


@command("HISTORY_GET_TOTAL")
def _history_total(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    return Answer({"TOTAL": len(broker.history_between(user.login, *_window(request)))})


@command("HISTORY_GET_PAGE")
def _history_page(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    found = _page(request, broker.history_between(user.login, *_window(request)))
    return Answer(body=_rows(context, request, [answers.order_answer(broker, order) for order in found]))


@command("HISTORY_GET_BATCH")
def _history_batch(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    window = _window(request)
    found = [order for user in _chosen(context, request) for order in broker.history_between(user.login, *window)]
    found.sort(key=lambda order: (order.done_msc, order.ticket))
    if "TOTAL" in request.parameters:
        found = _page(request, found)
    return Answer(body=_rows(context, request, [answers.order_answer(broker, order) for order in found]))


def _working(context: Context, login: int) -> list[Order]:
    return [order for order in context.dealing.broker.orders.values() if order.login == login]


@command("ORDER_GET")
def _order(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = broker.orders.get(integer(request.parameters, "TICKET"))
    if found is None:
        raise Refused(NOT_FOUND)
    return Answer(body=answers.order_answer(broker, found))


@command("ORDER_GET_TOTAL")
def _order_total(context: Context, request: Request) -> Answer:
    user = context.dealing.broker.user(integer(request.parameters, "LOGIN"))
    return Answer({"TOTAL": len(_working(context, user.login))})


@command("ORDER_GET_PAGE")
def _order_page(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    found = _page(request, _working(context, user.login))
    return Answer(body=_rows(context, request, [answers.order_answer(broker, order) for order in found]))


@command("ORDER_GET_BATCH")
def _order_batch(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = [order for user in _chosen(context, request) for order in _working(context, user.login)]
    return Answer(body=_rows(context, request, [answers.order_answer(broker, order) for order in found]))


@command("POSITION_GET")
def _position(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    held = [p for p in broker.positions_of[user.login].values() if p.symbol == _symbol_name(request)]
    if not held:
        raise Refused(NOT_FOUND)
    return Answer(body=answers.position_answer(broker, held[0]))


@command("POSITION_GET_TOTAL")
def _position_total(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    return Answer({"TOTAL": len(broker.positions_of[broker.user(integer(request.parameters, "LOGIN")).login])})


@command("POSITION_GET_PAGE")
def _position_page(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    user = broker.user(integer(request.parameters, "LOGIN"))
    found = _page(request, list(broker.positions_of[user.login].values()))
    return Answer(body=_rows(context, request, [answers.position_answer(broker, position) for position in found]))


@command("POSITION_GET_BATCH")
def _position_batch(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    found = [p for user in _chosen(context, request) for p in broker.positions_of[user.login].values()]
    return Answer(body=_rows(context, request, [answers.position_answer(broker, position) for position in found]))


@command("TICK_LAST", "TICK_LAST_GROUP")
def _ticks(context: Context, request: Request) -> Answer:
    broker = context.dealing.broker
    since = integer(request.parameters, "TRANS_ID", 0)
    names = [name for name in request.parameters.get("SYMBOL", "").split(",") if name]
    quotes = [quote for name, quote in broker.quotes.items() if not names or any(fnmatchcase(name, n) for n in names)]
    latest = max((quote.time_msc for quote in broker.quotes.values()), default=0)
    fresh = [quote for quote in quotes if quote.time_msc > since]
    return Answer({"TRANS_ID": latest}, [answers.tick_answer(broker, quote) for quote in fresh])


def set_symbol_unchecked(context: Context, given: Mapping[str, Any]) -> None:
    """A configuration that no administrator could save, for what a client must be able to survive."""
    broker = context.dealing.broker
    name = str(given["Symbol"])
    whole = symbol_configuration(given, broker.symbols.get(name))
    symbol_terms(whole)
    broker.put("symbol", name, whole)
