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


class CurrentTransactionId(models.Func):
    """The number of the database transaction that runs (of the outermost one, inside savepoints)."""

    function = "pg_current_xact_id"
    template = "%(function)s()"
    arity = 0

    def __init__(self) -> None:
        super().__init__(output_field=TransactionIdField())


class TransactionIdField(models.Field):
    """The 64-bit number of the database transaction that wrote the row.

    Unlike an id from a sequence, it tells when no further row can appear below it: a transaction whose number lies
    under the oldest running one is finished.
    """

    def db_type(self, connection: Any) -> str:
        """PostgreSQL's own type."""
        return "xid8"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        """The driver knows no xid8 and hands it over as text."""
        return None if value is None else int(value)

    def to_python(self, value: Any) -> int | None:
        """A number."""
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> Any:
        """Text, which the server reads as xid8; expressions pass through."""
        value = super().get_prep_value(value)
        return str(value) if isinstance(value, int) else value
