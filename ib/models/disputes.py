"""Disputes about commission: what a partner doubts, what was looked at, what was decided, and what came of it.

A dispute is about one line, or about a trade that paid the partner nothing. Evidence, timeline, documents and adjustments
are only ever added to; the dispute itself moves along the steps of `ib.dispute_rules`.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.models import ChangeRequest, LegalEntity, StoredFile
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.dispute_rules import Correction, DisputeCause, DisputeDecision, DisputeState, DisputeStep, DisputeSubject
from ib.models.partners import Partner
from ib.models.periods import PeriodLine
from ib.models.plans import Plan
from ib.models.statements import StatementHold


class Dispute(models.Model):
    """A partner's doubt about one line, or about one trade that paid them nothing. One that is not closed for each.

    `amount` is the line's, nothing for an unpaid trade; `booked_before` is everything that the partner had for the trade (or
    for the subject of a period line) when it was opened: what is booked beyond it is the `delta`. While it is open,
    `hold` keeps the amount out of statements. The clock stands still between `asked_at` and the answer.
    """

    Cause, State, Decision, Subject, Correction = (
        DisputeCause,
        DisputeState,
        DisputeDecision,
        DisputeSubject,
        Correction,
    )

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=60, unique=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="disputes")
    subject = models.CharField(max_length=12, choices=DisputeSubject.choices)
    subject_reference = models.CharField(max_length=60, help_text="The line, or T- and the number of the trade.")
    trade_id = models.BigIntegerField(null=True)
    ticket = models.BigIntegerField(null=True, help_text="The trade's number on its server.")
    line_part = models.SmallIntegerField(null=True)
    line_seq = models.SmallIntegerField(null=True)
    line_day = models.DateField(null=True)
    period_line = models.ForeignKey(PeriodLine, on_delete=models.PROTECT, null=True, related_name="disputes")
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, related_name="+", help_text="That the line is by."
    )
    cause = models.CharField(max_length=12, choices=DisputeCause.choices)
    claim = models.TextField()
    claimed_amount = AmountField(null=True, blank=True, help_text="What the partner expected.")
    amount = AmountField()
    currency = CurrencyField()
    booked_before = AmountField()
    hold = models.ForeignKey(StatementHold, on_delete=models.PROTECT, null=True, related_name="disputes")
    state = models.CharField(max_length=10, choices=DisputeState.choices, default=DisputeState.RECEIVED)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField(default=clock.now)
    opened_by = models.CharField(max_length=200)
    opened_by_user_id = models.BigIntegerField(null=True)
    due_at = models.DateTimeField()
    asked_at = models.DateTimeField(null=True, help_text="Since when the partner's answer is waited for.")
    answer_until = models.DateTimeField(null=True)
    reminded_at = models.DateTimeField(null=True)
    paused_seconds = models.IntegerField(default=0, help_text="Waited for the partner until now.")
    decision = models.CharField(max_length=10, choices=DisputeDecision.choices, blank=True)
    decision_reason = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_by_user_id = models.BigIntegerField(null=True)
    correction = models.CharField(max_length=12, choices=Correction.choices, blank=True)
    change_request = models.ForeignKey(ChangeRequest, on_delete=models.PROTECT, null=True, related_name="+")
    delta = AmountField(null=True, help_text="What came of it: differences or goodwill that were booked.")
    delta_lines = ArrayField(models.CharField(max_length=60), default=list, help_text="Where the delta stands.")
    closed_at = models.DateTimeField(null=True)
    appealed_at = models.DateTimeField(null=True)
    first_decision = models.CharField(max_length=10, choices=DisputeDecision.choices, blank=True)
    first_decided_by_user_id = models.BigIntegerField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "subject_reference"], name="ib_dispute_one_open", condition=~Q(state="closed")
            ),
            models.CheckConstraint(
                condition=Q(
                    subject="trade_line", trade_id__isnull=False, line_day__isnull=False, period_line__isnull=True
                )
                | Q(subject="period_line", trade_id__isnull=True, period_line__isnull=False)
                | Q(subject="unpaid_trade", trade_id__isnull=False, line_day__isnull=True, amount=0),
                name="ib_dispute_subject_whole",
            ),
            models.CheckConstraint(condition=~Q(claim=""), name="ib_dispute_claim"),
            models.CheckConstraint(
                condition=Q(state="asked", asked_at__isnull=False, answer_until__isnull=False)
                | ~Q(state="asked") & Q(asked_at__isnull=True, answer_until__isnull=True),
                name="ib_dispute_clock_stands_while_asked",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["received", "in_work", "asked"], decision="", decided_at__isnull=True)
                | Q(state="correcting", decision__in=["correct", "goodwill"], decided_at__isnull=False)
                | Q(state="closed", decided_at__isnull=False) & ~Q(decision=""),
                name="ib_dispute_decided_in_order",
            ),
            models.CheckConstraint(
                condition=Q(decision__in=["", "withdraw"]) | ~Q(decision_reason=""), name="ib_dispute_reason"
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False) | ~Q(state="closed") & Q(closed_at__isnull=True),
                name="ib_dispute_closed_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="closed", decision__in=["correct", "goodwill"])
                | Q(delta__isnull=False) & ~Q(delta=0),
                name="ib_dispute_upheld_has_delta",
            ),
            models.CheckConstraint(
                condition=~Q(decision="goodwill") | Q(change_request__isnull=False),
                name="ib_dispute_goodwill_asked_for",
            ),
            models.CheckConstraint(
                condition=Q(decision="correct") & ~Q(correction="") | ~Q(decision="correct") & Q(correction=""),
                name="ib_dispute_correction_named",
            ),
            models.CheckConstraint(
                condition=Q(appealed_at__isnull=True, first_decision="")
                | Q(appealed_at__isnull=False) & ~Q(first_decision=""),
                name="ib_dispute_appeal_of_decision",
            ),
            models.CheckConstraint(
                condition=Q(claimed_amount__isnull=True) | Q(claimed_amount__gt=0), name="ib_dispute_claimed_positive"
            ),
            models.CheckConstraint(condition=Q(paused_seconds__gte=0), name="ib_dispute_paused_not_negative"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="ib_dispute_due", condition=~Q(state="closed")),
            models.Index(fields=["trade_id"], name="ib_dispute_trade", condition=Q(trade_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done."""
        return self.state != DisputeState.CLOSED

    @property
    def is_upheld(self) -> bool:
        """Whether the partner got something by it."""
        return self.delta is not None and self.delta > 0


