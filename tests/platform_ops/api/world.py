"""A broker with a row of everything that the desk's endpoints act on, and callers with keys."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test import Client as Browser

from backoffice.core.models import AuditRecord, ChangeRequest, IdempotencyRecord, LegalEntity, OutboxEvent
from backoffice.kernel import clock
from platform_ops.gateways.types import GatewaySymbol
from platform_ops.models import (
    AccountGroup,
    AccountType,
    Holiday,
    LiquidityProvider,
    LiquiditySymbol,
    MarketCalendar,
    PriceFeed,
    PriceSource,
    ReconciliationBreak,
    ReconciliationRun,
    ServerConnection,
    SwapFreePolicy,
    SwapMarkupRule,
    SymbolDrift,
    SymbolNameRule,
)
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import symbol_drift
from platform_ops.services.specification_imports import import_specifications
from tests.api.world import Caller, caller_for, make_service
from tests.factories.platform import SYSTEM
from tests.logins import make_entity
from tests.platform_ops.swap_desk.ground import Desk

D = Decimal
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TYPO = [
    {"symbol": "EURUSD", "long": "-65.0", "short": "2.2"},
    {"symbol": "XAUUSD", "long": "-31", "short": "12.5"},
]


def rows_of(codes: str = "EURUSD", long: str = "-6.60") -> bytes:
    """A file that says otherwise than EURUSD's specification."""
    stated = {
        "symbol": codes, "contract_size": 100000, "digits": 5, "margin_currency": "EUR", "currency": "USD",
        "swap_long": float(long),
    }  # fmt: skip
    return json.dumps([stated]).encode()


class World(Desk):
    """Nova, with the swap desk's market; beside it Luna, in which nothing happens."""

    def __init__(self) -> None:
        self.nova, self.luna = make_entity(currency="USD"), make_entity("luna")
        super().__init__()
        self.eurusd = self.symbols["EURUSD"]
        self.code = self.server.code
        self.account = self.server.accounts.order_by("pk").first()

    def caller(self, *roles: str, entities: tuple[LegalEntity, ...] = (), email: str = "") -> Caller:
        """A key of a service login; of the whole broker unless entities are named."""
        own = entities or tuple(LegalEntity.objects.all())
        return caller_for(make_service(*roles, entities=own, email=email or f"{'-'.join(roles)}@service.test"))

    def drift(self, **changed: Any) -> SymbolDrift:
        """The server states a swap otherwise."""
        terms = terms_in_force(symbol_id=self.eurusd.pk, at=clock.now())
        stated = GatewaySymbol(name="EURUSD", terms=replace(terms, **(changed or {"swap_long": D("-65")})))
        symbol_drift.take_server_symbols(server_id=self.server.pk, symbols=[stated], at=clock.now())
        return SymbolDrift.objects.filter(state="open").order_by("-pk")[0]

    def connect(self) -> ServerConnection:
        """A connection that nobody answers on."""
        return ServerConnection.objects.create(
            server=self.server, kind="mt5_web", host="127.0.0.1", port=1, login="1", is_enabled=True,
            started_at=clock.now() - timedelta(days=5),
        )  # fmt: skip

    def difference(self, state: str = "open") -> ReconciliationBreak:
        """A break."""
        now = clock.now()
        run = ReconciliationRun.objects.create(
            server=self.server, state="done", window_from=now - timedelta(days=1), window_to=now, finished_at=now
        )
        accepted = {"accepted_at": now, "explanation": "Known"} if state == "accepted" else {}
        return ReconciliationBreak.objects.create(
            server=self.server, kind="balance" if state == "open" else "credit", login=self.account.login, first_run=run, last_run=run, first_seen_at=now,
            last_seen_at=now, state=state, amount=D("12.5"), currency="USD", ours={"balance": "0"},
            theirs={"balance": "12.5"}, **accepted,
        )  # fmt: skip

    def furnish(self) -> None:
        """One row of everything else."""
        self.sheet_row = self.sheet()
        self.rule = SwapMarkupRule.objects.create(kind="percent", long_value=5, short_value=5, symbol=self.eurusd)
        self.name_rule = SymbolNameRule.objects.create(server=self.server, position=1, kind="suffix", pattern=".m")
        self.drift_row = self.drift()
        self.calendar = MarketCalendar.objects.create(code="nyse", name="New York", zone="America/New_York")
        self.holiday = Holiday.objects.create(
            calendar=self.calendar, day=datetime(2026, 12, 25).date(), name="Christmas"
        )
        self.file = import_specifications(data=rows_of(), file_name="lp.json", actor=SYSTEM)
        self.source = PriceSource.objects.create(code="alpha", name="Alpha")
        now = clock.now()
        self.feed = PriceFeed.objects.create(
            symbol=self.eurusd, source=self.source, first_tick_at=now, last_tick_at=now, last_received_at=now,
            last_verdict=0, business_day=now.date(), minute=now,
        )  # fmt: skip
        self.provider = LiquidityProvider.objects.create(entity=self.entity, code="prime", name="Prime", comp_id="LP")
        self.lp_name = LiquiditySymbol.objects.create(provider=self.provider, name="4001", id_source="8")
        self.type = AccountType.objects.create(entity=self.entity, code="ecn", name="ECN", kind="ecn")
        self.live = AccountGroup.objects.create(
            server=self.server, name="real\\ecn", currency="USD", account_type=self.type
        )
        self.policy = SwapFreePolicy.objects.create(
            name="Islamic", group=self.live, validity=DateTimeTZRange(LONG_AGO, None), grace_nights=5
        )
        self.open_break, self.accepted_break = self.difference(), self.difference("accepted")
        self.connect()


def footprint() -> dict[str, int]:
    """What a call that is refused must leave as it was."""
    counted = (
        AuditRecord, ChangeRequest, OutboxEvent, IdempotencyRecord, SwapMarkupRule, SymbolNameRule, Holiday, MarketCalendar,
        PriceSource, LiquidityProvider, AccountType, SwapFreePolicy,
    )  # fmt: skip
    return {model.__name__: model._default_manager.count() for model in counted}


def upload(
    caller: Caller, path: str, fields: dict[str, Any], file: bytes, *, field: str, name: str, key: str = ""
) -> Any:
    """POST of a file as a form."""
    headers = {"Authorization": f"Bearer {caller.text}"} | ({"Idempotency-Key": key} if key else {})
    return Browser().post(f"/api/v1/{path}", fields | {field: SimpleUploadedFile(name, file)}, headers=headers)
