"""This desk's work items: trades that settlement set aside, because each is a partner who is not paid.

Settlement and release bring the items to where the books stand, in their own transaction; the sweep and `verify_books`
read the same condition, so a trade that a correction put back closes its item too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from django.db.models import OuterRef, QuerySet, Subquery

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from ib.models import QuarantinedTrade
from platform_ops.selectors.trades import batch_of_trades

TRADE_SET_ASIDE = "ib.trade_set_aside"

MAX_SEPARATE_ITEMS = 50
"""Above this many of one legal entity and day, one item stands for all of them."""


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=TRADE_SET_ASIDE,
            label="Trade that earns nobody commission",
            desk="ib",
            roles=(Role.PARTNER_MANAGER.value, Role.ADMINISTRATOR.value),
            due_hours=8,
            severity=Severity.HIGH,
            escalate_after_hours=16,
            escalate_to_roles=(Role.FINANCE.value,),
            action_slug="release",
            action_label="Put back and settle",
            conditions=trades_set_aside,
            closes_by_hand=False,
        )
    )


def note_day(*, day: date) -> None:
    """Brings the items of a business day to which of its trades are set aside."""
    work_items.reconcile(
        kind=TRADE_SET_ASIDE,
        prefix=f"{day}:",
        conditions=lambda: _conditions(_held(days=[day])),
        reason="The trade is back, or was corrected.",
    )


def note_corrections() -> None:
    """Brings the items up to date where a later batch has corrected what was set aside. Costs one look as a rule."""
    for day in sorted(set(_unreleased(is_current=False).values_list("day", flat=True))):
        note_day(day=day)


def trades_set_aside(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every trade that is set aside now."""
    days = None if group_keys is None else sorted({date.fromisoformat(key.partition(":")[0]) for key in group_keys})
    return _conditions(_held(days=days))


def _unreleased(*, is_current: bool) -> QuerySet[QuarantinedTrade]:
    """What nobody has put back; *is_current*: in the batch that last changed the trade, else corrected since."""
    current_batch = Subquery(batch_of_trades(OuterRef("trade_id")))
    rows = QuarantinedTrade.objects.filter(released_at__isnull=True)
    return rows.filter(trade_batch_id=current_batch) if is_current else rows.exclude(trade_batch_id=current_batch)


def _held(*, days: list[date] | None) -> list[QuarantinedTrade]:
    rows = _unreleased(is_current=True)
    return list((rows if days is None else rows.filter(day__in=days)).order_by("day", "entity_id", "ticket"))


def _conditions(rows: list[QuarantinedTrade]) -> list[WorkCondition]:
    of_day: dict[tuple[date, int], list[QuarantinedTrade]] = {}
    for row in rows:
        of_day.setdefault((row.day, row.entity_id), []).append(row)
    conditions: list[WorkCondition] = []
    for (day, entity_id), held in of_day.items():
        if len(held) > MAX_SEPARATE_ITEMS:
            conditions.append(_of_many(day, entity_id, held))
        else:
            conditions += [_of_one(row) for row in held]
    return conditions


def _of_one(row: QuarantinedTrade) -> WorkCondition:
    return WorkCondition(
        group_key=f"{row.day}:{row.entity_id}:{row.trade_id}",
        title=f"Trade {row.ticket} of {row.day} could not be settled",
        evidence={
            "ticket": row.ticket,
            "day": row.day.isoformat(),
            "error": row.error,
            "what the books said": row.reason,
            "attempts": row.attempts,
            "consequence": "No partner is paid for it until it is put back.",
        },
        entity_id=row.entity_id,
        target=row,
    )


def _of_many(day: date, entity_id: int, held: list[QuarantinedTrade]) -> WorkCondition:
    return WorkCondition(
        group_key=f"{day}:{entity_id}:*",
        title=f"{len(held):,} trades of {day} could not be settled",
        evidence={
            "day": day.isoformat(),
            "count": len(held),
            "examples": [str(row.ticket) for row in held[:20]],
            "what the books said": held[0].reason,
            "consequence": "No partner is paid for them until they are put back.",
        },
        entity_id=entity_id,
        severity=Severity.HIGH,
    )
