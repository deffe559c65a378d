"""Commission plans as data: versions published from a date, rules, and the agreements that bind partners to them."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from ib.models.partners import Partner


# `PlanVersion` is a noun of this desk, so the versions of rows are called otherwise here.
@keep_history(model_name="PlanHistory")
class Plan(models.Model):
    """A named commission plan of an entity."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="plans")
    code = models.SlugField(max_length=40)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "code"]
        constraints = [models.UniqueConstraint(fields=["entity", "code"], name="ib_plan_code_unique")]

    def __str__(self) -> str:
        return self.name


@keep_history(model_name="PlanVersionHistory")
class PlanVersion(models.Model):
    """A version of a plan. A draft may change; a published one is valid during its range and never changes again."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    validity = DateTimeRangeField(null=True, blank=True)  # type: ignore[misc]  # the stubs know no optional range
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="ib_planversion_number_unique"),
            ExclusionConstraint(
                name="ib_planversion_no_overlap",
                expressions=[("plan", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
                condition=Q(state="published"),
            ),
            models.CheckConstraint(
                condition=Q(state="draft", published_at__isnull=True)
                | Q(state="published", published_at__isnull=False, validity__isnull=False),
                name="ib_planversion_published_is_dated",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


@keep_history(model_name="PlanRuleHistory")
class PlanRule(models.Model):
    """One rule: an amount per lot, for a symbol group (or every group), paid to the partner at a level.

    Level 1 is the partner who introduced the client, level 2 the partner above, and so on. A rule that names the symbol
    group wins over one that does not.
    """

    class Kind(models.TextChoices):
        PER_LOT = "per_lot", "Amount per lot"

    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.PER_LOT)
    symbol_group = models.ForeignKey("platform_ops.SymbolGroup", on_delete=models.PROTECT, null=True, blank=True)
    level = models.PositiveSmallIntegerField()
    amount_per_lot = AmountField()
    currency = CurrencyField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["version", "level", "symbol_group"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "level", "symbol_group"], name="ib_planrule_unique", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(level__gte=1), name="ib_planrule_level_positive"),
            models.CheckConstraint(condition=Q(amount_per_lot__gte=0), name="ib_planrule_amount_not_negative"),
        ]

    def __str__(self) -> str:
        where = self.symbol_group.name if self.symbol_group else "all symbols"
        return f"{self.amount_per_lot.normalize():f} {self.currency} per lot on {where} to level {self.level}"


@keep_history()
class Agreement(models.Model):
    """A plan that binds a partner during a time; one at a time."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="agreements")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="agreements")
    validity = DateTimeRangeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_agreement_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_agreement_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.partner} on {self.plan}"
