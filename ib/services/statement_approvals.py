"""Many statements approved in one step, each by itself: one that cannot be approved keeps no other waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, Q, QuerySet

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from ib.models import CommissionStatement
from ib.services.payouts import MOST_AT_ONCE
from ib.services.statements import WAITING, approve_statement

State = CommissionStatement.State


@dataclass(slots=True)
class BulkApproval:
    """What a step over many statements did; why others still wait, by statement."""

    approved: list[CommissionStatement] = field(default_factory=list)
    confirmed: list[CommissionStatement] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def approve_statements(*, statement_ids: Sequence[int], actor: Actor) -> BulkApproval:
    """Takes each statement the step that one person may take: confirms it, or approves what another one confirmed.

    Repeating it changes nothing: what the person confirmed waits for another one, and is told among the problems. Raises
    InvalidInput for more than `MOST_AT_ONCE`.
    """
    authorise(actor, "ib.approve_statements")
    if len(statement_ids) > MOST_AT_ONCE:
        raise InvalidInput(f"At most {MOST_AT_ONCE} statements at once.", field="statements")
    result = BulkApproval()
    seen = visible_to(CommissionStatement.objects.filter(pk__in=statement_ids), actor).select_related("partner")
    for statement in seen.order_by("pk"):
        try:
            after = approve_statement(statement_id=statement.pk, actor=actor)
        except DomainError as error:
            result.problems[str(statement)] = error.message
        else:
            (result.confirmed if after.state == State.CONFIRMED else result.approved).append(after)
    return result


def approvable_by(statements: QuerySet[CommissionStatement], *, user_id: int | None) -> QuerySet[Any]:
    """Of the statements those that wait for a step which this person may take."""
    mine = Q(confirmed_by_id__isnull=False, confirmed_by_id=user_id)
    return statements.filter(state__in=WAITING, is_withheld=False).exclude(mine)


def needs_one_person() -> Q:
    """Statements that the next person makes payable; the others are only confirmed by them."""
    return Q(state=State.CONFIRMED) | Q(total__lte=F("terms__automatic_up_to"))
