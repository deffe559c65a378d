"""Goodwill: commission that one person proposes and another one approves, within the limit of the legal entity.

It is booked once, on the accrued account against compensation, by an entry of its own, and stands as a part of its own in
the next statement. Taking it back is the opposite entry.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Sum

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.kinds import ChangeKind, Impact, Payload, register_change_kind
from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal, round_decimal
from backoffice.kernel.errors import Conflict, InvalidInput
from funding.ledger.chart import AccountKind
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry, register_derived_source
from funding.ledger.services.periods import booking_day
from funding.ledger.types import AccountSpec
from ib.dispute_rules import DisputeDecision, DisputeStep, next_state
from ib.locks import limit_waiting, lock_ledger_posting
from ib.models import CommissionAdjustment, Dispute, GoodwillLimit
from ib.permissions import APPROVE_CHANGES
from ib.rules import money_text
from ib.services.disputes.common import checked_text, locked_dispute, standing_decision, write_down
from ib.services.disputes.following import close_with, require_correcting
from ib.services.disputes.handling import check_not_first_decider, resume
from ib.services.posting import PARTNER_OWNER

GOODWILL = "ib.goodwill"
LIMIT = "ib.goodwill_limit"
PROPOSE = "ib.propose_goodwill"
LIMIT_MAKER = "ib.manage_plans"
SOURCE_TYPE = "ib.adjustment"
HIGHEST_LIMIT = Decimal(10) ** 12

crash_points.declare("ib.goodwill.after_posting")


@transaction.atomic
def propose_goodwill(*, dispute_id: int, amount: Decimal, reason: str, actor: Actor) -> Dispute:
    """Decides to give an amount as goodwill: another person approves it, then it is booked and the dispute closes.

    Raises InvalidInput beyond the entity's limit for one case or for the month.
    """
    authorise(actor, PROPOSE)
    words = checked_text(reason, field="reason", question="Say why goodwill is given.")
    dispute = locked_dispute(dispute_id, actor)
    state = next_state("correct", dispute.state).value
    check_not_first_decider(dispute, actor)
    payload = {"dispute_id": dispute.pk, "amount": _plain(amount), "currency": dispute.currency}
    draft = changes.draft_change(
        kind=GOODWILL, payload=payload, actor=actor, reason=words[:1000], entity_id=dispute.entity_id, target=dispute
    )
    resume(dispute)
    standing_decision(dispute, decision=DisputeDecision.GOODWILL, reason=words, actor=actor)
    dispute.state, dispute.change_request = state, draft
    dispute.owner_id = dispute.owner_id or actor.user_id or None
    dispute.save()
    write_down(dispute, DisputeStep.NOTED, actor=actor, text=words, is_internal=True)
    write_down(
        dispute, DisputeStep.DECIDED, actor=actor,
        text="An amount is proposed as goodwill; another person of the desk has to agree.",
        tell="We would like to give you an amount as goodwill. Another person of ours has to agree; then it is booked.",
        changes={"decision": dispute.decision, "amount": payload["amount"], "change": draft.reference},
    )  # fmt: skip
    changes.submit_change(change_id=draft.pk, actor=actor)
    return dispute


@transaction.atomic
def request_goodwill_limit(
    *, entity_id: int, currency: str, valid_from: date, per_case: Decimal, per_month: Decimal, actor: Actor, reason: str
) -> ChangeRequest:
    """A change request for how much goodwill an entity gives in a currency. Handed in at once."""
    authorise(actor, LIMIT_MAKER)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    payload = {
        "entity_id": entity.pk,
        "currency": currency,
        "valid_from": valid_from.isoformat(),
        "per_case": _plain(per_case),
        "per_month": _plain(per_month),
    }
    draft = changes.draft_change(
        kind=LIMIT, payload=payload, actor=actor, reason=reason, entity_id=entity.pk, target=entity
    )
    return changes.submit_change(change_id=draft.pk, actor=actor)


@transaction.atomic
def put_goodwill_limit(*, payload: Payload, actor: Actor, approval: str) -> GoodwillLimit:
    """Writes the limit; what was in force ends the day before. For persons only through a change request."""
    authorise(actor, LIMIT_MAKER)
    _check_limit(payload)
    limit_waiting()
    valid_from = date.fromisoformat(payload["valid_from"])
    LegalEntity.objects.select_for_update().get(pk=payload["entity_id"])
    standing = GoodwillLimit.objects.filter(entity_id=payload["entity_id"], currency=payload["currency"])
    for limit in standing.filter(validity__endswith__gt=valid_from) | standing.filter(validity__endswith__isnull=True):
        if limit.validity.lower is None or limit.validity.lower < valid_from:
            limit.validity = DateRange(limit.validity.lower, valid_from)
            limit.save(update_fields=["validity"])
        else:
            limit.delete()
    made = GoodwillLimit.objects.create(
        entity_id=payload["entity_id"],
        currency=payload["currency"],
        validity=DateRange(valid_from, None),
        per_case=Decimal(payload["per_case"]),
        per_month=Decimal(payload["per_month"]),
        approved_by=approval[:200],
    )
    audit.record(
        actor=actor, action="ib.put_goodwill_limit", target=made, changes=payload, entity_id=payload["entity_id"]
    )
    return made


def limit_of(*, entity_id: int, currency: str, day: date) -> GoodwillLimit | None:
    """The limit in force on a day."""
    return GoodwillLimit.objects.filter(entity_id=entity_id, currency=currency, validity__contains=day).first()


def given_in_month(*, entity_id: int, currency: str, day: date) -> Decimal:
    """What was given in the calendar month of the day, less what was taken back."""
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    made = CommissionAdjustment.objects.filter(
        partner__entity_id=entity_id, currency=currency, created_at__date__gte=first, created_at__date__lt=following
    )
    return made.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def _plain(amount: Decimal) -> str:
    return f"{exact_decimal(amount, field='amount').normalize():f}"


# The change request of goodwill


def _check_goodwill(payload: Payload) -> None:
    dispute = _dispute(payload)
    amount, currency = Decimal(payload["amount"]), dispute.currency
    if payload["currency"] != currency:
        raise InvalidInput("Goodwill is given in the partner's currency.", field="currency")
    if amount <= 0 or round_decimal(amount, Currency.of(currency).digits) != amount:
        raise InvalidInput(f"An amount above zero, in the digits of {currency}.", field="amount", value=str(amount))
    today = clock.now().date()
    limit = limit_of(entity_id=dispute.entity_id, currency=currency, day=today)
    if limit is None:
        raise InvalidInput(f"No goodwill is given in {currency}: there is no limit for it.", field="amount")
    if amount > limit.per_case:
        raise InvalidInput(
            f"At most {money_text(limit.per_case, currency)} {currency} for one case.",
            field="amount",
            value=str(amount),
        )
    left = limit.per_month - given_in_month(entity_id=dispute.entity_id, currency=currency, day=today)
    if amount > left:
        raise InvalidInput(
            f"Only {money_text(max(left, Decimal(0)), currency)} {currency} is left of this month's goodwill.",
            field="amount",
            value=str(amount),
        )


def _goodwill_title(payload: Payload) -> str:
    dispute = _dispute(payload)
    return f"Goodwill of {payload['amount']} {payload['currency']} to {dispute.partner} for {dispute.reference}"


def _preview_goodwill(payload: Payload, actor: Actor) -> Impact:
    dispute = _dispute(payload)
    today = clock.now().date()
    given = given_in_month(entity_id=dispute.entity_id, currency=dispute.currency, day=today)
    limit = limit_of(entity_id=dispute.entity_id, currency=dispute.currency, day=today)
    figures = {
        "Line in dispute": f"{money_text(dispute.amount, dispute.currency)} {dispute.currency}",
        "Goodwill given this month": f"{money_text(given, dispute.currency)} {dispute.currency}",
        "Limit for the month": f"{money_text(limit.per_month, dispute.currency)} {dispute.currency}"
        if limit
        else "none",
    }
    return Impact(f"{dispute.partner} gets {payload['amount']} {payload['currency']}.", figures=figures)


def _apply_goodwill(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=GOODWILL, dispute_id=payload["dispute_id"], amount=payload["amount"])
    limit_waiting()
    LegalEntity.objects.select_for_update(no_key=True).get(pk=request.entity_id)  # one month's limit, one at a time
    dispute = locked_dispute(payload["dispute_id"], actor)
    require_correcting(dispute)
    _check_goodwill(payload)
    amount = Decimal(payload["amount"])
    made = _book(dispute, amount=amount, request=request, actor=actor, reason=dispute.decision_reason)
    close_with(dispute, delta=amount, lines=[made.reference])
    return {"adjustment_id": made.pk}


def _verify_goodwill(outcome: dict[str, Any]) -> list[str]:
    made = CommissionAdjustment.objects.filter(pk=outcome["adjustment_id"]).first()
    return [] if made is not None else ["The adjustment is not there."]


def _take_goodwill_back(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    made = CommissionAdjustment.objects.select_related("dispute", "change_request").get(pk=outcome["adjustment_id"])
    if CommissionAdjustment.objects.filter(reverses=made).exists():
        raise Conflict("It was taken back already.", code="already_reversed")
    assert made.dispute is not None, "goodwill is given in a dispute"
    dispute = locked_dispute(made.dispute.pk, actor)
    back = _book(
        dispute, amount=-made.amount, request=made.change_request, actor=actor, reason=reason or "Taken back.", of=made
    )
    words = f"The goodwill of {money_text(made.amount, made.currency)} {made.currency} was taken back: {reason}"
    write_down(dispute, DisputeStep.WROTE, actor=actor, text=words, tell=words, changes={"adjustment": back.reference})
    return {"adjustment_id": back.pk}


def _book(
    dispute: Dispute,
    *,
    amount: Decimal,
    request: ChangeRequest,
    actor: Actor,
    reason: str,
    of: CommissionAdjustment | None = None,
) -> CommissionAdjustment:
    partner = dispute.partner
    day = booking_day(entity_id=partner.entity_id, business_day=clock.today_business_day())
    made = CommissionAdjustment.objects.create(
        partner=partner,
        dispute=dispute,
        change_request=request,
        amount=amount,
        currency=dispute.currency,
        reason=reason,
        reverses=of,
        booked_day=day,
        made_by=request.made_by[:200],
        approved_by=(request.checked_by if of is None else actor.label)[:200],
    )
    lock_ledger_posting()
    post_entry(draft=_draft(made), actor=actor)
    crash_points.reach("ib.goodwill.after_posting")
    audit.record(
        actor=actor,
        action="ib.book_adjustment",
        target=made,
        reason=reason[:500],
        changes={"amount": str(amount), "currency": dispute.currency, "dispute": dispute.reference},
        entity_id=partner.entity_id,
    )
    return made


def _draft(made: CommissionAdjustment) -> EntryDraft:
    partner = made.partner
    expense = AccountSpec(entity_id=partner.entity_id, kind=AccountKind.COMPENSATION_EXPENSE, currency=made.currency)
    accrued = AccountSpec(
        entity_id=partner.entity_id,
        kind=AccountKind.PARTNER_ACCRUED,
        currency=made.currency,
        owner_type=PARTNER_OWNER,
        owner_id=partner.pk,
    )
    accounts = get_accounts_bulk(specs=[expense, accrued])
    amount = abs(made.amount)
    given = made.amount > 0
    return EntryDraft(
        entity_id=partner.entity_id,
        kind="adjustment",
        business_day=made.booked_day,
        description=f"Goodwill {made.reference} to {partner.reference}" + ("" if given else ", taken back"),
        lines=[
            PostingLine(accounts[expense].pk, "D" if given else "C", amount, made.currency),
            PostingLine(accounts[accrued].pk, "C" if given else "D", amount, made.currency),
        ],
        idempotency_key=f"ib:adjustment:{made.pk}",
        source_type=SOURCE_TYPE,
        source_id=made.pk,
        reason=made.reason,
    )


def _dispute(payload: Payload) -> Dispute:
    found = Dispute.objects.select_related("partner").filter(pk=payload.get("dispute_id") or 0).first()
    if found is None:
        raise InvalidInput("No such dispute.", field="dispute_id")
    return found


# The change request of a limit


def _check_limit(payload: Payload) -> None:
    Currency.of(payload["currency"])
    for name in ("per_case", "per_month"):
        amount = exact_decimal(Decimal(payload[name]), field=name)
        if not 0 <= amount <= HIGHEST_LIMIT:
            raise InvalidInput(f"Between 0 and {HIGHEST_LIMIT}.", field=name, value=payload[name])
    if Decimal(payload["per_month"]) < Decimal(payload["per_case"]):
        raise InvalidInput("A month takes at least one case.", field="per_month", value=payload["per_month"])


def _limit_in_words(per_case: Any, per_month: Any) -> dict[str, Any]:
    return {"per_case": f"{Decimal(per_case).normalize():f}", "per_month": f"{Decimal(per_month).normalize():f}"}


def _limit_before(payload: Payload) -> dict[str, Any]:
    day = date.fromisoformat(payload["valid_from"])
    limit = limit_of(entity_id=payload["entity_id"], currency=payload["currency"], day=day)
    return _limit_in_words(limit.per_case, limit.per_month) if limit else {}


def _apply_limit(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=LIMIT, entity_id=payload["entity_id"])
    made = put_goodwill_limit(payload=payload, actor=Actor.system("ib.changes"), approval=f"change {request.reference}")
    return {"limit_id": made.pk}


def register() -> None:
    """Registers the kinds of change requests and the source of the entries. Called once, when the process starts."""
    register_derived_source(SOURCE_TYPE, "take the goodwill back by its change request")
    register_change_kind(
        ChangeKind(
            kind=GOODWILL,
            label="Goodwill to a partner",
            desk="ib",
            maker_capability=PROPOSE,
            checker_capability=APPROVE_CHANGES,
            title=_goodwill_title,
            current=lambda payload: {},
            proposed=lambda payload: {"amount": f"{payload['amount']} {payload['currency']}"},
            preview=_preview_goodwill,
            apply=_apply_goodwill,
            verify=_verify_goodwill,
            revert=_take_goodwill_back,
            check=_check_goodwill,
            labels={"amount": "Goodwill"},
            target=_dispute,
            entity_of=lambda payload: _dispute(payload).entity_id,
        )
    )
    register_change_kind(
        ChangeKind(
            kind=LIMIT,
            label="Limit of goodwill",
            desk="ib",
            maker_capability=LIMIT_MAKER,
            checker_capability=APPROVE_CHANGES,
            title=lambda payload: f"Goodwill in {payload['currency']} from {payload['valid_from']}",
            current=_limit_before,
            proposed=lambda payload: _limit_in_words(payload["per_case"], payload["per_month"]),
            preview=lambda payload, actor: Impact("Goodwill is bounded by these amounts from that day on."),
            apply=_apply_limit,
            verify=lambda outcome: (
                [] if GoodwillLimit.objects.filter(pk=outcome["limit_id"]).exists() else ["The limit is not there."]
            ),
            check=_check_limit,
            labels={"per_case": "For one case", "per_month": "In a month"},
            target=lambda payload: LegalEntity.objects.filter(pk=payload["entity_id"]).first(),
            entity_of=lambda payload: int(payload["entity_id"]),
        )
    )
