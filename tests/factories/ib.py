"""Partners, trees and plans for tests, made through the desk's own use cases; and the rates they convert at."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backoffice.core.models import Brand, LegalEntity
from crm.models import Client
from ib.models import CommissionLine, Partner, Plan
from ib.services import partners, plans, referrals, tree
from ib.types import RuleTerms, VersionTerms
from platform_ops.models import FxReferenceRate, ServerSymbol, Symbol, SymbolGroup, TradingAccount, TradingServer
from tests.factories import platform
from tests.factories.platform import SYSTEM, number

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def make_partner(
    brand: Brand, *, currency: str = "USD", parent: Partner | None = None, since: datetime = LONG_AGO, **fields: object
) -> Partner:
    """A partner of the brand's entity, under a parent if one is given."""
    name = f"Partner {number()}"
    partner = partners.register_partner(
        **{
            "entity_id": brand.entity_id,
            "brand_id": brand.pk,
            "name": name,
            "currency": currency,
            "actor": SYSTEM,
            **fields,
        }
    )
    if parent is not None:
        tree.place_partner(partner_id=partner.pk, parent_id=parent.pk, valid_from=since, actor=SYSTEM)
    return partner


def make_plan(
    entity: LegalEntity,
    *rules: tuple[SymbolGroup | None, int, str, str],
    since: datetime = LONG_AGO,
    code: str = "",
) -> Plan:
    """A published plan; a rule is (symbol group or None for all, level, amount per lot, currency)."""
    code = code or f"plan-{number()}"
    plan = plans.create_plan(entity_id=entity.pk, code=code, name=code, actor=SYSTEM)
    publish(plan, *rules, since=since)
    return plan


def publish(plan: Plan, *rules: tuple[SymbolGroup | None, int, str, str], since: datetime) -> None:
    """Publishes a version of the plan with exactly these rules."""
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    for rule in list(draft.rules.all()):
        plans.remove_rule(rule_id=rule.pk, actor=SYSTEM)
    for group, level, amount, currency in rules:
        plans.add_rule(
            version_id=draft.pk,
            terms=RuleTerms(
                symbol_group_id=group.pk if group else None,
                level=level,
                rate=Decimal(amount),
                currency=currency,
                pays_close_by=True,
            ),
            actor=SYSTEM,
        )
    plans.publish_version(version_id=draft.pk, valid_from=since, actor=SYSTEM)


def publish_terms(
    plan: Plan,
    *rules: RuleTerms,
    since: datetime = LONG_AGO,
    money: VersionTerms | None = None,
    ranks: tuple[str, ...] = (),
) -> None:
    """Publishes a version of the plan with exactly these rules, which say everything themselves."""
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    for rule in list(draft.rules.all()):
        plans.remove_rule(rule_id=rule.pk, actor=SYSTEM)
    if money is not None:
        plans.set_version_terms(version_id=draft.pk, terms=money, actor=SYSTEM)
    for code in ranks:
        plans.add_rank(version_id=draft.pk, code=code, name=code, actor=SYSTEM)
    for terms in rules:
        plans.add_rule(version_id=draft.pk, terms=terms, actor=SYSTEM)
    plans.publish_version(version_id=draft.pk, valid_from=since, actor=SYSTEM)


def make_plan_of(
    entity: LegalEntity, *rules: RuleTerms, money: VersionTerms | None = None, ranks: tuple[str, ...] = ()
) -> Plan:
    """A published plan of rules that say everything themselves."""
    code = f"plan-{number()}"
    plan = plans.create_plan(entity_id=entity.pk, code=code, name=code, actor=SYSTEM)
    publish_terms(plan, *rules, money=money, ranks=ranks)
    return plan


def sign(partner: Partner, plan: Plan, *, since: datetime = LONG_AGO) -> None:
    """Binds the partner to the plan."""
    plans.sign_agreement(partner_id=partner.pk, plan_id=plan.pk, valid_from=since, actor=SYSTEM)


def refer(client: Client, partner: Partner, *, since: datetime = LONG_AGO) -> None:
    """Makes the partner the client's introducer."""
    referrals.refer_client(client_id=client.pk, partner_id=partner.pk, valid_from=since, actor=SYSTEM)


def quote(day: date, **per_euro: str) -> None:
    """Reference rates of a day: units per euro, such as `USD="1.0834"`."""
    for currency, rate in per_euro.items():
        FxReferenceRate.objects.create(date=day, currency=currency, per_euro=Decimal(rate))


class Broker:
    """A small broker: an entity, a server, two symbol groups with a symbol each, and a plan that pays three levels."""

    def __init__(self) -> None:
        self.brand = platform.make_brand()
        self.entity = self.brand.entity
        self.server: TradingServer = platform.make_server(self.entity)
        self.majors = platform.make_symbol_group(name="Majors")
        self.metals = platform.make_symbol_group(name="Metals")
        self.eurusd = self.map(
            "EURUSD", platform.make_symbol(f"E{number()}USD", group=self.majors, profit_currency="USD")
        )
        self.gold = self.map(
            "XAUUSD", platform.make_symbol(f"X{number()}USD", group=self.metals, profit_currency="USD")
        )
        self.plan = make_plan(
            self.entity,
            (None, 1, "7", "USD"),
            (None, 2, "2", "USD"),
            (None, 3, "1", "USD"),
            (self.metals, 1, "10", "USD"),
        )

    def map(self, name: str, symbol: Symbol | None) -> ServerSymbol:
        """A symbol of the server."""
        return ServerSymbol.objects.create(server=self.server, name=name, symbol=symbol)

    def partner(self, *, parent: Partner | None = None, currency: str = "USD", plan: Plan | None = None) -> Partner:
        """A partner with an agreement on the broker's plan."""
        partner = make_partner(self.brand, currency=currency, parent=parent)
        sign(partner, plan or self.plan)
        return partner

    def client_of(self, partner: Partner | None) -> TradingAccount:
        """An account of a new client whom the partner introduced."""
        client = platform.make_client(self.brand)
        if partner is not None:
            refer(client, partner)
        return platform.make_account(self.server, client=client)


def booked(partner: Partner) -> Decimal:
    """The sum of the partner's lines."""
    return sum(CommissionLine.objects.filter(partner_id=partner.pk).values_list("amount", flat=True), Decimal(0))


def after(day: date, hours: int = 0) -> datetime:
    """A moment at the start of a calendar day in UTC, some hours on."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)
