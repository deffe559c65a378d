"""What complaints were about, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from platform_ops.models import PriceComplaint
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.complaints import Cause, ComplaintState, Decision

MAX_COUNTED = 50_000


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause in one currency. `paid` is what compensations gave; cancelled trades are not a cost by themselves."""

    cause: str
    currency: str
    complaints: int
    rejected: int
    compensated: int
    cancelled: int
    paid: Decimal
    median_hours: Decimal


def complaints_by_cause(
    *, actor: Actor, opened_from: date | None = None, opened_until: date | None = None
) -> list[CauseRow]:
    """Answered complaints that the actor sees, by cause and currency, the most frequent first."""
    authorise(actor, VIEW_PLATFORM)
    answered: Any = visible_to(PriceComplaint.objects.filter(state=ComplaintState.CLOSED.value), actor)
    if opened_from is not None:
        answered = answered.filter(opened_at__date__gte=opened_from)
    if opened_until is not None:
        answered = answered.filter(opened_at__date__lte=opened_until)
    groups: dict[tuple[str, str], list[Any]] = {}
    fields = ("cause", "currency", "decision", "amount", "opened_at", "closed_at")
    for row in answered.order_by("-id").values(*fields)[:MAX_COUNTED]:
        groups.setdefault((row["cause"], row["currency"]), []).append(row)
    rows = [_row(cause, currency, found) for (cause, currency), found in groups.items()]
    return sorted(rows, key=lambda row: (-row.complaints, row.cause, row.currency))


def _row(cause: str, currency: str, found: list[Any]) -> CauseRow:
    hours = [Decimal(int((row["closed_at"] - row["opened_at"]).total_seconds())) / 3600 for row in found]
    decisions = [row["decision"] for row in found]
    paid = [row["amount"] for row in found if row["decision"] == Decision.COMPENSATE]
    return CauseRow(
        cause=Cause(cause).value.replace("_", " ").capitalize(),
        currency=currency,
        complaints=len(found),
        rejected=decisions.count(Decision.REJECT),
        compensated=decisions.count(Decision.COMPENSATE),
        cancelled=decisions.count(Decision.CANCEL),
        paid=sum(paid, Decimal(0)),
        median_hours=round(median(hours), 1),
    )
