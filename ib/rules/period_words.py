"""A period line as pure facts: what it is worth, and how that came about, in words with figures.

`value` is the only place where a line's target is computed: settlement books it, the proof and every explanation compute it
again from the stored columns.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from backoffice.kernel.decimals import EXACT, round_decimal
from ib.rules.periods import (
    COST_PARTS,
    ONE,
    PART_DECIMALS,
    ZERO,
    LineKind,
    Money,
    PartCode,
    Share,
    ShareTerms,
    last_day,
    percent,
    share_of,
)
from ib.rules.references import plain
from ib.types import ExplainedStep, Explanation

PART_WORDS = {
    PartCode.SPREAD: "spread",
    PartCode.COMMISSION: "commission of the platform",
    PartCode.SWAP_MARKUP: "mark-up on swaps",
    PartCode.CLIENT_LOSS: "losses of clients in the B-book",
    PartCode.BONUS: "bonuses",
    PartCode.FEE: "fees",
    PartCode.PAYMENT_COST: "costs of payments",
    PartCode.ROYALTY: "royalties",
    PartCode.DOWNLINE: "earned by a partner below",
    PartCode.SET_OFF: "losses of earlier periods set off",
    PartCode.CARRIED: "loss carried into the next period",
    PartCode.FORGIVEN: "loss that is not carried",
    PartCode.GROUP_LOSS: "change of the losses that partners below carry",
    PartCode.TRADE_COMMISSION: "commission on trades",
    PartCode.NET_REVENUE: "share of net revenue",
    PartCode.CPA: "reward for the client",
    PartCode.ACTIVE_CLIENT: "amount for the active client",
}


UNKNOWN_WORDS = {
    PartCode.SPREAD: "no market price",
    PartCode.COMMISSION: "the opening deal is not known",
    PartCode.SWAP_MARKUP: "the provider's swap is not known",
}


@dataclass(frozen=True, slots=True)
class LinePart:
    """A part of what a line was computed from; `amount` in the line's currency, `original` as it arose."""

    code: PartCode
    amount: Decimal
    original: Decimal
    currency: str
    count: int = 0
    unknown: int = 0
    subject_id: int | None = None


@dataclass(frozen=True, slots=True)
class PeriodFacts:
    """Everything that a period line's target follows from."""

    kind: LineKind
    period: date
    money: Money
    quantity: Decimal = ZERO
    measure: Decimal | None = None
    rate: Decimal | None = None
    rate_currency: str = ""
    fx_rate: Decimal = ONE
    fx_date: date | None = None
    level: int | None = None
    share: ShareTerms | None = None
    parts: tuple[LinePart, ...] = ()
    earned_at: datetime | None = None
    cause_event_id: int | None = None


def value(facts: PeriodFacts) -> Decimal:
    """The line's target: rounded once, to the plan's decimals."""
    if facts.kind in _AMOUNTS:
        return facts.money.rounded(EXACT.multiply(facts.rate or ZERO, facts.fx_rate))
    if facts.kind is LineKind.NET_REVENUE:
        share = _share(facts)
        return facts.money.rounded(share.amount if share else ZERO)
    if facts.kind is LineKind.OVERRIDE:
        return _part_of_those_below(facts)
    if facts.kind is LineKind.OVERRIDE_PAID:
        return -_part_of_those_below(facts)
    return facts.money.rounded(sum((part.amount for part in facts.parts), ZERO))


_AMOUNTS = frozenset({LineKind.CPA, LineKind.ACTIVE_CLIENT, LineKind.RANK_BONUS})
"""Lines of an amount that the rule states."""
_OVERRIDES = frozenset({LineKind.OVERRIDE, LineKind.OVERRIDE_PAID})


def _part_of_those_below(facts: PeriodFacts) -> Decimal:
    """An override: percent of what was earned below. Where those below pay it, `measure` is what was left to be given."""
    wanted = facts.money.rounded(percent(facts.quantity, facts.rate or ZERO))
    return wanted if facts.measure is None else min(wanted, max(facts.measure, ZERO))


def _share(facts: PeriodFacts) -> Share | None:
    if facts.share is None:
        return None
    return share_of(facts.share, base=facts.quantity, measure=facts.measure or ZERO)


