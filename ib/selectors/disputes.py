"""Disputes as lists, one with everything about it, and how they end: by cause, plan and person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import StoredFile
from backoffice.core.services import files
from backoffice.core.types import Actor
from backoffice.kernel import clock
from ib.dispute_rules import DisputeDecision, DisputeState, DisputeSubject, appeal_until
from ib.models import (
    CommissionAdjustment,
    CommissionStatement,
    Dispute,
    DisputeEvent,
    DisputeEvidence,
    Partner,
    PeriodSettlement,
    SettlementBatch,
    StatementHold,
)
from ib.rules import cause_text
from ib.selectors.partners import check_own_or_staff
from ib.services.disputes.common import booked_of, lines_since
from ib.services.disputes.letters import FILE_PURPOSE

VIEW = "ib.view_disputes"
OPEN_ONES = ~Q(state=DisputeState.CLOSED)


class StatisticsBy(StrEnum):
    """By what the endings are counted."""

    CAUSE = "cause"
    PLAN = "plan"
    MANAGER = "manager"


@dataclass(frozen=True, slots=True)
class DisputeStatistics:
    """How the disputes of a group ended. Hours are those of the desk: what the partner took to answer is not counted."""

    key: str
    disputes: int
    open: int
    decided: int
    upheld: int
    rejected: int
    withdrawn: int
    appealed: int
    late: int
    hours: Decimal | None

    @property
    def share_upheld(self) -> Decimal | None:
        """Percent of the decided ones by which the partner got something."""
        return Decimal(self.upheld * 100) / self.decided if self.decided else None


@dataclass(frozen=True, slots=True)
class LaterLine:
    """A line that was booked for the same trade or subject after the dispute came."""

    reference: str
    target: Decimal
    amount: Decimal
    booked_day: date
    why: str


def staff_disputes(
    *, actor: Actor, state: str = "", cause: str = "", partner_id: int | None = None
) -> QuerySet[Dispute]:
    """Disputes that staff may see, the most urgent first."""
    authorise(actor, VIEW)
    rows = visible_to(Dispute.objects.select_related("partner", "owner", "plan"), actor)
    if state == "open":
        rows = rows.filter(OPEN_ONES)
    elif state:
        rows = rows.filter(state=state)
    if cause:
        rows = rows.filter(cause=cause)
    if partner_id is not None:
        rows = rows.filter(partner_id=partner_id)
    return rows.order_by("due_at", "pk")


def own_disputes(*, actor: Actor, partner: Partner) -> QuerySet[Dispute]:
    """A partner's own disputes, the newest first."""
    check_own_or_staff(actor, partner, VIEW)
    return visible_to(Dispute.objects.filter(partner=partner), actor).order_by("-opened_at", "-pk")


def find_dispute(*, actor: Actor, public_id: UUID) -> Dispute:
    """The dispute of a public number. Raises NotFound when it is not there, or not the actor's."""
    rows = Dispute.objects.select_related("partner", "owner", "change_request", "hold", "plan", "period_line")
    return get_visible(rows, actor, public_id=public_id)


def open_dispute_about(*, actor: Actor, reference: str) -> Dispute | None:
    """The newest dispute about a line or an unpaid trade, as far as the actor sees it; an open one first."""
    rows = visible_to(Dispute.objects.filter(subject_reference=reference), actor)
    return rows.filter(OPEN_ONES).first() or rows.order_by("-opened_at").first()


def timeline(*, actor: Actor, dispute: Dispute) -> Sequence[DisputeEvent]:
    """What happened, the oldest first; what is internal only to the desk."""
    return list(visible_to(DisputeEvent.objects.filter(dispute=dispute), actor).order_by("pk"))


def evidence_of(*, actor: Actor, dispute: Dispute) -> Sequence[DisputeEvidence]:
    """The evidence that the actor may see."""
    rows = visible_to(DisputeEvidence.objects.filter(dispute=dispute), actor)
    return list(rows.select_related("document__file").order_by("number", "audience"))


def files_of(*, actor: Actor, dispute: Dispute) -> Sequence[StoredFile]:
    """What was handed in with it."""
    return list(files.files_of(owner=dispute, actor=actor, purposes=[FILE_PURPOSE]))


def adjustments_of(*, actor: Actor, dispute: Dispute) -> Sequence[CommissionAdjustment]:
    """Goodwill that was booked for it."""
    return list(visible_to(CommissionAdjustment.objects.filter(dispute=dispute), actor).order_by("pk"))


def later_lines(*, actor: Actor, dispute: Dispute) -> Sequence[LaterLine]:
    """What was booked for the same trade, or the same subject of a period, since the dispute came."""
    get_visible(Dispute.objects.all(), actor, pk=dispute.pk)
    lines = lines_since(dispute, first=True)
    causes = _causes(dispute, lines)
    return [
        LaterLine(line.reference, line.target, line.amount, line.booked_day, cause_text(cause))
        for line, cause in zip(lines, causes, strict=True)
    ]


