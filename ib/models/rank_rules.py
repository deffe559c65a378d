"""When a rank is reached and when it is lost, as data of a plan's version; and what came of looking at it each month."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import CurrencyField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from ib.models.partners import Partner
from ib.models.plans import PlanRank, PlanVersion


class RankMeasure(models.TextChoices):
    """What is measured of a partner."""

    LOTS = "lots", "Lots"
    ACTIVE_CLIENTS = "active_clients", "Active traders"
    DEPOSITS = "deposits", "Deposits"


class RankWindow(models.TextChoices):
    """Over which time it is measured; both end with the month that is looked at."""

    MONTH = "month", "The month"
    QUARTER = "quarter", "The last three months"


class RankScope(models.TextChoices):
    """Whose clients count."""

    OWN = "own", "Own clients"
    TEAM = "team", "Own clients and those of everybody below"


class RankCondition(models.Model):
    """What a partner must reach to hold a rank. A rank with several asks for all of them.

    A rank without conditions is reached by nobody, save the lowest of a version: that one everybody holds.
    """

    rank = models.ForeignKey(PlanRank, on_delete=models.CASCADE, related_name="conditions")
    measure = models.CharField(max_length=14, choices=RankMeasure.choices)
    scope = models.CharField(max_length=4, choices=RankScope.choices, default=RankScope.TEAM)
    window = models.CharField(max_length=7, choices=RankWindow.choices, default=RankWindow.MONTH)
    threshold = models.DecimalField(max_digits=24, decimal_places=8, help_text="At least this much.")
    currency = CurrencyField(blank=True, default="", help_text="Of deposits; empty for what is counted.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["rank", "measure", "scope", "window"]
        constraints = [
            models.UniqueConstraint(fields=["rank", "measure", "scope", "window"], name="ib_rankcondition_once"),
            models.CheckConstraint(condition=Q(threshold__gt=0), name="ib_rankcondition_above_zero"),
            models.CheckConstraint(
                condition=Q(measure="deposits") & ~Q(currency="") | ~Q(measure="deposits") & Q(currency=""),
                name="ib_rankcondition_currency",
            ),
        ]

    def __str__(self) -> str:
        from ib.rules.ranks import condition_text

        return condition_text(self)


class RankOutcome(models.TextChoices):
    """What looking at a partner's month led to."""

    UNCHANGED = "unchanged", "Stays"
    RAISED = "raised", "Raised"
    LOWERED = "lowered", "Lowered"
    SPARED = "spared", "Below, but kept for now"
    BY_HAND = "by_hand", "Held by hand"
    ASKED = "asked", "Correction asked for"
    CORRECTED = "corrected", "Corrected"


class RankEvaluation(models.Model):
    """What a partner reached in a month, and which rank follows from it for the next one.

    `seq` 0 is the first look; a later one is there only because trades or facts of that month changed since. `misses`
    counts the months in a row, this one included, in which the held rank was not earned. Never changed.
    """

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="rank_evaluations")
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+", db_index=False)
    period = models.DateField(help_text="First day of the month.")
    seq = models.PositiveSmallIntegerField(default=0)
    held = models.SlugField(max_length=40, blank=True, db_index=False)
    earned = models.SlugField(max_length=40, blank=True, db_index=False)
    follows = models.SlugField(max_length=40, blank=True, db_index=False, help_text="The rank of the next month.")
    misses = models.PositiveSmallIntegerField(default=0)
    outcome = models.CharField(max_length=9, choices=RankOutcome.choices)
    measures = models.JSONField(default=list, help_text="Every condition that was looked at, and the figure.")
    change_reference = models.CharField(max_length=40, blank=True, help_text="The change request of a correction.")
    evaluated_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-period", "partner", "-seq"]
        constraints = [
            models.UniqueConstraint(fields=["partner", "period", "seq"], name="ib_rankevaluation_once"),
            models.CheckConstraint(condition=Q(period__day=1), name="ib_rankevaluation_of_month"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.partner_id} in {self.period:%Y-%m}"
