"""Column types that every desk shares, so that money, prices and volumes have one width everywhere."""

from __future__ import annotations

from typing import Any

from django.db import models


class AmountField(models.DecimalField):
    """An amount of money: NUMERIC(24,8), wide enough for any currency; the currency stands in a column beside it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 24)
        kwargs.setdefault("decimal_places", 8)
        super().__init__(*args, **kwargs)


class PriceField(models.DecimalField):
    """A price or an exchange rate: NUMERIC(24,10)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 24)
        kwargs.setdefault("decimal_places", 10)
        super().__init__(*args, **kwargs)


class LotsField(models.DecimalField):
    """A volume in lots: NUMERIC(20,8), the finest volume any platform states."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 20)
        kwargs.setdefault("decimal_places", 8)
        super().__init__(*args, **kwargs)


class CurrencyField(models.CharField):
    """A currency code of the kernel's table, such as USD, JPY or BTC."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 5)
        super().__init__(*args, **kwargs)
