"""The desk's changes that need four eyes: publishing a plan version, moving a partner with everybody below.

Their previews are the engine's own target on the set-up as it would be (`services.what_if`). What they change is settled
again by the workers: the days are enqueued in the same transaction, and only differences are booked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.change_effects import card_problems, impact_of, settle_again
from ib.models import Partner, PartnerEdge, PlanVersion
from ib.permissions import APPROVE_CHANGES
from ib.services import plans, tree
from ib.services.requests import rules_of, version_terms_of
from ib.services.what_if import compare_set_ups
from ib.types import VersionTerms

Payload = dict[str, Any]


def register() -> None:
    """Registers the kinds. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=plans.PLAN_PUBLICATION,
            label="Publication of a commission plan",
            desk="ib",
            maker_capability="ib.manage_plans",
            checker_capability=APPROVE_CHANGES,
            title=_publication_title,
            current=_publication_before,
            proposed=_publication_after,
            preview=_preview_publication,
            apply=_publish,
            verify=_verify_publication,
            revert=_take_back,
            check=_check_publication,
            target=lambda payload: _version(payload),
            entity_of=lambda payload: _version(payload).plan.entity_id,
        )
    )
    register_change_kind(
        ChangeKind(
            kind=tree.TREE_MOVE,
            label="Move in the partner tree",
            desk="ib",
            maker_capability="ib.manage_partners",
            checker_capability=APPROVE_CHANGES,
            title=_move_title,
            current=_move_before,
            proposed=_move_after,
            preview=_preview_move,
            apply=_move,
            verify=_verify_move,
            revert=_move_back,
            check=_check_move,
            target=lambda payload: _partner(payload["partner_id"]),
            entity_of=lambda payload: _partner(payload["partner_id"]).entity_id,
        )
    )


# Publication of a plan version


def _check_publication(payload: Payload) -> None:
    version = _version(payload)
    _moment(payload)
    if version.state != PlanVersion.State.DRAFT:
        raise Conflict(f"{version} is published already.", code="already_published")
    if not payload.get("rules"):
        raise InvalidInput("A version without rules would pay nobody.", field="rules")
    plans.require_sound(version)
    if rules_of(version) != payload["rules"] or version_terms_of(version) != payload.get("terms"):
        raise Conflict(
            f"The rules of {version} are no longer those of this request: withdraw it and ask anew.", code="rules_moved"
        )


def _publication_title(payload: Payload) -> str:
    return f"Publish {_version(payload)} from {_moment(payload):%Y-%m-%d}"


def _publication_before(payload: Payload) -> dict[str, Any]:
    version, moment = _version(payload), _moment(payload)
    published = PlanVersion.objects.filter(plan_id=version.plan_id, state=PlanVersion.State.PUBLISHED)
    standing = published.filter(validity__contains=moment).first()
    planned = published.filter(validity__startswith__gt=moment).order_by("validity")
    return {
        "Version in force": f"v{standing.number}" if standing else "none",
        "Planned for later": ", ".join(f"v{item.number} from {item.validity.lower:%Y-%m-%d}" for item in planned)
        or "none",
        **(_terms_in_words(version_terms_of(standing)) if standing else {}),
        **(_rules_in_words(rules_of(standing)) if standing else {}),
    }


def _publication_after(payload: Payload) -> dict[str, Any]:
    return {
        "Version in force": f"v{_version(payload).number}",
        "Planned for later": "none",
        **_terms_in_words(payload.get("terms", {})),
        **_rules_in_words(payload["rules"]),
    }


def _rules_in_words(rules: list[dict[str, Any]]) -> dict[str, str]:
    return {rule["heading"]: rule["promise"] for rule in rules}


def _terms_in_words(terms: dict[str, Any]) -> dict[str, str]:
    """How the version treats money; what is as usual is left out."""
    usual = VersionTerms()
    words = {
        name.replace("_", " ").capitalize(): str(value)
        for name, value in terms.items()
        if name not in {"ranks", "rank_conditions", "weights"} and value != getattr(usual, name, None)
    }
    if terms.get("ranks"):
        words["Ranks"] = ", ".join(name for _, name in terms["ranks"])
    for code, conditions in (terms.get("rank_conditions") or {}).items():
        words[f"Rank {code}"] = "; ".join(conditions) or "no condition"
    if terms.get("weights"):
        words["Weights"] = "; ".join(terms["weights"])
    return words


def _preview_publication(payload: Payload, actor: Actor) -> Impact:
    version = _version(payload)

    def change(moment: datetime) -> None:
        plans.write_publication(
            version=PlanVersion.objects.get(pk=version.pk), valid_from=moment, published_by="preview"
        )

    return impact_of(compare_set_ups(change=change, valid_from=_moment(payload)), "this version")