def digest(facts: PeriodFacts) -> str:
    """The same for the same facts: whether a line still says why."""
    parts = [
        (
            part.code.value,
            _exact(part.amount),
            _exact(part.original),
            part.currency,
            part.count,
            part.unknown,
            part.subject_id,
        )
        for part in facts.parts
    ]
    said = (
        facts.kind.value, facts.period.isoformat(), facts.money.currency, facts.money.decimals, facts.money.mode,
        _exact(facts.quantity), _exact(facts.measure), _exact(facts.rate), facts.rate_currency, _exact(facts.fx_rate),
        str(facts.fx_date), facts.level, facts.cause_event_id, str(facts.earned_at), parts,
    )  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _exact(number: Decimal | None) -> str:
    return "" if number is None else plain(number)


@dataclass(frozen=True, slots=True)
class LineWords:
    """The names around a line, gathered for its explanation."""

    partner: str
    plan: str = ""
    plan_version: int = 0
    rule: str = ""
    subject: str = ""
    cause: str = ""
    subjects: dict[int, str] | None = None


def explain_period(
    facts: PeriodFacts,
    words: LineWords,
    *,
    booked_before: Decimal,
    booked_day: date,
    day: date,
    stored_target: Decimal,
    stored_amount: Decimal,
) -> Explanation:
    """Rebuilds a line step by step. `agrees` is whether the stored cent came out."""
    target = value(facts)
    amount = target - booked_before
    steps = [_period_step(facts, words)]
    if words.rule:
        steps.append(ExplainedStep("The rule", f"{words.plan}, version {words.plan_version}: {words.rule}."))
    steps += _part_steps(facts, words)
    steps += _value_steps(facts)
    steps.append(
        ExplainedStep(
            "Rounding", f"Once, to {facts.money.decimals} decimal places ({_mode(facts)}).", _money(target, facts)
        )
    )
    if booked_before:
        steps.append(
            ExplainedStep(
                "Booked before", "Earlier lines of the same are taken off; only the difference is booked.",
                _money(-booked_before, facts),
            )
        )  # fmt: skip
    late = f", because the books of {day:%Y-%m-%d} were closed already" if booked_day != day else ""
    steps.append(ExplainedStep("Booked", f"Booked on {booked_day:%Y-%m-%d}{late}.", _money(amount, facts)))
    return Explanation(
        steps=tuple(steps),
        target=target,
        amount=amount,
        currency=facts.money.currency,
        agrees=target == stored_target and amount == stored_amount,
    )


def _period_step(facts: PeriodFacts, words: LineWords) -> ExplainedStep:
    span = f"{facts.period:%Y-%m-%d} to {last_day(facts.period):%Y-%m-%d}"
    texts = {
        LineKind.CPA: f"{words.subject} met every condition on {_moment(facts.earned_at)}; {words.partner} stood at level "
        f"{facts.level} when the first deposit was made.",
        LineKind.ACTIVE_CLIENT: f"{words.subject} was active in the period {span}.",
        LineKind.NET_REVENUE: f"Net revenue of the period {span} with the clients of {words.partner}"
        f"{_at_level(facts.level)}.",
        LineKind.OVERRIDE: f"What partners below {words.partner} earned in the period {span}.",
        LineKind.RANK_BONUS: f"The month {facts.period:%B %Y} earned or kept the rank of {words.partner}.",
        LineKind.OVERRIDE_PAID: f"What {words.partner} gives of the period {span} to {words.subject or 'a partner above'}.",
        LineKind.CARRY_OVER: f"Losses carried at the end of the period {span}.",
        LineKind.CLAWBACK: f"{words.cause}: what {words.partner} had earned with {words.subject} is taken back.",
    }
    return ExplainedStep("What it is for", texts[facts.kind])


def _part_steps(facts: PeriodFacts, words: LineWords) -> list[ExplainedStep]:
    steps = []
    for part in facts.parts:
        words_of_part = PART_WORDS[part.code]
        title = words_of_part[0].upper() + words_of_part[1:]
        name = (words.subjects or {}).get(part.subject_id or 0, "")
        text = [name] if name else []
        if part.count:
            what = "event" if part.code in COST_PARTS else "trade" if facts.kind is LineKind.NET_REVENUE else "line"
            text.append(f"{part.count:,} {what}{'' if part.count == 1 else 's'}")
        if part.currency and part.currency != facts.money.currency:
            text.append(
                f"{_figure(part.original)} {part.currency}, converted at the reference rate of each day"
                if facts.kind is LineKind.NET_REVENUE
                else f"{_figure(part.original)} {part.currency}, converted at the reference rate"
            )
        if part.unknown:
            trades = "1 trade" if part.unknown == 1 else f"{part.unknown:,} trades"
            text.append(
                f"{trades} could not be valued ({UNKNOWN_WORDS.get(part.code, 'a price is missing')}): said here, and in no sum"
            )
        steps.append(
            ExplainedStep(title, "; ".join(text) + ("." if text else ""), _money(part.amount, facts, exact=True))
        )
    return steps


