"""The days on which the market of a symbol is closed all day, for counting nights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date


def holidays_of(*, symbol_ids: Collection[int], from_day: date, to_day: date) -> Mapping[int, frozenset[date]]:
    """Full holidays by symbol between two days, both included."""
    return {}
