"""Takes what a settlement booked into the ledger: one entry per legal entity, currency and day, one posting per partner.

Commission expense is debited and the partners' accrued accounts are credited; a negative difference goes the other way.
What concerns a day whose books are closed is booked in the first open day and refers back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from backoffice.core.types import Actor
from backoffice.kernel.business_day import next_business_day
from funding.ledger.chart import AccountKind
from funding.ledger.services.periods import closed_through
from funding.ledger.services.sums import OwnerSums, post_owner_sums
from funding.ledger.types import EntryDraft
from ib.engine.booking import BookedSum, BookingDay
from ib.locks import lock_ledger_posting
from ib.models import Partner, SettlementBatch

SOURCE_TYPE = "ib.settlement_batch"
PARTNER_OWNER = "partner"


def booking_days(days: Iterable[date]) -> list[BookingDay]:
    """For every entity that has partners: in which day's books each day stands now."""
    wanted = sorted(set(days))
    result = []
    for entity_id in Partner.objects.order_by().values_list("entity_id", flat=True).distinct():
        closed = closed_through(entity_id=entity_id)
        open_day = next_business_day(closed) if closed is not None else None
        for day in wanted:
            late = closed is not None and open_day is not None and day <= closed
            result.append(BookingDay(entity_id, day, open_day if late and open_day else day))
    return result


def post_sums(*, batch: SettlementBatch, sums: Sequence[BookedSum], actor: Actor) -> list[int]:
    """Posts the net of each partner; partners whose differences cancel out, and sums of zero, need no posting.

    Returns the legal entities whose partners have lines.
    """
    net: dict[tuple[int, str, date, date], dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for item in sums:
        net[item.entity_id, item.currency, item.day, item.booked_day][item.partner_id] += item.amount
    entries = {key: {partner: amount for partner, amount in parts.items() if amount} for key, parts in net.items()}
    entries = {key: parts for key, parts in entries.items() if parts}
    paid = sorted({key[0] for key in net})
    if not entries:
        return paid
    drafts = [_draft(batch, key, parts) for key, parts in sorted(entries.items())]
    post_owner_sums(drafts=drafts, actor=actor, lock=lock_ledger_posting)
    return paid


def _draft(batch: SettlementBatch, key: tuple[int, str, date, date], parts: dict[int, Decimal]) -> OwnerSums:
    entity_id, currency, day, booked_day = key
    late = booked_day != day
    entry = EntryDraft(
        entity_id=entity_id,
        kind="adjustment" if late else "commission",
        business_day=booked_day,
        refers_to_day=day if late else None,
        description=f"Partner commission of {day:%Y-%m-%d}, settlement {batch.pk}",
        lines=(),
        idempotency_key=f"ib:settlement:{batch.pk}:{entity_id}:{currency}:{day.isoformat()}",
        source_type=SOURCE_TYPE,
        source_id=batch.pk,
        reason="The day's books were closed when this was settled." if late else "",
    )
    return OwnerSums(
        entry=entry,
        kind=AccountKind.PARTNER_ACCRUED,
        owner_type=PARTNER_OWNER,
        contra=AccountKind.COMMISSION_EXPENSE,
        currency=currency,
        amounts=parts,
    )
