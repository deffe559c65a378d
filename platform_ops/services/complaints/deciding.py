"""Deciding a complaint: proposed by who looked into it, approved by another person, then carried out as it was approved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.kinds import ChangeKind, Impact
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.kernel.money import round_money
from platform_ops.account_permissions import DECIDE_COMPLAINTS, HANDLE_COMPLAINTS
from platform_ops.models import CurrentDeal, PriceComplaint, Trade, TradeCancellation
from platform_ops.rules.complaints import Cause, ComplaintState, Decision, Disputed, next_state, proposed_amount
from platform_ops.services.account_operations import request_balance_operation
from platform_ops.services.complaints import waiting
from platform_ops.services.complaints.evidence import digest_of, facts_of
from platform_ops.types import DealEntry, DealKind

COMPLAINT_CHANGE_KIND = "platform.complaint_decision"
MAX_REASONING = 2_000
SYSTEM = Actor.system("price complaints")
Payload = dict[str, Any]


def complaint_change_kind() -> ChangeKind:
    """The kind, for its registration."""
    return ChangeKind(
        kind=COMPLAINT_CHANGE_KIND,
        label="Decision of a price complaint",
        desk="platform_ops",
        maker_capability=HANDLE_COMPLAINTS,
        checker_capability=DECIDE_COMPLAINTS,
        title=_title,
        current=lambda payload: {
            "decision": "none",
            "amount": "0",
            "cause": "",
            "evidence": _complaint(payload).evidence.get("digest", ""),
        },
        proposed=_proposed,
        preview=_preview,
        apply=_apply,
        verify=_verify,
        check=_check,
        target=lambda payload: _complaint(payload),
        entity_of=lambda payload: _complaint(payload).entity_id,
        labels={"decision": "Decision", "amount": "Amount", "cause": "Cause", "evidence": "Digest of the evidence"},
    )


def propose_decision(
    *,
    complaint_id: int,
    decision: str,
    cause: str,
    reasoning: str,
    actor: Actor,
    correct_price: Decimal | None = None,
    amount: Decimal | None = None,
) -> ChangeRequest:
    """Hands a decision in for approval by another person.

    A compensation is by default what the client lost against *correct_price* (by default the price in force); another
    *amount* needs saying so in the reasoning. A cancelled trade gives back exactly what it moved. Raises InvalidInput
    for what cannot be, IllegalTransition without evidence.
    """
    authorise(actor, HANDLE_COMPLAINTS)
    with transaction.atomic():
        visible = get_visible(PriceComplaint.objects.all(), actor, pk=complaint_id)
        complaint = (
            PriceComplaint.objects.select_for_update(of=("self",))
            .select_related("trade__server_symbol__symbol", "account__server", "account__group")
            .get(pk=visible.pk)
        )
        next_state(complaint.state, "propose")
        payload = _payload(complaint, decision, cause, reasoning, correct_price, amount)
        change = changes.draft_change(
            kind=COMPLAINT_CHANGE_KIND, payload=payload, actor=actor, reason=payload["reasoning"][:500],
            entity_id=complaint.entity_id,
        )  # fmt: skip
        submitted = changes.submit_change(change_id=change.pk, actor=actor)
        complaint.state = next_state(complaint.state, "propose").value
        complaint.change_request = submitted
        complaint.save(update_fields=["state", "change_request"])
        audit.record(
            actor=actor, action="platform.propose_complaint_decision", target=complaint,
            changes={"decision": decision, "amount": payload["amount"], "cause": cause}, entity_id=complaint.entity_id,
        )  # fmt: skip
        waiting.note_complaint(complaint)
    return submitted


def money_of(trade: Trade) -> Decimal:
    """All that the trade's closing moved."""
    return trade.profit + trade.swap + trade.commission + trade.fee


def opening_share(trade: Trade) -> Decimal:
    """The commission and fees of the opening that belong to the part which this trade closed, to the digits of booking."""
    opened = CurrentDeal.objects.filter(
        account=trade.account_id, position_ticket=trade.position_ticket, entry=DealEntry.IN.value, kind__in=[0, 1]
    ).aggregate(lots=Sum("volume_lots"), commission=Sum("commission"), fee=Sum("fee"))
    if not trade.position_ticket or not opened["lots"]:
        return Decimal(0)
    paid = opened["commission"] + opened["fee"]
    share = paid * min(trade.volume_lots / opened["lots"], Decimal(1))
    return round_money(share, Currency.of(trade.currency).digits)


