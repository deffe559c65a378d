"""What the books say, apart from ids, batches and revision counts: these depend on the order in which files came."""

from __future__ import annotations

from typing import Any

from django.db import models

from platform_ops.models import BalanceOperation, CurrentDeal, Position, Trade

_NATURAL = {"server_id": "server__code", "account_id": "account__login", "server_symbol_id": "server_symbol__name"}
_ARRIVAL = {
    "id",
    "batch_id",
    "first_batch_id",
    "revision",
    "deal_revision",
    "stated_as_of",
    "recorded_at",
    "statement_id",
}


def state_of_books() -> dict[str, list[tuple[Any, ...]]]:
    """Deals as they stand, trades, open positions and active balance operations, in a fixed order."""
    return {
        "deals": _rows(CurrentDeal.objects.all()),
        "trades": _rows(Trade.objects.all()),
        "positions": _rows(Position.objects.all()),
        "operations": _rows(BalanceOperation.objects.filter(is_cancelled=False)),
    }


def _rows(rows: models.QuerySet[Any]) -> list[tuple[Any, ...]]:
    names = [field.attname for field in rows.model._meta.concrete_fields if field.attname not in _ARRIVAL]
    return sorted(rows.values_list(*(_NATURAL.get(name, name) for name in names)), key=repr)
