"""Commission statements: what a partner earned in a period, from the look at it to the approval that makes it payable."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.partners import Partner


class StatementPeriod(models.TextChoices):
    """How often a partner gets a statement. Weeks run from Monday to Sunday, months by the calendar."""

    DAILY = "daily", "Every business day"
    WEEKLY = "weekly", "Every week"
    MONTHLY = "monthly", "Every month"


@keep_history()
class PayoutTerms(models.Model):
    """When statements close, how long they are looked at, and what is paid: of an entity, or of one partner of it.

    The terms of a partner win over those of the entity. Amounts are in the currency of the statement. They come into
    force by a change request that a second person approved; `approved_by` names it, and an automatic approval names them.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="payout_terms")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, blank=True, related_name="payout_terms")
    validity = DateRangeField()
    period = models.CharField(max_length=8, choices=StatementPeriod.choices)
    review_days = models.PositiveSmallIntegerField(help_text="Calendar days between closing and automatic approval.")
    hold_days = models.PositiveSmallIntegerField(help_text="Calendar days between approval and payout.")
    minimum_payout = AmountField(help_text="Less than this is carried to the next statement.")
    automatic_up_to = AmountField(null=True, blank=True, help_text="Up to this no person is asked; empty: always one.")
    allows_partial = models.BooleanField(default=False, help_text="Whether a statement may be paid in parts.")
    approved_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "partner", "validity"]
        verbose_name_plural = "payout terms"
        constraints = [
            ExclusionConstraint(
                name="ib_payoutterms_no_overlap",
                expressions=[
                    ("entity", RangeOperators.EQUAL),
                    (Func(F("partner"), 0, function="coalesce"), RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_payoutterms_not_empty"),
            models.CheckConstraint(condition=Q(minimum_payout__gte=0), name="ib_payoutterms_minimum_not_negative"),
            models.CheckConstraint(
                condition=Q(review_days__lte=366, hold_days__lte=366), name="ib_payoutterms_bounded"
            ),
            models.CheckConstraint(
                condition=Q(automatic_up_to__isnull=True) | Q(automatic_up_to__gte=0),
                name="ib_payoutterms_automatic_not_negative",
            ),
            models.CheckConstraint(condition=~Q(approved_by=""), name="ib_payoutterms_approved"),
        ]

    def __str__(self) -> str:
        return f"{self.get_period_display()}, {self.partner or self.entity}"


class CommissionStatement(models.Model):
    """A partner's commission of a period, by the accrued account's own postings.

    total = carried in + earned − held + released. `earned` counts every posting up to `to_day` that no earlier statement
    counted, so that something booked late into closed days that were opened again is in the next statement and never in
    two. What is below the minimum, or not above zero, is carried; what is approved moves from accrued to payable.
    """

    class State(models.TextChoices):
        IN_REVIEW = "in_review", "In review"
        CONFIRMED = "confirmed", "Confirmed by one"
        APPROVED = "approved", "Approved"
        CARRIED = "carried", "Carried to the next"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="statements")
    currency = CurrencyField()
    number = models.PositiveIntegerField(help_text="Counts the partner's statements.")
    from_day = models.DateField()
    to_day = models.DateField()
    terms = models.ForeignKey(PayoutTerms, on_delete=models.PROTECT, related_name="statements")
    state = models.CharField(max_length=10, choices=State.choices, default=State.IN_REVIEW)
    carried_in = AmountField(default=0)
    earned = AmountField()
    parts = models.JSONField(default=list, help_text="What was earned by source: [source, decimal text].")
    held = AmountField(default=0, help_text="Lines under dispute, left out.")
    released = AmountField(default=0, help_text="Lines whose dispute is decided, left out of an earlier statement.")
    total = AmountField()
    payable = AmountField(null=True, help_text="What became payable: the total in the digits of its currency.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the postings that it counts.")
    carried_to = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="carried_from")
    review_until = models.DateTimeField()
    closed_at = models.DateTimeField(default=clock.now)
    is_withheld = models.BooleanField(default=False)
    withheld_reason = models.CharField(max_length=500, blank=True)
    problem = models.CharField(max_length=500, blank=True, help_text="Why the last try to approve it by itself failed.")
    confirmed_by = models.CharField(max_length=200, blank=True)
    confirmed_by_id = models.BigIntegerField(null=True)
    approved_by = models.CharField(max_length=200, blank=True)
    approved_by_id = models.BigIntegerField(null=True, help_text="Empty when the terms approved it.")
    approved_at = models.DateTimeField(null=True)
    payable_from = models.DateTimeField(null=True, help_text="End of the hold.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-to_day", "partner"]
        constraints = [
            models.UniqueConstraint(fields=["partner", "number"], name="ib_statement_number_unique"),
            ExclusionConstraint(
                name="ib_statement_days_once",
                expressions=[
                    ("partner", RangeOperators.EQUAL),
                    (
                        Func(
                            F("from_day"),
                            F("to_day"),
                            models.Value("[]"),
                            function="daterange",
                            output_field=DateRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
            models.CheckConstraint(condition=Q(from_day__lte=F("to_day")), name="ib_statement_days_in_order"),
            models.CheckConstraint(
                condition=Q(total=F("carried_in") + F("earned") - F("held") + F("released")),
                name="ib_statement_adds_up",
            ),
            models.CheckConstraint(condition=Q(held__gte=0, released__gte=0), name="ib_statement_holds_not_negative"),
            models.CheckConstraint(
                condition=Q(state="approved", approved_at__isnull=False, payable__gt=0, payable_from__isnull=False)
                & ~Q(approved_by="")
                | ~Q(state="approved") & Q(approved_at__isnull=True, payable__isnull=True),
                name="ib_statement_approved_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(confirmed_by_id__isnull=True)
                | Q(approved_by_id__isnull=True)
                | ~Q(confirmed_by_id=F("approved_by_id")),
                name="ib_statement_by_two_people",
            ),
            models.CheckConstraint(
                condition=~Q(is_withheld=True, state="approved"), name="ib_statement_withheld_waits"
            ),
            models.CheckConstraint(
                condition=Q(is_withheld=False) | ~Q(withheld_reason=""), name="ib_statement_withheld_reason"
            ),
            models.CheckConstraint(
                condition=Q(carried_to__isnull=True) | Q(state="carried"), name="ib_statement_carried_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["review_until"], name="ib_statement_waiting", condition=Q(state__in=["in_review", "confirmed"])
            )
        ]

    def __str__(self) -> str:
        return f"statement {self.number} of {self.partner}"


class StatementHold(models.Model):
    """A line's amount that statements leave out while it is looked into, and pay once it is decided.

    `held_in` is the statement that left it out, `released_in` the one that took it up again.
    """

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="statement_holds")
    line_reference = models.CharField(max_length=60)
    booked_day = models.DateField()
    amount = AmountField()
    currency = CurrencyField()
    reason = models.CharField(max_length=500)
    placed_by = models.CharField(max_length=200)
    placed_at = models.DateTimeField(default=clock.now)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=200, blank=True)
    held_in = models.ForeignKey(CommissionStatement, on_delete=models.PROTECT, null=True, related_name="holds")
    released_in = models.ForeignKey(CommissionStatement, on_delete=models.PROTECT, null=True, related_name="releases")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-placed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["line_reference"], name="ib_statementhold_once", condition=Q(released_at__isnull=True)
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="ib_statementhold_positive"),
            models.CheckConstraint(
                condition=Q(released_in__isnull=True) | Q(released_at__isnull=False, held_in__isnull=False),
                name="ib_statementhold_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.line_reference} held"
