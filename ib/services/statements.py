"""Commission statements: closed when the books of their days are, looked at, approved, and so made payable.

A statement counts the postings on the partner's accrued account, never lines by themselves: what it says is what the
ledger says. Approving it is one entry, accrued to payable, under a key that lets it happen once. One partner whose
statement cannot be approved (suspended, withheld, frozen) never keeps the others waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import F, Q, Sum

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, DomainError, IllegalTransition, InvalidInput, NotFound
from funding.ledger.chart import AccountKind
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry
from funding.ledger.services.periods import booking_day, closed_through
from funding.ledger.types import AccountSpec
from ib.locks import limit_waiting, lock_ledger_posting, lock_partner
from ib.models import CommissionStatement, Partner, PayoutTerms, StatementHold
from ib.services import payout_work, statement_work
from ib.services.posting import PARTNER_OWNER
from ib.statement_rules import is_carried, is_over, needs_nobody, next_period, payable_of

SOURCE_TYPE = "ib.statement"
"""Of the entries that approvals book; they are what statements do not count."""
MAXIMUM_AT_ONCE = 5_000
"""Partners whose statements one run closes or approves; the next run goes on."""
STATEMENTS_CAUGHT_UP = 400
"""Statements of one partner that one run closes: more than a year of daily ones."""

State = CommissionStatement.State
WAITING = (State.IN_REVIEW, State.CONFIRMED)

crash_points.declare("ib.statement.after_posting")


@dataclass(slots=True)
class RunResult:
    """What a run did: references of the statements it finished, and why others could not be."""

    done: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def close_statements(*, actor: Actor, partner_ids: Iterable[int] | None = None) -> RunResult:
    """Makes the statements of every period whose books are closed. Run again, it finds nothing more to do."""
    authorise(actor, "ib.settle_commissions")
    result = RunResult()
    for partner_id in _partners_with_something_new(partner_ids):
        try:
            for statement in _close_of(partner_id=partner_id, actor=actor):
                result.done.append(str(statement))
        except DomainError as error:
            result.problems[_reference(partner_id)] = error.message
    return result


def approve_due_statements(*, actor: Actor) -> RunResult:
    """Approves what the terms approve by themselves: reviewed long enough, within their limit, nothing against it."""
    authorise(actor, "ib.settle_commissions")
    result = RunResult()
    waiting = CommissionStatement.objects.filter(
        state=State.IN_REVIEW, is_withheld=False, review_until__lte=clock.now(), terms__automatic_up_to__isnull=False
    ).filter(total__lte=F("terms__automatic_up_to"))
    for statement_id in list(waiting.order_by("review_until", "pk").values_list("pk", flat=True)[:MAXIMUM_AT_ONCE]):
        try:
            statement = _approve(statement_id=statement_id, by_terms=True, actor=actor)
            result.done.append(str(statement))
        except DomainError as error:
            CommissionStatement.objects.filter(pk=statement_id).update(problem=error.message[:500])
            result.problems[str(statement_id)] = error.message
    return result


def run_statements(*, actor: Actor) -> dict[str, RunResult]:
    """Closes what is over, then approves what is due; what the schedule does. Any number may run at once."""
    result = {"closed": close_statements(actor=actor), "approved": approve_due_statements(actor=actor)}
    with transaction.atomic():
        statement_work.note_statements()
        payout_work.note_stuck(_stuck(result["closed"]))
    return result


def _stuck(closed: RunResult) -> dict[str, tuple[int, str]]:
    """Entity and reason of each partner whose statements could not be made."""
    partners = Partner.objects.filter(reference__in=closed.problems).values_list("reference", "entity_id")
    return {reference: (entity_id, closed.problems[reference]) for reference, entity_id in partners}


def approve_statement(*, statement_id: int, actor: Actor) -> CommissionStatement:
    """Approves a statement: the first person confirms it, a second one makes it payable.

    What the terms would approve by themselves needs one person. Approving what is approved changes nothing. Raises
    Denied for the same person twice, Conflict while it is withheld or the partner suspended, or the account frozen.
    """
    authorise(actor, "ib.approve_statements")
    get_visible(CommissionStatement.objects.all(), actor, pk=statement_id)
    return _approve(statement_id=statement_id, by_terms=False, actor=actor)


@transaction.atomic
def withhold_statement(*, statement_id: int, reason: str, actor: Actor) -> CommissionStatement:
    """Keeps a statement from being approved until it is let go."""
    authorise(actor, "ib.approve_statements")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    statement = _locked(statement_id, actor)
    if statement.state not in WAITING:
        raise IllegalTransition("Only a statement that waits for approval can be withheld.", state=statement.state)
    if not statement.is_withheld:
        statement.is_withheld, statement.withheld_reason = True, reason.strip()[:500]
        statement.save(update_fields=["is_withheld", "withheld_reason"])
        statement_work.note_statement(statement.pk)
        _record(statement, "ib.withhold_statement", actor, reason=reason)
    return statement


@transaction.atomic
def let_go_statement(*, statement_id: int, reason: str, actor: Actor) -> CommissionStatement:
    """Ends the withholding; the statement waits for approval again."""
    authorise(actor, "ib.approve_statements")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    statement = _locked(statement_id, actor)
    if statement.is_withheld:
        statement.is_withheld, statement.withheld_reason, statement.problem = False, "", ""
        statement.save(update_fields=["is_withheld", "withheld_reason", "problem"])
        statement_work.note_statement(statement.pk)
        _record(statement, "ib.let_go_statement", actor, reason=reason)
    return statement


@transaction.atomic
def hold_line(
    *, partner_id: int, line_reference: str, booked_day: date, amount: Decimal, reason: str, actor: Actor
) -> StatementHold | None:
    """Leaves a line's amount out of approvals while it is looked into; None for one that pays nothing.

    A statement that waits for approval is worked out anew. One that was approved stays as it is (`held_in` stays empty), and
    so much less of it is paid until the line is released (`ib.services.payouts.with_left`); what was paid is corrected by the
    decision.
    """
    authorise(actor, "ib.hold_lines")
    if amount <= 0:
        return None
    partner = _partner_locked(partner_id)
    existing = StatementHold.objects.filter(line_reference=line_reference, released_at__isnull=True).first()
    if existing is not None:
        return existing
    again = _hold_again(line_reference, reason=reason, actor=actor)
    if again is not None:
        _work_out_waiting(partner)
        again.refresh_from_db()
        return again
    hold = StatementHold.objects.create(
        partner=partner,
        line_reference=line_reference,
        booked_day=booked_day,
        amount=amount,
        currency=partner.currency,
        reason=reason[:500],
        placed_by=actor.label,
    )
    _work_out_waiting(partner)
    hold.refresh_from_db()
    return hold


def _hold_again(line_reference: str, *, reason: str, actor: Actor) -> StatementHold | None:
    """A hold whose release nobody paid yet, in force again: the statement that left the line out still does."""
    last = StatementHold.objects.filter(line_reference=line_reference, held_in__isnull=False).order_by("-pk").first()
    if last is None or (last.released_in is not None and not _is_open(last.released_in)):
        return None
    last.released_at = last.released_in = None
    last.released_by, last.reason, last.placed_by = "", reason[:500], actor.label
    last.save(update_fields=["released_at", "released_in", "released_by", "reason", "placed_by"])
    return last


@transaction.atomic
def release_line(*, line_reference: str, actor: Actor) -> StatementHold | None:
    """Takes a held line up again: in the statement that waits, or else in the next. None when nothing is held."""
    authorise(actor, "ib.hold_lines")
    hold = StatementHold.objects.filter(line_reference=line_reference, released_at__isnull=True).first()
    if hold is None:
        return None
    partner = _partner_locked(hold.partner_id)
    hold.released_at, hold.released_by = clock.now(), actor.label
    if hold.held_in is not None and _is_open(hold.held_in):
        hold.held_in = None  # it counts the line again itself; no later statement may
    hold.save(update_fields=["released_at", "released_by", "held_in"])
    _work_out_waiting(partner)
    hold.refresh_from_db()
    return hold


def terms_of(*, partner: Partner, day: date) -> PayoutTerms | None:
    """The terms in force for the partner on a day: the partner's own, else the entity's."""
    return (
        PayoutTerms.objects.filter(entity_id=partner.entity_id, validity__contains=day)
        .filter(Q(partner=partner) | Q(partner__isnull=True))
        .order_by(F("partner_id").asc(nulls_last=True))
        .first()
    )


# Closing

_SOMETHING_NEW = """
SELECT account.owner_id
FROM ledger_ledgeraccount AS account
WHERE account.kind = 'partner_accrued' AND account.owner_type = 'partner'
  AND (%(partners)s::bigint[] IS NULL OR account.owner_id = ANY(%(partners)s::bigint[]))
  AND EXISTS (SELECT 1 FROM ledger_posting AS posting WHERE posting.account_id = account.id)
