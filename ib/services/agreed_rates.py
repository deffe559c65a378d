"""What stands beside a plan: the rank that a partner holds, a rate agreed on, and the rebate of a client.

A rate agreed on is paid out of the rate of the partner above and never exceeds it, whatever is written here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from ib.models import NegotiatedRate, Partner, PartnerRank, PlanRank
from ib.services.partners import locked_partner, register_partner
from ib.services.rank_rows import rank_at, write_automatic, write_by_hand
from ib.services.ranks import PARTNER_RANK
from ib.services.referrals import refer_client
from ib.services.tree import place_partner
from ib.services.validity import check_moment, cut_off, from_on

HIGHEST_RATE = Decimal(1_000_000)
AGREED_RATE = "ib.agreed_rate"
"""The kind of change request by which the desk agrees on a rate."""
BEGINS_NOW = timedelta(days=1)
"""A form names a day: what begins today is no past."""


@transaction.atomic
def give_rank(
    *,
    partner_id: int,
    rank: str,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    until: datetime | None = None,
    is_automatic: bool = False,
    approval: Any = None,
) -> PartnerRank | None:
    """The partner holds a rank from a moment on, until an end if one is given.

    By hand it goes before what the plan's conditions say, which stands again after its end. A time that has begun was
    paid already: for it a person needs *approval*, the change request that carries this out. Raises InvalidInput, naming
    the field, for a rank that the plan does not have, Denied (`approval_needed`).
    """
    moments = {"valid_from": valid_from.isoformat(), "until": until.isoformat() if until is not None else None}
    check_moment(valid_from)
    if approval is not None:
        changes.require_approved(approval, kind=PARTNER_RANK, partner_id=partner_id, rank=rank, **moments)
    else:
        authorise(actor, "ib.manage_partners")
        if not actor.is_system and valid_from < clock.now() - BEGINS_NOW:
            raise Denied("A time that has begun needs a change request that another approves.", code="approval_needed")
    check_rank(partner_id=partner_id, rank=rank, valid_from=valid_from, until=until, is_automatic=is_automatic)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    partner = locked_partner(partner_id, actor)
    if is_automatic:
        replaced = write_automatic(
            partner_id=partner.pk, rank=rank.strip(), start=valid_from, end=until, reason=reason.strip()
        )
    else:
        replaced = write_by_hand(
            partner_id=partner.pk, rank=rank.strip(), start=valid_from, until=until, reason=reason.strip()
        )
    audit.record(
        actor=actor,
        action="ib.give_rank",
        target=partner,
        reason=reason,
        changes={"rank": rank.strip(), **moments, "replaced": replaced},
        entity_id=partner.entity_id,
    )
    return rank_at(partner.pk, valid_from)


def check_rank(
    *, partner_id: int, rank: str, valid_from: datetime, until: datetime | None, is_automatic: bool = False
) -> None:
    """Raises InvalidInput, naming the field, for a time that ends before it begins and a rank that nobody knows."""
    if not rank.strip() and not is_automatic:
        raise InvalidInput("Say which rank.", field="rank")
    if until is not None:
        check_moment(until, field="until")
        if until <= valid_from:
            raise InvalidInput("The rank ends before it begins.", field="until", value=until.isoformat())
    known = PlanRank.objects.filter(
        version__plan__agreements__partner_id=partner_id,
        version__plan__agreements__validity__contains=valid_from,
        version__state="published",
        version__validity__contains=valid_from,
    )
    codes = set(known.values_list("code", flat=True))
    if codes and rank.strip() and rank.strip() not in codes:
        raise InvalidInput("The partner's plan has no rank of that code.", field="rank", value=rank)


@transaction.atomic
def agree_rate(
    *,
    partner_id: int,
    valid_from: datetime,
    actor: Actor,
    rate: Decimal | None = None,
    allocation_percent: Decimal | None = None,
    component: str = "main",
    set_by_id: int | None = None,
    reason: str = "",
    approval: Any = None,
) -> NegotiatedRate:
    """The partner gets a rate, or percent of the rate above, instead of the plan's, from a moment on.

    A person of the desk needs *approval*, the change request that carries this out. Raises InvalidInput, naming the field,
    Denied (`approval_needed`).
    """
    check_moment(valid_from)
    check_agreed(rate=rate, allocation_percent=allocation_percent)
    if approval is not None:
        changes.require_approved(
            approval, kind=AGREED_RATE, partner_id=partner_id, component=component, valid_from=valid_from.isoformat()
        )
    else:
        authorise(actor, "ib.manage_partners")
        if not actor.is_system:
            raise Denied("An agreed rate needs a change request that another approves.", code="approval_needed")
    partner = locked_partner(partner_id, actor)
    if set_by_id is not None:
        get_visible(Partner.objects.all(), actor, pk=set_by_id)
    return write_agreed_rate(
        partner=partner,
        valid_from=valid_from,
        actor=actor,
        rate=rate,
        allocation_percent=allocation_percent,
        component=component,
        set_by_id=set_by_id,
        reason=reason,
    )


def check_agreed(*, rate: Decimal | None, allocation_percent: Decimal | None) -> None:
    """Raises InvalidInput, naming the field, unless it is a rate or a part of the rate above, within bounds."""
    if (rate is None) == (allocation_percent is None):
        raise InvalidInput("Agree on a rate or on a part of the rate above.", field="rate")
    if rate is not None and not 0 <= exact_decimal(rate, field="rate") <= HIGHEST_RATE:
        raise InvalidInput("The rate is out of bounds.", field="rate", value=str(rate))
    if allocation_percent is not None and not 0 <= exact_decimal(allocation_percent) <= 100:
        raise InvalidInput("Percent, from 0 to 100.", field="allocation_percent", value=str(allocation_percent))


def write_agreed_rate(
    *,
    partner: Partner,
    valid_from: datetime,
    actor: Actor,
    rate: Decimal | None,
    allocation_percent: Decimal | None,
    component: str,
    set_by_id: int | None,
    reason: str,
) -> NegotiatedRate:
    """Writes what was agreed on and checked. In the caller's transaction, with the partner locked."""
    removed = cut_off(NegotiatedRate.objects.filter(partner=partner, component=component), valid_from)
    row = NegotiatedRate.objects.create(
        partner=partner,
        component=component,
        rate=rate,
        allocation_percent=allocation_percent,
        set_by_id=set_by_id,
        validity=from_on(valid_from),
    )
    audit.record(
        actor=actor,
        action="ib.agree_rate",
        target=partner,
        reason=reason,
        changes={
            "component": component,
            "rate": str(rate) if rate is not None else f"{allocation_percent} %",
            "set_by": row.set_by.reference if row.set_by is not None else "the desk",
            "valid_from": valid_from.isoformat(),
            "replaced": removed,
        },
        entity_id=partner.entity_id,
    )
    return row


