"""From where the data centre is looked at: one partner and everybody below, or all partners of a legal entity.

Partners look from their own place and see clients whom they introduced themselves; of clients of partners below they see
sums. Staff look from any partner of their legal entities, or from the whole house.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from ib.models import Partner
from ib.rules.masking import NameDisplay
from ib.selectors.partners import own_partner
from ib.services.name_policies import display_of

VIEW = "ib.view_commissions"
LONGEST_DAYS = 400
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Who looks, and at what. `partner` is None for the whole house; `is_own` when partners look at themselves."""

    actor: Actor
    entity: LegalEntity
    partner: Partner | None
    is_own: bool
    display: NameDisplay

    @property
    def currency(self) -> str:
        """In which money is summed: the partner's, or the house's base currency."""
        return self.partner.currency if self.partner is not None else self.entity.base_currency

    @property
    def parameters(self) -> dict[str, Any]:
        """For the statements of the data centre."""
        return {
            "partner": self.partner.pk if self.partner is not None else None,
            "entity": self.entity.pk,
            "view_currency": self.currency,
        }


class Dimension(StrEnum):
    """By what figures are broken down."""

    DAY = "day"
    MONTH = "month"
    LEVEL = "level"
    COUNTRY = "country"
    CAMPAIGN = "campaign"
    SYMBOL_GROUP = "symbol_group"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which business days, both counted, and what is left out. Empty leaves nothing out."""

    from_day: date
    to_day: date
    level: int | None = None
    country: str = ""
    campaign: str = ""
    symbol_group_id: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= (self.to_day - self.from_day).days <= LONGEST_DAYS:
            raise InvalidInput(f"From the first day to a later one, at most {LONGEST_DAYS} days on.", field="to_day")

    @property
    def before(self) -> tuple[date, date]:
        """As many days, just before these."""
        length = (self.to_day - self.from_day) + timedelta(days=1)
        return self.from_day - length, self.from_day - timedelta(days=1)

    @property
    def parameters(self) -> dict[str, Any]:
        """For the statements of the data centre."""
        return {
            "from": self.from_day,
            "to": self.to_day,
            "level": self.level,
            "country": self.country,
            "campaign": self.campaign,
            "symbol_group": self.symbol_group_id,
        }


def last_days(days: int = DEFAULT_DAYS, *, until: date | None = None) -> tuple[date, date]:
    """The first and the last of so many days."""
    last = until or clock.today_business_day()
    return last - timedelta(days=days - 1), last


def own_viewpoint(*, actor: Actor) -> Viewpoint:
    """The place of the actor's own partner. Raises NotFound for everybody who is none."""
    partner = own_partner(actor=actor)
    return Viewpoint(actor, partner.entity, partner, True, display_of(entity_id=partner.entity_id))


def staff_viewpoint(*, actor: Actor, partner: str = "", entity_id: int | None = None) -> Viewpoint:
    """A partner's place by its reference, or the house: the named one, else the first that the actor sees."""
    authorise(actor, VIEW)
    if partner.strip():
        found = get_visible(Partner.objects.select_related("entity"), actor, reference=partner.strip().upper())
        return Viewpoint(actor, found.entity, found, False, display_of(entity_id=found.entity_id))
    houses = visible_to(LegalEntity.objects.all(), actor)
    house = get_visible(houses, actor, pk=entity_id) if entity_id else houses.order_by("pk").first()
    if house is None:
        raise NotFound("There is no legal entity that you see.")
    return Viewpoint(actor, house, None, False, display_of(entity_id=house.pk))
