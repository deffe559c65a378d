"""What a partner gives to those directly below, out of the own rate: seen before it is set, and never more than is there.

How a rate is shared is what `rules.rates` says of the chain, so the example is what a settlement pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.apps import apps
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.decimals import round_decimal
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from ib.engine.card.chains import chain_at
from ib.locks import limit_waiting, lock_partner
from ib.models import NegotiatedRate, Partner, PartnerEdge
from ib.rules import plain
from ib.rules.rates import Earning, Negotiated, Node, TradeClass, chain_rates
from ib.rules.sentences import AMOUNTS, MEASURES
from ib.services.agreed_rates import check_agreed, write_agreed_rate

CAPABILITY = "ib.set_sub_partner_rates"
LONGEST_CHAIN = 100
SHOWN_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class SharedRate:
    """How the own rate on a symbol group is shared with a sub-partner; `unit` says of what it is, such as "USD per lot"."""

    symbol_group: str
    component: str
    unit: str
    whole: Decimal
    theirs: Decimal
    own: Decimal

    @property
    def whole_text(self) -> str:
        """The own rate."""
        return plain(self.whole)

    @property
    def theirs_text(self) -> str:
        """What they get."""
        return plain(self.theirs)

    @property
    def own_text(self) -> str:
        """What is left."""
        return plain(self.own)

    @property
    def sentence(self) -> str:
        """In words: "of 10 USD per lot: 7 to IB-0007, 3 to you"."""
        return f"Of {plain(self.whole)} {self.unit}: {plain(self.theirs)} to them, {plain(self.own)} to you"


@transaction.atomic
def set_sub_partner_rate(
    *,
    partner_id: int,
    actor: Actor,
    rate: Decimal | None = None,
    allocation_percent: Decimal | None = None,
    component: str = "main",
    reason: str = "",
) -> NegotiatedRate:
    """The actor's partner gives somebody directly below a rate, or a part of the own rate, from now on.

    Raises NotFound for somebody who does not stand directly below, Conflict (`agreed_with_the_desk`) where the desk
    agreed on a rate, InvalidInput, naming the field, for more than the own rate.
    """
    authorise(actor, CAPABILITY)
    own = _own_partner(actor.user_id)
    check_agreed(rate=rate, allocation_percent=allocation_percent)
    limit_waiting()
    # Both are held, in one order for everybody, so that the own rate is the same until it is written.
    for locked_id in sorted((own.pk, partner_id)):
        lock_partner(locked_id)
    now = clock.now()
    child = direct_child(own=own, partner_id=partner_id, at=now)
    if own.status != Partner.Status.ACTIVE:
        raise Conflict("Your account is not active: rates stay as they are.", code="partner_not_active")
    standing = rate_in_force(child, component, now)
    if standing is not None and standing.set_by_id != own.pk:
        raise Conflict(
            "This rate was agreed on by your broker; ask your partner manager to change it.",
            code="agreed_with_the_desk",
        )
    check_sub_partner_rate(
        own=own, child=child, at=now, component=component, rate=rate, allocation_percent=allocation_percent
    )
    return write_agreed_rate(
        partner=child,
        valid_from=now,
        actor=actor,
        rate=rate,
        allocation_percent=allocation_percent,
        component=component,
        set_by_id=own.pk,
        reason=reason,
    )


def _own_partner(user_id: int | None) -> Partner:
    """The partner of a login. Raises Denied for a login without one."""
    partner = Partner.objects.filter(user_id=user_id).first() if user_id else None
    if partner is None:
        raise Denied("This login belongs to no partner.", code="no_partner")
    return partner


def direct_child(*, own: Partner, partner_id: int, at: datetime) -> Partner:
    """Somebody who stands directly below at the moment. Raises NotFound."""
    edge = (
        PartnerEdge.objects.filter(parent=own, child_id=partner_id, validity__contains=at)
        .select_related("child")
        .first()
    )
    if edge is None:
        raise NotFound("Nobody of that number stands directly below you.", partner_id=partner_id)
    return edge.child


def rate_in_force(partner: Partner, component: str, at: datetime) -> NegotiatedRate | None:
    """What was agreed with a partner at a moment."""
    return NegotiatedRate.objects.filter(partner=partner, component=component, validity__contains=at).first()


def shared_rates(
    *,
    own: Partner,
    child: Partner,
    at: datetime,
    component: str = "main",
    rate: Decimal | None = None,
    allocation_percent: Decimal | None = None,
    is_proposed: bool = True,
) -> list[SharedRate]:
    """How the own rate is shared on each symbol group, with what is proposed or (not *is_proposed*) as it stands."""
    chain = chain_at([child.pk, own.pk, *above(own, at)], at, is_own=False)
    below = chain[0]
    if is_proposed:
        others = tuple(item for item in below.negotiated if item.component != component)
        below = replace(below, negotiated=(*others, Negotiated(component, rate, allocation_percent)))
    # Without anybody below who takes a part, all of the own rate is left.
    alone = [Node(is_trader=below.is_trader), *chain[1:]]
    rows = []
    for name, trade in _classes():
        whole = _earned(alone, trade, 1, component)
        if whole is None:
            continue
        shared = [below, *chain[1:]]
        theirs, mine = (_earned(shared, trade, index, component) for index in (0, 1))
        rows.append(
            SharedRate(
                symbol_group=name,
                component=component,
                unit=_unit(whole),
                whole=round_decimal(whole.rate, SHOWN_DECIMALS).normalize(),
                theirs=_rate(theirs),
                own=_rate(mine),
            )
        )
    return rows


def components_of(*, own: Partner, child: Partner, at: datetime) -> list[str]:
    """The parts of the own plan of which something can be given."""
    chain = chain_at([child.pk, own.pk, *above(own, at)], at, is_own=False)
    alone = [Node(is_trader=chain[0].is_trader), *chain[1:]]
    found = {item.component for _, trade in _classes() for item in chain_rates(alone, trade) if item.index == 1}
    return sorted(found, key=lambda name: (name != "main", name))


def check_sub_partner_rate(
    *,
    own: Partner,
    child: Partner,
    at: datetime,
    component: str,
    rate: Decimal | None,
    allocation_percent: Decimal | None,
) -> None:
    """Raises InvalidInput, naming the field, for a rate that says nothing or exceeds the own one."""
    check_agreed(rate=rate, allocation_percent=allocation_percent)
    whole = [
        row.whole
        for row in shared_rates(
            own=own, child=child, at=at, component=component, rate=rate, allocation_percent=allocation_percent
        )
    ]
    if not whole:
        raise InvalidInput("You earn nothing of this kind that could be shared.", field="component", value=component)
    if rate is not None and rate > max(whole):
        raise InvalidInput(
            f"Your own rate is {plain(max(whole))}: you cannot give more.",
            field="rate",
            value=str(rate),
            ceiling=plain(max(whole)),
        )


def _earned(chain: Sequence[Node], trade: TradeClass, index: int, component: str) -> Earning | None:
    found = (item for item in chain_rates(chain, trade) if item.index == index and item.component == component)
    return next(found, None)


def _rate(earning: Earning | None) -> Decimal:
    return round_decimal(earning.rate, SHOWN_DECIMALS).normalize() if earning is not None else Decimal(0)


def _unit(earning: Earning) -> str:
    basis, currency = earning.terms.basis, earning.terms.currency
    if basis in MEASURES:
        return f"% of {MEASURES[basis]}"
    if basis == "points":
        return "points"
    return f"{currency} {AMOUNTS[basis]}".strip()


def above(partner: Partner, at: datetime) -> list[int]:
    """Who stands above at the moment, from below up; a circle that tampering made is cut."""
    found: list[int] = []
    current: int | None = partner.pk
    while current is not None and len(found) < LONGEST_CHAIN:
        edge = PartnerEdge.objects.filter(child_id=current, validity__contains=at).values_list("parent_id", flat=True)
        current = edge.first()
        if current is None or current in found or current == partner.pk:
            break
        found.append(current)
    return found


def _classes() -> list[tuple[str, TradeClass]]:
    groups = apps.get_model("platform_ops", "SymbolGroup")._default_manager.order_by("name")
    return [(group.name, TradeClass(0, group.pk)) for group in groups]


def visible_child(*, actor: Actor, reference: str) -> Partner:
    """Somebody directly below the actor's partner, by reference. Raises NotFound."""
    own = _own_partner(actor.user_id)
    child = get_visible(Partner.objects.all(), actor, reference=reference)
    return direct_child(own=own, partner_id=child.pk, at=clock.now())
