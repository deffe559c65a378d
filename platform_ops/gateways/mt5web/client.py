"""A `TradingGateway` over the MetaTrader 5 Web API.

Reading commands are asked once more on a fresh connection when the old one broke; changing commands never are. Deals,
positions, orders and accounts are asked for in batches where the server answers those, else login by login in pages of a
hundred; either way each record comes once. Offsets of pages shift while deals arrive, so a window is read again by
whoever follows it, and what was read twice is dropped by its ticket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import GatewayGarbled, GatewayRefused, GatewayUnavailable, GatewayUncertain
from platform_ops.gateways.group_symbols import GroupSymbol
from platform_ops.gateways.mt5web import retcodes
from platform_ops.gateways.mt5web.connection import AnswerTooLarge, Connection, Peer
from platform_ops.gateways.mt5web.fields import Answer, Record, from_seconds, parse_json, to_seconds
from platform_ops.gateways.mt5web.records import (
    account_of,
    changed_group,
    changed_symbol,
    deal_of,
    group_of,
    order_of,
    own_group_terms,
    position_of,
    symbol_of,
    tick_of,
)
from platform_ops.gateways.types import (
    Ability,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    NewAccount,
    ServerClock,
)
from platform_ops.types import DealKind

PAGE = 100
"""The server answers no more records in one page."""

MAX_PAGES = 10_000
MAX_LOGINS = 1_000_000
MAX_CONFIGURATIONS = 20_000
LOGINS_IN_BATCH = 200
BATCH_WINDOW = timedelta(days=1)
SMALLEST_WINDOW = timedelta(seconds=10)
MAX_COMMENT = 32
MAX_REFERENCE = 32
CLOCK_MARGIN = timedelta(days=2)
RIGHT_ENABLED, RIGHT_NO_TRADING = 1, 4
RIGHTS_OF_A_NEW_ACCOUNT = 1 | 2 | 0x20 | 0x40 | 0x100
"""Enabled, may change the password, trailing stops, experts, reports."""

NOT_FOUND = frozenset({retcodes.NOT_FOUND})
_BATCH_REFUSALS = frozenset({2, 3, 4, 8, 11, 13})
_DECIMALS = 8
_LOGIN = re.compile(r"[0-9]{1,20}")


class Mt5WebGateway:
    """The connector; opens its connection with the first command and again when it broke."""

    abilities = frozenset(Ability) - {Ability.EXECUTIONS}

    def __init__(self, *, peer: Peer, zone: ServerZone, asks_batches: bool = True) -> None:
        self._peer = peer
        self._zone = zone
        self._asks_batches = asks_batches
        self._connection: Connection | None = None
        self._currencies: dict[str, str] = {}
        self._is_closed = False

    # Reading

    def clock(self) -> ServerClock:
        """The server's clock, whole seconds."""
        answer = self._ask("TIME_SERVER")
        text = answer.parameters.get("TIME", "").split(" ", 1)[0]
        record = Record({"TIME": text}, self._peer.server, "TIME_SERVER")
        at = record.moment("TIME", self._zone)
        if at is None:
            record.refuse("TIME", text, "is no time")
        return ServerClock(local=from_seconds(record.integer("TIME")), utc=at)

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Deals of the window, each once, by time and ticket."""
        for start, end in self._windows(from_time, to_time):
            yield from self._deals_of(start, end, logins)

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Ended orders done within the window, each once."""
        seen: set[int] = set()
        for start, end in self._windows(from_time, to_time):
            for record in self._history("HISTORY", start, end, logins):
                order = order_of(record, self._zone)
                if order.done_at is not None and from_time <= order.done_at < to_time and order.ticket not in seen:
                    seen.add(order.ticket)
                    yield order

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """What is open now."""
        seen: set[int] = set()
        for record in self._records_of_logins("POSITION_GET", {}, logins):
            position = position_of(record, self._zone)
            if position.ticket not in seen:
                seen.add(position.ticket)
                yield position

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Accounts with their money; unknown logins are left out."""
        wanted = self._all_logins() if logins is None else _checked(logins)
        for some in _batched(wanted, LOGINS_IN_BATCH):
            users = self._of_logins("USER_GET", some)
            figures = self._of_logins("USER_ACCOUNT_GET", list(users))
            for login, user in users.items():
                yield account_of(user, figures.get(login), self._currency_of_group(user), self._zone)

    def groups(self) -> Iterator[GatewayGroup]:
        """All groups."""
        for record in self._configurations("GROUP"):
            group = group_of(record)
            self._currencies[group.name] = group.currency
            yield group

    def symbols(self) -> Iterator[GatewaySymbol]:
        """All symbols with their terms."""
        for record in self._configurations("SYMBOL"):
            yield symbol_of(record)

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """The last quote by symbol; one without a quote yet is left out."""
        found: dict[str, GatewayTick] = {}
        for some in _batched(symbols, PAGE):
            answer = self._ask("TICK_LAST", {"SYMBOL": ",".join(some), "TRANS_ID": 0}, accepts=NOT_FOUND)
            for record in self._list(answer):
                tick = tick_of(record, self._zone)
                if tick is not None and tick.symbol in some:
                    found[tick.symbol] = tick
        return found

    def close(self) -> None:
        """Ends the session."""
        self._is_closed = True
        self._drop()

    # Changing

    def open_account(self, *, account: NewAccount) -> str:
        """Opens an account; its login, given by the server unless *account* names one."""
        parameters = {
            "LOGIN": account.login or "0",
            "PASS_MAIN": account.main_password,
            "PASS_INVESTOR": account.investor_password,
            "RIGHTS": RIGHTS_OF_A_NEW_ACCOUNT,
            "GROUP": account.group,
            "NAME": account.name,
            "COUNTRY": account.country,
            "EMAIL": account.email,
            "COMMENT": account.comment,
            "LEVERAGE": account.leverage,
        }
        body = {
            "Login": account.login or "0",
            "Group": account.group,
            "Name": account.name,
            "Rights": str(RIGHTS_OF_A_NEW_ACCOUNT),
            "Leverage": str(account.leverage),
            "Email": account.email,
            "Country": account.country,
            "Comment": account.comment,
        }
        answer = self._ask("USER_ADD", parameters, body=json.dumps(body), changes=True)
        login = answer.parameters.get("LOGIN", "")
        if not _LOGIN.fullmatch(login) or int(login) == 0:
            self._lost("USER_ADD", f"it named {login[:40]!r} as the new login")
        return login

    def change_account(
        self,
        *,
        login: str,
        group: str | None = None,
        leverage: int | None = None,
        is_enabled: bool | None = None,
        is_trading_allowed: bool | None = None,
        name: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Changes what is given and writes everything else back as it was read."""
        record = self._user(login)
        values = dict(record.values)
        given = {"Group": group, "Leverage": leverage, "Name": name, "Comment": comment}
        values.update({key: str(value) for key, value in given.items() if value is not None})
        rights = record.integer("Rights", 0)
        if is_enabled is not None:
            rights = rights | RIGHT_ENABLED if is_enabled else rights & ~RIGHT_ENABLED
        if is_trading_allowed is not None:
            rights = rights & ~RIGHT_NO_TRADING if is_trading_allowed else rights | RIGHT_NO_TRADING
        values["Rights"] = str(rights)
        # Fields that come as parameters are taken from there, so all of them are named.
        names = {
            "LOGIN": "Login", "RIGHTS": "Rights", "GROUP": "Group", "NAME": "Name", "COMPANY": "Company",
            "LANGUAGE": "Language", "COUNTRY": "Country", "CITY": "City", "STATE": "State", "ZIPCODE": "ZipCode",
            "ADDRESS": "Address", "PHONE": "Phone", "EMAIL": "Email", "ID": "ID", "STATUS": "Status",
            "COMMENT": "Comment", "COLOR": "Color", "LEVERAGE": "Leverage", "AGENT": "Agent",
        }  # fmt: skip
        parameters = {key: values[field] for key, field in names.items() if values.get(field) is not None}
        self._ask("USER_UPDATE", parameters, body=json.dumps(values, default=str), changes=True)

    def change_password(self, *, login: str, password: str, is_investor: bool) -> None:
        """Sets one of the account's two passwords."""
        self._ask("USER_PASS_CHANGE", _password(login, password, is_investor), changes=True)

    def check_password(self, *, login: str, password: str, is_investor: bool) -> bool:
        """Whether the password is the account's."""
        wrong = frozenset({retcodes.INVALID_PASSWORD})
        answer = self._ask("USER_PASS_CHECK", _password(login, password, is_investor), accepts=wrong)
        return retcodes.parse_retcode(answer.parameters["RETCODE"]) != retcodes.INVALID_PASSWORD

    def balance_operation(
        self, *, login: str, kind: DealKind, amount: Decimal, comment: str, checks_margin: bool = True
    ) -> int:
        """Moves money on the account and returns the deal's ticket."""
        if kind.is_trade or kind in (DealKind.BUY_CANCELED, DealKind.SELL_CANCELED):
            raise InvalidInput("A trade is no balance operation.", field="kind", value=kind.name)
        if not amount.is_finite() or amount == 0 or amount != round(amount, _DECIMALS):
            raise InvalidInput("A balance operation moves an amount.", field="amount", value=str(amount))
        if len(comment) > MAX_COMMENT or not comment.isprintable():
            raise InvalidInput(f"A comment has {MAX_COMMENT} characters at most.", field="comment", value=comment)
        parameters = {
            "LOGIN": _checked([login])[0],
            "TYPE": int(kind),
            "BALANCE": format(amount, "f"),
            "COMMENT": comment,
            "CHECK_MARGIN": 1 if checks_margin else 0,
        }
        answer = self._ask("TRADE_BALANCE", parameters, changes=True)
        ticket = answer.parameters.get("TICKET", "")
        if not _LOGIN.fullmatch(ticket) or not 0 < int(ticket) < 2**63:
            self._lost("TRADE_BALANCE", f"it named {ticket[:40]!r} as the deal")
        return int(ticket)

    def find_operation(self, *, login: str, reference: str, since: datetime) -> GatewayDeal | None:
        """The money deal of the account whose comment holds *reference* as a whole word."""
        if not reference.strip() or len(reference) > MAX_REFERENCE:
            raise InvalidInput("An operation is looked up by its reference.", field="reference", value=reference)
        # REF-1 is not held by REF-12.
        word = re.compile(rf"(?<![\w-]){re.escape(reference)}(?![\w-])")
        until = max(self.clock().utc, since) + CLOCK_MARGIN
        # An operation is looked up by login and in pages: the answer must be whole, and it is short.
        for record in self._pages("DEAL_GET", self._local_bounds(since - CLOCK_MARGIN, until), login):
            deal = deal_of(record, self._zone)
            if not deal.kind.is_trade and word.search(deal.comment):
                return deal
        return None

    def change_symbol(self, *, name: str, changes: Mapping[str, object]) -> None:
        """Changes the named fields of `SymbolTerms`; all others are written back as they were read."""
        answer = self._ask("SYMBOL_GET", {"SYMBOL": name})
        values = changed_symbol(self._object(answer), changes)
        self._ask("SYMBOL_ADD", body=json.dumps(values, default=str), changes=True)

    # Groups' own settings of symbols

    def symbol_in_group(self, *, name: str, group: str) -> GroupSymbol:
        """The symbol as the group has it, and what of that the group states itself."""
        symbol = self._object(self._ask("SYMBOL_GET", {"SYMBOL": name}))
        seen = self._object(self._ask("SYMBOL_GET_GROUP", {"SYMBOL": name, "GROUP": group}))
        kept = self._object(self._ask("GROUP_GET", {"GROUP": group}))
        return GroupSymbol(
            name=name,
            group=group,
            terms=symbol_of(seen).terms,
            symbol_terms=symbol_of(symbol).terms,
            own=own_group_terms(kept, symbol),
        )

    def change_group_symbol(self, *, name: str, group: str, changes: Mapping[str, object]) -> None:
        """Writes the group's own settings of the symbol; all else of the group is written back as it was read."""
        symbol = self._object(self._ask("SYMBOL_GET", {"SYMBOL": name}))
        kept = self._object(self._ask("GROUP_GET", {"GROUP": group}))
        values = changed_group(kept, symbol, changes)
        self._ask("GROUP_ADD", body=json.dumps(values, default=str), changes=True)

    # Asking

    def _ask(
        self,
        command: str,
        parameters: Mapping[str, object] | None = None,
        *,
        body: str = "",
        changes: bool = False,
        accepts: frozenset[int] = frozenset(),
    ) -> Answer:
        if self._is_closed:
            raise GatewayUnavailable(f"The session with {self._peer.server} is closed.", server=self._peer.server)
        was_used = self._connection is not None and self._connection.is_open
        try:
            return self._connected().ask(command, parameters, body=body, changes=changes, accepts=accepts)
        except GatewayUnavailable as error:
            # The server may have dropped a connection that was idle; a question is asked once more, an order is not.
            if changes or not was_used or self._is_closed or "retcode" in error.details:
                raise
        return self._connected().ask(command, parameters, body=body, accepts=accepts)

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.is_open:
            self._connection = Connection(self._peer)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _json(self, answer: Answer) -> Any:
        try:
            return parse_json(answer.body) if answer.body.strip() else None
        except (ValueError, ArithmeticError) as error:
            self._drop()
            self._garbled(answer.command, f"with JSON that cannot be read: {str(error)[:200]}")

    def _list(self, answer: Answer) -> Iterator[Record]:
        value = self._json(answer)
        if value is None:
            return
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list):
            self._garbled(answer.command, "with something that is no list")
        for item in value:
            if not isinstance(item, dict):
                self._garbled(answer.command, f"with an item that is no object: {str(item)[:60]!r}")
            yield Record(item, self._peer.server, answer.command)

    def _object(self, answer: Answer) -> Record:
        records = list(self._list(answer))
        if len(records) != 1:
            self._garbled(answer.command, f"with {len(records)} objects where one was due")
        return records[0]

    def _garbled(self, command: str, problem: str) -> NoReturn:
        raise GatewayGarbled(
            f"{self._peer.server} answered {command} {problem}.", server=self._peer.server, command=command
        )

    def _lost(self, command: str, problem: str) -> NoReturn:
        """The server says that it is done, and not what: only a look-up tells."""
        raise GatewayUncertain(
            f"{self._peer.server} did {command}, but {problem}.", server=self._peer.server, command=command
        )

    # Lists

    def _windows(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        while start < end:
            stop = min(start + BATCH_WINDOW, end)
            yield start, stop
            start = stop

    def _local_bounds(self, start: datetime, end: datetime) -> dict[str, object]:
        """A window as the server's wall clock, both ends inside; wider by an hour where the clock is put back."""
        first, last = self._zone.to_local(start), self._zone.to_local(end)
        if last - first != end - start:
            first, last = first - timedelta(hours=1), last + timedelta(hours=1)
        return {"FROM": to_seconds(first), "TO": to_seconds(last) + 1}

    def _deals_of(self, start: datetime, end: datetime, logins: Sequence[str] | None) -> list[GatewayDeal]:
        found: dict[int, GatewayDeal] = {}
        for record in self._history("DEAL", start, end, logins):
            deal = deal_of(record, self._zone)
            if start <= deal.at < end:
                found[deal.ticket] = deal
        return sorted(found.values(), key=lambda deal: (deal.at, deal.ticket))

    def _history(self, noun: str, start: datetime, end: datetime, logins: Sequence[str] | None) -> Iterator[Record]:
        """Records of a window; a window whose answer is too large is halved."""
        waiting = [(start, end)]
        while waiting:
            first, last = waiting.pop()
            try:
                yield from list(self._records_of_logins(f"{noun}_GET", self._local_bounds(first, last), logins))
            except AnswerTooLarge:
                if last - first <= SMALLEST_WINDOW:
                    raise
                middle = first + (last - first) / 2
                waiting += [(middle, last), (first, middle)]

    def _records_of_logins(
        self, command: str, window: dict[str, object], logins: Sequence[str] | None
    ) -> Iterator[Record]:
        """Records of all logins or of some: in batches, or in pages where the server has no batches."""
        wanted = None if logins is None else _checked(logins)
        if self._asks_batches:
            batches: list[dict[str, object]] = (
                [{"GROUP": "*"}]
                if wanted is None
                else [{"LOGIN": ",".join(some)} for some in _batched(wanted, LOGINS_IN_BATCH)]
            )
            records = self._batches(f"{command}_BATCH", [{**asked, **window} for asked in batches])
            if records is not None:
                yield from records
                return
        for login in self._all_logins() if wanted is None else wanted:
            yield from self._pages(command, window, login)

    def _batches(self, command: str, questions: list[dict[str, object]]) -> list[Record] | None:
        """The records of all questions; None when this server has no such command, which is remembered."""
        records: list[Record] = []
        for question in questions:
            try:
                records += self._list(self._ask(command, question))
            except GatewayRefused as error:
                if error.details.get("retcode") not in _BATCH_REFUSALS:
                    raise
                self._asks_batches = False
                return None
        return records

    def _pages(self, command: str, window: dict[str, object], login: str) -> Iterator[Record]:
        offset = 0
        for _ in range(MAX_PAGES):
            question = {"LOGIN": login, **window, "OFFSET": offset, "TOTAL": PAGE}
            records = list(self._list(self._ask(f"{command}_PAGE", question, accepts=NOT_FOUND)))
            yield from records
            if len(records) < PAGE:
                return
            offset += len(records)
        self._garbled(f"{command}_PAGE", f"with more than {MAX_PAGES} pages for login {login}")

    def _of_logins(self, command: str, logins: Sequence[str]) -> dict[str, Record]:
        """One record for each login that the server knows."""
        records: list[Record] | None = None
        if self._asks_batches and logins:
            records = self._batches(f"{command}_BATCH", [{"LOGIN": ",".join(logins)}])
        if records is None:
            records = []
            for login in logins:
                answer = self._ask(command, {"LOGIN": login}, accepts=NOT_FOUND)
                records += self._list(answer)
        found = {str(record.integer("Login")): record for record in records}
        return {login: found[login] for login in logins if login in found}

    def _user(self, login: str) -> Record:
        return self._object(self._ask("USER_GET", {"LOGIN": _checked([login])[0]}))

    def _all_logins(self) -> list[str]:
        logins: dict[str, None] = {}
        for group in self.groups():
            answer = self._ask("USER_LOGINS", {"GROUP": group.name}, accepts=NOT_FOUND)
            value = self._json(answer) or []
            if not isinstance(value, list):
                self._garbled("USER_LOGINS", "with something that is no list")
            for item in value:
                login = str(item)
                if not _LOGIN.fullmatch(login):
                    self._garbled("USER_LOGINS", f"with {login[:40]!r}, which is no login")
                logins[login] = None
            if len(logins) > MAX_LOGINS:
                self._garbled("USER_LOGINS", f"with more than {MAX_LOGINS:,} logins")
        return list(logins)

    def _configurations(self, noun: str) -> Iterator[Record]:
        answer = self._ask(f"{noun}_TOTAL")
        total = Record(answer.parameters, self._peer.server, f"{noun}_TOTAL").integer("TOTAL", high=MAX_CONFIGURATIONS)
        for index in range(total):
            # One that was removed meanwhile makes the list shorter.
            answer = self._ask(f"{noun}_NEXT", {"INDEX": index}, accepts=NOT_FOUND)
            if answer.body.strip():
                yield self._object(answer)

    def _currency_of_group(self, user: Record) -> str:
        name = user.text("Group")
        if name not in self._currencies:
            answer = self._ask("GROUP_GET", {"GROUP": name})
            self._currencies[name] = group_of(self._object(answer)).currency
        return self._currencies[name]


def _batched(items: Sequence[str], size: int) -> Iterator[list[str]]:
    return (list(items[start : start + size]) for start in range(0, len(items), size))


def _checked(logins: Sequence[str]) -> list[str]:
    """The logins, each once. Raises InvalidInput for one that is no number: it could say anything in a command."""
    for login in logins:
        if not _LOGIN.fullmatch(login):
            raise InvalidInput(f"{login!r} is no login of a MetaTrader 5 server.", field="login", value=login)
    return list(dict.fromkeys(logins))


def _password(login: str, password: str, is_investor: bool) -> dict[str, object]:
    kind = "INVESTOR" if is_investor else "MAIN"
    return {"LOGIN": _checked([login])[0], "TYPE": kind, "PASSWORD": password}
