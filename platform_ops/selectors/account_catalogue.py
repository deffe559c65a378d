"""What the catalogue offers to whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.apps import apps

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from platform_ops.models import AccountOffer, AccountType, TradingAccount

CLASS_FACT = "class"
DEFAULT_CLASS = "retail"


def class_of_client(*, client_id: int) -> str:
    """The client's class (`retail`, `professional`, …) as compliance wrote it down; retail while nobody has."""
    facts = apps.get_model("crm", "ClientFact")._default_manager.filter(client_id=client_id, fact=CLASS_FACT)
    value = facts.values_list("value", flat=True).first()
    return value if isinstance(value, str) and value else DEFAULT_CLASS


def leverage_allowed(account_type: AccountType, client_class: str) -> list[int]:
    """The leverages of a type that the class may have, lowest first."""
    most = account_type.leverage_by_class.get(client_class)
    return sorted(choice for choice in account_type.leverage_choices if most is None or choice <= int(most))


def offers_open_to(*, client_id: int, entity_id: int, is_demo: bool) -> list[AccountOffer]:
    """What a client of a legal entity may open."""
    client_class = class_of_client(client_id=client_id)
    offers = AccountOffer.objects.filter(
        account_type__entity=entity_id,
        account_type__is_offered=True,
        **{f"{'demo' if is_demo else 'live'}_group__isnull": False},
    ).select_related("account_type", "demo_group__server", "live_group__server")
    return [
        offer
        for offer in offers
        if not offer.account_type.client_classes or client_class in offer.account_type.client_classes
    ]


def offer_of_account(account: TradingAccount) -> AccountOffer | None:
    """The offer under which an account stands; None for one that no catalogue names."""
    if account.account_type_id is None:
        return None
    return AccountOffer.objects.filter(account_type=account.account_type_id, currency=account.currency).first()


def minimum_deposit(account: TradingAccount) -> Decimal:
    """What a first deposit on the account must bring at least, in its currency."""
    offer = offer_of_account(account)
    return offer.minimum_deposit if offer is not None and not account.is_demo else Decimal(0)


def catalogue(*, actor: Actor, entity_id: int | None = None) -> Any:
    """The offers that the actor may see."""
    offers = visible_to(AccountOffer.objects.all(), actor).select_related(
        "account_type__entity", "demo_group__server", "live_group__server"
    )
    return offers if entity_id is None else offers.filter(account_type__entity=entity_id)
