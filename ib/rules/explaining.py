"""Why a line is what it is, in words: rebuilt step by step from what stands in it."""

from __future__ import annotations

from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, round_decimal
from ib.rules.amounts import commission
from ib.rules.references import money_text, plain
from ib.types import ExplainedStep, Explanation, LineFacts


def explain(line: LineFacts) -> Explanation:
    """Rebuilds a line from its facts, step by step. `agrees` is whether the stored cent came out."""
    target = _target(line)
    amount = target - line.booked_before
    steps = [_trade_step(line), _path_step(line)]
    if line.rule:
        steps += [_rule_step(line), _product_step(line)]
        if line.rate_currency != line.currency:
            steps.append(_conversion_step(line))
        steps.append(_rounding_step(line, target))
    else:
        steps.append(
            ExplainedStep(
                "No rule pays any more", "Since the change, no rule pays for this trade.", _money(Decimal(0), line)
            )
        )
    if line.booked_before:
        steps.append(
            ExplainedStep(
                "Booked before",
                "Earlier lines of this trade are taken off; only the difference is booked.",
                _money(-line.booked_before, line),
            )
        )
    steps.append(ExplainedStep("Booked", _booked_text(line), _money(amount, line)))
    return Explanation(
        steps=tuple(steps),
        target=target,
        amount=amount,
        currency=line.currency,
        agrees=target == line.target and amount == line.amount,
    )


def _target(line: LineFacts) -> Decimal:
    if not line.rule:
        return round_decimal(Decimal(0), Currency.of(line.currency).digits)
    return commission(lots=line.quantity, amount_per_lot=line.rate, fx_rate=line.fx_rate, currency=line.currency)


def _trade_step(line: LineFacts) -> ExplainedStep:
    text = (
        f"Trade {line.trade_ticket} on {line.server}: {plain(line.trade_lots)} lots of {line.symbol}"
        f" ({line.symbol_group}), closed {line.closed_at:%Y-%m-%d %H:%M:%S} UTC, business day {line.day:%Y-%m-%d}."
    )
    return ExplainedStep("The trade", text, f"{plain(line.trade_lots)} lots")


def _path_step(line: LineFacts) -> ExplainedStep:
    if not line.path:
        text = f"{line.partner} was paid for this trade at level {line.level} before."
    elif line.level == 1:
        text = f"{line.partner} introduced the client when the trade was closed: level 1."
    else:
        chain = " → ".join(line.path)
        text = f"The client came through {chain}: {line.partner} stood at level {line.level} when the trade was closed."
    return ExplainedStep("The way to the partner", text, f"level {line.level}")


def _rule_step(line: LineFacts) -> ExplainedStep:
    text = f"{line.plan}, version {line.plan_version}: {line.rule}."
    return ExplainedStep("The rule", text, f"{plain(line.rate)} {line.rate_currency} per lot")


def _product_step(line: LineFacts) -> ExplainedStep:
    product = EXACT.multiply(line.quantity, line.rate)
    text = f"{plain(line.quantity)} lots × {plain(line.rate)} {line.rate_currency}"
    return ExplainedStep("Volume times rate", text, f"{plain(product)} {line.rate_currency}")


def _conversion_step(line: LineFacts) -> ExplainedStep:
    product = EXACT.multiply(EXACT.multiply(line.quantity, line.rate), line.fx_rate)
    fixed = f" of {line.fx_date:%Y-%m-%d}" if line.fx_date else ""
    shown = plain(round_decimal(line.fx_rate, 10)) if line.fx_rate >= Decimal("0.001") else plain(line.fx_rate)
    text = f"1 {line.rate_currency} = {shown} {line.currency}, {line.fx_source} reference rate{fixed}."
    return ExplainedStep("Conversion", text, f"{plain(round_decimal(product, 10))} {line.currency}")


def _rounding_step(line: LineFacts, target: Decimal) -> ExplainedStep:
    digits = Currency.of(line.currency).digits
    places = "whole units" if digits == 0 else f"{digits} decimal places"
    return ExplainedStep("Rounding", f"Once, to {places}, a half away from zero.", _money(target, line))


CAUSES = {
    "range": "at the settlement of the day",
    "batch": "as the trade came in",
    "card": "after a change of tree, agreement or plan",
    "referral": "after the client's introducer changed",
    "referral_end": "after the client's introduction ended",
    "symbol_mapped": "after the symbol was mapped",
    "markets": "after a market price came in",
    "account_assigned": "after the account was given to its client",
    "release": "after the trade, which had been set aside, was put back",
}


def cause_text(cause: str) -> str:
    """Why something was settled, in words: `batch:12` is \"as the trade came in\"."""
    return CAUSES.get(cause.partition(":")[0], cause)


def _booked_text(line: LineFacts) -> str:
    if line.booked_day != line.day:
        return (
            f"Booked on {line.booked_day:%Y-%m-%d}, because the books of {line.day:%Y-%m-%d} were closed already"
            f" ({cause_text(line.cause)})."
        )
    return f"Booked on {line.booked_day:%Y-%m-%d}, {cause_text(line.cause)}."


def _money(amount: Decimal, line: LineFacts) -> str:
    return f"{money_text(amount, line.currency)} {line.currency}"
