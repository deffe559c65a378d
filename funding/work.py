"""Work that finance finds waiting: stated balances that are not the ledger's, days whose revaluation waits for a rate."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse

from backoffice.core.models import Severity
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from backoffice.ui.formats import format_amount
from funding.models import ExternalAccount
from funding.services.external_balances import compare, latest_statements

BALANCE_DIFFERS = "funding.balance_differs"


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=BALANCE_DIFFERS,
            label="A stated balance is not the ledger's",
            desk="funding",
            roles=(Role.FINANCE,),
            due_hours=24,
            severity=Severity.HIGH,
            escalate_after_hours=24,
            escalate_to_roles=(Role.ADMINISTRATOR,),
            conditions=balances_that_differ,
            closes_by_hand=False,
        )
    )


def balances_that_differ(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """The latest stated balance of every account that nobody has reconciled and that is not the ledger's."""
    accounts = ExternalAccount.objects.filter(closed_on__isnull=True)
    if group_keys is not None:
        accounts = accounts.filter(public_id__in=group_keys)
    for found in compare(latest_statements(accounts)):
        if found.is_reconciled or not found.difference:
            continue
        account = found.statement.account
        yield WorkCondition(
            group_key=str(account.public_id),
            title=f"{account.name}: {format_amount(found.difference, account.currency)} more stated than booked"
            if found.difference > 0
            else f"{account.name}: {format_amount(-found.difference, account.currency)} more booked than stated",
            evidence={
                "business_day": found.statement.business_day.isoformat(),
                "stated": f"{found.statement.amount:f}",
                "ledger": f"{found.ledger_balance:f}",
                "not explained": f"{found.unexplained:f}",
            },
            entity_id=account.entity_id,
            target=found.statement,
            url=reverse("admin:funding_balancestatement_change", args=[found.statement.pk]),
            # A booking may bring the difference about at any moment: the sweep comes by first.
            since=clock.now(),
        )
