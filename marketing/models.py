"""Campaigns: where clients come from."""

from __future__ import annotations

from django.db import models

from backoffice.core.access import ScopedQuerySet
from backoffice.core.models import Brand, LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class Campaign(models.Model):
    """A campaign whose code is written on the accounts it brought (dimension `campaign`)."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="campaigns")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="campaigns")
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    channel = models.CharField(max_length=40, blank=True)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_on", "code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_on__isnull=True) | models.Q(ends_on__gte=models.F("starts_on")),
                name="marketing_campaign_dates_in_order",
            )
        ]

    def __str__(self) -> str:
        return self.name
