"""Partners paid by the period, for tests: plans with such rules, facts about clients, and trades that bring revenue."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from crm.models import Client
from ib.models import ClientEvent, CpaClaim, Partner, PeriodLine, Plan, PlanRule, PlanTier, PlanVersion
from ib.services import plans
from ib.services.client_events import ClientFact, record_client_event
from ib.services.periods import settle_due
from platform_ops.models import TradingAccount
from tests.factories import ib, platform
from tests.factories.platform import SYSTEM, number

MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)


def rule(basis: str, rate: str, *, tiers: tuple[tuple[str, str], ...] = (), **fields: Any) -> dict[str, Any]:
    """A rule by the period, as columns; figures are given as text."""
    return {"basis": basis, "rate": rate, "tiers": tiers, **fields}


def make_period_plan(
    brand: Any, *rules: dict[str, Any], since: datetime = ib.LONG_AGO, plan: Plan | None = None, **version: Any
) -> Plan:
    """A published plan with rules by the period; *version* is its money policy."""
    code = f"period-{number()}"
    plan = plan or plans.create_plan(entity_id=brand.entity_id, code=code, name=code, actor=SYSTEM)
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    PlanRule.objects.filter(version=draft).delete()
    if version:
        PlanVersion.objects.filter(pk=draft.pk).update(**version)
    for position, given in enumerate(rules):
        columns = dict(given)
        tiers = columns.pop("tiers")
        made = PlanRule.objects.create(
            **{"version": draft, "component": given["basis"], "position": position, "currency": "", **_figures(columns)}
        )
        for from_value, rate in tiers:
            PlanTier.objects.create(rule=made, from_value=Decimal(from_value), rate=Decimal(rate))
    plans.publish_version(version_id=draft.pk, valid_from=since, actor=SYSTEM)
    return plan


def _figures(columns: dict[str, Any]) -> dict[str, Any]:
    figures = {"rate", "minimum_deposit", "minimum_lots_total", "minimum_revenue", "base_cap", "minimum_amount"}
    return {name: Decimal(given) if name in figures else given for name, given in columns.items()}


def tell(
    client: Client | int,
    kind: str,
    amount: str | None = None,
    *,
    at: datetime,
    currency: str = "USD",
    reference: str = "",
    **more: Any,
) -> ClientEvent:
    """A fact about a client, from another system."""
    fact = ClientFact(
        client_id=client if isinstance(client, int) else client.pk,
        kind=kind,
        at=at,
        source="payments",
        reference=reference or f"ref-{number()}",
        amount=None if amount is None else Decimal(amount),
        currency="" if amount is None else currency,
        **more,
    )
    return record_client_event(fact=fact, actor=SYSTEM)


class House:
    """A broker with one server, whose clients trade in the B-book."""

    def __init__(self) -> None:
        self.broker = ib.Broker()
        self.brand = self.broker.brand

    def partner(
        self, plan: Plan | None, *, parent: Partner | None = None, currency: str = "USD", since: datetime = ib.LONG_AGO
    ) -> Partner:
        """A partner on a plan."""
        partner = ib.make_partner(self.brand, parent=parent, currency=currency)
        if plan is not None:
            ib.sign(partner, plan, since=since)
        return partner

    def client_of(self, partner: Partner | None, *, book: str = "B") -> TradingAccount:
        """An account of a new client whom the partner introduced."""
        account = self.broker.client_of(partner)
        if book:
            platform.put_in_book(account, book, start=datetime(2020, 1, 1, tzinfo=UTC))
        return account

    def loses(self, account: TradingAccount, amount: str, day: date, *, lots: str = "1") -> Any:
        """The client loses (or, below zero, wins) money on a trade of a day."""
        return platform.make_trade(
            account, day=day, profit=str(-Decimal(amount)), lots=lots, server_symbol=self.broker.eurusd
        )


def settle() -> int:
    """Settles whoever is due; how many lines that wrote. Who waits is told by an error of the test."""
    results = settle_due(actor=SYSTEM)
    assert [result.waiting for result in results if result.waiting] == []
    return sum(result.lines for result in results)


def earned(partner: Partner, period: date | None = None, kind: str = "") -> Decimal:
    """What was booked for a partner, in all or of a period and kind."""
    lines = PeriodLine.objects.filter(partner=partner)
    if period is not None:
        lines = lines.filter(period=period)
    if kind:
        lines = lines.filter(kind=kind)
    return sum((line.amount for line in lines), Decimal(0))


def claim_of(account: TradingAccount) -> CpaClaim:
    """How far the account's client is on the way to a reward."""
    return CpaClaim.objects.get(client_id=account.client_id)
