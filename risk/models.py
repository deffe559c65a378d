"""Exposure as last calculated, and each calculation."""

from __future__ import annotations

from django.db import models

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, LotsField, PriceField
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock


class ExposureRun(models.Model):
    """One calculation of net exposure from open positions at given prices; everything needed to repeat it is kept.

    A run at quotes is what the desk shows; a run at prices that somebody gave answers a question and is shown to nobody
    else.
    """

    class PriceSource(models.TextChoices):
        QUOTES = "quotes", "Current quotes"
        GIVEN = "given", "Prices given by hand"

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="exposure_runs")
    calculated_at = models.DateTimeField(default=clock.now)
    price_source = models.CharField(max_length=8, choices=PriceSource.choices, default=PriceSource.QUOTES)
    prices_as_of = models.DateTimeField(null=True, help_text="Time of the oldest price that was used.")
    positions = models.IntegerField(help_text="All open positions, those without a known symbol too.")
    position_digest = models.CharField(
        max_length=64, default="", help_text="Fingerprint of the positions, to tell whether they changed."
    )
    unmapped_positions = models.IntegerField(default=0)
    unmapped_symbols = models.JSONField(default=list)
    unpriced_symbols = models.JSONField(default=list)
    rates = models.JSONField(default=dict, help_text="Reference rates used, as text, with their day and source.")
    report_currency = CurrencyField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price_source__in=["quotes", "given"]), name="risk_run_price_source_known"
            )
        ]
        indexes = [models.Index(fields=["entity", "price_source", "-id"], name="risk_run_latest")]

    def __str__(self) -> str:
        return f"exposure {self.pk}"


class ExposureRow(models.Model):
    """Net exposure of the clients in one symbol or one currency. The broker stands on the other side."""

    class Axis(models.TextChoices):
        SYMBOL = "symbol", "Symbol"
        CURRENCY = "currency", "Currency"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(ExposureRun, on_delete=models.CASCADE, related_name="rows", db_index=False)
    axis = models.CharField(max_length=8, choices=Axis.choices)
    book = models.CharField(
        max_length=160, blank=True, default="", help_text="Value of the dimension `book`; empty: all books."
    )
    key = models.CharField(max_length=32)
    long_lots = LotsField(default=0)
    short_lots = LotsField(default=0)
    net_lots = LotsField(default=0)
    net_units = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    average_price_long = PriceField(null=True)
    average_price_short = PriceField(null=True)
    bid = PriceField(null=True)
    ask = PriceField(null=True)
    price = models.DecimalField(
        max_digits=24,
        decimal_places=11,
        null=True,
        help_text="Mid of the symbol, or worth of one unit of the currency in the report currency.",
    )
    priced_at = models.DateTimeField(null=True)
    notional = AmountField(null=True, help_text="Net exposure in the report currency, signed as the clients' side.")
    floating = AmountField(null=True, help_text="Clients' floating profit in the report currency.")
    positions = models.IntegerField(default=0)
    reason = models.CharField(max_length=20, blank=True, default="", help_text="Why there is no figure in money.")

    class Meta:
        ordering = ["run", "axis", "book", "key"]
        constraints = [models.UniqueConstraint(fields=["run", "axis", "book", "key"], name="risk_row_unique")]

    def __str__(self) -> str:
        return f"{self.axis} {self.key}"
