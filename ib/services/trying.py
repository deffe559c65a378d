"""Trying a set-up out: everything is written in a savepoint that is rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

Change = Callable[[datetime], None]
"""Writes the proposed set-up as valid from the moment."""
Sums = dict[tuple[int, str, date], Decimal]
"""Amounts by partner, currency and month."""


@contextmanager
def undone() -> Iterator[None]:
    """A savepoint that is rolled back, whatever happens in it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