def _publish(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    version = _version(payload)
    before = plans.validities_of(version.plan_id)
    plans.publish_version(
        version_id=version.pk,
        valid_from=_moment(payload),
        actor=actor,
        reason=f"{request.reference}: {request.reason}",
        approval=request,
    )
    return {
        "version_id": version.pk,
        "rules": payload["rules"],
        "valid_from": payload["valid_from"],
        "before": before,
        "after": plans.validities_of(version.plan_id),
        **settle_again(),
    }


def _verify_publication(outcome: dict[str, Any]) -> list[str]:
    version = PlanVersion.objects.get(pk=outcome["version_id"])
    problems = []
    if version.state != PlanVersion.State.PUBLISHED or version.validity is None or version.validity.isempty:
        problems.append("The version is not published.")
    elif version.validity.lower != datetime.fromisoformat(outcome["valid_from"]):
        problems.append("The version begins at another moment.")
    if rules_of(version) != outcome["rules"]:
        problems.append("The rules are not those that were approved.")
    return problems + card_problems(outcome)


def _take_back(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    restored = plans.take_back_publication(
        version_id=outcome["version_id"],
        expected=outcome["after"],
        before=outcome["before"],
        actor=actor,
        reason=reason,
    )
    return {"restored_as": restored, **settle_again()}


# Move in the partner tree


def _check_move(payload: Payload) -> None:
    partner, moment = _partner(payload["partner_id"]), _moment(payload)
    if payload.get("parent_id") is not None:
        tree.check_parent(partner, _partner(payload["parent_id"]), moment)


def _move_title(payload: Payload) -> str:
    partner = _partner(payload["partner_id"])
    parent = _partner(payload["parent_id"]).reference if payload.get("parent_id") is not None else "nobody"
    return f"Move {partner.reference} under {parent} from {_moment(payload):%Y-%m-%d}"


def _move_before(payload: Payload) -> dict[str, Any]:
    edges = PartnerEdge.objects.filter(child_id=payload["partner_id"]).select_related("parent")
    moment = _moment(payload)
    standing = edges.filter(validity__contains=moment).first()
    planned = edges.filter(validity__startswith__gt=moment).order_by("validity")
    ended = _rates_ended(payload)
    return {
        **({"Rates given by those above": "; ".join(ended)} if ended else {}),
        "Stands under": str(standing.parent) if standing else "nobody",
        "Planned for later": ", ".join(
            f"{edge.parent.reference} from {edge.validity.lower:%Y-%m-%d}" for edge in planned
        )
        or (f"leaves on {standing.validity.upper:%Y-%m-%d}" if standing and standing.validity.upper else "none"),
    }


def _move_after(payload: Payload) -> dict[str, Any]:
    parent = _partner(payload["parent_id"]) if payload.get("parent_id") is not None else None
    ended = _rates_ended(payload)
    return {
        **({"Rates given by those above": f"end on {_moment(payload):%Y-%m-%d}"} if ended else {}),
        "Stands under": str(parent or "nobody"),
        "Planned for later": "none",
    }


def _rates_ended(payload: Payload) -> list[str]:
    """What the partner was given by whom it leaves, in words."""
    parent = _partner(payload["parent_id"]) if payload.get("parent_id") is not None else None
    rates = tree.rates_ended_by(partner=_partner(payload["partner_id"]), parent=parent, valid_from=_moment(payload))
    return [tree.rate_words(rate) for rate in rates]


def _preview_move(payload: Payload, actor: Actor) -> Impact:
    partner = _partner(payload["partner_id"])
    parent = _partner(payload["parent_id"]) if payload.get("parent_id") is not None else None

    def change(moment: datetime) -> None:
        tree.write_placement(partner=partner, parent=parent, valid_from=moment)

    return impact_of(compare_set_ups(change=change, valid_from=_moment(payload)), "this place")


def _move(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    before = tree.edges_above(payload["partner_id"])
    rates = tree.rates_given(payload["partner_id"])
    tree.place_partner(
        partner_id=payload["partner_id"],
        parent_id=payload.get("parent_id"),
        valid_from=_moment(payload),
        actor=actor,
        reason=f"{request.reference}: {request.reason}",
        approval=request,
    )
    return {
        "partner_id": payload["partner_id"],
        "parent_id": payload.get("parent_id"),
        "valid_from": payload["valid_from"],
        "before": before,
        "after": tree.edges_above(payload["partner_id"]),
        "rates_before": rates,
        "rates_after": tree.rates_given(payload["partner_id"]),
        **settle_again(),
    }


def _verify_move(outcome: dict[str, Any]) -> list[str]:
    standing = PartnerEdge.objects.filter(
        child_id=outcome["partner_id"], validity__contains=datetime.fromisoformat(outcome["valid_from"])
    ).first()
    stands_under = standing.parent_id if standing else None
    problems = [] if stands_under == outcome["parent_id"] else ["The partner stands somewhere else."]
    return problems + card_problems(outcome)


def _move_back(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    tree.restore_edges(
        partner_id=outcome["partner_id"],
        expected=outcome["after"],
        before=outcome["before"],
        since=datetime.fromisoformat(outcome["valid_from"]),
        actor=actor,
        reason=reason,
    )
    tree.restore_rates(
        partner_id=outcome["partner_id"],
        expected=outcome.get("rates_after", []),
        before=outcome.get("rates_before", []),
    )
    return settle_again()


def _version(payload: Payload) -> PlanVersion:
    found = PlanVersion.objects.select_related("plan").filter(pk=payload.get("version_id") or 0).first()
    if found is None:
        raise InvalidInput("No such plan version.", field="version_id")
    return found


def _partner(partner_id: Any) -> Partner:
    found = Partner.objects.filter(pk=partner_id).first()
    if found is None:
        raise InvalidInput("No such partner.", field="partner_id")
    return found


def _moment(payload: Payload) -> datetime:
    try:
        moment = datetime.fromisoformat(str(payload.get("valid_from")))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field="valid_from") from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    return moment
