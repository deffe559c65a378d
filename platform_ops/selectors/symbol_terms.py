"""By which terms a symbol is traded: the approved specification, with a group's own terms over it.

A dated `SwapRate` of the swap desk comes before the swap fields given here; where none is in force, these count. The
set-based form of the same is the SQL function `platform_symbol_terms(at)`: a row for every symbol and group of accounts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.errors import NotFound
from platform_ops.gateways.types import CalculationMode, SwapMode, SymbolTerms, TradeMode
from platform_ops.models import GroupSymbolOverride, SymbolSpec
from platform_ops.rules.specifications import GROUP_FIELDS

_NUMBERS = {"calculation_mode": CalculationMode, "swap_mode": SwapMode, "trade_mode": TradeMode}
_FIELDS = tuple(name for name in SymbolTerms.__slots__ if name not in ("base_currency", "profit_currency"))


def terms_of(
    specification: Any, *, base_asset: str, profit_currency: str, override: GroupSymbolOverride | None = None
) -> SymbolTerms:
    """The terms of a specification (a row or a draft of one), with a group's own over them."""
    values = {name: getattr(specification, name) for name in _FIELDS}
    if override is not None:
        values |= {
            name: value for name in GROUP_FIELDS if name in values and (value := getattr(override, name)) is not None
        }
    for name, numbers in _NUMBERS.items():
        values[name] = numbers(values[name])
    values["spread_points"] = int(values["spread_points"])
    values["swap_multipliers"] = tuple(Decimal(nights) for nights in values["swap_multipliers"])
    for name in ("quote_sessions", "trade_sessions"):
        values[name] = tuple(tuple(tuple(session) for session in day) for day in values[name])
    return SymbolTerms(base_currency=base_asset, profit_currency=profit_currency, **values)


def terms_in_force(*, symbol_id: int, group_id: int | None = None, at: datetime) -> SymbolTerms:
    """The terms at a moment, of a group of accounts where it has its own. Raises NotFound without a specification."""
    spec = SymbolSpec.objects.select_related("symbol").filter(symbol_id=symbol_id, validity__contains=at).first()
    if spec is None:
        raise NotFound("The symbol has no specification at that time.", symbol_id=symbol_id, at=at.isoformat())
    override = None
    if group_id is not None:
        override = GroupSymbolOverride.objects.filter(
            symbol_id=symbol_id, group_id=group_id, validity__contains=at
        ).first()
    return terms_of(
        spec, base_asset=spec.symbol.base_asset, profit_currency=spec.symbol.profit_currency, override=override
    )


def terms_of_symbols(*, symbol_ids: Iterable[int], at: datetime) -> dict[int, SymbolTerms]:
    """The terms of many symbols at a moment, without any group's own; symbols without a specification are left out."""
    specs = SymbolSpec.objects.select_related("symbol").filter(symbol_id__in=list(symbol_ids), validity__contains=at)
    return {
        spec.symbol_id: terms_of(spec, base_asset=spec.symbol.base_asset, profit_currency=spec.symbol.profit_currency)
        for spec in specs
    }
