"""Asking for a change that needs four eyes: the publication of a plan version, a move in the partner tree."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Actor
from ib.models import Partner, PlanVersion
from ib.rules import plain, rule_terms
from ib.services.plans import PLAN_PUBLICATION
from ib.services.tree import TREE_MOVE, place_partner, something_hangs_at
from ib.services.validity import check_moment
from ib.types import VersionTerms


def request_publication(
    *,
    version_id: int,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    apply_at: datetime | None = None,
    submit: bool = True,
) -> ChangeRequest:
    """A change request to publish a draft from a moment on, with the very rules that stand in it now.

    It is handed in at once unless *submit* is False. Raises as `draft_change` does.
    """
    authorise(actor, "ib.manage_plans")
    check_moment(valid_from)
    version = get_visible(PlanVersion.objects.select_related("plan"), actor, pk=version_id)
    payload = {
        "version_id": version.pk,
        "valid_from": valid_from.isoformat(),
        "rules": rules_of(version),
        "terms": version_terms_of(version),
    }
    return _request(
        PLAN_PUBLICATION,
        payload,
        actor=actor,
        reason=reason,
        entity_id=version.plan.entity_id,
        target=version,
        apply_at=apply_at,
        submit=submit,
    )


def request_move(
    *,
    partner_id: int,
    parent_id: int | None,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    apply_at: datetime | None = None,
    submit: bool = True,
) -> ChangeRequest:
    """A change request to put a partner, with everybody below, under a parent (None: at the top) from a moment on.

    It is handed in at once unless *submit* is False. Raises as `draft_change` does, and Conflict for a circle.
    """
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    partner = get_visible(Partner.objects.all(), actor, pk=partner_id)
    if parent_id is not None:
        get_visible(Partner.objects.all(), actor, pk=parent_id)
    payload = {"partner_id": partner.pk, "parent_id": parent_id, "valid_from": valid_from.isoformat()}
    return _request(
        TREE_MOVE,
        payload,
        actor=actor,
        reason=reason,
        entity_id=partner.entity_id,
        target=partner,
        apply_at=apply_at,
        submit=submit,
    )


def place_or_request(
    *, partner_id: int, parent_id: int | None, valid_from: datetime, actor: Actor, reason: str
) -> ChangeRequest | None:
    """Drafts the change request of a move; a partner at whom nothing hangs yet is placed at once (None)."""
    partner = get_visible(Partner.objects.all(), actor, pk=partner_id)
    if something_hangs_at(partner):
        return request_move(
            partner_id=partner_id, parent_id=parent_id, valid_from=valid_from, actor=actor, reason=reason, submit=False
        )
    place_partner(partner_id=partner_id, parent_id=parent_id, valid_from=valid_from, actor=actor, reason=reason)
    return None


def rules_of(version: PlanVersion) -> list[dict[str, Any]]:
    """The rules of a version as plain data, in their order: what is approved and what is published."""
    rules = version.rules.select_related("symbol", "symbol_group", "account_group", "account_type")
    ordered = rules.prefetch_related("tiers").order_by("component", "position")
    return [rule_terms(rule, tiers=list(rule.tiers.all())) for rule in ordered]


def version_terms_of(version: PlanVersion) -> dict[str, Any]:
    """How a version treats money, its ranks and weights, as plain data."""
    terms: dict[str, Any] = {}
    for name in (field.name for field in fields(VersionTerms)):
        value = getattr(version, name)
        terms[name] = plain(value) if isinstance(value, Decimal) else value
    terms["ranks"] = [[rank.code, rank.name] for rank in version.ranks.all()]
    conditions = {
        rank.code: [
            *(str(condition) for condition in rank.conditions.all()),
            *([f"kept for {rank.keep_months} months below them"] if rank.keep_months else []),
        ]
        for rank in version.ranks.prefetch_related("conditions")
    }
    if any(conditions.values()):
        terms["rank_conditions"] = conditions
    terms["weights"] = [str(weight) for weight in version.weights.select_related("symbol_group", "account_group")]
    return terms


def _request(kind: str, payload: dict[str, Any], *, submit: bool, actor: Actor, **fields: Any) -> ChangeRequest:
    change = changes.draft_change(kind=kind, payload=payload, actor=actor, **fields)
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change
