"""Taking a complaint in, from a client or for one."""

from __future__ import annotations

from decimal import Decimal

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise, get_visible, holds
from backoffice.core.services import audit
from backoffice.core.services.numbering import issue_number
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.account_permissions import COMPLAIN, HANDLE_COMPLAINTS
from platform_ops.models import PriceComplaint, Trade
from platform_ops.rules.complaints import ANSWER_WITHIN, Disputed
from platform_ops.services.complaints import waiting

DOCUMENT_KIND = "platform.price_complaint"
MAX_CLAIM = 2_000


@transaction.atomic
def open_complaint(
    *, trade_id: int, disputed: str, claim: str, actor: Actor, claimed_price: Decimal | None = None
) -> PriceComplaint:
    """Takes a complaint about one price of a trade in. Clients complain about their own trades.

    Raises Conflict (`complaint_open`) while the same price is being looked into, InvalidInput without a claim.
    """
    if not holds(actor, HANDLE_COMPLAINTS):
        authorise(actor, COMPLAIN)
    trade = get_visible(Trade.objects.select_related("account__server", "account__client"), actor, pk=trade_id)
    if disputed not in set(Disputed):
        raise InvalidInput("Disputed is the opening or the closing price.", field="disputed", value=disputed)
    words = claim.strip()
    if not words or len(words) > MAX_CLAIM:
        raise InvalidInput(f"Say what is wrong, in at most {MAX_CLAIM} letters.", field="claim")
    if claimed_price is not None and (not claimed_price.is_finite() or claimed_price <= 0):
        raise InvalidInput("A price is above zero.", field="claimed_price", value=str(claimed_price))
    if trade.is_cancelled:
        raise Conflict("The trade was cancelled.", code="trade_cancelled")
    if disputed == Disputed.OPENING and (trade.open_price is None or trade.opened_at is None):
        raise Conflict("The opening of this trade is not known here.", code="opening_unknown", field="disputed")
    account, now = trade.account, clock.now()
    number = issue_number(
        entity_id=account.server.entity_id,
        kind=DOCUMENT_KIND,
        on=now.date(),
        subject=f"trade {trade.ticket}",
        actor=actor,
    )
    complaint = PriceComplaint(
        reference=number.reference,
        entity_id=account.server.entity_id,
        account=account,
        client_id=account.client_id,
        trade=trade,
        disputed=disputed,
        claim=words,
        claimed_price=claimed_price,
        currency=trade.currency,
        opened_by=actor.label[:200],
        opened_by_user_id=actor.user_id,
        opened_at=now,
        due_at=now + ANSWER_WITHIN,
    )
    try:
        with transaction.atomic():
            complaint.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("This price is being looked into already.", code="complaint_open") from error
    audit.record(
        actor=actor,
        action="platform.open_complaint",
        target=complaint,
        reason=words[:500],
        changes={"trade": trade.ticket, "disputed": disputed, "claimed_price": claimed_price},
        entity_id=complaint.entity_id,
    )
    waiting.note_complaint(complaint)
    return complaint