ORDER BY account.owner_id
"""


def _partners_with_something_new(partner_ids: Iterable[int] | None) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_SOMETHING_NEW, {"partners": None if partner_ids is None else list(partner_ids)})
        return [row[0] for row in cursor.fetchall()]


def _close_of(*, partner_id: int, actor: Actor) -> list[CommissionStatement]:
    made = []
    for _ in range(STATEMENTS_CAUGHT_UP):
        statement = _close_next(partner_id=partner_id, actor=actor)
        if statement is None:
            break
        made.append(statement)
    return made


@transaction.atomic(durable=True)
def _close_next(*, partner_id: int, actor: Actor) -> CommissionStatement | None:
    """The next statement of a partner whose period is over, or None."""
    limit_waiting()
    partner = _partner_locked(partner_id)
    last = CommissionStatement.objects.filter(partner=partner).order_by("-number").first()
    first_posting = _first_day_not_counted(partner, last)
    if first_posting is None:
        return None
    begin = last.to_day + timedelta(days=1) if last else first_posting
    terms = terms_of(partner=partner, day=max(begin, first_posting))
    if terms is None:
        raise Conflict(f"{partner} has no payout terms on {begin}.", code="no_payout_terms", partner=partner.reference)
    days = next_period(
        first_posting=first_posting, closed_through_statement=last.to_day if last else None, period=terms.period
    )
    if not is_over(days, books_closed_through=closed_through(entity_id=partner.entity_id)):
        return None
    earned, parts, digest = _earned(partner, days.last, last)
    now = clock.now()
    statement = CommissionStatement(
        partner=partner,
        currency=partner.currency,
        number=last.number + 1 if last else 1,
        from_day=days.first,
        to_day=days.last,
        terms=terms,
        earned=earned,
        parts=parts,
        digest=digest,
        total=earned,
        review_until=now + timedelta(days=terms.review_days),
        closed_at=now,
    )
    carried = list(CommissionStatement.objects.filter(partner=partner, state=State.CARRIED, carried_to__isnull=True))
    statement.carried_in = sum((item.total for item in carried), Decimal(0))
    statement.total = statement.carried_in + statement.earned
    statement.save(force_insert=True)
    CommissionStatement.objects.filter(pk__in=[item.pk for item in carried]).update(carried_to=statement)
    _take_holds(statement)
    _work_out(statement)
    _record(statement, "ib.close_statement", actor, changes={"total": str(statement.total), "state": statement.state})
    outbox.publish(topic="ib.statement_closed", payload={"statement_id": statement.pk})
    return statement


def _take_holds(statement: CommissionStatement) -> None:
    """Open holds on lines that the statement counts belong to it; so do released ones that nobody took up yet."""
    holds = StatementHold.objects.filter(partner_id=statement.partner_id, currency=statement.currency)
    holds.filter(
        held_in__isnull=True, released_at__isnull=True, booked_day__range=(_begin(statement), statement.to_day)
    ).update(held_in=statement)
    holds.filter(held_in__isnull=False, released_at__isnull=False, released_in__isnull=True).exclude(
        held_in=statement
    ).update(released_in=statement)


def _begin(statement: CommissionStatement) -> date:
    """The first day of whatever the statement counts, what was carried into it included."""
    begin, ids = statement.from_day, [statement.pk]
    for _ in range(STATEMENTS_CAUGHT_UP):
        carried = list(CommissionStatement.objects.filter(carried_to__in=ids).values_list("pk", "from_day"))
        if not carried:
            break
        ids, begin = [pk for pk, _ in carried], min(begin, *(day for _, day in carried))
    return begin


def _is_open(statement: CommissionStatement) -> bool:
    """Whether the statement is still worked out anew: nobody approved it, and no later one took it over."""
    return statement.state in WAITING or (statement.state == State.CARRIED and statement.carried_to_id is None)


def _work_out(statement: CommissionStatement) -> None:
    """Held, released, total and whether anything is left to approve, from the holds that belong to the statement."""
    held = StatementHold.objects.filter(held_in=statement, released_at__isnull=True)
    released = StatementHold.objects.filter(released_in=statement).exclude(held_in=statement)
    statement.held = held.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    statement.released = released.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    statement.total = statement.carried_in + statement.earned - statement.held + statement.released
    carried = is_carried(statement.total, minimum_payout=statement.terms.minimum_payout, currency=statement.currency)
    statement.state = State.CARRIED if carried else State.IN_REVIEW
    if not carried:
        statement.confirmed_by, statement.confirmed_by_id = "", None
    statement.save(update_fields=["held", "released", "total", "state", "confirmed_by", "confirmed_by_id"])


def _work_out_waiting(partner: Partner) -> None:
    """Brings the partner's statements that nobody approved yet to the holds as they stand now."""
    open_ones = CommissionStatement.objects.filter(partner=partner).filter(
        Q(state__in=WAITING) | Q(state=State.CARRIED, carried_to__isnull=True)
    )
    for statement in open_ones.select_related("terms", "partner").order_by("number"):
        _take_holds(statement)
        _work_out(statement)


