"""Switches: what was stopped, for whom, by whom, why and since when; and how it was let go on again."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from backoffice.core.models.entities import LegalEntity
from backoffice.kernel import clock


class Switch(models.TextChoices):
    """What a switch stops."""

    WITHDRAWALS = "withdrawals", "Withdrawals"
    PAYOUTS = "payouts", "Partner payouts"
    HEDGES = "hedges", "Hedges"
    SENDS = "sends", "Messages to clients"
    SERVER_PUSHES = "server_pushes", "Pushes to trading servers"


# Client money was stopped for a reason; whoever stopped it must convince somebody else before it flows again.
NEEDS_SECOND_PERSON = frozenset({Switch.WITHDRAWALS.value, Switch.PAYOUTS.value})


class SwitchStop(models.Model):
    """One stop of one switch: of one legal entity, or of the whole broker (no entity). Ended ones are the history."""

    switch = models.CharField(max_length=20, choices=Switch.choices)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True)
    reason = models.TextField()
    stopped_by = models.CharField(max_length=200)
    stopped_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    stopped_at = models.DateTimeField(default=clock.now, editable=False)
    resumed_at = models.DateTimeField(null=True)
    resumed_by = models.CharField(max_length=200, blank=True)
    resumed_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    resume_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["switch", "entity"],
                condition=Q(resumed_at__isnull=True),
                nulls_distinct=False,
                name="core_switchstop_one_active",
            ),
            models.CheckConstraint(
                condition=Q(switch__in=[switch.value for switch in Switch]), name="core_switchstop_switch_known"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="core_switchstop_has_reason"),
            models.CheckConstraint(
                condition=Q(resumed_at__isnull=True, resumed_by="", resume_reason="", resumed_by_user__isnull=True)
                | (
                    Q(resumed_at__isnull=False, resumed_at__gte=F("stopped_at"))
                    & ~Q(resumed_by="")
                    & ~Q(resume_reason="")
                ),
                name="core_switchstop_resumed_whole",
            ),
            models.CheckConstraint(
                condition=~Q(switch__in=sorted(NEEDS_SECOND_PERSON))
                | Q(resumed_at__isnull=True)
                | Q(stopped_by_user__isnull=True)
                | (Q(resumed_by_user__isnull=False) & ~Q(resumed_by_user=F("stopped_by_user"))),
                name="core_switchstop_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_switch_display()} stopped for {self.entity or 'the whole broker'}"
