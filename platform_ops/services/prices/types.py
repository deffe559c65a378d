"""Ticks as they come in, as they are kept, and what became of a batch of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from platform_ops.rules.price_filter import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingTick:
    """A quote as a source states it. A side that it does not state is None. Prices are decimals or their text."""

    symbol_id: int
    at: datetime
    bid: Decimal | int | str | None
    ask: Decimal | int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTick:
    """A tick as it was kept, with its verdict. A side that was missing or no price is None."""

    symbol_id: int
    source: str
    at: datetime
    received_at: datetime
    bid: Decimal | None
    ask: Decimal | None
    digits: int
    verdict: Verdict
    is_leading: bool

    @property
    def reason(self) -> str:
        """The verdict in words."""
        return self.verdict.words


@dataclass(frozen=True, slots=True, kw_only=True)
class TickIntake:
    """What became of a batch. `rejected` counts by the name of the verdict; `duplicates` stood in the store already.

    `is_known` says that the very same batch was taken in before: the figures are those of then, and nothing was done.
    """

    ticks: int
    accepted: int
    repeated: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    unspecified: tuple[str, ...] = ()
    quotes: int = 0
    is_known: bool = False

    @property
    def rejections(self) -> int:
        """All rejected ticks."""
        return sum(self.rejected.values())