def _causes(dispute: Dispute, lines: Sequence[Any]) -> list[str]:
    """What asked for the settlement of each line."""
    if dispute.subject == DisputeSubject.PERIOD_LINE:
        settlements = PeriodSettlement.objects.in_bulk([line.settlement_id for line in lines])
        return [settlements[line.settlement_id].cause for line in lines]
    batches = SettlementBatch.objects.in_bulk([line.batch_id for line in lines])
    return [batches[line.batch_id].cause for line in lines]


def booked_now(*, actor: Actor, dispute: Dispute) -> Decimal:
    """What the partner has for it by now."""
    get_visible(Dispute.objects.all(), actor, pk=dispute.pk)
    return booked_of(dispute)


def may_appeal(dispute: Dispute) -> bool:
    """Whether an appeal is still possible."""
    return (
        dispute.state == DisputeState.CLOSED
        and dispute.decision != DisputeDecision.WITHDRAW
        and dispute.appealed_at is None
        and dispute.decided_at is not None
        and clock.now() <= appeal_until(dispute.decided_at)
    )


def statistics(
    *, actor: Actor, by: StatisticsBy, from_day: date | None = None, to_day: date | None = None
) -> list[DisputeStatistics]:
    """How the disputes that came in these days ended, the most frequent group first."""
    authorise(actor, VIEW)
    rows = visible_to(Dispute.objects.select_related("plan", "owner"), actor)
    if from_day is not None:
        rows = rows.filter(opened_at__date__gte=from_day)
    if to_day is not None:
        rows = rows.filter(opened_at__date__lte=to_day)
    groups: dict[str, list[Dispute]] = {}
    for dispute in rows.order_by("pk").iterator(chunk_size=1000):
        groups.setdefault(_key(dispute, by), []).append(dispute)
    found = [_of_group(key, members) for key, members in groups.items()]
    return sorted(found, key=lambda item: (-item.disputes, item.key))


def _key(dispute: Dispute, by: StatisticsBy) -> str:
    match by:
        case StatisticsBy.CAUSE:
            return str(dispute.get_cause_display())
        case StatisticsBy.PLAN:
            return dispute.plan.name if dispute.plan is not None else "No plan"
        case StatisticsBy.MANAGER:
            return str(dispute.owner) if dispute.owner is not None else "Nobody yet"


def _of_group(key: str, members: Sequence[Dispute]) -> DisputeStatistics:
    ended = [item for item in members if item.state == DisputeState.CLOSED]
    decided = [item for item in ended if item.decision != DisputeDecision.WITHDRAW]
    spent = [hours for item in decided if (hours := desk_hours(item)) is not None]
    now = clock.now()
    return DisputeStatistics(
        key=key,
        disputes=len(members),
        open=len(members) - len(ended),
        decided=len(decided),
        upheld=sum(item.is_upheld for item in decided),
        rejected=sum(item.decision == DisputeDecision.REJECT for item in decided),
        withdrawn=len(ended) - len(decided),
        appealed=sum(item.appealed_at is not None for item in members),
        late=sum((item.decided_at or now) > item.due_at for item in members if item.asked_at is None),
        hours=sum(spent, Decimal(0)) / len(spent) if spent else None,
    )


def desk_hours(dispute: Dispute) -> Decimal | None:
    """How long the desk took to decide, in hours, without the time in which the partner was asked."""
    if dispute.decided_at is None:
        return None
    since = dispute.appealed_at or dispute.opened_at
    paused = timedelta(seconds=dispute.paused_seconds if dispute.appealed_at is None else 0)
    spent = max(dispute.decided_at - since - paused, timedelta())
    return Decimal(int(spent.total_seconds())) / 3600


def held_of_partner(*, actor: Actor, partner: Partner) -> Decimal:
    """What open disputes keep out of the partner's statements."""
    check_own_or_staff(actor, partner, VIEW)
    rows = visible_to(Dispute.objects.filter(OPEN_ONES, partner=partner, hold__isnull=False), actor)
    return sum(rows.values_list("amount", flat=True), Decimal(0))


def was_approved_before(hold: StatementHold) -> bool:
    """Whether the line was part of a statement that is approved, before anybody held it."""
    if hold.held_in_id is not None:
        return False
    approved = CommissionStatement.objects.filter(partner_id=hold.partner_id, state=CommissionStatement.State.APPROVED)
    return approved.filter(from_day__lte=hold.booked_day, to_day__gte=hold.booked_day).exists()


def find_evidence(*, actor: Actor, dispute: Dispute, number: int, audience: str) -> DisputeEvidence:
    """One kept pack. Raises NotFound for one that is not there, or not the actor's to see."""
    return get_visible(DisputeEvidence.objects.all(), actor, dispute=dispute, number=number, audience=audience)
