"""A swap line's formula in words, with the numbers put in: what a client, an auditor or a colleague is shown."""

from __future__ import annotations

from decimal import Decimal

from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swaps import Applies, Cause, Term

CAUSE_WORDS = {
    Cause.SWAP: "Swap",
    Cause.NO_NIGHTS: "No night counts",
    Cause.NO_RATE: "No rate",
    Cause.NO_SWAP: "Symbol without swap",
    Cause.UNMAPPED: "Name without symbol",
    Cause.REOPENED: "Reopened at a moved price",
    Cause.SWAP_FREE: "Swap-free",
    Cause.FEE: "Administration fee",
    Cause.CLOSE_DUE: "Free nights used up: close",
    Cause.CORRECTION: "Correction",
}


def explain(term: Term, *, lots: Decimal, open_price: Decimal, cause: str) -> str:
    """The formula of a line with its numbers, in the order in which it is computed."""
    if cause == Cause.CORRECTION:
        return "Difference between what is due now and what was booked before"
    parts = []
    if cause == Cause.FEE and term.fee_applies is not Applies.NEVER:
        parts.append(f"fee {plain(lots)} lots × {plain(term.fee_unit)}")
    elif cause in (Cause.SWAP, Cause.NO_NIGHTS, Cause.REOPENED):
        parts.append(_swap_in_words(term, lots, open_price))
    elif term.dividend_in_swap:
        parts.append(f"{plain(lots)} lots × {plain(term.unit)} × dividend {plain(term.dividend_in_swap)}")
    if term.dividend_unit:
        parts.append(f"dividend {plain(lots)} lots × {plain(term.dividend_unit)}")
    return "; ".join(parts) or CAUSE_WORDS.get(Cause(cause), cause)


def plain(value: Decimal) -> str:
    """A number without zeros at its end, at most twelve places."""
    rounded = round(value, 12).normalize()
    return f"{rounded:f}" if rounded else "0"


def _swap_in_words(term: Term, lots: Decimal, open_price: Decimal) -> str:
    inner = f"{plain(lots)} lots × {_unit_in_words(term)}"
    if term.uses_open_price:
        inner += f" × open price {plain(open_price)}"
    if term.rounds_unit_first:
        inner = f"R({inner})"
    nights = f"{plain(term.value)} × {plain(term.nights)} night{'' if term.nights == 1 else 's'}"
    if term.dividend_in_swap:
        nights = f"({nights} + dividend {plain(term.dividend_in_swap)})"
    quotient = f" ÷ {term.divisor}" if term.divisor != 1 else ""
    return f"{inner} × {nights}{quotient}"


def _unit_in_words(term: Term) -> str:
    """What one lot is multiplied with: contract size × point × rate, or what stands for it in the mode."""
    size, point = term.inputs.get("contract_size", ""), term.inputs.get("point", "")
    price, rate = term.inputs.get("price"), term.inputs.get("conversion", "1")
    converted = "" if Decimal(rate or "1") == 1 else f" × rate {plain(Decimal(rate))}"
    if term.mode in (SwapMode.POINTS, SwapMode.REOPEN_BID, SwapMode.REOPEN_CLOSE_PRICE):
        return f"{plain(Decimal(size))} × {point}{converted}"
    if term.mode in (SwapMode.INTEREST_CURRENT_PRICE, SwapMode.INTEREST_OPEN_PRICE):
        shown = f"{plain(Decimal(size))}" + (f" × price {plain(Decimal(price))}" if price and term.divisor != 1 else "")
        return f"{shown}{converted}"
    return f"1{converted}"
