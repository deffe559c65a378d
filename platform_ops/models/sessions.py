"""Holidays: calendars of exchanges, and which symbols keep them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from backoffice.core.history import keep_history
from platform_ops.models.symbols import Symbol, SymbolGroup


@keep_history()
class MarketCalendar(models.Model):
    """The holidays of a market, on its own clock. A symbol keeps those that name it or its group."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    zone = models.CharField(max_length=64, help_text="A zone of the tz database, such as America/New_York.")
    groups = models.ManyToManyField(SymbolGroup, related_name="calendars", blank=True)
    symbols = models.ManyToManyField(Symbol, related_name="calendars", blank=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


@keep_history(per_statement=True)
class Holiday(models.Model):
    """A day on which a market is closed, or open between two minutes of its local day only."""

    calendar = models.ForeignKey(MarketCalendar, on_delete=models.PROTECT, related_name="holidays")
    day = models.DateField()
    name = models.CharField(max_length=120)
    opens_minute = models.PositiveSmallIntegerField(null=True, blank=True)
    closes_minute = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["day", "calendar"]
        constraints = [
            models.UniqueConstraint(fields=["calendar", "day"], name="platform_holiday_unique"),
            models.CheckConstraint(
                condition=Q(opens_minute__isnull=True, closes_minute__isnull=True)
                | Q(
                    opens_minute__isnull=False,
                    closes_minute__isnull=False,
                    closes_minute__gt=F("opens_minute"),
                    closes_minute__lte=1440,
                ),
                name="platform_holiday_minutes",
            ),
        ]
        indexes = [models.Index(fields=["day"], name="platform_holiday_day")]

    def __str__(self) -> str:
        return f"{self.name} {self.day}"
