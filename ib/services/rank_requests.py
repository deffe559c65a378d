"""Asking for what another person approves about one partner: a rank for a time that has begun, a rate of the desk."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from ib.models import Partner
from ib.rules import plain
from ib.services.agreed_rates import AGREED_RATE, BEGINS_NOW, check_agreed, check_rank, give_rank
from ib.services.ranks import ask_for_rank
from ib.services.validity import check_moment


def give_or_request_rank(
    *,
    partner_id: int,
    rank: str,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    until: datetime | None = None,
    submit: bool = True,
) -> ChangeRequest | None:
    """Gives a rank by hand at once (None); for a time that has begun, a change request for it."""
    if valid_from >= clock.now() - BEGINS_NOW:
        give_rank(partner_id=partner_id, rank=rank, valid_from=valid_from, until=until, actor=actor, reason=reason)
        return None
    return request_rank(
        partner_id=partner_id,
        rank=rank,
        valid_from=valid_from,
        until=until,
        actor=actor,
        reason=reason,
        submit=submit,
    )


def request_rank(
    *,
    partner_id: int,
    rank: str,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    until: datetime | None = None,
    submit: bool = True,
) -> ChangeRequest:
    """A change request for a rank by hand, handed in at once unless *submit* is False. Raises as `draft_change` does."""
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    partner = get_visible(Partner.objects.all(), actor, pk=partner_id)
    check_rank(partner_id=partner.pk, rank=rank, valid_from=valid_from, until=until)
    change = ask_for_rank(
        partner=partner,
        rank=rank,
        valid_from=valid_from,
        until=until,
        is_automatic=False,
        reason=reason,
        actor=actor,
        submit=submit,
    )
    assert change is not None, "by hand it is always asked"
    return change


def request_rate(
    *,
    partner_id: int,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    rate: Decimal | None = None,
    allocation_percent: Decimal | None = None,
    component: str = "main",
    submit: bool = True,
) -> ChangeRequest:
    """A change request for a rate that the desk agrees on with a partner. Raises as `draft_change` does."""
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    partner = get_visible(Partner.objects.all(), actor, pk=partner_id)
    check_agreed(rate=rate, allocation_percent=allocation_percent)
    payload = {
        "partner_id": partner.pk,
        "component": component,
        "rate": plain(rate) if rate is not None else None,
        "allocation_percent": plain(allocation_percent) if allocation_percent is not None else None,
        "valid_from": valid_from.isoformat(),
    }
    change = changes.draft_change(
        kind=AGREED_RATE, payload=payload, actor=actor, reason=reason, entity_id=partner.entity_id, target=partner
    )
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change