def _value_steps(facts: PeriodFacts) -> list[ExplainedStep]:
    if facts.kind in _AMOUNTS:
        if facts.rate is None:
            return [ExplainedStep("No rule pays any more", "Since the change, nothing is due for this.")]
        steps = [ExplainedStep("The amount", "By the rule.", f"{_figure(facts.rate)} {facts.rate_currency}")]
        if facts.rate_currency != facts.money.currency:
            fixed = f" of {facts.fx_date:%Y-%m-%d}" if facts.fx_date else ""
            steps.append(
                ExplainedStep(
                    "Conversion",
                    f"1 {facts.rate_currency} = {plain(round_decimal(facts.fx_rate, 10))} {facts.money.currency}, "
                    f"reference rate{fixed}.",
                )
            )
        return steps
    if facts.kind is LineKind.NET_REVENUE:
        return _share_steps(facts)
    if facts.kind in _OVERRIDES:
        return _override_steps(facts)
    if facts.kind is LineKind.CARRY_OVER:
        return _balance_steps(facts)
    return []


def _override_steps(facts: PeriodFacts) -> list[ExplainedStep]:
    wanted = percent(facts.quantity, facts.rate or ZERO)
    text = f"{_figure(facts.rate or ZERO)} % of {_money(facts.quantity, facts, exact=True)}"
    steps = [ExplainedStep("The share", text, _money(wanted, facts, exact=True))]
    if facts.measure is not None:
        whose = "the payer" if facts.kind is LineKind.OVERRIDE else "this partner"
        steps.append(
            ExplainedStep(
                "Who pays it",
                f"It is taken from {whose}, cent for cent, after losses and after what others in between took; "
                f"{_money(facts.measure, facts, exact=True)} was left.",
            )
        )
    return steps


def _share_steps(facts: PeriodFacts) -> list[ExplainedStep]:
    share = _share(facts)
    if share is None:
        return [ExplainedStep("No rule pays any more", "Since the change, nothing is due for this.")]
    steps = [ExplainedStep("Net revenue", "The parts together.", _money(facts.quantity, facts, exact=True))]
    if facts.measure is not None and facts.share is not None and facts.share.tiers:
        kind = "slice by slice" if facts.share.marginal else "for the whole"
        steps.append(ExplainedStep("The tiers", f"Tiers count {kind}.", _figure(facts.measure)))
    if share.capped:
        steps.append(
            ExplainedStep("The cap", "More revenue than this is not shared.", _money(share.base, facts, exact=True))
        )
    steps += [
        ExplainedStep(
            "The share",
            f"{_figure(band.rate)} % of {_money(band.amount, facts, exact=True)}",
            _money(percent(band.amount, band.rate), facts, exact=True),
        )
        for band in share.bands
    ]
    if share.raised:
        steps.append(ExplainedStep("The minimum", "Less is not paid.", _money(share.amount, facts, exact=True)))
    return steps


def _balance_steps(facts: PeriodFacts) -> list[ExplainedStep]:
    opening = facts.measure or ZERO
    return [
        ExplainedStep("Losses of earlier periods", "Carried into this one.", _money(opening, facts, exact=True)),
        ExplainedStep(
            "Result of the period", "By the lines before this one.", _money(facts.quantity, facts, exact=True)
        ),
        ExplainedStep(
            "Payable",
            "The result with this line; never below zero.",
            _money(facts.quantity + value(facts), facts, exact=True),
        ),
    ]


def _at_level(level: int | None) -> str:
    return "" if level is None else f" at level {level}"


def _mode(facts: PeriodFacts) -> str:
    return {"half_up": "a half away from zero", "half_even": "a half to the even digit", "down": "towards zero"}[
        facts.money.mode
    ]


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _figure(number: Decimal) -> str:
    return plain(round_decimal(number, 8))


def _money(amount: Decimal, facts: PeriodFacts, *, exact: bool = False) -> str:
    """With the digits of the currency, and those beyond that are there."""
    digits = facts.money.decimals
    if exact:
        rounded = round_decimal(amount, PART_DECIMALS)
        digits = max(digits, -int(rounded.normalize().as_tuple().exponent))
    return f"{round_decimal(amount, digits):f} {facts.money.currency}"
