"""Trading servers."""

from __future__ import annotations

from django.db import models

from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


@keep_history()
class TradingServer(models.Model):
    """A MetaTrader (or other) server of a legal entity; its zone turns server-local times into UTC."""

    class Platform(models.TextChoices):
        MT4 = "mt4", "MetaTrader 4"
        MT5 = "mt5", "MetaTrader 5"
        OTHER = "other", "Other"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="trading_servers")
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=160)
    platform = models.CharField(max_length=8, choices=Platform.choices, default=Platform.OTHER)
    zone = models.CharField(max_length=20, default="EET_US", help_text="EET_US, EET_EU, UTC or FIXED+03:00")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code
