"""What a scenario may not say although each of its values is of the right kind: figures out of bounds, things said twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any

from backoffice.conformance import scenario as form

Fault = tuple[str, str, Any]
"""The place, what is wrong there, and the value."""

LOT_DECIMALS = 8
# What of an expectation is compared; the rest is its key.
_COMPARED = frozenset({"amount", "state", "reason", "opening", "closing", "outcome", "follows", "earned"})


def faults(read: form.Scenario) -> Iterator[Fault]:
    """The faults of a scenario, in the order of the file's keys."""
    yield from _rates("rates", read.rates)
    for index, trade in enumerate(read.trades):
        yield from _trade(f"trades[{index}]", trade)
    yield from _references(read)
    for index, step in enumerate(read.steps):
        place = f"steps[{index}]"
        yield from _rates(f"{place}.rates", step.rates or {})
        if step.correct is not None:
            yield from _trade(f"{place}.correct", step.correct)
        if step.expect is not None:
            yield from _said_twice(f"{place}.expect", step.expect)
    if read.expect is not None:
        yield from _said_twice("expect", read.expect)


def _rates(place: str, rates: Any) -> Iterator[Fault]:
    for day, by_currency in rates.items():
        for currency, rate in by_currency.items():
            if rate <= 0:
                yield f"{place}.{day:%Y-%m-%d}.{currency}", "must be above zero", rate


def _trade(place: str, trade: form.Trade) -> Iterator[Fault]:
    exponent = trade.lots.normalize().as_tuple().exponent
    if trade.lots < 0 or (isinstance(exponent, int) and exponent < -LOT_DECIMALS):
        yield f"{place}.lots", f"must be at least zero, with at most {LOT_DECIMALS} decimals", trade.lots
    for name in ("open_price", "close_price"):
        price = getattr(trade, name)
        if price is not None and price <= Decimal(0):
            yield f"{place}.{name}", "must be above zero", price
    if trade.opened is not None and trade.opened > trade.closed:
        yield f"{place}.opened", "must not lie after the closing", f"{trade.opened:%Y-%m-%dT%H:%M:%S}"


def _references(read: form.Scenario) -> Iterator[Fault]:
    """Facts are known by their references: a second one of the same name would be taken for the first, told again."""
    told = [(f"events[{index}].reference", event) for index, event in enumerate(read.events)]
    told += [
        (f"steps[{index}].event.reference", step.event)
        for index, step in enumerate(read.steps)
        if step.event is not None
    ]
    seen: dict[str, form.Event] = {}
    for place, event in told:
        if seen.setdefault(event.reference, event) != event:
            yield place, "names another event already", event.reference


def _said_twice(place: str, expected: form.Expectation) -> Iterator[Fault]:
    for item in fields(expected):
        seen: set[tuple[Any, ...]] = set()
        for index, one in enumerate(getattr(expected, item.name) or ()):
            names = [part.name for part in fields(one)]
            key = tuple(getattr(one, name) for name in names if name not in _COMPARED)
            if key in seen:
                yield f"{place}.{item.name}[{index}]", "says a second time what is expected", " ".join(map(str, key))
            seen.add(key)
