"""Two partners never read each other's clients: every portal page, file and endpoint of the partners' desk is opened as each
of them, with plain addresses, with the other's ids in them, and with the other's names as parameters; their bytes are searched.

The addresses come from the URL configuration: a new page or endpoint joins by itself.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver

from backoffice.core.models import User
from backoffice.core.types import Role
from funding.ledger.services.periods import close_day
from ib.models import (
    CommissionLine,
    CommissionStatement,
    Dispute,
    NegotiatedRate,
    Partner,
    PeriodLine,
)
from ib.services import agreed_rates
from ib.services.disputes.opening import open_dispute
from ib.services.payout_terms import put_payout_terms
from ib.services.periods import settle_due
from ib.services.settlement import settle_range
from ib.services.statements import close_statements
from platform_ops.models import Trade, TradingAccount
from tests.factories.ib import Broker, quote, refer
from tests.factories.periods import tell
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_client, make_trade
from tests.logins import log_in, make_actor, make_user

pytestmark = pytest.mark.django_db

DAYS = {"from_day": "2026-02-01", "to_day": "2026-03-20"}
FEBRUARY = date(2026, 2, 16)
HIDDEN = "hidden in"
CLOSED = frozenset({301, 302, 400, 403, 404, 405})


@dataclass
class Side:
    """A partner with a sub-partner, their clients, and everything that happens to partners."""

    name: str
    user: User
    partner: Partner
    sub: Partner
    accounts: list[TradingAccount] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    @property
    def secrets(self) -> set[str]:
        """What nobody else may read: of the clients, and of the partners, who stand in no tree together."""
        found = {self.partner.reference, self.partner.name, self.sub.reference, self.sub.name, self.user.email}
        for account in self.accounts:
            client = account.client
            assert client is not None
            found |= {account.login, client.reference, client.email, client.full_name, *client.full_name.split()}
        return found

    @property
    def below(self) -> set[str]:
        """What they themselves may not read either: of the client whom their sub-partner introduced, a client with a rebate."""
        account = self.accounts[-1]
        client = account.client
        assert client is not None
        return {account.login, client.reference, client.email, client.full_name, *client.full_name.split()}

    def ids(self) -> dict[str, list[str]]:
        """Every id by which something of theirs may be asked for, by the converter of an address."""
        partners = [self.partner, self.sub]
        line = CommissionLine.objects.filter(partner_id=self.partner.pk).order_by("-trade_id")[0]
        period_line = PeriodLine.objects.filter(partner=self.partner).order_by("pk")[0]
        rows: list[Any] = [
            self.sub,
            self.trades[0],
            self.accounts[0],
            self.accounts[-1].client,
            *CommissionStatement.objects.filter(partner=self.partner)[:1],
            *Dispute.objects.filter(partner=self.partner)[:1],
            *NegotiatedRate.objects.filter(set_by__in=partners)[:1],
            period_line,
        ]
        named = [self.partner, *rows]
        return {
            "int": sorted({str(row.pk) for row in rows}),
            "uuid": sorted({str(row.public_id) for row in rows if hasattr(row, "public_id")}),
            "str": sorted(
                {line.reference, period_line.reference, f"T-{self.trades[0].pk}"}
                | {str(row.reference) for row in named if getattr(row, "reference", "")}
            ),
        }


def make_side(broker: Broker, name: str) -> Side:
    """One of the two. Names, addresses and logins are found nowhere else."""
    partner, sub = broker.partner(), None
    Partner.objects.filter(pk=partner.pk).update(name=f"{name.title()} Introducers")
    partner.refresh_from_db()
    sub = broker.partner(parent=partner)
    Partner.objects.filter(pk=sub.pk).update(name=f"{name.title()} Helpers")
    sub.refresh_from_db()
    user = make_user(f"{name}@introducers.test", Role.IB, entities=(broker.entity,))
    Partner.objects.filter(pk=partner.pk).update(user=user)
    side = Side(name, user, partner, sub)
    for number, introducer in enumerate((partner, partner, sub)):
        first = f"{name.title()}{'abc'[number]}son"
        client = make_client(
            broker.brand,
            full_name=f"{first} {name.title()}{'xyz'[number]}berg",
            email=f"{first.lower()}@{name}.test",
            country="CY",
            registered_at=datetime(2026, 2, 10, tzinfo=UTC),
        )
        refer(client, introducer)
        account = make_account(
            broker.server,
            client=client,
            login=f"{77 + len(name)}{client.pk:04d}{number}913",
            opened_at=datetime(2026, 2, 11, tzinfo=UTC),
        )
        side.accounts.append(account)
        tell(client, "kyc_verified", at=datetime(2026, 2, 12, tzinfo=UTC))
        tell(client, "deposit", "500", at=datetime(2026, 2, 12, 9, tzinfo=UTC))
        tell(client, "chargeback", "50", at=datetime(2026, 3, 5, 9, tzinfo=UTC))
        side.trades += [
            make_trade(account, day=day, lots="2", server_symbol=broker.eurusd) for day in (FEBRUARY, MONDAY)
        ]
    for account, introducer in zip(side.accounts[1:], (partner, sub), strict=True):
        assert account.client_id is not None
        agreed_rates.grant_rebate(
            client_id=account.client_id, introducer_id=introducer.pk, percent=Decimal(40),
            valid_from=datetime(2026, 3, 1, tzinfo=UTC), actor=SYSTEM,
        )  # fmt: skip
    return side


@pytest.fixture
def sides() -> Iterator[tuple[Side, Side]]:
    """Two partners of one broker, with lines, period lines, statements and disputes."""
    with time_machine.travel("2026-03-20 12:00:00+00:00", tick=True):
        broker = Broker()
        for day in (FEBRUARY, MONDAY, date(2026, 3, 5)):
            quote(day, USD="1.25")
        payload = {
            "entity_id": broker.entity.pk, "partner_id": None, "valid_from": "2020-01-01", "period": "monthly",
            "review_days": 0, "hold_days": 0, "minimum_payout": "0", "automatic_up_to": None,
        }  # fmt: skip
        put_payout_terms(payload=payload, actor=SYSTEM, approval="test")
        made = make_side(broker, "quandry"), make_side(broker, "zimbala")
        settle_range(from_day=FEBRUARY, to_day=MONDAY, actor=SYSTEM)
        settle_due(actor=SYSTEM)
        close_day(entity_id=broker.entity.pk, business_day=date(2026, 2, 27), actor=SYSTEM)
        close_statements(actor=SYSTEM)
        for side in made:
            line = CommissionLine.objects.filter(partner_id=side.partner.pk, day=MONDAY).order_by("trade_id")[0]
            open_dispute(
                subject=line.reference, cause="trade", claim="Three lots, not two.", actor=make_actor(side.user)
            )
        yield made


@dataclass(frozen=True)
class Address:
    """An address of the partners' desk in the portal or on the interface."""

    route: str
    takes: frozenset[str] | None
    """Parameters that it knows; None where it overlooks others."""

    def known(self, data: dict[str, str]) -> dict[str, str]:
        """Those of the parameters that it does not refuse."""
        return data if self.takes is None else {name: text for name, text in data.items() if name in self.takes}


