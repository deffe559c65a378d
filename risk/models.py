"""Exposure as last calculated, and each calculation."""

from __future__ import annotations

from django.db import models

from backoffice.core.fields import AmountField, CurrencyField, LotsField, PriceField
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock


class ExposureRun(models.Model):
    """One calculation of net exposure from open positions at given prices."""

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="exposure_runs")
    calculated_at = models.DateTimeField(default=clock.now)
    prices_as_of = models.DateTimeField(null=True)
    positions = models.IntegerField()
    unmapped_positions = models.IntegerField(default=0)
    unpriced_symbols = models.JSONField(default=list)
    report_currency = CurrencyField()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["entity", "-calculated_at"], name="risk_run_latest")]

    def __str__(self) -> str:
        return f"exposure {self.pk}"


class ExposureRow(models.Model):
    """Net exposure of the clients in one symbol or one currency. The broker stands on the other side."""

    class Axis(models.TextChoices):
        SYMBOL = "symbol", "Symbol"
        CURRENCY = "currency", "Currency"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ExposureRun, on_delete=models.CASCADE, related_name="rows")
    axis = models.CharField(max_length=8, choices=Axis.choices)
    key = models.CharField(max_length=32)
    long_lots = LotsField(default=0)
    short_lots = LotsField(default=0)
    net_lots = LotsField(default=0)
    net_units = models.DecimalField(max_digits=30, decimal_places=8, default=0)
    average_price_long = PriceField(null=True)
    average_price_short = PriceField(null=True)
    price = PriceField(null=True)
    notional = AmountField(null=True, help_text="Net exposure in the report currency, signed as the clients' side.")
    floating = AmountField(null=True, help_text="Clients' floating profit in the report currency.")
    positions = models.IntegerField(default=0)

    class Meta:
        ordering = ["run", "axis", "key"]
        constraints = [models.UniqueConstraint(fields=["run", "axis", "key"], name="risk_row_unique")]

    def __str__(self) -> str:
        return f"{self.axis} {self.key}"
