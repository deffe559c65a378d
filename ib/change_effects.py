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
from ib.services.what_if import PartnerEffect, WhatIf

ZERO = Decimal(0)
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


Key = tuple[int, str]


def impact_of(found: WhatIf, what: str) -> Impact:
    """The comparison in words and as a table, who gains or loses most first; what is booked again by month too."""
    again, tried = _by_partner(found.booked_again), _by_partner(found.effects)
    keys = [key for key in {**tried, **again} if key in again or tried[key][0] != tried[key][1]]
    names = {partner.pk: str(partner) for partner in Partner.objects.filter(pk__in=[key[0] for key in keys])}
    months = sorted({effect.month for effect in found.booked_again})
    monthly = {(item.partner_id, item.currency, item.month): item.difference for item in found.booked_again}
    rows = []
    gains = losses = 0
    for key in sorted(keys, key=lambda key: (-abs(_gain(tried, key)), key)):
        partner_id, currency = key
        now, then = tried.get(key, (ZERO, ZERO))
        gains, losses = gains + (then > now), losses + (then < now)
        row = {
            "Partner": names.get(partner_id, str(partner_id)),
            "Currency": currency,
            "Earned": money_text(now, currency),
            "Would have earned": money_text(then, currency),
            "Difference": money_text(then - now, currency),
            "Booked again": money_text(_gain(again, key), currency),
        }
        if len(months) > 1:
            row |= {
                f"Booked again, {month:%Y-%m}": money_text(monthly.get((*key, month), ZERO), currency)
                for month in months
            }
        rows.append(row)
    summary = (
        f"On the trades of the last {found.days} business days (since {found.first_day:%Y-%m-%d}), and on what the last"
        f" month earned by the period, by {what}"
        f" {gains} {'partner' if gains == 1 else 'partners'} would have earned more and {losses} less."
    )
    if found.days_again:
        summary += (
            f" It begins in the past: {found.days_again} days are settled again, and only differences are booked."
        )
    if found.left_out:
        summary += (
            f" What {found.left_out:,} partners earn by the period is too much to value here and is not in it:"
            " try it as a what-if study first."
        )
    figures: dict[str, Any] = {
        "Business days tried": found.days,
        "Partners who gain": gains,
        "Partners who lose": losses,
    }
    figures |= {f"Difference, {currency}": text for currency, text in _totals(tried)}
    figures |= {f"Booked again, {currency}": text for currency, text in _totals(again)}
    figures["Days settled again"] = found.days_again
    return Impact(summary, rows, figures)


def _by_partner(effects: list[PartnerEffect]) -> dict[Key, tuple[Decimal, Decimal]]:
    """Now and then of each partner and currency, all months together."""
    sums: dict[Key, tuple[Decimal, Decimal]] = {}
    for effect in effects:
        now, then = sums.get((effect.partner_id, effect.currency), (ZERO, ZERO))
        sums[effect.partner_id, effect.currency] = now + effect.now, then + effect.then
    return sums


def _gain(sums: dict[Key, tuple[Decimal, Decimal]], key: Key) -> Decimal:
    now, then = sums.get(key, (ZERO, ZERO))
    return then - now


def _totals(sums: dict[Key, tuple[Decimal, Decimal]]) -> list[tuple[str, str]]:
    """By currency what all together gain, as text; currencies in which nothing differs are left out."""
    totals: dict[str, Decimal] = {}
    for (_, currency), (now, then) in sums.items():
        if now != then or currency in totals:
            totals[currency] = totals.get(currency, ZERO) + then - now
    return [(currency, money_text(totals[currency], currency)) for currency in sorted(totals)]