_COUNTED = """
FROM ledger_posting AS posting
JOIN ledger_ledgeraccount AS account ON account.id = posting.account_id
JOIN ledger_journalentry AS entry ON entry.id = posting.entry_id
WHERE account.owner_type = 'partner' AND account.owner_id = %(partner)s AND account.kind = 'partner_accrued'
  AND account.currency = %(currency)s AND entry.source_type <> %(own)s
"""


def _first_day_not_counted(partner: Partner, last: CommissionStatement | None) -> date | None:
    """The business day of the first posting after the last statement, or in its days if those took something later."""
    parameters: dict[str, int | str | date | None] = {
        "partner": partner.pk,
        "currency": partner.currency,
        "own": SOURCE_TYPE,
        "after": last.to_day if last else None,
    }
    with connection.cursor() as cursor:
        if last is not None and _sum_through(partner, last.to_day) != _stated(partner):
            return last.to_day + timedelta(days=1)
        cursor.execute(
            f"SELECT min(entry.business_day) {_COUNTED} AND (%(after)s::date IS NULL OR entry.business_day > %(after)s)",
            parameters,
        )
        found: date | None = cursor.fetchone()[0]
    return found


def _stated(partner: Partner) -> Decimal:
    stated = CommissionStatement.objects.filter(partner=partner).aggregate(sum=Sum("earned"))["sum"]
    return stated or Decimal(0)


