"""Swap-free policies: who pays no swap, for how long, what comes instead, and taking the freedom back after abuse."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import (
    AccountGroup,
    AccountType,
    SwapFreePolicy,
    SwapFreeRevocation,
    SymbolGroup,
    TradingAccount,
)
from platform_ops.permissions import MANAGE_SWAPS

MAXIMUM_GRACE = 366


@transaction.atomic
def set_swap_free_policy(
    *,
    name: str,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    valid_until: datetime | None = None,
    account_id: int | None = None,
    group_id: int | None = None,
    account_type_id: int | None = None,
    symbol_group_id: int | None = None,
    grace_nights: int = 0,
    after_grace: str = SwapFreePolicy.AfterGrace.FEE.value,
    fee_per_lot: Decimal = Decimal(0),
    fee_currency: str = "USD",
) -> SwapFreePolicy:
    """A new policy for one account, one group or one account type. Raises InvalidInput by field, Conflict where another
    policy speaks of the same at the same time."""
    authorise(actor, MANAGE_SWAPS)
    _say_why(reason)
    if not name.strip():
        raise InvalidInput("Give the policy a name.", field="name")
    if sum(subject is not None for subject in (account_id, group_id, account_type_id)) != 1:
        raise InvalidInput("Name one account, one group or one account type.", field="account")
    if valid_until is not None and valid_until <= valid_from:
        raise InvalidInput("A policy ends after it begins.", field="valid_until", value=valid_until.isoformat())
    if not 0 <= grace_nights <= MAXIMUM_GRACE:
        raise InvalidInput(f"0 to {MAXIMUM_GRACE} nights of grace.", field="grace_nights", value=grace_nights)
    if after_grace not in SwapFreePolicy.AfterGrace.values:
        raise InvalidInput("After the grace comes a fee, the swap, or the end.", field="after_grace", value=after_grace)
    currency = Currency.of(fee_currency)
    if not fee_per_lot.is_finite() or fee_per_lot < 0:
        raise InvalidInput("A fee is not below zero.", field="fee_per_lot", value=str(fee_per_lot))
    entity_id = _subject_entity(actor, account_id, group_id, account_type_id)
    if symbol_group_id is not None and not SymbolGroup.objects.filter(pk=symbol_group_id).exists():
        raise InvalidInput("No such symbol group.", field="symbol_group", value=symbol_group_id)
    try:
        with transaction.atomic():
            policy = SwapFreePolicy.objects.create(
                name=name.strip(),
                account_id=account_id,
                group_id=group_id,
                account_type_id=account_type_id,
                symbol_group_id=symbol_group_id,
                validity=DateTimeTZRange(valid_from, valid_until),
                grace_nights=grace_nights,
                after_grace=after_grace,
                fee_per_lot=fee_per_lot,
                fee_currency=currency.code,
            )
    except IntegrityError as error:
        if "platform_swapfree_no_overlap" not in str(error):
            raise
        raise Conflict(
            "Another policy speaks of the same accounts and symbols then.", code="policy_overlaps"
        ) from error
    audit.record(
        actor=actor,
        action="platform.set_swap_free_policy",
        target=policy,
        reason=reason,
        changes={"grace_nights": grace_nights, "after_grace": after_grace, "fee_per_lot": str(fee_per_lot)},
        entity_id=entity_id,
    )
    return policy


@transaction.atomic
def end_swap_free_policy(*, policy_id: int, at: datetime, actor: Actor, reason: str) -> SwapFreePolicy:
    """Ends a policy at a moment within its validity."""
    authorise(actor, MANAGE_SWAPS)
    _say_why(reason)
    policy = SwapFreePolicy.objects.select_for_update().filter(pk=policy_id).first()
    if policy is None:
        raise NotFound("No such policy.", policy_id=policy_id)
    _subject_entity(actor, policy.account_id, policy.group_id, policy.account_type_id)
    if policy.validity.upper is not None and policy.validity.upper <= at:
        return policy
    if policy.validity.lower is not None and at <= policy.validity.lower:
        raise InvalidInput("A policy ends after it begins.", field="at", value=at.isoformat())
    policy.validity = DateTimeTZRange(policy.validity.lower, at)
    policy.save(update_fields=["validity"])
    audit.record(
        actor=actor,
        action="platform.end_swap_free_policy",
        target=policy,
        reason=reason,
        changes={"at": at.isoformat()},
    )
    return policy


@transaction.atomic
def reapply_swaps(
    *, account_id: int, from_day: date, actor: Actor, reason: str, to_day: date | None = None
) -> SwapFreeRevocation:
    """Takes an account's freedom back for a time, because it was abused: its swaps of those days are due after all.

    What was computed already is corrected by the next rollover of each day, as a difference.
    """
    authorise(actor, MANAGE_SWAPS)
    _say_why(reason)
    account = get_visible(TradingAccount.objects.select_related("server"), actor, pk=account_id)
    if to_day is not None and to_day < from_day:
        raise InvalidInput("The last day is not before the first.", field="to_day", value=to_day.isoformat())
    revocation = SwapFreeRevocation.objects.create(
        account=account, from_day=from_day, to_day=to_day, reason=reason.strip(), decided_by=actor.label[:200]
    )
    audit.record(
        actor=actor,
        action="platform.reapply_swaps",
        target=account,
        reason=reason,
        changes={"from_day": from_day.isoformat(), "to_day": to_day.isoformat() if to_day else None},
        entity_id=account.server.entity_id,
    )
    return revocation


def _subject_entity(actor: Actor, account_id: int | None, group_id: int | None, account_type_id: int | None) -> int:
    """The legal entity of what the policy speaks of. Raises NotFound for what the actor does not see."""
    if account_id is not None:
        return int(get_visible(TradingAccount.objects.select_related("server"), actor, pk=account_id).server.entity_id)
    if group_id is not None:
        return int(get_visible(AccountGroup.objects.select_related("server"), actor, pk=group_id).server.entity_id)
    return int(get_visible(AccountType.objects.all(), actor, pk=account_type_id).entity_id)


def _say_why(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