class DisputeEvent(models.Model):
    """A step of a dispute: its timeline on both sides; what is internal is for the desk only. Never changed."""

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(default=clock.now)
    step = models.CharField(max_length=12, choices=DisputeStep.choices)
    text = models.TextField(blank=True)
    by = models.CharField(max_length=200)
    by_user_id = models.BigIntegerField(null=True)
    is_by_partner = models.BooleanField(default=False)
    is_internal = models.BooleanField(default=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["dispute", "id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.get_step_display()} at {self.at:%Y-%m-%d %H:%M}"


class DisputeEvidence(models.Model):
    """How the engine explained the line when the dispute (or the appeal) came, as issued: canonical JSON and its digest.

    The partner's holds what the partner may see, the desk's everything. Never changed.
    """

    class Audience(models.TextChoices):
        PARTNER = "partner", "Partner"
        DESK = "desk", "Desk"

    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, related_name="evidence")
    number = models.PositiveSmallIntegerField(help_text="1 when it was opened, 2 at the appeal.")
    audience = models.CharField(max_length=8, choices=Audience.choices)
    body = models.TextField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the body's bytes.")
    taken_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["dispute", "number", "audience"]
        verbose_name_plural = "dispute evidence"
        constraints = [
            models.UniqueConstraint(fields=["dispute", "number", "audience"], name="ib_disputeevidence_unique")
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"evidence {self.number} of {self.dispute_id} for the {self.audience}"


class DisputeDocument(models.Model):
    """The evidence as a PDF, issued once. Never changed."""

    evidence = models.OneToOneField(DisputeEvidence, on_delete=models.PROTECT, related_name="document")
    file = models.ForeignKey(StoredFile, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file.")
    issued_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["evidence"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"document of evidence {self.evidence_id}"


class GoodwillLimit(models.Model):
    """How much goodwill an entity gives in a currency: for one case, and in a calendar month. Without a row: none.

    In force by a change request that a second person approved; `approved_by` names it.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="goodwill_limits")
    currency = CurrencyField()
    validity = DateRangeField()
    per_case = AmountField()
    per_month = AmountField()
    approved_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "currency", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_goodwilllimit_no_overlap",
                expressions=[
                    ("entity", RangeOperators.EQUAL),
                    ("currency", RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_goodwilllimit_not_empty"),
            models.CheckConstraint(
                condition=Q(per_case__gte=0, per_month__gte=F("per_case")), name="ib_goodwilllimit_in_order"
            ),
            models.CheckConstraint(condition=~Q(approved_by=""), name="ib_goodwilllimit_approved"),
        ]

    def __str__(self) -> str:
        return f"goodwill of {self.entity} in {self.currency}"


class CommissionAdjustment(models.Model):
    """Commission that a person gave and another one approved: goodwill, or its taking back. Never changed.

    Booked on the accrued account by an entry of its own (source `ib.adjustment`); the next statement counts it as a part of
    its own.
    """

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="adjustments")
    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, null=True, related_name="adjustments")
    change_request = models.ForeignKey(ChangeRequest, on_delete=models.PROTECT, related_name="+")
    amount = AmountField()
    currency = CurrencyField()
    reason = models.TextField()
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")
    booked_day = models.DateField()
    made_by = models.CharField(max_length=200)
    approved_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(reverses__isnull=True, amount__gt=0) | Q(reverses__isnull=False, amount__lt=0),
                name="ib_adjustment_signs",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="ib_adjustment_reason"),
            models.UniqueConstraint(
                fields=["change_request"], name="ib_adjustment_once", condition=Q(reverses__isnull=True)
            ),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"adjustment {self.reference}"

    @property
    def reference(self) -> str:
        """How people call it."""
        return f"A-{self.pk}"
