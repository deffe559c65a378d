"""A figure with the way to it: each step says its formula in words, the same with the numbers put in, and the result.

The pure rules of trading return these, so that the formula a screen shows is the one that was computed. The numbers are
written so that they can be computed again by anybody: `×`, `÷`, `+`, `-`, `max(a, b)`, `|x|` never, and `R(x, digits)` for
rounding a half away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a calculation. `unit` is a currency, "points", "lots" or empty for a plain number."""

    label: str
    formula: str
    numbers: str
    value: Decimal
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Worked:
    """A figure in a currency, and the steps that lead to it, the last of them to the figure itself."""

    amount: Decimal
    currency: str
    steps: tuple[Step, ...]


def plain(number: Decimal | int) -> str:
    """A number as people write it: no exponent, no zeros at the end."""
    text = f"{Decimal(number):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def bracketed(number: Decimal) -> str:
    """The same; in brackets below zero, so that it can stand behind an operator."""
    return f"({plain(number)})" if number < 0 else plain(number)
