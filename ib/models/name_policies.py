"""How much of their clients' persons partners read: decided by each legal entity, dated."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock


class NameDisplayChoice(models.TextChoices):
    """What partners read of the clients whom they introduced."""

    FULL = "full", "Names, addresses and logins in full"
    INITIALS = "initials", "Initials, masked addresses and logins"
    HIDDEN = "hidden", "Client numbers only"


@keep_history()
class NamePolicy(models.Model):
    """What partners of a legal entity read of their clients' names, e-mail addresses and logins, from a day on.

    Comes into force by a change request that a second person approved; `approved_by` names it.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="name_policies")
    display = models.CharField(max_length=8, choices=NameDisplayChoice.choices)
    validity = DateRangeField()
    approved_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "validity"]
        verbose_name_plural = "name policies"
        constraints = [
            ExclusionConstraint(
                name="ib_namepolicy_no_overlap",
                expressions=[("entity", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_namepolicy_not_empty"),
            models.CheckConstraint(condition=~Q(approved_by=""), name="ib_namepolicy_approved"),
        ]

    def __str__(self) -> str:
        return f"{self.get_display_display()} ({self.entity})"
