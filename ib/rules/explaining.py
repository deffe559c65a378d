"""Why a line is what it is, in words: rebuilt step by step from what stands in it."""

from __future__ import annotations

from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, round_decimal
from ib.rules.amounts import ONE, SHARES, Rounding, product, reward
from ib.rules.references import money_text, plain
from ib.types import ExplainedStep, Explanation, LineFacts


def explain(line: LineFacts) -> Explanation:
    """Rebuilds a line from its facts, step by step. `agrees` is whether the stored cent came out."""
    target = _target(line)
    amount = target - line.booked_before
    steps = [_trade_step(line), _path_step(line)]
    if line.is_paid:
        steps += [_rule_step(line), *_lost_step(line), *_tier_step(line), *_factor_step(line), _product_step(line)]
        if line.rate_currency != line.currency:
            steps.append(_conversion_step(line))
        steps += [_rounding_step(line, _uncapped(line)), *_cap_step(line, target)]
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
    if not line.is_paid:
        return round_decimal(Decimal(0), Currency.of(line.currency).digits)
    return _reward(line, line.cap_left)


def _uncapped(line: LineFacts) -> Decimal:
    return _reward(line, None)


def _reward(line: LineFacts, cap_left: Decimal | None) -> Decimal:
    digits = Currency.of(line.currency).digits if line.decimals is None else line.decimals
    return reward(
        basis=line.basis,
        quantity=line.quantity,
        factor=line.factor if line.factor is not None else ONE,
        rate=line.rate,
        fx_rate=line.fx_rate,
        rate_digits=Currency.of(line.rate_currency).digits,
        rounding=Rounding(digits, line.rounding_mode, line.rounding_stage),
        cap_left=cap_left,
    )


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


QUANTITIES = {
    "per_lot": "lots",
    "points": "a point of these lots",
    "spread_share": "spread",
    "markup_share": "mark-up",
    "platform_commission_share": "commission",
    "notional_per_million": "millions of turnover",
    "client_profit_share": "profit",
}


def _rate_text(line: LineFacts) -> str:
    rate = plain(round_decimal(line.rate, 10))
    if line.basis in SHARES:
        return f"{rate} %"
    if line.basis == "points":
        return f"{rate} points"
    unit = "lot" if line.basis == "per_lot" else "million"
    return f"{rate} {line.rate_currency} per {unit}"


def _rule_step(line: LineFacts) -> ExplainedStep:
    if line.rule:
        text = f"{line.plan}, version {line.plan_version}: {line.rule}."
    else:
        text = f"A rate agreed on, out of the rate of the partner above ({line.plan}, version {line.plan_version})."
    if line.card_rate is not None and line.tier_before is None:
        text += f" Left after what others on the way get: {_rate_text(line)}." if line.card_rate != line.rate else ""
    return ExplainedStep("The rule", text, _rate_text(line))


def _lost_step(line: LineFacts) -> list[ExplainedStep]:
    return [ExplainedStep("Rules that do not pay", "; ".join(line.lost) + ".")] if line.lost else []


def _tier_step(line: LineFacts) -> list[ExplainedStep]:
    if line.tier_before is None:
        return []
    steps = ", ".join(f"{plain(rate)} from {plain(start)}" for start, rate in line.tiers)
    text = f"The measure stood at {plain(line.tier_before)}; the tiers are {steps}."
    return [ExplainedStep("Tier", text, _rate_text(line))]


def _factor_step(line: LineFacts) -> list[ExplainedStep]:
    if line.factor is None:
        return []
    weighed = f" Volume here counts {plain(line.weight)}." if line.weight != 1 else ""
    text = f"Of what was measured a part counts, by weight, hedging, spread at the time or credit.{weighed}"
    return [ExplainedStep("What counts", text, f"× {plain(line.factor)}")]


def _product(line: LineFacts) -> Decimal:
    factor = line.factor if line.factor is not None else ONE
    return product(basis=line.basis, quantity=line.quantity, rate=line.rate, factor=factor)


def _product_step(line: LineFacts) -> ExplainedStep:
    counted = f" × {plain(line.factor)}" if line.factor is not None else ""
    money = f" {line.rate_currency}" if line.basis in SHARES or line.basis == "points" else ""
    rate = f"{plain(round_decimal(line.rate, 10))} {line.rate_currency}" if not money else _rate_text(line)
    text = f"{plain(line.quantity)}{money} {QUANTITIES[line.basis]}{counted} × {rate}"
    title = "Volume times rate" if line.basis == "per_lot" else "What was measured times rate"
    return ExplainedStep(title, text, f"{plain(round_decimal(_product(line), 10))} {line.rate_currency}")


def _cap_step(line: LineFacts, target: Decimal) -> list[ExplainedStep]:
    if line.cap_left is None:
        return []
    if line.is_share_of_revenue:
        text = (
            "All payouts of this trade together may only be a share of what it brought in; everybody who is paid gives in"
            f" proportion, and {plain(line.cap_left)} {line.currency} are left here."
        )
        return [ExplainedStep("Share of revenue", text, _money(target, line))]
    if line.is_guarded:
        text = (
            "This rule has caps, and all payouts of the trade together may only be a share of what it brought in: the narrower of"
            f" the two left {plain(line.cap_left)} {line.currency} here."
        )
        return [ExplainedStep("Cap or share of revenue", text, _money(target, line))]
    text = f"The narrowest cap had {plain(line.cap_left)} {line.currency} left before this trade."
    return [ExplainedStep("Cap", text, _money(target, line))]


def _conversion_step(line: LineFacts) -> ExplainedStep:
    converted = EXACT.multiply(_product(line), line.fx_rate)
    fixed = f" of {line.fx_date:%Y-%m-%d}" if line.fx_date else ""
    shown = plain(round_decimal(line.fx_rate, 10)) if line.fx_rate >= Decimal("0.001") else plain(line.fx_rate)
    text = f"1 {line.rate_currency} = {shown} {line.currency}, {line.fx_source} reference rate{fixed}."
    return ExplainedStep("Conversion", text, f"{plain(round_decimal(converted, 10))} {line.currency}")


MODES = {"half_up": "a half away from zero", "half_even": "a half to the even digit", "down": "towards zero"}


def _rounding_step(line: LineFacts, target: Decimal) -> ExplainedStep:
    digits = Currency.of(line.currency).digits if line.decimals is None else line.decimals
    places = "whole units" if digits == 0 else f"{digits} decimal places"
    when = "After each step" if line.rounding_stage == "step" else "Once"
    return ExplainedStep("Rounding", f"{when}, to {places}, {MODES[line.rounding_mode]}.", _money(target, line))


CAUSES = {
    "range": "at the settlement of the day",
    "batch": "as the trade came in",
    "card": "after a change of tree, agreement or plan",
    "trades": "when the month's trades were valued in their order",
    "account_class": "after an account's group, type, country or campaign changed",
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