def _payload(
    complaint: PriceComplaint,
    decision: str,
    cause: str,
    reasoning: str,
    correct_price: Decimal | None,
    amount: Decimal | None,
) -> Payload:
    words = reasoning.strip()
    if not words or len(words) > MAX_REASONING:
        raise InvalidInput(f"Say why, in at most {MAX_REASONING} letters.", field="reasoning")
    if decision not in set(Decision):
        raise InvalidInput("The decision is to reject, to compensate or to cancel.", field="decision", value=decision)
    if cause not in set(Cause):
        raise InvalidInput("This is no cause.", field="cause", value=cause)
    price = correct_price
    if price is None and complaint.evidence.get("price_in_force"):
        price = Decimal(complaint.evidence["price_in_force"])
    by_rule: Decimal | None = None
    if decision == Decision.COMPENSATE:
        if price is not None:
            by_rule = proposed_amount(facts_of(complaint), disputed=Disputed(complaint.disputed), price=price)
        amount = by_rule if amount is None else amount
        digits = Currency.of(complaint.currency).digits
        if amount is None:
            raise InvalidInput("No price is known to compensate by: name it, or the amount.", field="correct_price")
        if not amount.is_finite() or amount <= 0 or amount != round(amount, digits):
            raise InvalidInput("A compensation is an amount above zero.", field="amount", value=str(amount))
    elif decision == Decision.CANCEL:
        amount = -money_of(complaint.trade)
    else:
        amount = None
    return {
        "complaint_id": complaint.pk,
        "decision": decision,
        "cause": cause,
        "reasoning": words,
        "correct_price": None if price is None else f"{price.normalize():f}",
        "amount": None if amount is None else f"{amount.normalize():f}",
        "by_rule": None if by_rule is None else f"{by_rule.normalize():f}",
        "evidence": digest_of(complaint.evidence),
    }


def _complaint(payload: Payload) -> PriceComplaint:
    found = (
        PriceComplaint.objects.select_related(
            "trade__server_symbol__symbol", "account__server", "account__group", "client"
        )
        .filter(pk=payload.get("complaint_id") or 0)
        .first()
    )
    if found is None:
        raise InvalidInput("No such complaint.", field="complaint_id")
    return found


def _title(payload: Payload) -> str:
    complaint = _complaint(payload)
    words = {"reject": "Reject", "compensate": "Compensate", "cancel": "Cancel the trade of"}[payload["decision"]]
    return f"{words} {complaint.reference} ({complaint.account.login})"


def _proposed(payload: Payload) -> dict[str, Any]:
    complaint = _complaint(payload)
    amount = f"{Decimal(payload['amount']):+,.2f} {complaint.currency}" if payload["amount"] else "0"
    return {
        "decision": Decision(payload["decision"]).value,
        "amount": amount,
        "cause": Cause(payload["cause"]).value.replace("_", " "),
        "evidence": payload["evidence"],
    }


def _check(payload: Payload) -> None:
    complaint = _complaint(payload)
    if complaint.state not in (ComplaintState.INVESTIGATED, ComplaintState.PROPOSED):
        raise Conflict("The complaint is decided already.", code="already_decided")
    if digest_of(complaint.evidence) != payload.get("evidence"):
        raise Conflict("The evidence was collected anew: decide by what it says now.", code="evidence_moved")
    if payload["decision"] == Decision.CANCEL:
        trade = complaint.trade
        if (
            trade.is_cancelled
            or TradeCancellation.objects.filter(server=trade.server_id, ticket=trade.ticket, leg=trade.leg).exists()
        ):
            raise Conflict("The trade is cancelled already.", code="trade_cancelled")
        if Decimal(payload["amount"]) != -money_of(trade):
            raise Conflict("The trade was corrected since: propose anew.", code="trade_moved")


