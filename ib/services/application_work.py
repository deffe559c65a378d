"""Work items of applications, conflicts about clients, and tax data that wait for somebody."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from ib.models import ClaimConflict, ClientClaim, PartnerApplication, PartnerTaxData
from ib.rules.claims import evidence_words

APPLICATION_WAITS = "ib.application_waits"
CONFLICT_WAITS = "ib.claim_conflict"
TAX_DATA_WAIT = "ib.tax_data_wait"
MOST_ITEMS = 500
"""The oldest ones have items; the lists show all."""
MANAGERS = (Role.PARTNER_MANAGER.value, Role.ADMINISTRATOR.value)


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=APPLICATION_WAITS,
            label="Application of a partner",
            desk="ib",
            roles=MANAGERS,
            due_hours=48,
            escalate_after_hours=24,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            conditions=applications_that_wait,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=CONFLICT_WAITS,
            label="Two claims on one client",
            desk="ib",
            roles=MANAGERS,
            due_hours=48,
            severity=Severity.HIGH,
            escalate_after_hours=24,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            action_slug="decide",
            action_label="Decide",
            conditions=conflicts_that_wait,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=TAX_DATA_WAIT,
            label="Tax data to confirm",
            desk="ib",
            roles=(*MANAGERS, Role.FINANCE.value),
            due_hours=72,
            action_slug="confirm",
            action_label="Confirm",
            conditions=tax_data_that_wait,
            closes_by_hand=False,
        )
    )


def note_application(application_id: int) -> None:
    """Brings the item of an application to where it stands."""
    _note(APPLICATION_WAITS, application_id, _applications(_waiting_applications().filter(pk=application_id)))


def note_conflict(conflict_id: int) -> None:
    """Brings the item of a conflict to where it stands."""
    _note(CONFLICT_WAITS, conflict_id, _conflicts(_waiting_conflicts().filter(pk=conflict_id)))


def note_tax_data(partner_id: int) -> None:
    """Brings the item of a partner's tax data to where they stand."""
    _note(TAX_DATA_WAIT, partner_id, _tax_data(_waiting_tax_data().filter(partner_id=partner_id)))


def applications_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every application that the desk has to look at now."""
    rows = _waiting_applications()
    return _applications(rows if group_keys is None else rows.filter(pk__in=_numbers(group_keys)))


def conflicts_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every conflict without a decision."""
    rows = _waiting_conflicts()
    return _conflicts(rows if group_keys is None else rows.filter(pk__in=_numbers(group_keys)))


def tax_data_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """All tax data that nobody confirmed or refused."""
    rows = _waiting_tax_data()
    return _tax_data(rows if group_keys is None else rows.filter(partner_id__in=_numbers(group_keys)))


def _note(kind: str, number: int, conditions: list[WorkCondition]) -> None:
    work_items.reconcile(
        kind=kind, prefix=f"{number}:", conditions=lambda: conditions, reason="It was decided, or waits for others."
    )


def _numbers(group_keys: list[str]) -> list[int]:
    return [int(key.partition(":")[0]) for key in group_keys]


def _waiting_applications() -> QuerySet[PartnerApplication]:
    waiting = (PartnerApplication.State.SUBMITTED, PartnerApplication.State.IN_REVIEW)
    return PartnerApplication.objects.filter(state__in=waiting).order_by("submitted_at", "pk")


def _waiting_conflicts() -> QuerySet[ClaimConflict]:
    return ClaimConflict.objects.filter(decided_at__isnull=True).select_related("client").order_by("opened_at", "pk")


def _waiting_tax_data() -> QuerySet[PartnerTaxData]:
    waiting = PartnerTaxData.objects.filter(state=PartnerTaxData.State.WAITING)
    return waiting.select_related("partner").order_by("entered_at", "pk")


def _applications(rows: QuerySet[PartnerApplication]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{row.pk}:",
            title=f"{row} wants to become a partner",
            evidence={
                "application": row.reference,
                "kind": row.get_kind_display(),
                "country": row.country,
                "state": row.get_state_display(),
                "submitted": row.submitted_at.isoformat() if row.submitted_at else "",
            },
            entity_id=row.entity_id,
            target=row,
        )
        for row in rows[:MOST_ITEMS]
    ]


def _conflicts(rows: QuerySet[ClaimConflict]) -> list[WorkCondition]:
    found = list(rows[:MOST_ITEMS])
    claims: dict[int, list[ClientClaim]] = {}
    for claim in ClientClaim.objects.filter(client__in=[row.client_id for row in found]).order_by("pk"):
        if claim.state != ClientClaim.State.LOST:
            claims.setdefault(claim.client_id, []).append(claim)
    return [
        WorkCondition(
            group_key=f"{row.pk}:",
            title=f"Client {row.client.reference} is claimed by {len(claims.get(row.client_id, []))}",
            evidence={
                "client": row.client.reference,
                "claims": [
                    f"{claim.claimant}: {evidence_words(claim.evidence)}" for claim in claims[row.client_id][:20]
                ],
                "the rule proposes": row.proposed_because,
            },
            entity_id=row.entity_id,
            target=row,
        )
        for row in found
    ]


def _tax_data(rows: QuerySet[PartnerTaxData]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{row.partner_id}:",
            title=f"Tax data of {row.partner} wait for confirmation",
            evidence={"partner": row.partner.reference, "from": str(row.validity.lower)},
            entity_id=row.partner.entity_id,
            target=row,
        )
        for row in rows[:MOST_ITEMS]
    ]
