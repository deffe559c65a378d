"""A chain of partners as of a moment: what rates depended on when a trade was closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ib.engine.card.snapshot import rate_rule
from ib.models import Agreement, NegotiatedRate, Partner, PartnerRank, PlanVersion
from ib.rules.rates import Negotiated, Node, VersionRules
from ib.rules.terms import TRADE_BASES


def chain_at(path: Sequence[int], at: datetime, *, is_own: bool) -> list[Node]:
    """The partners of a path, from the direct one up, with the plans, ranks and agreed rates that held at the moment."""
    kinds = dict(Partner.objects.filter(pk__in=path).values_list("pk", "kind"))
    nodes = []
    for index, partner_id in enumerate(path):
        rank = PartnerRank.objects.filter(partner_id=partner_id, validity__contains=at).first()
        agreed = NegotiatedRate.objects.filter(partner_id=partner_id, validity__contains=at).order_by("component")
        nodes.append(
            Node(
                version=_version_at(partner_id, at),
                rank=rank.rank if rank is not None else "",
                is_trader=kinds.get(partner_id) == Partner.Kind.TRADER,
                is_own=is_own and index == 0,
                negotiated=tuple(Negotiated(item.component, item.rate, item.allocation_percent) for item in agreed),
            )
        )
    return nodes


def _version_at(partner_id: int, at: datetime) -> VersionRules | None:
    agreement = Agreement.objects.filter(partner_id=partner_id, validity__contains=at).first()
    if agreement is None:
        return None
    version = PlanVersion.objects.filter(
        plan_id=agreement.plan_id, state=PlanVersion.State.PUBLISHED, validity__contains=at
    ).first()
    return rules_of_version(version) if version is not None else None


def rules_of_version(version: PlanVersion) -> VersionRules:
    """The rules by the trade of a version, in their order, with its ranks: of a draft too."""
    rules = version.rules.filter(basis__in=TRADE_BASES).order_by("component", "position")
    return VersionRules(
        version.pk,
        tuple(rate_rule(rule) for rule in rules),
        tuple(version.ranks.order_by("position").values_list("code", flat=True)),
        version.depth_limit,
        version.pays_own_trades,
    )
