"""The business day of a server and entity: a record with gated steps."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from platform_ops.models.servers import TradingServer


class BusinessDay(models.Model):
    """A day of a server, closing at 17:00 New York. Closed once its last step is done."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="business_days")
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="business_days")
    day = models.DateField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    is_held = models.BooleanField(default=False)
    hold_reason = models.TextField(blank=True)
    held_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-day", "server"]
        constraints = [models.UniqueConstraint(fields=["server", "day"], name="platform_businessday_unique")]

    def __str__(self) -> str:
        return f"{self.day} {self.server}"


class BusinessDayStep(models.Model):
    """One gated step of a business day; it starts only when the one before it is done."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    business_day = models.ForeignKey(BusinessDay, on_delete=models.CASCADE, related_name="steps")
    order = models.PositiveSmallIntegerField()
    step = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    outcome = models.JSONField(default=dict)
    problem = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["business_day", "order"]
        constraints = [models.UniqueConstraint(fields=["business_day", "step"], name="platform_daystep_unique")]

    def __str__(self) -> str:
        return f"{self.business_day_id} {self.step}"
