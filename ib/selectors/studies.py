"""What came of a what-if study, by partner."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F, Sum

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from ib.engine import period_facts
from ib.models import Partner, WhatIfRow, WhatIfStudy
from ib.services.period_targets import last_business_day


@dataclass(frozen=True, slots=True)
class Gain:
    """All months of a partner in one currency. `weight` is the difference in the entity's currency, to compare by."""

    partner: Partner
    currency: str
    booked: Decimal
    then: Decimal
    weight: Decimal

    @property
    def difference(self) -> Decimal:
        """Gained (above zero) or lost."""
        return self.then - self.booked


def gains_of(*, study: WhatIfStudy, actor: Actor) -> list[Gain]:
    """Everybody of the study, whoever gains or loses most first."""
    rows = visible_to(WhatIfRow.objects.filter(study=study), actor).order_by()
    sums = rows.values_list("partner_id", "currency").annotate(
        is_now=Sum(F("booked_by_trade") + F("booked_by_period")), would_be=Sum(F("then_by_trade") + F("then_by_period"))
    )
    found = list(sums)
    partners = Partner.objects.in_bulk({partner_id for partner_id, *_ in found})
    day, into = min(last_business_day(study.to_period), clock.today_business_day()), study.entity.base_currency
    rates = period_facts.rates((day, currency, into) for _, currency, _, _ in found)
    gains = [
        Gain(partners[partner_id], currency, now, then, (then - now) * (rates[day, currency, into][0] or Decimal(0)))
        for partner_id, currency, now, then in found
    ]
    return sorted(gains, key=lambda gain: (-abs(gain.weight), -abs(gain.difference), gain.partner.reference))
