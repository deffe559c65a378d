"""Dividends: proposed by one person, approved by another, adjusted by the rollover before the ex-date."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.models import DividendEvent, Symbol
from platform_ops.permissions import APPROVE_DIVIDENDS, MANAGE_SWAPS
from platform_ops.rules.swaps import MAX_VALUE, VALUE_DECIMALS


@transaction.atomic
def propose_dividend(
    *,
    symbol_id: int,
    ex_date: date,
    amount_long: Decimal,
    actor: Actor,
    amount_short: Decimal | None = None,
    unit: str = DividendEvent.Unit.PRICE.value,
    note: str = "",
) -> DividendEvent:
    """A dividend that waits for another person. Without *amount_short* a short position loses what a long one gains.

    Raises InvalidInput by field, Conflict where the symbol's dividend of that ex-date stands already.
    """
    authorise(actor, MANAGE_SWAPS)
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    if not is_business_day(ex_date):
        raise InvalidInput(f"{symbol} cannot go ex on a week-end.", field="ex_date", value=ex_date.isoformat())
    if unit not in DividendEvent.Unit.values:
        raise InvalidInput("A dividend is a price or stated as the swap.", field="unit", value=unit)
    short = -amount_long if amount_short is None else amount_short
    for name, amount in (("amount_long", amount_long), ("amount_short", short)):
        if not amount.is_finite() or abs(amount) > MAX_VALUE or -int(amount.as_tuple().exponent) > VALUE_DECIMALS:
            raise InvalidInput(f"{amount} is no dividend.", field=name, value=str(amount))
    if not amount_long and not short:
        raise InvalidInput("A dividend of nothing.", field="amount_long", value="0")
    try:
        with transaction.atomic():
            event = DividendEvent.objects.create(
                symbol=symbol,
                ex_date=ex_date,
                unit=unit,
                amount_long=amount_long,
                amount_short=short,
                note=note.strip()[:200],
                proposed_by=actor.label[:200],
                proposed_by_id=actor.user_id,
            )
    except IntegrityError as error:
        if "platform_dividend_unique" not in str(error):
            raise
        raise Conflict(f"{symbol} has a dividend of {ex_date} already.", code="dividend_exists") from error
    audit.record(actor=actor, action="platform.propose_dividend", target=event, changes=_facts(event))
    return event


def approve_dividend(*, event_id: int, actor: Actor, reason: str) -> DividendEvent:
    """Approves a dividend; who proposed it may not. Days computed already are corrected by their next rollover."""
    return _decide(event_id=event_id, state=DividendEvent.State.APPROVED, actor=actor, reason=reason)


def reject_dividend(*, event_id: int, actor: Actor, reason: str) -> DividendEvent:
    """Rejects a dividend, also one approved before: its adjustment is then taken back by the next rollover of that day."""
    return _decide(event_id=event_id, state=DividendEvent.State.REJECTED, actor=actor, reason=reason)


@transaction.atomic
def _decide(*, event_id: int, state: str, actor: Actor, reason: str) -> DividendEvent:
    authorise(actor, APPROVE_DIVIDENDS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    event = DividendEvent.objects.select_for_update(of=("self",)).select_related("symbol").filter(pk=event_id).first()
    if event is None:
        raise NotFound("No such dividend.", event_id=event_id)
    if event.state == state:
        return event
    if event.state == DividendEvent.State.REJECTED:
        raise Conflict("It was rejected; propose it anew.", code="dividend_rejected")
    if not actor.is_system and event.proposed_by_id == actor.user_id:
        raise Denied("Another person decides about a dividend.", code="own_proposal")
    event.state, event.decided_by, event.decided_at = state, actor.label[:200], clock.now()
    event.save(update_fields=["state", "decided_by", "decided_at"])
    action = "platform.approve_dividend" if state == DividendEvent.State.APPROVED else "platform.reject_dividend"
    audit.record(actor=actor, action=action, target=event, reason=reason, changes=_facts(event))
    return event


def _facts(event: DividendEvent) -> dict[str, str]:
    return {
        "symbol": event.symbol.code,
        "ex_date": event.ex_date.isoformat(),
        "unit": event.unit,
        "long": str(event.amount_long),
        "short": str(event.amount_short),
    }
