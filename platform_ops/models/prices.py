"""Prices: current quotes, end-of-day prices, and the reference rates that money is converted at."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.fields import CurrencyField, PriceField
from platform_ops.models.symbols import Symbol


class Quote(models.Model):
    """The latest price of a symbol."""

    symbol = models.OneToOneField(Symbol, on_delete=models.CASCADE, primary_key=True, related_name="quote")
    bid = PriceField()
    ask = PriceField()
    at = models.DateTimeField()
    source = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(bid__gt=0) & Q(ask__gte=models.F("bid")), name="platform_quote_sane")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.bid.normalize():f} / {self.ask.normalize():f}"


class DailyPrice(models.Model):
    """The price of a symbol at the end of a business day, fixed by the business-day step."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="daily_prices")
    business_day = models.DateField()
    bid = PriceField()
    ask = PriceField()
    source = models.CharField(max_length=40)

    class Meta:
        ordering = ["-business_day", "symbol"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "business_day"], name="platform_dailyprice_unique"),
            models.CheckConstraint(
                condition=Q(bid__gt=0) & Q(ask__gte=models.F("bid")), name="platform_dailyprice_sane"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} on {self.business_day}"


class FxReferenceRate(models.Model):
    """Units of a currency per one euro on a date, by source.

    Where sources differ the European Central Bank counts; another source (the broker's own fixing) counts only for days
    and currencies that the bank has not published. The view `platform_ops_fxrateused` holds that choice.
    """

    source = models.CharField(max_length=20, default="ECB")
    date = models.DateField()
    currency = CurrencyField()
    per_euro = PriceField()

    class Meta:
        ordering = ["-date", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["source", "currency", "date"], name="platform_fxrate_unique"),
            models.CheckConstraint(condition=Q(per_euro__gt=0), name="platform_fxrate_positive"),
        ]
        indexes = [models.Index(fields=["date", "currency"], name="platform_fxrate_day")]

    def __str__(self) -> str:
        return f"{self.date} EUR{self.currency} {self.per_euro.normalize():f}"
