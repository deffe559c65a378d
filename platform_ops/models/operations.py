"""What we do on trading servers: each operation written down before it is sent, with the reference it is found again by.

An operation moves no books. Its deal comes back through the server's history like any other, is recognised by ticket and
reference, and only that deal is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.accounts import AccountGroup, AccountType, TradingAccount
from platform_ops.models.servers import TradingServer
from platform_ops.rules.operations import EFFECTIVE, FINAL, REFERENCE_PATTERN, OperationKind, OperationState
from platform_ops.types import DealKind


def choices_of(members: Iterable[StrEnum]) -> list[tuple[str, str]]:
    """The members of an enumeration with words for people."""
    return [(member.value, member.value.replace("_", " ").capitalize()) for member in members]


_MONEY = Q(kind=OperationKind.MOVE_MONEY.value)
_OPENING = Q(kind=OperationKind.OPEN_ACCOUNT.value)
_FINAL = Q(state__in=sorted(state.value for state in FINAL))
_EFFECTIVE = Q(state__in=sorted(state.value for state in EFFECTIVE))


class ServerOperation(models.Model):
    """One thing done on a server: an account opened or changed, money moved. `amount` is signed from the client's side.

    `request` says what is asked for in plain words (never a password). `sent_at` is the last time that it was sent;
    `problem` what stood in the way last. `recognised_at` is when its deal came back in the server's history.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=32, unique=True, help_text="Travels in the comment on the server.")
    idempotency_key = models.CharField(max_length=200, unique=True)
    request_hash = models.BinaryField(max_length=32)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="operations")
    account = models.ForeignKey(
        TradingAccount, on_delete=models.PROTECT, null=True, related_name="operations", help_text="Empty until opened."
    )
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, null=True, related_name="server_operations")
    login = models.CharField(max_length=32, help_text="Of an account that is being opened: the one chosen for it.")
    kind = models.CharField(max_length=16, choices=choices_of(OperationKind))
    deal_kind = models.SmallIntegerField(null=True, choices=[(kind.value, kind.name.lower()) for kind in DealKind])
    amount = AmountField(null=True)
    currency = CurrencyField(blank=True)
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, related_name="+")
    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, null=True, related_name="+")
    request = models.JSONField(default=dict)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=choices_of(OperationState), default=OperationState.REQUESTED.value)
    attempts = models.PositiveIntegerField(default=0)
    deal_ticket = models.BigIntegerField(null=True)
    server_code = models.CharField(max_length=20, blank=True, help_text="The server's own code of its refusal.")
    problem = models.CharField(max_length=500, blank=True)
    made_by = models.CharField(max_length=200)
    made_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    change_request = models.OneToOneField(
        "core.ChangeRequest", on_delete=models.PROTECT, null=True, related_name="server_operation"
    )
    is_bulk = models.BooleanField(default=False)
    requested_at = models.DateTimeField(default=clock.now)
    first_sent_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    recognised_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in OperationKind]), name="platform_serverop_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in OperationState]), name="platform_serverop_state_known"
            ),
            models.CheckConstraint(
                condition=Q(reference__regex=f"^{REFERENCE_PATTERN}$"), name="platform_serverop_reference_form"
            ),
            models.CheckConstraint(
                condition=(
                    _MONEY
                    & Q(amount__isnull=False, deal_kind__isnull=False, account__isnull=False)
                    & ~Q(amount=0)
                    & ~Q(currency="")
                )
                | (~_MONEY & Q(amount__isnull=True, deal_kind__isnull=True, deal_ticket__isnull=True)),
                name="platform_serverop_money_whole",
            ),
            models.CheckConstraint(
                condition=~_MONEY
                | (_EFFECTIVE & Q(deal_ticket__isnull=False))
                | (~_EFFECTIVE & Q(deal_ticket__isnull=True)),
                name="platform_serverop_done_has_ticket",
            ),
            models.CheckConstraint(condition=_OPENING | Q(account__isnull=False), name="platform_serverop_has_account"),
            models.CheckConstraint(
                condition=~_OPENING
                | (Q(group__isnull=False, client__isnull=False) & (~_EFFECTIVE | Q(account__isnull=False))),
                name="platform_serverop_opening_whole",
            ),
            models.CheckConstraint(
                condition=(_FINAL & Q(finished_at__isnull=False)) | (~_FINAL & Q(finished_at__isnull=True)),
                name="platform_serverop_final_has_end",
            ),
            models.CheckConstraint(
                condition=Q(attempts=0, sent_at__isnull=True, first_sent_at__isnull=True)
                | Q(attempts__gt=0, sent_at__isnull=False, first_sent_at__isnull=False),
                name="platform_serverop_sent_is_counted",
            ),
            models.CheckConstraint(
                condition=Q(attempts__gt=0) | Q(state__in=["requested", "cancelled"]),
                name="platform_serverop_unsent_states",
            ),
            # One deal of a server belongs to one operation: nothing is booked for two.
            models.UniqueConstraint(
                fields=["server", "deal_ticket"],
                name="platform_serverop_deal_unique",
                condition=Q(deal_ticket__isnull=False),
            ),
            # Two accounts that are being opened never aim at one login.
            models.UniqueConstraint(
                fields=["server", "login"],
                name="platform_serverop_login_unique",
                condition=_OPENING & ~Q(state__in=["refused", "cancelled"]),
            ),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], name="platform_serverop_waiting", condition=~_FINAL),
            models.Index(fields=["account", "-id"], name="platform_serverop_account"),
            models.Index(
                fields=["server", "id"],
                name="platform_serverop_unseen",
                condition=_MONEY & Q(recognised_at__isnull=True) & ~Q(state="refused"),
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class ServerOperationEvent(models.Model):
    """A step of an operation, never changed."""

    operation = models.ForeignKey(ServerOperation, on_delete=models.CASCADE, related_name="events")
    state = models.CharField(max_length=10)
    at = models.DateTimeField(default=clock.now)
    actor = models.CharField(max_length=200)
    note = models.CharField(max_length=500, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["operation", "id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.operation_id} {self.state}"


@keep_history()
class OperationLimit(models.Model):
    """How much money one person may move alone on accounts of an entity in a currency, at a time and in a business day.

    Without a limit every amount needs a second person.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="operation_limits")
    currency = CurrencyField()
    alone_up_to = AmountField()
    alone_per_day = AmountField()

    class Meta:
        ordering = ["entity", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "currency"], name="platform_operationlimit_unique"),
            models.CheckConstraint(
                condition=Q(alone_up_to__gte=0, alone_per_day__gte=F("alone_up_to")),
                name="platform_operationlimit_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity} {self.currency}"