def addresses() -> list[Address]:
    """Every address of the partners' desk that is read, by the URL configuration."""
    found: dict[str, Address] = {}
    for route, callback in _walk(get_resolver().url_patterns, ""):
        view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
        if view is None or not view.__module__.startswith("ib.") or not route.startswith(("portal/", "api/v1/")):
            continue
        reads = getattr(callback, "actions", None)
        if ("get" in reads) if reads else hasattr(view, "get"):
            assert "(?P" not in route and "^" not in route, route
            query = getattr(view, "query", None)
            takes = None if route.startswith("portal/") else frozenset(query().fields) if query else frozenset()
            found[route] = Address(route, takes)
    return sorted(found.values(), key=lambda address: address.route)


def _walk(patterns: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    for item in patterns:
        route = before + str(item.pattern).removesuffix("$").removesuffix("\\Z")
        if isinstance(item, URLResolver):
            yield from _walk(item.url_patterns, route)
        elif isinstance(item, URLPattern):
            yield route, item.callback


def filled(route: str, ids: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The address with each id in its place (the same one in every place), and the id."""
    places = re.findall(r"<(?:(\w+):)?\w+>", route)
    if not places:
        return []
    kinds = {kind or "str" for kind in places}
    wanted = "str" if "str" in kinds else "uuid" if "uuid" in kinds else "int"
    values = [value for value in ids.get(wanted, []) if wanted != "int" or value.isdigit()]
    made = []
    for value in values:

        def fill(match: re.Match[str], value: str = value) -> str:
            kind = match[1] or "str"
            return value if kind == wanted else ids[kind][0] if ids.get(kind) else "1"

        made.append((re.sub(r"<(?:(\w+):)?\w+>", fill, route), value))
    return made


class Reader:
    """Opens addresses as one of the two and keeps what it finds of the other."""

    def __init__(self, browser: Browser, mine: Side, other: Side) -> None:
        self.browser = log_in(browser, mine.user)
        # Of themselves they read all but the clients of their sub-partner.
        secrets = other.secrets | mine.below if other is not mine else mine.secrets
        self.secrets = sorted(secrets, key=len, reverse=True)
        self.mine = {value for values in mine.ids().values() for value in values}
        self.found: list[tuple[str, str]] = []
        self.body = ""
        self.answered = 0
        self.opened = 0

    def open(self, route: str, data: dict[str, str] | None = None, *, asked: tuple[str, ...] = ()) -> int:
        """The status; what was asked for is echoed and does not count."""
        if self.opened % 50 == 0:
            cache.clear()  # of the limits of calls
        answer = self.browser.get(f"/{route}", data or {})
        body = whole_text(answer)
        for text in sorted({*asked, *(data or {}).values()}, key=len, reverse=True):
            body = body.replace(urlencode({"": text})[1:], HIDDEN).replace(text, HIDDEN) if text else body
        self.found += [(f"{route} {data or ''}", secret) for secret in self.secrets if secret in body][:1]
        self.body = body
        self.opened += 1
        self.answered += answer.status_code == 200
        return int(answer.status_code)


def whole_text(answer: Any) -> str:
    """The text of an answer; of a packed file, that of its parts."""
    data = b"".join(answer.streaming_content) if getattr(answer, "streaming", False) else answer.content
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return "\n".join(packed.read(name).decode("utf-8", "replace") for name in packed.namelist())
    return str(data.decode("utf-8", "replace")) + " ".join(str(value) for value in answer.headers.values())


def test_two_partners_never_read_each_others_clients(sides: tuple[Side, Side], client: Browser) -> None:
    every = addresses()
    plain = [address for address in every if "<" not in address.route]
    with_ids = [address.route for address in every if "<" in address.route]
    assert len(plain) > 40 and len(with_ids) > 15  # the walk is no longer the walk when it finds less
    for mine, other in (sides, sides[::-1]):
        reader = Reader(client, mine, other)
        wrongly_open: list[str] = []

        # when: every page, its files, and every list of the interface
        for address in plain:
            status = reader.open(address.route, address.known({**DAYS, "show": "all"}))
            assert status in {200, 302, 403, 404}, (address.route, status)
            for kind in re.findall(r"export=(csv|xlsx)\b", reader.body):
                reader.open(address.route, {**DAYS, "export": kind, "show": "all"})

        if mine is sides[1]:
            assert reader.found == []
            continue

        # when: whatever is asked for by a parameter is the other's
        theirs = other.accounts[0]
        assert theirs.client is not None
        asked = {
            **DAYS,
            "partner": other.partner.reference,
            "client": theirs.client.reference,
            "introducer": str(other.partner.pk),
            "open": str(other.sub.pk),
            "q": theirs.client.full_name,
            "search": theirs.login,
            "reference": theirs.client.reference,
            "show": "all",
        }
        for address in plain:
            if address.route.startswith("portal/") or "own/" in address.route:
                reader.open(address.route, address.known(asked))
                if "data-centre" in address.route:
                    some = {name: asked[name] for name in ("client", "introducer", "open")}
                    reader.open(address.route, address.known({**DAYS, **some}))

        # when: the other's ids stand in the address, and the own ones
        foreign, own_ids = other.ids(), mine.ids()
        for route in with_ids:
            is_theirs = route.startswith("portal/") or "own/" in route
            # What is for staff alone is closed to every id alike.
            for asked_for, value in filled(route, foreign)[: None if is_theirs else 1]:
                status = reader.open(asked_for, asked=(value,))
                if status not in CLOSED and value not in reader.mine:
                    wrongly_open.append(f"{asked_for} {status}")
            for asked_for, value in filled(route, own_ids) if is_theirs else ():
                reader.open(asked_for, asked=(value,))

        # then
        assert reader.found == []
        assert wrongly_open == []
        assert reader.answered > 60, "hardly anything was read at all"

        # then: the own clients are there, so that the search finds what it looks for
        own = Reader(client, mine, mine)
        for route in ("portal/clients/", "portal/data-centre/clients/", "api/v1/own/clients/"):
            own.open(route, DAYS)
        assert len(own.found) == 3