def _preview(payload: Payload, actor: Actor) -> Impact:
    complaint = _complaint(payload)
    trade, evidence = complaint.trade, complaint.evidence
    figures: dict[str, Any] = {
        "Executed at": evidence.get("executed_price") or "unknown",
        "Price in force": evidence.get("price_in_force") or "unknown",
        "Provider's price": evidence.get("provider", {}).get("provider_price") or "unknown",
        f"Result as booked, {complaint.currency}": f"{money_of(trade):+,.2f}",
    }
    if payload["decision"] == Decision.COMPENSATE:
        figures[f"By the rule, {complaint.currency}"] = payload["by_rule"] or "no price known"
    rows = [
        {
            "Time": tick["at"][11:23].partition("+")[0],
            "Source": tick["source"],
            "Bid": tick["bid"],
            "Ask": tick["ask"],
            "Verdict": tick["reason"],
        }
        for tick in _near(evidence)
    ]
    summary = {
        "reject": "Nothing is booked; the client gets a letter.",
        "compensate": f"{payload['amount']} {complaint.currency} is given to the account as a correction; the trade stays.",
        "cancel": (
            f"{payload['amount']} {complaint.currency} undoes the trade on the server; it counts as nothing from then on, "
            "and its commissions are taken back."
        ),
    }[payload["decision"]]
    return Impact(summary, rows, figures)


def _near(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    ticks = evidence.get("ticks", [])
    middle = sum(1 for tick in ticks if tick["at"] <= evidence.get("at", ""))
    return list(ticks[max(0, middle - 6) : middle + 4])


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    """Marks the decision and writes the money operation down; both or neither."""
    changes.require_approved(request, kind=COMPLAINT_CHANGE_KIND, complaint_id=payload["complaint_id"])
    complaint = PriceComplaint.objects.select_for_update(of=("self",)).get(pk=payload["complaint_id"])
    complaint.state = next_state(complaint.state, "approve").value
    complaint.decision, complaint.cause, complaint.reasoning = (
        payload["decision"],
        payload["cause"],
        payload["reasoning"],
    )
    complaint.correct_price = Decimal(payload["correct_price"]) if payload["correct_price"] else None
    complaint.amount = Decimal(payload["amount"]) if payload["amount"] else None
    complaint.decided_by, complaint.decided_at, complaint.change_request = (
        request.checked_by[:200],
        clock.now(),
        request,
    )
    operations = _move_money(complaint, request)
    complaint.save()
    audit.record(
        actor=actor, action="platform.decide_complaint", target=complaint, reason=complaint.reasoning[:500],
        changes={"decision": complaint.decision, "amount": complaint.amount, "operations": operations},
        entity_id=complaint.entity_id,
    )  # fmt: skip
    waiting.note_complaint(complaint)
    return {"complaint_id": complaint.pk, "operations": operations}


def _move_money(complaint: PriceComplaint, request: Any, attempt: int = 1) -> list[str]:
    """The operations that the decision needs: the correction, and for a cancelled trade its part of the opening's costs."""
    if complaint.decision == Decision.REJECT:
        return []
    made = []
    reason = f"{complaint.reference}, approved by {complaint.decided_by}"[:500]
    if complaint.amount:
        operation = request_balance_operation(
            account_id=complaint.account_id, kind=DealKind.CORRECTION, amount=complaint.amount, actor=SYSTEM,
            reason=reason, idempotency_key=f"complaint:{complaint.pk}:{attempt}", comment=f"trade {complaint.trade.ticket}"[:16],
            checks_margin=False,
        )  # fmt: skip
        complaint.operation = operation
        made.append(operation.reference)
    costs = opening_share(complaint.trade) if complaint.decision == Decision.CANCEL else Decimal(0)
    if costs:
        refund = request_balance_operation(
            account_id=complaint.account_id, kind=DealKind.COMMISSION, amount=-costs, actor=SYSTEM, reason=reason,
            idempotency_key=f"complaint:{complaint.pk}:opening", comment=f"trade {complaint.trade.ticket}"[:16],
            checks_margin=False,
        )  # fmt: skip
        made.append(refund.reference)
    return made


def send_money(complaint: PriceComplaint, attempt: int) -> list[str]:
    """Writes the operations down once more, after the server had refused the earlier ones."""
    return _move_money(complaint, complaint.change_request, attempt)


def _verify(outcome: dict[str, Any]) -> list[str]:
    complaint = PriceComplaint.objects.get(pk=outcome["complaint_id"])
    return (
        []
        if complaint.state == ComplaintState.CLOSED
        else [f"{complaint.reference} waits for its money or its letter."]
    )
