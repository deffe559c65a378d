"""What follows from a decided complaint: the trade is taken back, the commission follows, the client gets a letter."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.urls import reverse

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.rules import ChangeState
from backoffice.core.models import StoredFile
from backoffice.core.services import audit, changes, files, outbox
from backoffice.core.services.messages import queue_message
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, DomainError
from backoffice.ui.renderers.pdf import render_pdf
from platform_ops.account_permissions import HANDLE_COMPLAINTS
from platform_ops.events import TRADES_CHANGED
from platform_ops.locks import lock_server
from platform_ops.models import BalanceOperation, IngestBatch, PriceComplaint, ServerOperation, Trade, TradeCancellation
from platform_ops.rules.complaints import ComplaintState, Decision, next_state
from platform_ops.rules.operations import OperationState
from platform_ops.services.complaints import waiting
from platform_ops.services.complaints.deciding import send_money
from platform_ops.services.complaints.letters import LETTER_PURPOSE, LETTER_TEMPLATE

crash_points.declare("platform.complaint.after_cancellation", "platform.complaint.before_close")

MAX_FINISHED = 50
CLOSER = Actor.system("price complaints")
_log = structlog.get_logger(__name__)


def finish_complaints(*, limit: int = MAX_FINISHED) -> int:
    """Takes decided complaints to their end as soon as their money has moved; returns how many were closed."""
    for complaint_id in PriceComplaint.objects.filter(state="proposed").values_list("pk", flat=True)[:limit]:
        settle_proposal(complaint_id)
    approved = PriceComplaint.objects.filter(
        Q(operation__isnull=True) | Q(operation__state__in=["done", "found"]), state=ComplaintState.APPROVED.value
    )
    closed = 0
    for complaint_id in list(approved.order_by("pk").values_list("pk", flat=True)[:limit]):
        try:
            _finish(complaint_id)
            closed += 1
        except DomainError as error:
            _log.warning("complaint_waits", complaint_id=complaint_id, code=error.code)
    return closed


@transaction.atomic
def settle_proposal(complaint_id: int) -> None:
    """A proposal that was rejected or withdrawn leaves the complaint to be decided anew."""
    complaint = (
        PriceComplaint.objects.select_for_update(of=("self",)).select_related("change_request").get(pk=complaint_id)
    )
    change = complaint.change_request
    ended = (ChangeState.REJECTED, ChangeState.WITHDRAWN)
    if complaint.state == ComplaintState.PROPOSED and change is not None and change.state in ended:
        complaint.state = next_state(complaint.state, "withdraw").value
        complaint.change_request = None
        complaint.save(update_fields=["state", "change_request"])
        waiting.note_complaint(complaint)


@transaction.atomic
def send_money_again(*, complaint_id: int, actor: Actor, reason: str) -> PriceComplaint:
    """Writes the money of a decided complaint down once more, after the server refused it. Raises Conflict otherwise."""
    authorise(actor, HANDLE_COMPLAINTS)
    visible = get_visible(PriceComplaint.objects.all(), actor, pk=complaint_id)
    complaint = PriceComplaint.objects.select_for_update(of=("self",)).get(pk=visible.pk)
    operation = complaint.operation
    if (
        complaint.state != ComplaintState.APPROVED
        or operation is None
        or operation.state not in ("refused", "cancelled")
    ):
        raise Conflict("Only money that the server refused is sent again.", code="not_refused")
    attempt = ServerOperation.objects.filter(idempotency_key__startswith=f"complaint:{complaint.pk}:").count() + 1
    made = send_money(complaint, attempt)
    complaint.save(update_fields=["operation"])
    audit.record(
        actor=actor, action="platform.send_complaint_money_again", target=complaint, reason=reason[:500],
        changes={"operations": made}, entity_id=complaint.entity_id,
    )  # fmt: skip
    return complaint


def _finish(complaint_id: int) -> None:
    complaint = PriceComplaint.objects.select_related("trade").get(pk=complaint_id)
    if complaint.decision == Decision.CANCEL:
        _take_trade_back(complaint)
        crash_points.reach("platform.complaint.after_cancellation")
    # Rendered and kept outside of the transaction that closes: a letter that was written twice is the same letter.
    letter = _letter(complaint)
    crash_points.reach("platform.complaint.before_close")
    _close(complaint_id, letter)
    if complaint.change_request_id is not None:
        changes.verify_change(change_id=complaint.change_request_id, actor=CLOSER)


@transaction.atomic(durable=True)
def _take_trade_back(complaint: PriceComplaint) -> None:
    """The trade and the correction that undoes it count as nothing, in one batch that commissions are settled by."""
    trade = complaint.trade
    lock_server(trade.server_id)
    ticket = complaint.operation.deal_ticket if complaint.operation is not None else None
    _, is_new = TradeCancellation.objects.get_or_create(
        server_id=trade.server_id,
        ticket=trade.ticket,
        leg=trade.leg,
        defaults={"complaint": complaint, "correction_ticket": ticket, "created_by": complaint.decided_by},
    )
    if not is_new:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('platform_ops_ingestbatch', 'id'))")
        batch_id = int(cursor.fetchone()[0])
    key = {"server": trade.server_id, "ticket": trade.ticket, "leg": trade.leg}
    trades = Trade.objects.filter(**key, is_cancelled=False).update(is_cancelled=True, batch_id=batch_id)
    operations = 0
    if ticket is not None:
        undone = BalanceOperation.objects.filter(server=trade.server_id, ticket=ticket, is_cancelled=False)
        operations = undone.update(is_cancelled=True, batch_id=batch_id)
    IngestBatch(
        pk=batch_id,
        server_id=trade.server_id,
        source="price complaint",
        changed_trades=trades,
        changed_operations=operations,
    ).save(force_insert=True)
    outbox.publish(
        topic=TRADES_CHANGED,
        payload={"batch_id": batch_id, "server_id": trade.server_id},
        shard_key=f"server:{trade.server_id}",
    )
    audit.record(
        actor=CLOSER, action="platform.cancel_trade", target=complaint, reason=complaint.reference,
        changes={"ticket": trade.ticket, "correction": ticket, "batch": batch_id}, entity_id=complaint.entity_id,
    )  # fmt: skip


def _letter(complaint: PriceComplaint) -> StoredFile | None:
    """The letter as a file; None for an account without a client."""
    if complaint.client is None or complaint.letter_id is not None:
        return complaint.letter
    brand, entity = complaint.client.brand, complaint.entity
    data = render_pdf(
        "platform_ops/complaint_letter.html",
        letter_context(complaint),
        title=f"Your price complaint {complaint.reference}",
        brand=brand.name,
        entity=entity.name,
        accent=brand.accent_colour,
    )
    return files.store_file(
        purpose=LETTER_PURPOSE,
        data=data,
        file_name=f"{complaint.reference}.pdf",
        actor=CLOSER,
        entity_id=complaint.entity_id,
        owner=complaint,
    )


def letter_context(complaint: PriceComplaint) -> dict[str, Any]:
    """What the letter says."""
    trade, evidence = complaint.trade, complaint.evidence
    return {
        "complaint": complaint,
        "trade": trade,
        "client": complaint.client,
        "symbol": trade.server_symbol.name,
        "executed_price": evidence.get("executed_price"),
        "price_in_force": evidence.get("price_in_force"),
        "dealt_at": trade.opened_at if complaint.disputed == "opening" else trade.closed_at,
        "lots": f"{trade.volume_lots:,.2f}",
        "correct_price": None if complaint.correct_price is None else f"{complaint.correct_price.normalize():f}",
        "is_bought": evidence.get("client_buys"),
    }


@transaction.atomic(durable=True)
def _close(complaint_id: int, letter: StoredFile | None) -> None:
    complaint = PriceComplaint.objects.select_for_update(of=("self",)).get(pk=complaint_id)
    if complaint.state == ComplaintState.CLOSED:
        return
    if complaint.operation is not None and not OperationState(complaint.operation.state).took_effect:
        raise Conflict("The money has not moved yet.", code="money_waits")
    complaint.state = next_state(complaint.state, "close").value
    complaint.closed_at, complaint.letter = clock.now(), letter
    if letter is not None and complaint.client is not None and complaint.client.email:
        complaint.message = queue_message(
            template=LETTER_TEMPLATE,
            to=complaint.client.email,
            variables={
                "name": complaint.client.full_name,
                "reference": complaint.reference,
                "ticket": str(complaint.trade.ticket),
                "outcome": OUTCOMES[complaint.decision],
                "portal_url": portal_url(),
            },
            entity_id=complaint.entity_id,
            brand_id=complaint.client.brand_id,
            language=complaint.client.language,
            recipient_type="crm.client",
            recipient_id=complaint.client.pk,
            dedupe_key=f"price complaint:{complaint.pk}",
        )
    complaint.save()
    audit.record(
        actor=CLOSER, action="platform.close_complaint", target=complaint,
        changes={"decision": complaint.decision, "letter": letter.pk if letter else None}, entity_id=complaint.entity_id,
    )  # fmt: skip
    waiting.note_complaint(complaint)


OUTCOMES = {
    "reject": "The price was right; the trade stands as it is.",
    "compensate": "We have credited what the wrong price cost you to your trading account.",
    "cancel": "We have taken the trade back; your trading account stands as if it had not been made.",
}


def portal_url() -> str:
    """Where the client reads the letter."""
    return f"{settings.PUBLIC_URL}{reverse('portal:price_complaints')}"
