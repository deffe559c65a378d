"""Trades that commission settlement sets aside, so that one of them cannot hold up the thousands beside it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.kernel import clock


class QuarantinedTrade(models.Model):
    """A trade that could not be settled, and why. While it is set aside, nothing is booked for it and nothing taken back.

    It is set aside in one version only: a correction by a later ingest batch (`trade_batch_id` is no longer the trade's
    batch) puts it back by itself; a person who mended the cause puts it back by releasing it.
    """

    trade = models.OneToOneField("platform_ops.Trade", on_delete=models.PROTECT, db_constraint=False, related_name="+")
    trade_batch_id = models.BigIntegerField(help_text="The batch that last changed the trade when it was set aside.")
    day = models.DateField(help_text="Business day on which it could not be settled.")
    ticket = models.BigIntegerField()
    entity_id = models.BigIntegerField(help_text="Legal entity of the trading server.")
    error = models.CharField(max_length=80, help_text="Kind of the refusal, such as DataError or a code.")
    reason = models.TextField(help_text="What the books said.")
    cause = models.CharField(max_length=80, blank=True, help_text="The settlement in which it was found.")
    attempts = models.IntegerField(default=1, help_text="How often it was set aside.")
    quarantined_at = models.DateTimeField(default=clock.now)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=200, blank=True)
    release_reason = models.TextField(blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-quarantined_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="ib_quarantinedtrade_has_reason"),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True) | ~Q(release_reason=""),
                name="ib_quarantinedtrade_release_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["day"], name="ib_quarantinedtrade_held", condition=Q(released_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"trade {self.ticket} set aside"
