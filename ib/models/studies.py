"""What a set-up of plans and tree would have cost over past months: studies, and what came of them."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from ib.models.partners import Partner
from ib.models.plans import PlanVersion


class WhatIfStudy(models.Model):
    """A plan version, a place in the tree, or the set-up as it is, tried on months that are known already.

    A worker computes it; `done_steps` of `steps` says how far it is. What the version said then stands in `described`: a
    draft may change afterwards. `difference` by currency is what all partners together would have earned more.
    """

    class Kind(models.TextChoices):
        AS_IT_IS = "as_it_is", "The set-up as it is"
        PLAN_VERSION = "plan_version", "A plan version"
        PLACE = "place", "A place in the tree"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, null=True, related_name="studies")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, related_name="studies")
    parent = models.ForeignKey(
        Partner, on_delete=models.PROTECT, null=True, related_name="+", help_text="Null: at the top."
    )
    from_period = models.DateField(help_text="First day of the first month.")
    to_period = models.DateField(help_text="First day of the last month.")
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    steps = models.SmallIntegerField(default=0)
    done_steps = models.SmallIntegerField(default=0)
    described = models.JSONField(default=dict, help_text="What was tried, in words.")
    difference = models.JSONField(default=dict, help_text="By currency, as text.")
    waiting_for = models.JSONField(default=list, help_text="What could not be valued, and why.")
    problem = models.CharField(max_length=300, blank=True)
    requested_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "what-if study"
        verbose_name_plural = "what-if studies"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="as_it_is", version__isnull=True, partner__isnull=True)
                | Q(kind="plan_version", version__isnull=False, partner__isnull=True)
                | Q(kind="place", version__isnull=True, partner__isnull=False),
                name="ib_whatifstudy_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(from_period__day=1, to_period__day=1, to_period__gte=F("from_period")),
                name="ib_whatifstudy_whole_months",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["done", "failed"]) ^ Q(finished_at__isnull=True),
                name="ib_whatifstudy_finished_when",
            ),
        ]

    def __str__(self) -> str:
        return f"What-if {self.pk}"

    @property
    def percent(self) -> int:
        """How much of it is computed."""
        if self.state == self.State.DONE:
            return 100
        return 100 * self.done_steps // self.steps if self.steps else 0


class WhatIfRow(models.Model):
    """What a partner was booked for a month, and what it would have been: by the trade and by the period."""

    id = models.BigAutoField(primary_key=True)
    study = models.ForeignKey(WhatIfStudy, on_delete=models.CASCADE, related_name="rows")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="+")
    period = models.DateField(help_text="First day of the month.")
    booked_by_trade = AmountField()
    then_by_trade = AmountField()
    booked_by_period = AmountField()
    then_by_period = AmountField()
    currency = CurrencyField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["study", "partner", "currency", "period"]
        constraints = [
            models.UniqueConstraint(fields=["study", "partner", "currency", "period"], name="ib_whatifrow_unique")
        ]

    def __str__(self) -> str:
        return f"{self.partner_id} in {self.period:%Y-%m}"

    @property
    def booked(self) -> Decimal:
        """By the trade and by the period together."""
        return self.booked_by_trade + self.booked_by_period

    @property
    def then(self) -> Decimal:
        """The same, as it would have been."""
        return self.then_by_trade + self.then_by_period

    @property
    def difference(self) -> Decimal:
        """Gained (above zero) or lost."""
        return self.then - self.booked


class WhatIfMonth(models.Model):
    """The broker's side of a month, in the base currency of the entity: what came in, what partners cost, what is left.

    `unvalued` counts trades and amounts that could not be valued: stated, never taken for zero in silence.
    """

    id = models.BigAutoField(primary_key=True)
    study = models.ForeignKey(WhatIfStudy, on_delete=models.CASCADE, related_name="months")
    period = models.DateField()
    revenue = AmountField()
    cost_booked = AmountField()
    cost_then = AmountField()
    unvalued = models.IntegerField(default=0)
    currency = CurrencyField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["study", "period"]
        constraints = [models.UniqueConstraint(fields=["study", "period"], name="ib_whatifmonth_unique")]

    def __str__(self) -> str:
        return f"{self.period:%Y-%m} of {self.study_id}"
