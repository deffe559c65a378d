"""Work items of statements: one for each that waits for a person, with why the terms did not approve it."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F, Q, QuerySet

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from ib.models import CommissionStatement

STATEMENT_WAITS = "ib.statement_waits"
MOST_ITEMS = 500
"""Above this many the oldest have items; the list of statements shows all."""


def register() -> None:
    """Adds the kind; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=STATEMENT_WAITS,
            label="Commission statement to approve",
            desk="ib",
            roles=(Role.FINANCE.value, Role.PARTNER_MANAGER.value, Role.ADMINISTRATOR.value),
            due_hours=24,
            severity=Severity.NORMAL,
            escalate_after_hours=48,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            action_slug="approve",
            action_label="Approve",
            conditions=statements_that_wait,
            closes_by_hand=False,
        )
    )


def note_statements() -> None:
    """Brings the items to which statements wait for a person now."""
    work_items.reconcile(
        kind=STATEMENT_WAITS,
        prefix="",
        conditions=lambda: _conditions(_waiting()),
        reason="It was approved, carried or withheld.",
    )


def note_statement(statement_id: int) -> None:
    """The same for one statement, in the transaction that decides about it."""
    work_items.reconcile(
        kind=STATEMENT_WAITS,
        prefix=f"{statement_id}:",
        conditions=lambda: _conditions(_waiting().filter(pk=statement_id)),
        reason="It was approved, carried or withheld.",
    )


def statements_that_wait(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every statement that a person has to look at now."""
    if group_keys is None:
        return _conditions(_waiting())
    return _conditions(_waiting().filter(pk__in=[int(key.partition(":")[0]) for key in group_keys]))


def _waiting() -> QuerySet[CommissionStatement]:
    """Reviewed long enough, not withheld, and not approved by the terms: above their limit, or it was tried in vain."""
    open_ones = CommissionStatement.objects.filter(
        state__in=[CommissionStatement.State.IN_REVIEW, CommissionStatement.State.CONFIRMED], is_withheld=False
    )
    by_a_person = (
        Q(terms__automatic_up_to__isnull=True)
        | Q(total__gt=F("terms__automatic_up_to"))
        | ~Q(problem="")
        | Q(state=CommissionStatement.State.CONFIRMED)
    )
    return open_ones.filter(by_a_person, review_until__lte=clock.now()).order_by("review_until", "pk")


def _conditions(waiting: QuerySet[CommissionStatement]) -> list[WorkCondition]:
    return [
        WorkCondition(
            group_key=f"{statement.pk}:",
            title=f"Statement {statement.number} of {statement.partner}: {statement.total.normalize():f}"
            f" {statement.currency} to approve",
            evidence={
                "partner": statement.partner.reference,
                "days": f"{statement.from_day} to {statement.to_day}",
                "total": f"{statement.total.normalize():f} {statement.currency}",
                "confirmed by": statement.confirmed_by or "nobody yet",
                "why a person": statement.problem or "It is above what the terms approve by themselves.",
            },
            entity_id=statement.partner.entity_id,
            target=statement,
        )
        for statement in waiting.select_related("partner", "terms")[:MOST_ITEMS]
    ]
