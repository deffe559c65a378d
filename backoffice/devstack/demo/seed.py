"""Writes the demo broker through the product's own use cases, step by step, saying what it does."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from backoffice.core.models import Brand, LegalEntity, Team, TeamMembership, User
from backoffice.core.services import users
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo import plans as demo_plans
from backoffice.devstack.demo.behaviour import AccountPlan
from backoffice.devstack.demo.catalogue import GROUPS, SYMBOLS
from backoffice.devstack.demo.world import SEED, DemoClient, World
from backoffice.devstack.logins import DEMO_LOGINS, DEMO_PASSWORD
from crm.services import clients as crm_clients
from ib.services import agreed_rates, referrals, tree
from ib.services import partners as ib_partners
from ib.services import plans as ib_plans
from ib.types import RuleTerms
from platform_ops.gateways.types import CalculationMode
from platform_ops.services import catalogue, dimensions

SERVERS = {
    "mt5": ("MT5-LIVE", "Northgate MT5 Live", "mt5"),
    "mt4": ("MT4-LIVE", "Northgate MT4 Live", "mt4"),
}
# Amount per lot in US dollars by level, for each symbol group; level 1 introduced the client.
CLIENTS_PER_REBATE = 25
PLANS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "standard": (
        "Standard rebate",
        {
            "majors": ("6.00", "1.50", "0.80", "0.40", "0.20"),
            "minors": ("7.00", "1.80", "0.90", "0.45", "0.20"),
            "exotics": ("9.00", "2.00", "1.00", "0.50", "0.25"),
            "metals": ("8.00", "2.00", "1.00", "0.50", "0.25"),
            "": ("2.00", "0.50", "0.25", "0.10", "0.05"),
        },
    ),
    "premium": (
        "Premium rebate",
        {
            "majors": ("8.00", "2.50", "1.20", "0.60", "0.30"),
            "minors": ("9.00", "2.70", "1.30", "0.65", "0.30"),
            "exotics": ("11.00", "3.00", "1.50", "0.75", "0.40"),
            "metals": ("10.00", "3.00", "1.50", "0.75", "0.40"),
            "": ("3.00", "0.80", "0.40", "0.20", "0.10"),
        },
    ),
}
BOOK_A_SHARE = 0.25


@dataclass
class Seeding:
    """What the seed has made so far, by the numbers and codes of the invented world."""

    world: World
    actor: Actor
    say: Callable[[str], None]
    entity: LegalEntity = field(init=False)
    brand: Brand = field(init=False)
    servers: dict[str, int] = field(default_factory=dict)
    groups: dict[tuple[str, str, bool], int] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=dict)
    symbol_groups: dict[str, int] = field(default_factory=dict)
    partners: dict[int, int] = field(default_factory=dict)
    clients: dict[int, int] = field(default_factory=dict)
    accounts: dict[tuple[str, str], int] = field(default_factory=dict)
    currencies: dict[str, dict[str, str]] = field(default_factory=lambda: {platform: {} for platform in SERVERS})

    @property
    def start(self) -> datetime:
        """When the broker opened: the start of the first business day."""
        return self.world.paths.start


def write_world(world: World, *, say: Callable[[str], None]) -> Seeding:
    """Writes organisation, people, catalogue, partners, clients and accounts; the trades come after it, day by day."""
    seeding = Seeding(world=world, actor=Actor.system("seed_demo"), say=say)
    say("the broker, its people and its catalogue")
    _organisation(seeding)
    _people(seeding)
    _catalogue(seeding)
    say(f"{len(world.partners)} partners and {len(world.clients)} clients")
    _plans(seeding)
    _partners(seeding)
    _clients(seeding)
    _link_partner_login(seeding)
    return seeding


def demo_secret(email: str) -> str:
    """The TOTP secret of a demo login: made from its address, so that an authenticator set up once goes on working."""
    return base64.b32encode(hashlib.sha256(f"demo:{email}".encode()).digest()[:20]).decode()


def _organisation(seeding: Seeding) -> None:
    seeding.entity = LegalEntity.objects.create(
        code="northgate-cy",
        name="Northgate Markets Ltd",
        country="CY",
        regulator="CySEC",
        licence_number="999/26 (invented)",
        base_currency="EUR",
    )
    seeding.brand = Brand.objects.create(
        entity=seeding.entity,
        code="northgate",
        name="Northgate",
        accent_colour="#1f4e79",
        support_email="support@northgate.example",
    )


def _people(seeding: Seeding) -> None:
    for login in DEMO_LOGINS:
        user = users.create_user(
            email=login.email,
            full_name=login.full_name,
            roles=[login.role],
            entity_codes=[seeding.entity.code],
            actor=seeding.actor,
            password=DEMO_PASSWORD,
        )
        if user.is_staff:
            users.set_up_one_time_codes(user_id=user.pk, actor=seeding.actor, secret=demo_secret(login.email))
    for name, role in (("Sales one", Role.SALES), ("Retention one", Role.RETENTION)):
        team = Team.objects.create(entity=seeding.entity, name=name)
        for user in User.objects.filter(roles__contains=[role]):
            TeamMembership.objects.create(team=team, user=user, is_lead=True)


def _catalogue(seeding: Seeding) -> None:
    for platform, (code, name, kind) in SERVERS.items():
        server = catalogue.register_server(
            entity_id=seeding.entity.pk, code=code, name=name, platform=kind, zone="EET_US", actor=seeding.actor
        )
        seeding.servers[platform] = server.pk
        for currency in ("USD", "EUR", "GBP", "JPY"):
            for is_ecn in (False, True):
                kind_name = "ECN" if is_ecn else "Standard"
                group = catalogue.register_account_group(
                    server_id=server.pk,
                    name=f"real\\{kind_name.lower()}-{currency.lower()}",
                    currency=currency,
                    account_type_code=kind_name.lower(),
                    account_type_name=kind_name,
                    actor=seeding.actor,
                )
                seeding.groups[platform, currency, is_ecn] = group.pk
    for demo in SYMBOLS:
        symbol = catalogue.register_symbol(
            code=demo.code,
            name=demo.name,
            asset_class=demo.asset_class,
            group_code=demo.group,
            group_name=GROUPS[demo.group],
            base_asset=demo.base_asset,
            profit_currency=demo.profit_currency,
            specification=catalogue.Specification(
                digits=demo.digits,
                contract_size=Decimal(demo.contract_size),
                pip_size=Decimal(demo.pip_size),
                calculation_mode=CalculationMode.FOREX if demo.is_forex else CalculationMode.CFD_LEVERAGE,
                margin_currency=demo.base_asset if demo.is_forex else demo.profit_currency,
                spread_points=Decimal(demo.spread_points),
                swap_long=Decimal(demo.swap_long_points),
                swap_short=Decimal(demo.swap_short_points),
                swap_multipliers=demo.swap_multipliers,
                margin_hedged=Decimal(demo.contract_size) / 2,
                quote_sessions=demo.trading_week,
                trade_sessions=demo.trading_week,
                leverage_maximum=demo.leverage_maximum,
            ),
            valid_from=seeding.start - timedelta(days=30),
            actor=seeding.actor,
        )
        seeding.symbols[demo.code] = symbol.pk
        seeding.symbol_groups[demo.group] = symbol.group_id


def _plans(seeding: Seeding) -> None:
    for code, (name, rates) in PLANS.items():
        plan = ib_plans.create_plan(entity_id=seeding.entity.pk, code=code, name=name, actor=seeding.actor)
        version = ib_plans.draft_version(plan_id=plan.pk, actor=seeding.actor)
        for group, amounts in rates.items():
            for level, amount in enumerate(amounts, start=1):
                ib_plans.add_rule(
                    version_id=version.pk,
                    terms=RuleTerms(
                        symbol_group_id=seeding.symbol_groups[group] if group else None,
                        level=level,
                        rate=Decimal(amount),
                        currency="USD",
                        pays_close_by=True,
                    ),
                    actor=seeding.actor,
                )
        ib_plans.publish_version(version_id=version.pk, valid_from=seeding.start, actor=seeding.actor)
        seeding.groups["plan", code, False] = plan.pk
    made = demo_plans.create_plans(entity_id=seeding.entity.pk, valid_from=seeding.start, actor=seeding.actor)
    for kind, plan_id in made.items():
        seeding.groups["plan", kind, False] = plan_id


def _partners(seeding: Seeding) -> None:
    for demo in seeding.world.partners:
        partner = ib_partners.register_partner(
            entity_id=seeding.entity.pk,
            brand_id=seeding.brand.pk,
            name=f"{demo.person.full_name} Partners",
            currency=demo.currency,
            email=demo.person.email,
            country=demo.person.country.code,
            actor=seeding.actor,
        )
        seeding.partners[demo.number] = partner.pk
        if demo.parent is not None:
            tree.place_partner(
                partner_id=partner.pk,
                parent_id=seeding.partners[demo.parent],
                valid_from=seeding.start,
                actor=seeding.actor,
            )
        ib_plans.sign_agreement(
            partner_id=partner.pk,
            plan_id=seeding.groups["plan", demo_plans.kind_of(demo.number) or demo.plan, False],
            valid_from=seeding.start,
            actor=seeding.actor,
        )
        if demo_plans.kind_of(demo.number) == "ranks":
            demo_plans.give_rank(
                partner_id=partner.pk, number=demo.number, valid_from=seeding.start, actor=seeding.actor
            )


def _clients(seeding: Seeding) -> None:
    teams = list(Team.objects.filter(entity=seeding.entity).order_by("pk"))
    source = random.Random(SEED + 1)  # noqa: S311 - a demo, not a secret
    # The demo's trader is the client who has been there longest, so that the portal has something to show.
    trader = User.objects.get(roles__contains=[Role.TRADER])
    oldest = min(seeding.world.clients, key=lambda client: client.registered_at)
    for demo in seeding.world.clients:
        team = teams[0] if demo.number % 3 else teams[1]
        owner = team.members.first()
        client = crm_clients.register_client(
            entity_id=seeding.entity.pk,
            brand_id=seeding.brand.pk,
            full_name=demo.person.full_name,
            email=demo.person.email,
            country=demo.person.country.code,
            language=demo.person.country.language,
            registered_at=demo.registered_at,
            owner_id=owner.pk if owner else None,
            team_id=team.pk,
            user_id=trader.pk if demo is oldest else None,
            stage="active",
            actor=seeding.actor,
        )
        seeding.clients[demo.number] = client.pk
        if demo.partner is not None:
            referrals.refer_client(
                client_id=client.pk,
                partner_id=seeding.partners[demo.partner],
                valid_from=demo.registered_at,
                actor=seeding.actor,
            )
            # Some clients get a part of what their introducer earns back, out of the introducer's share.
            if demo.number % CLIENTS_PER_REBATE == 0:
                agreed_rates.grant_rebate(
                    client_id=client.pk,
                    introducer_id=seeding.partners[demo.partner],
                    percent=demo_plans.REBATE,
                    valid_from=demo.registered_at,
                    actor=seeding.actor,
                    reason="agreed with the introducer",
                )
        for plan in demo.accounts:
            _open_account(seeding, demo, plan, source)


def _open_account(seeding: Seeding, client: DemoClient, plan: AccountPlan, source: random.Random) -> None:
    account = catalogue.open_account(
        server_id=seeding.servers[plan.platform],
        login=plan.login,
        client_id=seeding.clients[client.number],
        group_id=seeding.groups[plan.platform, plan.currency, plan.is_ecn],
        name=client.person.full_name,
        leverage=30 if client.person.country.currency == "EUR" else 200,
        opened_at=plan.active_from - timedelta(hours=1),
        actor=seeding.actor,
    )
    seeding.accounts[plan.platform, plan.login] = account.pk
    seeding.currencies[plan.platform][plan.login] = plan.currency
    dimensions.set_dimension(
        account_id=account.pk,
        dimension="book",
        value="A" if source.random() < BOOK_A_SHARE else "B",
        valid_from=account.opened_at,
        actor=seeding.actor,
    )


def _link_partner_login(seeding: Seeding) -> None:
    """The demo's IB is the partner at the head of the deepest branch."""
    user = User.objects.get(roles__contains=[Role.IB])
    ib_partners.link_partner_login(partner_id=seeding.partners[1], user_id=user.pk, actor=seeding.actor)
