"""What is in force for the rows of a grid: a group's own rate, else the symbol's, else what the specification states."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from platform_ops.models import SymbolSpec
from platform_ops.rules.swap_desk import Rates
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.swaps.rates import RateKey, rate_for, rates_in_force


class Standing:
    """The rates of some symbols at a moment."""

    def __init__(self, *, at: datetime, symbol_ids: Iterable[int]) -> None:
        wanted = sorted(set(symbol_ids))
        self.at = at
        self._rates = rates_in_force(at=at, symbol_ids=wanted)
        self._specs = {
            spec.symbol_id: spec for spec in SymbolSpec.objects.filter(symbol_id__in=wanted, validity__contains=at)
        }

    def own(self, key: RateKey) -> RateDraft | None:
        """The dated rate of exactly this symbol and group, if there is one."""
        return self._rates.get(key)

    def counts(self, key: RateKey) -> RateDraft | None:
        """The rate that counts for the symbol and group."""
        return rate_for(self._rates, key[0], key[1], self._specs.get(key[0]))

    def dated(self) -> list[RateKey]:
        """Every symbol and group with a dated rate."""
        return list(self._rates)

    def has_specification(self, symbol_id: int) -> bool:
        """Whether the symbol can be traded at all at the moment."""
        return symbol_id in self._specs

    def digits(self, symbol_id: int) -> int | None:
        """The digits that points are stated for."""
        spec = self._specs.get(symbol_id)
        return spec.digits if spec is not None else None


def rates_of(draft: RateDraft | None) -> Rates | None:
    """The two figures of a rate, for comparison."""
    return None if draft is None else Rates(draft.long, draft.short, draft.mode)
