"""What stands beside a plan: the rank that a partner holds, a rate agreed on, and the rebate of a client.

A rate agreed on is paid out of the rate of the partner above and never exceeds it, whatever is written here.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.apps import apps
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.models import NegotiatedRate, Partner, PartnerRank
from ib.services.partners import locked_partner, register_partner
from ib.services.referrals import refer_client
from ib.services.tree import place_partner
from ib.services.validity import check_moment, cut_off, from_on

HIGHEST_RATE = Decimal(1_000_000)


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
) -> PartnerRank:
    """The partner holds a rank from a moment on, until an end if one is given; an earlier rank ends then."""
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    if not rank.strip() or not reason.strip():
        raise InvalidInput("Say which rank, and why.", field="reason")
    if until is not None and until <= valid_from:
        raise InvalidInput("The rank ends before it begins.", field="until", value=until.isoformat())
    partner = locked_partner(partner_id, actor)
    removed = cut_off(PartnerRank.objects.filter(partner=partner), valid_from)
    row = PartnerRank.objects.create(
        partner=partner,
        rank=rank.strip(),
        validity=DateTimeTZRange(valid_from, until),
        source=PartnerRank.Source.AUTOMATIC if is_automatic else PartnerRank.Source.MANUAL,
        reason=reason.strip(),
    )
    audit.record(
        actor=actor,
        action="ib.give_rank",
        target=partner,
        reason=reason,
        changes={"rank": row.rank, "valid_from": valid_from.isoformat(), "replaced": removed},
    )
    return row


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
) -> NegotiatedRate:
    """The partner gets a rate, or percent of the rate above, instead of the plan's, from a moment on."""
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    if (rate is None) == (allocation_percent is None):
        raise InvalidInput("Agree on a rate or on a part of the rate above.", field="rate")
    if rate is not None and not 0 <= exact_decimal(rate, field="rate") <= HIGHEST_RATE:
        raise InvalidInput("The rate is out of bounds.", field="rate", value=str(rate))
    if allocation_percent is not None and not 0 <= exact_decimal(allocation_percent) <= 100:
        raise InvalidInput("Percent, from 0 to 100.", field="allocation_percent", value=str(allocation_percent))
    partner = locked_partner(partner_id, actor)
    if set_by_id is not None:
        get_visible(Partner.objects.all(), actor, pk=set_by_id)
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
            "valid_from": valid_from.isoformat(),
            "replaced": removed,
        },
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
    agree_rate(
        partner_id=trader.pk,
        valid_from=valid_from,
        actor=actor,
        allocation_percent=percent,
        component=component,
        set_by_id=introducer.pk,
        reason=reason,
    )
    return trader
