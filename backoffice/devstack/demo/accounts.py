"""The demo broker's account catalogue, the limits of one person, and two price complaints that wait."""

from __future__ import annotations

from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.types import Actor
from backoffice.devstack.demo.seed import SERVERS, Seeding
from platform_ops.models import AccountGroup, PriceComplaint, Trade, TradingServer
from platform_ops.services import catalogue
from platform_ops.services.account_catalogue import TypeTerms, define_account_type, define_offer, mark_demo_group
from platform_ops.services.account_operations import set_operation_limit
from platform_ops.services.complaints import open_complaint

SYSTEM = Actor.system("demo")
LEVERAGES = (30, 100, 200, 500)
BY_CLASS = {"retail": 30, "professional": 500}
TYPES = {
    "standard": TypeTerms(
        name="Standard", kind="standard", leverage_choices=LEVERAGES, leverage_by_class=BY_CLASS,
        commission_text="No commission", mark_up_text="Spreads from 1.0 pip",
    ),
    "ecn": TypeTerms(
        name="ECN", kind="ecn", leverage_choices=LEVERAGES, leverage_by_class=BY_CLASS,
        commission_text="3.50 a lot and side", mark_up_text="Spreads from 0.1 pips",
    ),
    "cent": TypeTerms(
        name="Cent", kind="cent", leverage_choices=LEVERAGES, leverage_by_class=BY_CLASS,
        commission_text="No commission", mark_up_text="Amounts in cents: 100 USC is 1 dollar",
    ),
    "islamic": TypeTerms(
        name="Islamic", kind="islamic", leverage_choices=LEVERAGES, leverage_by_class=BY_CLASS, is_swap_free=True,
        commission_text="Administration fee after the grace days", mark_up_text="Spreads from 1.2 pips",
    ),
}  # fmt: skip
MINIMA = {("standard", "USD"): "100", ("standard", "EUR"): "100", ("ecn", "USD"): "1000", ("ecn", "EUR"): "1000",
          ("cent", "USC"): "1000", ("islamic", "USD"): "100"}  # fmt: skip
LIMITS = {"USD": ("2000", "10000"), "EUR": ("2000", "10000"), "GBP": ("1500", "8000"), "JPY": ("250000", "1000000")}


def write_accounts(seeding: Seeding) -> None:
    """What accounts are offered, and what one person may move alone."""
    seeding.say("the account catalogue")
    server = TradingServer.objects.get(code=SERVERS["mt5"][0])
    for code, terms in TYPES.items():
        account_type = define_account_type(entity_id=server.entity_id, code=code, terms=terms, actor=SYSTEM)
        for (of_type, currency), minimum in MINIMA.items():
            if of_type != code:
                continue
            live = _group(server, f"real\\{code}-{currency.lower()}", currency, code, terms.name)
            demo = _group(server, f"demo\\{code}-{currency.lower()}", currency, code, terms.name)
            mark_demo_group(group_id=demo.pk, is_demo=True, actor=SYSTEM)
            define_offer(
                account_type_id=account_type.pk, currency=currency, live_group_id=live.pk, demo_group_id=demo.pk,
                minimum_deposit=Decimal(minimum), demo_balance=Decimal(10_000), actor=SYSTEM,
            )  # fmt: skip
    for currency, (once, a_day) in LIMITS.items():
        set_operation_limit(
            entity_id=server.entity_id, currency=currency, alone_up_to=Decimal(once), alone_per_day=Decimal(a_day),
            actor=SYSTEM, reason="House rule of the demo broker",
        )  # fmt: skip
    _complaints(server)


def _group(server: TradingServer, name: str, currency: str, code: str, type_name: str) -> AccountGroup:
    return catalogue.register_account_group(
        server_id=server.pk, name=name, currency=currency, account_type_code=code, account_type_name=type_name,
        actor=SYSTEM,
    )  # fmt: skip


def _complaints(server: TradingServer) -> None:
    """One from the portal's own trader, one taken in by the dealing desk."""
    if PriceComplaint.objects.exists():
        return
    lost = Trade.objects.filter(server=server, is_cancelled=False, profit__lt=0, open_price__isnull=False)
    trader = User.objects.filter(email="trader@demo.example").first()
    mine = Trade.objects.filter(account__client__user=trader, is_cancelled=False, open_price__isnull=False)
    own = mine.order_by("profit").first() if trader else None
    if trader is not None and own is not None:
        open_complaint(
            trade_id=own.pk, disputed="closing", claimed_price=None, actor=actor_of_user(trader),
            claim="My stop was hit by a price that I cannot find on any other chart.",
        )  # fmt: skip
    other = lost.exclude(account__client__user=trader).order_by("-closed_at").first()
    dealer = User.objects.filter(email="dealing@demo.example").first()
    if other is not None and dealer is not None:
        open_complaint(
            trade_id=other.pk, disputed="opening", claimed_price=None, actor=actor_of_user(dealer),
            claim="By phone: the order was filled far from the price on the screen.",
        )  # fmt: skip