def _sum_through(partner: Partner, day: date) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END), 0)"
            f" {_COUNTED} AND entry.business_day <= %(day)s",
            {"partner": partner.pk, "currency": partner.currency, "own": SOURCE_TYPE, "day": day},
        )
        total: Decimal = cursor.fetchone()[0]
    return total


def _earned(partner: Partner, to_day: date, last: CommissionStatement | None) -> tuple[Decimal, list[list[str]], str]:
    """(what no earlier statement counts, the same by source, digest of the postings of these days)."""
    earned = _sum_through(partner, to_day) - _stated(partner)
    after = last.to_day if last else None
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT entry.source_type,
                   sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END),
                   encode(sha256(convert_to(string_agg(posting.id || posting.side || posting.amount, '|'
                       ORDER BY posting.id), 'UTF8')), 'hex')
            {_COUNTED} AND entry.business_day <= %(day)s AND (%(after)s::date IS NULL OR entry.business_day > %(after)s)
            GROUP BY entry.source_type ORDER BY entry.source_type
            """,
            {"partner": partner.pk, "currency": partner.currency, "own": SOURCE_TYPE, "day": to_day, "after": after},
        )
        rows = cursor.fetchall()
        cursor.execute(
            "SELECT encode(sha256(convert_to(%s, 'UTF8')), 'hex')", ["|".join(f"{row[0]}:{row[2]}" for row in rows)]
        )
        digest: str = cursor.fetchone()[0]
    parts = [[source or "manual", f"{amount:f}"] for source, amount, _ in rows]
    late = earned - sum((amount for _, amount, _ in rows), Decimal(0))
    if late:
        parts.append(["late", f"{late:f}"])
    return earned, parts, digest


# Approval


@transaction.atomic(durable=True)
def _approve(*, statement_id: int, by_terms: bool, actor: Actor) -> CommissionStatement:
    limit_waiting()
    statement = _locked(statement_id, actor if not by_terms else None)
    if statement.state == State.APPROVED:
        return statement
    _check_approvable(statement)
    alone = needs_nobody(statement.total, automatic_up_to=statement.terms.automatic_up_to)
    if by_terms and not alone:
        raise Conflict("The terms do not approve that much by themselves.", code="above_automatic_limit")
    if not by_terms and not alone and statement.state == State.IN_REVIEW:
        return _confirm(statement, actor)
    if not by_terms and statement.confirmed_by_id is not None and statement.confirmed_by_id == actor.user_id:
        raise Denied("Who confirmed a statement does not approve it.", code="same_person")
    return _make_payable(statement, by_terms=by_terms, actor=actor)


def _check_approvable(statement: CommissionStatement) -> None:
    if statement.state not in WAITING:
        raise IllegalTransition("There is nothing to approve.", state=statement.state)
    if statement.is_withheld:
        raise Conflict(f"The statement is withheld: {statement.withheld_reason}", code="statement_withheld")
    if statement.partner.status == Partner.Status.SUSPENDED:
        raise Conflict(f"{statement.partner} is suspended.", code="partner_suspended")


def _confirm(statement: CommissionStatement, actor: Actor) -> CommissionStatement:
    statement.state, statement.confirmed_by, statement.confirmed_by_id = State.CONFIRMED, actor.label, actor.user_id
    statement.save(update_fields=["state", "confirmed_by", "confirmed_by_id"])
    statement_work.note_statement(statement.pk)
    _record(statement, "ib.confirm_statement", actor)
    return statement


def _make_payable(statement: CommissionStatement, *, by_terms: bool, actor: Actor) -> CommissionStatement:
    now = clock.now()
    statement.payable = payable_of(statement.total, statement.currency)
    statement.state, statement.approved_at, statement.problem = State.APPROVED, now, ""
    statement.payable_from = now + timedelta(days=statement.terms.hold_days)
    statement.approved_by = (
        f"terms {statement.terms_id}: {statement.terms.approved_by}"[:200] if by_terms else actor.label
    )
    statement.approved_by_id = None if by_terms else actor.user_id
    statement.save(
        update_fields=["payable", "state", "approved_at", "problem", "payable_from", "approved_by", "approved_by_id"]
    )
    lock_ledger_posting()
    post_entry(draft=_draft(statement), actor=actor)
    crash_points.reach("ib.statement.after_posting")
    statement_work.note_statement(statement.pk)
    _record(statement, "ib.approve_statement", actor, changes={"payable": str(statement.payable)})
    outbox.publish(topic="ib.statement_approved", payload={"statement_id": statement.pk})
    return statement


def _draft(statement: CommissionStatement) -> EntryDraft:
    partner = statement.partner
    assert statement.payable is not None, "set by the approval"

    def spec(kind: AccountKind, owner_type: str = "", owner_id: int = 0) -> AccountSpec:
        return AccountSpec(
            entity_id=partner.entity_id,
            kind=kind,
            currency=statement.currency,
            owner_type=owner_type,
            owner_id=owner_id,
        )

    accrued = spec(AccountKind.PARTNER_ACCRUED, PARTNER_OWNER, partner.pk)
    payable = spec(AccountKind.PARTNER_PAYABLE, PARTNER_OWNER, partner.pk)
    rounding = spec(AccountKind.ROUNDING)
    accounts = get_accounts_bulk(specs=[accrued, payable, rounding])
    lines = [
        PostingLine(accounts[accrued].pk, "D", statement.total, statement.currency),
        PostingLine(accounts[payable].pk, "C", statement.payable, statement.currency),
    ]
    remainder = statement.total - statement.payable
    if remainder:
        lines.append(
            PostingLine(accounts[rounding].pk, "C" if remainder > 0 else "D", abs(remainder), statement.currency)
        )
    return EntryDraft(
        entity_id=partner.entity_id,
        kind="transfer",
        business_day=booking_day(entity_id=partner.entity_id, business_day=clock.today_business_day()),
        description=f"Statement {statement.number} of {partner.reference}, {statement.from_day} to {statement.to_day}",
        lines=lines,
        idempotency_key=f"ib:statement:{statement.pk}",
        source_type=SOURCE_TYPE,
        source_id=statement.pk,
    )


# Small helps


def _locked(statement_id: int, actor: Actor | None) -> CommissionStatement:
    """The statement under its partner's lock, if the actor may see it."""
    statements = CommissionStatement.objects.all()
    seen = visible_to(statements, actor) if actor is not None else statements
    partner_id = seen.filter(pk=statement_id).values_list("partner_id", flat=True).first()
    if partner_id is None:
        raise NotFound("No such statement, or it is not yours to see.", statement_id=statement_id)
    _partner_locked(partner_id)
    return CommissionStatement.objects.select_related("partner", "terms").get(pk=statement_id)


def _partner_locked(partner_id: int) -> Partner:
    partner = lock_partner(partner_id)
    if partner is None:
        raise NotFound("No such partner.", partner_id=partner_id)
    return partner


def _reference(partner_id: int) -> str:
    return Partner.objects.filter(pk=partner_id).values_list("reference", flat=True).first() or str(partner_id)


def _record(
    statement: CommissionStatement,
    action: str,
    actor: Actor,
    *,
    reason: str = "",
    changes: dict[str, str] | None = None,
) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=statement,
        reason=reason,
        changes=changes or {},
        entity_id=statement.partner.entity_id,
    )
