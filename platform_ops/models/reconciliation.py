"""What a server says against what stands here: each comparison, and each difference until it is gone or accepted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.accounts import TradingAccount
from platform_ops.models.servers import TradingServer


class ReconciliationRun(models.Model):
    """One comparison of a server's accounts, positions and deals with the books.

    Deals are compared from `window_from` until `window_to`; positions and balances as they stand at the moment.
    `business_day` is set where the run proves a day that has ended.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="reconciliations")
    business_day = models.DateField(null=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    window_from = models.DateTimeField()
    window_to = models.DateTimeField()
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)
    started_by = models.CharField(max_length=200, blank=True)
    figures = models.JSONField(
        default=dict, help_text="What was compared, by kind, and what the source could not tell."
    )
    breaks_open = models.IntegerField(default=0)
    breaks_new = models.IntegerField(default=0)
    breaks_resolved = models.IntegerField(default=0)
    problem = models.TextField(blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "reconciliation"
        constraints = [
            models.CheckConstraint(
                condition=Q(window_to__gt=models.F("window_from")), name="platform_reconciliation_window"
            ),
            models.CheckConstraint(
                condition=Q(state="running", finished_at__isnull=True) | ~Q(state="running"),
                name="platform_reconciliation_finished",
            ),
            models.UniqueConstraint(
                fields=["server"], condition=Q(state="running"), name="platform_reconciliation_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["server", "business_day", "-id"], name="platform_reconciliation_day")]

    def __str__(self) -> str:
        return f"{self.server} {self.business_day or self.started_at:%Y-%m-%d}"


class ReconciliationBreak(models.Model):
    """A difference between a server and the books. It closes itself once a later run no longer finds it.

    `ours` and `theirs` hold the compared fields as text; `amount` is theirs less ours where the difference is money.
    An accepted break is explained and blocks nothing, for as long as its figures stay what they were.
    """

    class Kind(models.TextChoices):
        BALANCE = "balance", "Balance differs"
        CREDIT = "credit", "Credit differs"
        ACCOUNT_GONE = "account_gone", "Account is not on the server"
        ACCOUNT_UNKNOWN = "account_unknown", "Account is not here"
        POSITION_MISSING = "position_missing", "Position is not here"
        POSITION_EXTRA = "position_extra", "Position is not on the server"
        POSITION_DIFFERS = "position_differs", "Position differs"
        DEAL_MISSING = "deal_missing", "Deal is not here"
        DEAL_EXTRA = "deal_extra", "Deal is not on the server"
        DEAL_DIFFERS = "deal_differs", "Deal differs"
        DEAL_TOUCHED = "deal_touched", "Deal was changed by hand"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACCEPTED = "accepted", "Accepted"
        RESOLVED = "resolved", "Resolved"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="breaks")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, null=True, related_name="breaks")
    login = models.CharField(max_length=32)
    ticket = models.BigIntegerField(default=0)
    leg = models.SmallIntegerField(default=0)
    fields_differing = models.JSONField(default=list)
    ours = models.JSONField(default=dict)
    theirs = models.JSONField(default=dict)
    amount = AmountField(null=True)
    currency = models.CharField(max_length=8, blank=True)
    cause = models.CharField(max_length=300, blank=True, help_text="What the figures themselves say about the cause.")
    first_run = models.ForeignKey(ReconciliationRun, on_delete=models.PROTECT, related_name="first_breaks")
    last_run = models.ForeignKey(ReconciliationRun, on_delete=models.PROTECT, related_name="last_breaks")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times_seen = models.PositiveIntegerField(default=1)
    resolved_at = models.DateTimeField(null=True)
    explanation = models.TextField(blank=True)
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    accepted_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["state", "-last_seen_at", "kind", "login", "ticket", "leg"]
        verbose_name = "break"
        constraints = [
            models.UniqueConstraint(
                fields=["server", "kind", "login", "ticket", "leg"],
                condition=~Q(state="resolved"),
                name="platform_break_once",
            ),
            models.CheckConstraint(
                condition=Q(state="accepted", accepted_at__isnull=False) & ~Q(explanation="") | ~Q(state="accepted"),
                name="platform_break_accepted_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at__isnull=True)),
                name="platform_break_resolved_at",
            ),
        ]
        indexes = [models.Index(fields=["server", "state", "-last_seen_at"], name="platform_break_server")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.login}{f' #{self.ticket}' if self.ticket else ''}"
