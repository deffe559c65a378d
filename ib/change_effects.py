"""What changes of the set-up have in common: the days that are settled again, and their effect as people read it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backoffice.core.changes.kinds import Impact
from backoffice.core.models import Job
from backoffice.core.types import Actor
from ib.models import Partner, RateCardVersion
from ib.rules import money_text
from ib.services.card import compile_rate_card
from ib.services.shards import RESETTLE_DAY
from ib.services.what_if import WhatIf

SETTLER = Actor.system("ib.changes")


def settle_again() -> dict[str, Any]:
    """Compiles the rate card and enqueues the days that the change touches, in the transaction of the change."""
    active = RateCardVersion.objects.filter(is_active=True).values_list("pk", flat=True).first()
    card = compile_rate_card(actor=SETTLER)
    days: list[str] = []
    if card.pk != active:
        waiting = Job.objects.filter(kind=RESETTLE_DAY, payload__cause=f"card:{card.pk}").order_by("pk")
        days = sorted({job.payload["day"] for job in waiting})
    return {"rate_card": card.pk, "days_settled_again": days}


def card_problems(outcome: dict[str, Any]) -> list[str]:
    if RateCardVersion.objects.filter(pk=outcome["rate_card"]).exists():
        return []
    return ["The rate card was not compiled."]


def impact_of(found: WhatIf, what: str) -> Impact:
    """The comparison in words and as a table, who gains or loses most first."""
    again = {(effect.partner_id, effect.currency): effect.difference for effect in found.booked_again}
    tried = {(effect.partner_id, effect.currency): effect for effect in found.effects}
    keys = [key for key in {**tried, **again} if key in again or tried[key].difference]
    names = {partner.pk: str(partner) for partner in Partner.objects.filter(pk__in=[key[0] for key in keys])}
    rows, gains, losses, sums = [], 0, 0, dict[str, Decimal]()
    for key in sorted(keys, key=lambda key: (-abs(tried[key].difference if key in tried else Decimal(0)), key)):
        partner_id, currency = key
        effect = tried.get(key)
        now, then = (effect.now, effect.then) if effect else (Decimal(0), Decimal(0))
        gains, losses = gains + (then > now), losses + (then < now)
        sums[currency] = sums.get(currency, Decimal(0)) + then - now
        rows.append(
            {
                "Partner": names.get(partner_id, str(partner_id)),
                "Currency": currency,
                "Earned": money_text(now, currency),
                "Would have earned": money_text(then, currency),
                "Difference": money_text(then - now, currency),
                "Booked again": money_text(again.get(key, Decimal(0)), currency),
            }
        )
    summary = (
        f"On the trades of the last {found.days} business days (since {found.first_day:%Y-%m-%d}), by {what}"
        f" {gains} {'partner' if gains == 1 else 'partners'} would have earned more and {losses} less."
    )
    if found.days_again:
        summary += (
            f" It begins in the past: {found.days_again} days are settled again, and only differences are booked."
        )
    figures: dict[str, Any] = {
        "Business days tried": found.days,
        "Partners who gain": gains,
        "Partners who lose": losses,
    }
    figures |= {f"Difference, {currency}": money_text(amount, currency) for currency, amount in sorted(sums.items())}
    booked = dict[str, Decimal]()
    for effect in found.booked_again:
        booked[effect.currency] = booked.get(effect.currency, Decimal(0)) + effect.difference
    figures |= {
        f"Booked again, {currency}": money_text(amount, currency) for currency, amount in sorted(booked.items())
    }
    figures["Days settled again"] = found.days_again
    return Impact(summary, rows, figures)
