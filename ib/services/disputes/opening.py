"""Taking a dispute in: the line is found, its evidence kept, its amount frozen, and the clock started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise, get_visible, holds, visible_to
from backoffice.core.models import StoredFile
from backoffice.core.services import files
from backoffice.core.services.numbering import issue_number
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from ib.dispute_rules import (
    CAUSES_OF_SUBJECT,
    DisputeDecision,
    DisputeState,
    DisputeStep,
    DisputeSubject,
    due_of,
)
from ib.locks import limit_waiting, lock_partner
from ib.models import Dispute, Partner, PeriodLine, PlanRule
from ib.selectors import disputed, explaining, period_lines
from ib.services.disputes import evidence, letters
from ib.services.disputes.common import HANDLE, OPEN, checked_text, freeze, lines_of, locked_dispute, sum_of, write_down

UNPAID_PREFIX = "T-"
MAX_FILES = 10
HIGHEST_AMOUNT = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class Subject:
    """What is disputed, found through the access door."""

    kind: DisputeSubject
    reference: str
    partner_id: int
    amount: Decimal
    trade_id: int | None = None
    ticket: int | None = None
    part: int | None = None
    seq: int | None = None
    day: date | None = None
    period_line: PeriodLine | None = None
    plan_id: int | None = None


@transaction.atomic
def open_dispute(
    *,
    subject: str,
    cause: str,
    claim: str,
    actor: Actor,
    claimed_amount: Decimal | None = None,
    partner_id: int | None = None,
) -> Dispute:
    """Takes a dispute in about a line (its reference) or an unpaid trade (`T-` and the trade's number).

    Partners dispute their own; staff may take one in for a partner, whom they name (*partner_id*) for an unpaid trade.
    Raises Conflict (`dispute_open`) while the line is being looked into, and (`dispute_decided`) when it was decided
    already: then there is the appeal. The evidence is kept in this transaction; its documents are made by the schedule.
    """
    if not holds(actor, HANDLE):
        authorise(actor, OPEN)
    limit_waiting()
    found = find_subject(subject=subject, actor=actor, partner_id=partner_id)
    if partner_id not in {None, found.partner_id}:
        raise InvalidInput("This line is another partner's.", field="subject", value=subject)
    _check_cause(cause, found.kind)
    words = checked_text(claim, field="claim", question="Say what is wrong, and what you expected.")
    _check_claimed(claimed_amount)
    partner = lock_partner(found.partner_id)
    if partner is None:
        raise NotFound("No such partner.", partner_id=found.partner_id)
    _check_not_yet(found)
    now = clock.now()
    number = issue_number(
        entity_id=partner.entity_id,
        kind=letters.DOCUMENT_KIND,
        on=now.date(),
        subject=f"commission {found.reference}",
        actor=actor,
    )
    dispute = Dispute(
        reference=number.reference,
        entity_id=partner.entity_id,
        partner=partner,
        subject=found.kind.value,
        subject_reference=found.reference,
        trade_id=found.trade_id,
        ticket=found.ticket,
        line_part=found.part,
        line_seq=found.seq,
        line_day=found.day,
        period_line=found.period_line,
        plan_id=found.plan_id,
        cause=cause,
        claim=words,
        claimed_amount=claimed_amount,
        amount=found.amount,
        currency=found.period_line.currency if found.period_line is not None else partner.currency,
        booked_before=Decimal(0),
        opened_by=actor.label[:200],
        opened_by_user_id=actor.user_id or None,
        opened_at=now,
        due_at=due_of(cause, now),
    )
    booked = list(lines_of(dispute))
    dispute.booked_before = sum_of(booked)
    freeze(dispute, f"Dispute {dispute.reference}")
    _insert(dispute)
    evidence.take_evidence(dispute, booked)
    tell = f"We have received your dispute. We decide by {dispute.due_at:%Y-%m-%d %H:%M} UTC." + (
        " Until then the amount of the line is held." if dispute.hold_id is not None else ""
    )
    write_down(dispute, DisputeStep.OPENED, actor=actor, text=words, tell=tell, changes={"about": found.reference})
    return dispute


def _insert(dispute: Dispute) -> None:
    try:
        with transaction.atomic():
            dispute.save(force_insert=True)
    except IntegrityError as error:
        if "ib_dispute_one_open" not in str(error):
            raise
        raise Conflict("This is being looked into already.", code="dispute_open") from error


def _check_cause(cause: str, kind: DisputeSubject) -> None:
    if cause not in CAUSES_OF_SUBJECT[kind]:
        raise InvalidInput("Choose what is wrong.", field="cause", value=cause)


def _check_claimed(amount: Decimal | None) -> None:
    if amount is not None and not 0 < exact_decimal(amount, field="claimed_amount") <= HIGHEST_AMOUNT:
        raise InvalidInput("An amount above zero.", field="claimed_amount", value=str(amount))


def _check_not_yet(found: Subject) -> None:
    """One at a time, and no second one where the first was decided: that is what the appeal is for."""
    earlier = Dispute.objects.filter(partner_id=found.partner_id, subject_reference=found.reference)
    if earlier.exclude(state=DisputeState.CLOSED).exists():
        raise Conflict("This is being looked into already.", code="dispute_open")
    decided = earlier.exclude(decision=DisputeDecision.WITHDRAW).first()
    if decided is not None:
        raise Conflict(
            f"This was decided in {decided.reference}; you may appeal against that decision.", code="dispute_decided"
        )


def find_subject(*, subject: str, actor: Actor, partner_id: int | None = None) -> Subject:
    """What a reference names, if it is the actor's to dispute. Raises NotFound for everything else."""
    if subject.startswith(UNPAID_PREFIX):
        return _unpaid(subject, actor, partner_id)
    if subject.startswith("P-"):
        line = period_lines.find_period_line(actor=actor, reference=subject)
        plan_id = line.rule.version.plan_id if line.rule is not None else None
        return Subject(
            DisputeSubject.PERIOD_LINE, subject, line.partner_id, line.amount, period_line=line, plan_id=plan_id
        )
    trade_line = explaining.find_line(actor=actor, reference=subject)
    facts, _ = explaining.explain_line(actor=actor, reference=subject)
    rule = PlanRule.objects.filter(pk=trade_line.rule_id or 0).select_related("version").first()
    return Subject(
        DisputeSubject.TRADE_LINE,
        trade_line.reference,
        trade_line.partner_id,
        trade_line.amount,
        trade_id=trade_line.trade_id,
        ticket=facts.trade_ticket,
        part=trade_line.part,
        seq=trade_line.seq,
        day=trade_line.day,
        plan_id=rule.version.plan_id if rule is not None else None,
    )


def _unpaid(subject: str, actor: Actor, partner_id: int | None) -> Subject:
    number = subject.removeprefix(UNPAID_PREFIX)
    if not (number.isdigit() and number.isascii() and len(number) < 19):
        raise NotFound("No such trade without commission.", reference=subject)
    own = (
        Partner.objects.filter(user_id=actor.user_id or 0)
        if partner_id is None
        else Partner.objects.filter(pk=partner_id)
    )
    partner = visible_to(own, actor).first()
    if partner is None:
        raise NotFound("No such trade without commission.", reference=subject)
    trade = disputed.find_unpaid_trade(actor=actor, partner=partner, trade_id=int(number))
    reference = f"{UNPAID_PREFIX}{trade['trade_id']}"
    return Subject(
        DisputeSubject.UNPAID_TRADE,
        reference,
        partner.pk,
        Decimal(0),
        trade_id=trade["trade_id"],
        ticket=trade["ticket"],
        plan_id=_plan_of(partner),
    )


def _plan_of(partner: Partner) -> int | None:
    standing = partner.agreements.filter(validity__contains=clock.now()).values_list("plan_id", flat=True)
    found: int | None = standing.first()
    return found


def add_file(*, dispute_id: int, data: bytes, file_name: str, actor: Actor) -> StoredFile:
    """Keeps a file with a dispute that is open, checked like every file. Raises Conflict for more than the bound."""
    dispute = get_visible(Dispute.objects.all(), actor, pk=dispute_id)
    if not dispute.is_open:
        raise Conflict("The dispute is closed.", code="dispute_closed")
    given = StoredFile.objects.filter(
        owner_type=dispute._meta.label_lower, owner_id=dispute.pk, purpose=letters.FILE_PURPOSE
    )
    if given.count() >= MAX_FILES:
        raise Conflict(f"A dispute has at most {MAX_FILES} files.", code="too_many_files")
    stored = files.store_file(
        purpose=letters.FILE_PURPOSE,
        data=data,
        file_name=file_name,
        actor=actor,
        entity_id=dispute.entity_id,
        owner=dispute,
    )
    with transaction.atomic():
        locked = locked_dispute(dispute.pk, actor)
        write_down(locked, DisputeStep.WROTE, actor=actor, text=f"File: {stored.original_name}")
    return stored
