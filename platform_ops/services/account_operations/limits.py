"""How much one person may move alone, and why a second one is needed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from platform_ops.account_permissions import SET_OPERATION_LIMITS
from platform_ops.models import OperationLimit, ServerOperation, TradingAccount
from platform_ops.rules.operations import OperationKind, OperationState, reasons_for_approval
from platform_ops.services.account_operations.common import checked_reason


def limit_of(*, entity_id: int, currency: str) -> tuple[Decimal, Decimal]:
    """What one person may move at a time and in a day; nothing where no limit was set. Cents follow their own currency."""
    code = Currency.of(currency)
    limits = {
        limit.currency: limit
        for limit in OperationLimit.objects.filter(entity=entity_id, currency__in=[code.code, code.parent.code])
    }
    if code.code in limits:
        return limits[code.code].alone_up_to, limits[code.code].alone_per_day
    if code.parent.code in limits:
        limit = limits[code.parent.code]
        return limit.alone_up_to * code.per_parent, limit.alone_per_day * code.per_parent
    return Decimal(0), Decimal(0)


def why_approval_is_needed(*, account: TradingAccount, amount: Decimal, actor: Actor) -> list[str]:
    """The reasons for a second person; none for jobs of the system, whose desks approve by their own rules, and on demo."""
    if actor.is_system or account.is_demo:
        return []
    alone_up_to, alone_per_day = limit_of(entity_id=account.server.entity_id, currency=account.currency)
    return reasons_for_approval(
        amount=amount,
        alone_up_to=alone_up_to,
        alone_per_day=alone_per_day,
        alone_today=_moved_alone_today(account, actor),
    )


def _moved_alone_today(account: TradingAccount, actor: Actor) -> Decimal:
    """Sizes of what the person moved in this currency of this entity today, without anybody's approval."""
    start, end = day_bounds(clock.today_business_day())
    moved: dict[str, Any] = (
        ServerOperation.objects.filter(
            made_by_user=actor.user_id,
            entity=account.server.entity_id,
            currency=account.currency,
            kind=OperationKind.MOVE_MONEY.value,
            change_request__isnull=True,
            requested_at__gte=start,
            requested_at__lt=end,
            account__is_demo=False,
        )
        .exclude(state__in=[OperationState.REFUSED.value, OperationState.CANCELLED.value])
        .aggregate(total=Sum(Abs("amount")))
    )
    return moved["total"] or Decimal(0)


@transaction.atomic
def set_operation_limit(
    *, entity_id: int, currency: str, alone_up_to: Decimal, alone_per_day: Decimal, actor: Actor, reason: str
) -> OperationLimit:
    """Says how much one person may move alone. Raises InvalidInput for amounts that are out of order."""
    authorise(actor, SET_OPERATION_LIMITS)
    why = checked_reason(reason)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    code = Currency.of(currency)
    for name, amount in (("alone_up_to", alone_up_to), ("alone_per_day", alone_per_day)):
        if not amount.is_finite() or amount < 0 or amount != round(amount, code.digits):
            raise InvalidInput("A limit is an amount of the currency, not below zero.", field=name, value=str(amount))
    if alone_per_day < alone_up_to:
        raise InvalidInput("The limit of a day is not below that of one operation.", field="alone_per_day")
    known = OperationLimit.objects.select_for_update().filter(entity=entity, currency=code.code).first()
    before = None if known is None else [known.alone_up_to, known.alone_per_day]
    limit, _ = OperationLimit.objects.update_or_create(
        entity=entity, currency=code.code, defaults={"alone_up_to": alone_up_to, "alone_per_day": alone_per_day}
    )
    audit.record(
        actor=actor,
        action="platform.set_operation_limit",
        target=limit,
        reason=why,
        changes={"limit": [before, [alone_up_to, alone_per_day]], "currency": code.code},
        entity_id=entity.pk,
    )
    return limit
