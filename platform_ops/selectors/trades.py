"""What other desks ask of trades in bulk."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from platform_ops.models import Trade


def batch_of_trades(trade_id: Any) -> QuerySet[Trade, int]:
    """The ingest batch that last changed a trade, as a subquery; *trade_id* is an outer reference. Shows no client data."""
    return Trade.objects.filter(pk=trade_id).values_list("batch_id", flat=True)
