"""Pure rules of symbol specifications: what can be traded by, plain data of it, and what a policy may approve alone."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput

MAX_DIGITS = 8
MAX_LEVERAGE = 10_000
MAX_POINTS = Decimal(100_000)
FIELDS = (
    "digits",
    "contract_size",
    "pip_size",
    "profit_mode",
    "margin_currency",
    "leverage_maximum",
    "lots_minimum",
    "lots_maximum",
    "lots_step",
    "swap_long_points",
    "swap_short_points",
    "triple_swap_weekday",
    "spread_points",
)
LABELS = {
    "digits": "Digits",
    "contract_size": "Contract size",
    "pip_size": "Pip size",
    "profit_mode": "Profit mode",
    "margin_currency": "Margin currency",
    "leverage_maximum": "Highest leverage",
    "lots_minimum": "Smallest volume, lots",
    "lots_maximum": "Largest volume, lots",
    "lots_step": "Volume step, lots",
    "swap_long_points": "Swap long, points",
    "swap_short_points": "Swap short, points",
    "triple_swap_weekday": "Triple swap on",
    "spread_points": "Spread, points",
}
BOUNDED_FIELDS = {"swap_points": ("swap_long_points", "swap_short_points"), "spread_points": ("spread_points",)}
"""What a policy can bound: by how many points these fields may move. Any other field is for people."""


class HasTerms(Protocol):
    """Whatever has the fields of a specification."""

    @property
    def digits(self) -> Any: ...

    @property
    def contract_size(self) -> Any: ...


def specification_terms(specification: HasTerms) -> dict[str, Any]:
    """A specification as plain data; equal ones give equal data, however many zeros they were stored with."""
    return {name: _plain(getattr(specification, name)) for name in FIELDS}


def check_specification(specification: Any) -> None:
    """Raises InvalidInput for a specification that nothing can be traded by."""
    if not 0 <= specification.digits <= MAX_DIGITS:
        raise InvalidInput(f"Between 0 and {MAX_DIGITS} digits.", field="digits", value=specification.digits)
    for name in ("contract_size", "pip_size", "lots_minimum", "lots_step"):
        if not getattr(specification, name).is_finite() or getattr(specification, name) <= 0:
            raise InvalidInput(f"{LABELS[name]} is above zero.", field=name)
    if not specification.lots_maximum.is_finite() or specification.lots_maximum < specification.lots_minimum:
        raise InvalidInput("The largest volume is not below the smallest.", field="lots_maximum")
    leverage = specification.leverage_maximum
    if leverage is not None and not 1 <= leverage <= MAX_LEVERAGE:
        raise InvalidInput(f"Leverage lies between 1 and {MAX_LEVERAGE}.", field="leverage_maximum", value=leverage)
    if specification.triple_swap_weekday not in range(5):
        raise InvalidInput("Swap is tripled on a weekday: 0 Monday … 4 Friday.", field="triple_swap_weekday")
    for name in ("swap_long_points", "swap_short_points", "spread_points"):
        points = getattr(specification, name)
        if not points.is_finite() or abs(points) > MAX_POINTS:
            raise InvalidInput(f"{LABELS[name]}: at most {MAX_POINTS}.", field=name)
    if specification.spread_points < 0:
        raise InvalidInput("A spread is not below zero.", field="spread_points")
    if specification.profit_mode not in ("forex", "cfd"):
        raise InvalidInput("The profit mode is forex or cfd.", field="profit_mode", value=specification.profit_mode)
    Currency.of(specification.margin_currency)


def check_bounds(bounds: dict[str, Any]) -> None:
    """Raises InvalidInput for bounds of a policy that cannot be read."""
    unknown = sorted(set(bounds) - set(BOUNDED_FIELDS))
    if unknown:
        raise InvalidInput(f"A policy bounds {', '.join(BOUNDED_FIELDS)}; not {', '.join(unknown)}.", field="bounds")
    for name, value in bounds.items():
        if not 0 <= _decimal(value, name) <= MAX_POINTS:
            raise InvalidInput(f"{name}: between 0 and {MAX_POINTS} points.", field="bounds", value=str(value))


def reasons_outside(payload: dict[str, Any], bounds: dict[str, Any]) -> list[str]:
    """Why a policy may not approve the payload by itself; nothing when it may.

    Only swaps and spread move within a policy, each by at most so many points; contract, digits, margin, leverage and
    volumes are always for people, and so is the first specification of a symbol.
    """
    old, new = payload.get("replaces") or {}, payload["specification"]
    if not old:
        return ["there is no specification that it replaces"]
    allowed = {field: bound for bound, names in BOUNDED_FIELDS.items() for field in names if bound in bounds}
    reasons = []
    for name in FIELDS:
        if new.get(name) == old.get(name):
            continue
        if name not in allowed:
            reasons.append(f"{LABELS[name].lower()} is for people to decide")
            continue
        most = _decimal(bounds[allowed[name]], name)
        moved = abs(_decimal(new[name], name) - _decimal(old[name], name))
        if moved > most:
            reasons.append(f"{LABELS[name].lower()} moves by {_plain(moved)}, more than {_plain(most)}")
    return reasons


def _decimal(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise InvalidInput(f"{name} is no number.", field=name, value=str(value)) from error
    if not number.is_finite():
        raise InvalidInput(f"{name} is no number.", field=name, value=str(value))
    return number


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value
