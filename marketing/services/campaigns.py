"""Campaigns and the accounts that they brought."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.apps import apps
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from marketing import rules
from marketing.models import Campaign
from marketing.selectors import DIMENSION
from platform_ops.services.dimensions import set_dimension


def create_campaign(
    *,
    brand_id: int,
    code: str,
    name: str,
    starts_on: date,
    actor: Actor,
    channel: str = "",
    ends_on: date | None = None,
) -> Campaign:
    """A campaign of a brand, under a code that no other campaign has.

    Raises `InvalidInput` for a code or dates that cannot be, `NotFound` for a brand of another entity, `Conflict` for a
    code that is taken.
    """
    authorise(actor, "marketing.create_campaign")
    code = rules.checked_code(code)
    if not name.strip():
        raise InvalidInput("A campaign needs a name.", field="name")
    rules.check_dates(starts_on=starts_on, ends_on=ends_on)
    brand = Brand.objects.filter(pk=brand_id).first()
    if brand is None or not (actor.is_system or brand.entity_id in actor.entity_ids):
        raise NotFound("No such brand, or it is not yours.", brand_id=brand_id)
    with transaction.atomic():
        campaign, is_new = Campaign.objects.get_or_create(
            code=code,
            defaults={
                "entity_id": brand.entity_id,
                "brand": brand,
                "name": name.strip(),
                "channel": channel.strip(),
                "starts_on": starts_on,
                "ends_on": ends_on,
            },
        )
        if not is_new:
            raise Conflict(f"The code {code} is taken.", code="campaign_code_taken", field="code", value=code)
        audit.record(actor=actor, action="marketing.create_campaign", target=campaign, changes={"code": code})
    return campaign


def attribute_account(
    *, campaign_id: int, account_id: int, valid_from: datetime, actor: Actor, reason: str = ""
) -> Any:
    """Says that an account came by a campaign, from a moment on; every report can group by it from there.

    Another campaign of the account ends at that moment; repeating the same changes nothing. Raises `NotFound` for a
    campaign or an account of another entity, `InvalidInput` for a moment at which the campaign does not run.
    """
    authorise(actor, "marketing.attribute_account")
    campaign = get_visible(Campaign.objects.all(), actor, pk=campaign_id)
    accounts = apps.get_model("platform_ops", "TradingAccount")
    account = accounts.objects.filter(pk=account_id, server__entity_id=campaign.entity_id).first()
    if account is None:
        raise NotFound("No such trading account, or it is of another entity.", account_id=account_id)
    day = business_day_of(valid_from)
    if not rules.is_running(starts_on=campaign.starts_on, ends_on=campaign.ends_on, day=day):
        raise InvalidInput(f"The campaign {campaign.code} does not run on {day}.", field="valid_from", value=str(day))
    return set_dimension(
        account_id=account_id,
        dimension=DIMENSION,
        value=campaign.code,
        valid_from=valid_from,
        actor=actor,
        reason=reason or f"Campaign {campaign.code}",
    )
