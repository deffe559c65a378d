"""The catalogue of accounts: what is offered, in which currency and group, to whom, from which deposit and with what leverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.services.entities import require_permitted_currency
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import AccountGroup, AccountOffer, AccountType
from platform_ops.permissions import MANAGE_CATALOGUE

LARGEST_LEVERAGE = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeTerms:
    """What an account type is; see `AccountType` for the meaning of each field."""

    name: str
    kind: str
    leverage_choices: Sequence[int]
    leverage_by_class: Mapping[str, int] = field(default_factory=dict)
    client_classes: Sequence[str] = ()
    is_swap_free: bool = False
    commission_text: str = ""
    mark_up_text: str = ""
    is_offered: bool = True


@transaction.atomic
def define_account_type(*, entity_id: int, code: str, terms: TypeTerms, actor: Actor, reason: str = "") -> AccountType:
    """Makes an account type, or brings it to these terms. Accounts that exist keep their leverage.

    Raises InvalidInput for terms that cannot be: no leverage, an Islamic account with swaps, an unknown kind.
    """
    authorise(actor, MANAGE_CATALOGUE)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if terms.kind not in AccountType.Kind.values:
        raise InvalidInput("There is no such kind of account.", field="kind", value=terms.kind)
    choices = sorted(set(terms.leverage_choices))
    if (terms.is_offered and not choices) or any(not 1 <= choice <= LARGEST_LEVERAGE for choice in choices):
        raise InvalidInput(f"Leverage is 1 to {LARGEST_LEVERAGE}, and there is at least one.", field="leverage_choices")
    if any(not 1 <= most <= LARGEST_LEVERAGE for most in terms.leverage_by_class.values()):
        raise InvalidInput(f"Leverage is 1 to {LARGEST_LEVERAGE}.", field="leverage_by_class")
    if terms.kind == AccountType.Kind.ISLAMIC and not terms.is_swap_free:
        raise InvalidInput("An Islamic account is swap-free.", field="is_swap_free")
    values = {
        "name": terms.name,
        "kind": terms.kind,
        "is_swap_free": terms.is_swap_free,
        "leverage_choices": choices,
        "leverage_by_class": dict(terms.leverage_by_class),
        "client_classes": list(terms.client_classes),
        "commission_text": terms.commission_text,
        "mark_up_text": terms.mark_up_text,
        "is_offered": terms.is_offered,
    }
    standing = AccountType.objects.select_for_update(of=("self",)).filter(entity=entity, code=code).first()
    before = {name: getattr(standing, name) for name in values} if standing else None
    account_type, is_new = AccountType.objects.update_or_create(entity=entity, code=code, defaults=values)
    audit.record(
        actor=actor,
        action="platform.define_account_type",
        target=account_type,
        reason=reason,
        changes={"is_new": is_new, "before": before, **values},
        entity_id=entity.pk,
    )
    return account_type


@transaction.atomic
def define_offer(
    *,
    account_type_id: int,
    currency: str,
    actor: Actor,
    live_group_id: int | None = None,
    demo_group_id: int | None = None,
    minimum_deposit: Decimal = Decimal(0),
    demo_balance: Decimal = Decimal(0),
    reason: str = "",
) -> AccountOffer:
    """Offers a type in a currency, by the groups in which its accounts are opened; or changes the offer.

    Raises Conflict for a group of another currency, entity or side (demo, live), InvalidInput for amounts finer than the
    currency or below zero.
    """
    authorise(actor, MANAGE_CATALOGUE)
    account_type = get_visible(AccountType.objects.all(), actor, pk=account_type_id)
    code = Currency.of(currency)
    require_permitted_currency(entity_id=account_type.entity_id, currency=code.code)
    for name, amount in (("minimum_deposit", minimum_deposit), ("demo_balance", demo_balance)):
        if not amount.is_finite() or amount < 0 or amount != round(amount, code.digits):
            raise InvalidInput("An amount of the currency, not below zero.", field=name, value=str(amount))
    groups: dict[str, AccountGroup | None] = {}
    for name, group_id, is_demo in (("live_group", live_group_id, False), ("demo_group", demo_group_id, True)):
        if group_id is None:
            groups[name] = None
            continue
        group = get_visible(AccountGroup.objects.select_related("server"), actor, pk=group_id)
        if group.server.entity_id != account_type.entity_id:
            raise Conflict("The group belongs to another legal entity.", code="other_entity", field=name)
        if group.currency != code.code:
            raise Conflict(f"The group is kept in {group.currency}.", code="other_currency", field=name)
        if group.is_demo != is_demo:
            raise Conflict("Demo and live groups do not mix.", code="demo_and_live", field=name)
        groups[name] = group
    if not any(groups.values()):
        raise InvalidInput("Name a live or a demo group.", field="live_group")
    standing = (
        AccountOffer.objects.select_for_update(of=("self",))
        .select_related("live_group", "demo_group")
        .filter(account_type=account_type, currency=code.code)
        .first()
    )
    before = _written(standing) if standing else None
    offer, is_new = AccountOffer.objects.update_or_create(
        account_type=account_type,
        currency=code.code,
        defaults={**groups, "minimum_deposit": minimum_deposit, "demo_balance": demo_balance},
    )
    audit.record(
        actor=actor,
        action="platform.define_account_offer",
        target=offer,
        reason=reason,
        changes={"is_new": is_new, "before": before, **_written(offer)},
        entity_id=account_type.entity_id,
    )
    return offer


def _written(offer: AccountOffer) -> dict[str, object]:
    """An offer as the audit keeps it."""
    return {
        "minimum_deposit": offer.minimum_deposit,
        "demo_balance": offer.demo_balance,
        "groups": {"live_group": str(offer.live_group), "demo_group": str(offer.demo_group)},
    }


@transaction.atomic
def mark_demo_group(*, group_id: int, is_demo: bool, actor: Actor) -> AccountGroup:
    """Says whether a group holds demo accounts. Raises Conflict for one that has accounts of the other side."""
    authorise(actor, MANAGE_CATALOGUE)
    group = get_visible(AccountGroup.objects.select_related("server"), actor, pk=group_id)
    if group.accounts.exclude(is_demo=is_demo).exists():
        raise Conflict("The group has accounts already.", code="group_in_use")
    if group.is_demo != is_demo:
        group.is_demo = is_demo
        group.save(update_fields=["is_demo"])
        audit.record(
            actor=actor, action="platform.mark_demo_group", target=group, changes={"is_demo": [not is_demo, is_demo]},
            entity_id=group.server.entity_id,
        )  # fmt: skip
    return group
