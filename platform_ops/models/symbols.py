"""Symbols: the canonical ones of the house, what each server calls them, and their dated specifications."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.fields import CurrencyField, LotsField, PriceField
from backoffice.core.history import keep_history
from backoffice.kernel import clock
from platform_ops.models.servers import TradingServer


class SymbolGroup(models.Model):
    """A family of symbols that commissions, reports and limits speak of, such as Majors or Metals."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Symbol(models.Model):
    """What is traded, under the house's own name, whatever a server calls it."""

    class AssetClass(models.TextChoices):
        FOREX = "forex", "Forex"
        METAL = "metal", "Metal"
        ENERGY = "energy", "Energy"
        INDEX = "index", "Index"
        SHARE = "share", "Share"
        CRYPTO = "crypto", "Crypto"

    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=120, blank=True)
    asset_class = models.CharField(max_length=8, choices=AssetClass.choices)
    group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, related_name="symbols")
    base_asset = models.CharField(
        max_length=16, help_text="Currency or asset that a lot consists of, such as EUR, XAU, US500."
    )
    profit_currency = CurrencyField()

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


@keep_history(per_statement=True)
class ServerSymbol(models.Model):
    """A symbol as one server names it (`EURUSD.m`). Without a canonical symbol its trades wait, stored and counted."""

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="symbols")
    name = models.CharField(max_length=40)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="server_symbols")
    mapped_by = models.CharField(
        max_length=200, blank=True, help_text="The naming rule that found the symbol, or who mapped it."
    )
    mapped_at = models.DateTimeField(null=True, blank=True)
    first_seen_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["server", "name"]
        constraints = [models.UniqueConstraint(fields=["server", "name"], name="platform_serversymbol_unique")]
        indexes = [models.Index(fields=["server"], name="platform_symbol_unmapped", condition=Q(symbol__isnull=True))]

    def __str__(self) -> str:
        return f"{self.name} on {self.server}"


@keep_history(per_statement=True)
class SymbolSpec(models.Model):
    """How a symbol is traded during a time: contract size, digits, pip size, swaps, margin."""

    class ProfitMode(models.TextChoices):
        FOREX = "forex", "Forex"
        CFD = "cfd", "CFD"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="specs")
    validity = DateTimeRangeField()
    digits = models.PositiveSmallIntegerField()
    contract_size = models.DecimalField(max_digits=20, decimal_places=8)
    pip_size = PriceField()
    profit_mode = models.CharField(max_length=8, choices=ProfitMode.choices, default=ProfitMode.FOREX)
    margin_currency = CurrencyField()
    leverage_maximum = models.PositiveIntegerField(null=True, blank=True)
    lots_minimum = LotsField(default="0.01")
    lots_maximum = LotsField(default="100")
    lots_step = LotsField(default="0.01")
    swap_long_points = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    swap_short_points = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    triple_swap_weekday = models.PositiveSmallIntegerField(default=2, help_text="0 Monday … 4 Friday")
    spread_points = models.DecimalField(max_digits=14, decimal_places=2, default=0)

    class Meta:
        ordering = ["symbol", "validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_symbolspec_no_overlap",
                expressions=[("symbol", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(contract_size__gt=0), name="platform_symbolspec_contract_positive"),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_symbolspec_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.validity}"