@transaction.atomic
def grant_rebate(
    *,
    client_id: int,
    introducer_id: int,
    percent: Decimal,
    valid_from: datetime,
    actor: Actor,
    component: str = "main",
    reason: str = "",
) -> Partner:
    """A client gets percent of what the introducer earns on its trades: a node below the introducer, from a moment on."""
    authorise(actor, "ib.manage_partners")
    introducer = get_visible(Partner.objects.all(), actor, pk=introducer_id)
    client = get_visible(apps.get_model("crm", "Client")._default_manager.all(), actor, pk=client_id)
    if Partner.objects.filter(client_id=client_id, kind=Partner.Kind.TRADER).exists():
        raise Conflict("The client has a rebate; agree on another rate of it.", code="rebate_exists", client=client_id)
    trader = register_partner(
        entity_id=introducer.entity_id,
        brand_id=introducer.brand_id,
        name=str(client),
        currency=introducer.currency,
        actor=actor,
        kind=Partner.Kind.TRADER,
        client_id=client_id,
    )
    place_partner(partner_id=trader.pk, parent_id=introducer.pk, valid_from=valid_from, actor=actor, reason=reason)
    refer_client(client_id=client_id, partner_id=trader.pk, valid_from=valid_from, actor=actor, reason=reason)
    check_agreed(rate=None, allocation_percent=percent)
    write_agreed_rate(
        partner=trader,
        valid_from=valid_from,
        actor=actor,
        rate=None,
        allocation_percent=percent,
        component=component,
        set_by_id=introducer.pk,
        reason=reason,
    )
    return trader
