"""Pure rules of the swap desk: what a mark-up makes of a provider's rate, and what is suspicious about a new one.

Rates are negative where the client pays. A mark-up always goes against the client: it makes a charge larger and a credit
smaller. Findings come in two weights: a flag is shown to both people, a block keeps the sheet from being proposed until
somebody has written down why the figure is right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swap_sheets import MAX_RATE, plain

HUNDRED = Decimal(100)
DEFAULT_FLAG_PERCENT = Decimal(10)
MAX_MARKUP_PERCENT = Decimal(1_000)
MAX_CUSTOM_PERCENT = Decimal(1_000)
MIN_EXPLANATION = 10
MAX_EXPLANATION = 400

LEAP_FACTOR = Decimal(5)
"""A rate that is this many times the one before, or this part of it, is taken for a slip of the hand."""

TYPO_BAND = Decimal("1.25")
"""How far a ratio may lie from a whole power of ten and still be called a slipped decimal point."""

RATE_DIGITS = dict.fromkeys(SwapMode, 4) | {SwapMode.POINTS: 2, SwapMode.NONE: 0}
"""Decimals that a marked-up rate is rounded to, always to the client's disadvantage by less than one of the last digit."""


class MarkupKind(StrEnum):
    """How a mark-up rule makes the client's rate."""

    PERCENT = "percent"
    ABSOLUTE = "absolute"
    CUSTOM = "custom"


class Weight(StrEnum):
    """How heavy a finding is."""

    FLAG = "flag"
    BLOCK = "block"


class Code(StrEnum):
    """What can be suspicious about a row."""

    CHANGE = "change"
    SIGN_FLIP = "sign_flip"
    TIMES_TEN = "times_ten"
    LEAP = "leap"
    EXCHANGED = "exchanged"
    BOTH_PAY_CLIENT = "both_pay_client"
    BELOW_PROVIDER = "below_provider"
    MODE_CHANGED = "mode_changed"
    NO_RATE_YET = "no_rate_yet"
    TO_ZERO = "to_zero"


@dataclass(frozen=True, slots=True)
class Markup:
    """A rule: the amounts for long and short, in percent, or as the rate is stated (ABSOLUTE)."""

    kind: MarkupKind
    long: Decimal
    short: Decimal


NO_MARKUP = Markup(MarkupKind.PERCENT, Decimal(0), Decimal(0))


@dataclass(frozen=True, slots=True)
class Rates:
    """Long and short of one symbol, and in what they are stated."""

    long: Decimal
    short: Decimal
    mode: SwapMode = SwapMode.POINTS

    @property
    def sides(self) -> tuple[tuple[str, Decimal], tuple[str, Decimal]]:
        """Both figures with their names."""
        return ("long", self.long), ("short", self.short)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at. `side` is empty where it concerns both."""

    code: Code
    weight: Weight
    side: str
    message: str

    def as_data(self) -> dict[str, str]:
        """Plain data, as it is shown."""
        return {"code": self.code.value, "weight": self.weight.value, "side": self.side, "message": self.message}


def check_markup(markup: Markup) -> None:
    """Raises InvalidInput for a rule that would favour the client unasked, or that cannot be meant."""
    for side, value in (("long", markup.long), ("short", markup.short)):
        field = f"{side}_value"
        if not value.is_finite():
            raise InvalidInput("This is no number.", field=field)
        if markup.kind is MarkupKind.CUSTOM:
            if abs(value) > MAX_CUSTOM_PERCENT:
                raise InvalidInput(f"Between −{MAX_CUSTOM_PERCENT} and {MAX_CUSTOM_PERCENT} %.", field=field)
            continue
        if value < 0:
            raise InvalidInput("A mark-up goes against the client: it is not negative.", field=field, value=str(value))
        limit = MAX_MARKUP_PERCENT if markup.kind is MarkupKind.PERCENT else MAX_RATE
        if value > limit:
            raise InvalidInput(f"At most {limit:,}.", field=field, value=str(value))


def marked_up(rate: Decimal, kind: MarkupKind, value: Decimal, *, digits: int) -> Decimal:
    """The client's rate out of the provider's.

    PERCENT: −10 with 10 % is −11, +5 with 10 % is +4.5. ABSOLUTE: −10 with 2 is −12. CUSTOM: 200 % doubles the rate,
    −200 % doubles it and turns its sign. Rounded to *digits* towards what the client pays.
    """
    if kind is MarkupKind.PERCENT:
        result = rate - abs(rate) * value / HUNDRED
    elif kind is MarkupKind.ABSOLUTE:
        result = rate - value
    else:
        result = rate * value / HUNDRED
    return result.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR) + 0


def apply_markup(rates: Rates, markup: Markup) -> Rates:
    """Both of the provider's rates with the rule applied."""
    digits = RATE_DIGITS[rates.mode]
    return Rates(
        marked_up(rates.long, markup.kind, markup.long, digits=digits),
        marked_up(rates.short, markup.kind, markup.short, digits=digits),
        rates.mode,
    )


def change_percent(new: Decimal, old: Decimal) -> Decimal | None:
    """By how many percent of the old rate the new one differs, unsigned; None where the old one is zero."""
    return abs(new - old) / abs(old) * HUNDRED if old else None


def is_flagged(new: Decimal, old: Decimal, *, flag_percent: Decimal) -> bool:
    """Whether the change is above the set percentage; exactly that much is not. From zero, any change is."""
    percent = change_percent(new, old)
    return new != old if percent is None else percent > flag_percent


def is_sign_flip(new: Decimal, old: Decimal) -> bool:
    """Whether who pays changes sides."""
    return new * old < 0


def slipped_digits(new: Decimal, old: Decimal) -> int:
    """By how many places the decimal point seems to have slipped: 1 for −6.5 → −65, −2 for −6.5 → −0.065, 0 for none."""
    if not new or not old:
        return 0
    ratio = abs(new / old)
    places = round(ratio.log10())
    if not places:
        return 0
    off = ratio / Decimal(10) ** places
    return int(places) if 1 / TYPO_BAND <= off <= TYPO_BAND else 0


def is_leap(new: Decimal, old: Decimal) -> bool:
    """Whether one rate is five times the other or more."""
    if not new or not old:
        return False
    ratio = abs(new / old)
    return ratio >= LEAP_FACTOR or ratio <= 1 / LEAP_FACTOR


def findings(
    new: Rates, *, current: Rates | None, provider: Rates | None, expected: Rates | None, flag_percent: Decimal
) -> tuple[Finding, ...]:
    """Everything that is suspicious about a row, heaviest first.

    *current* is what is in force, *provider* what the sheet says, *expected* what the mark-up rules make of that; each
    may be unknown. Where nothing is in force, a figure typed over the sheet's is held against what the rules made of it.
    """
    found: list[Finding] = []
    if current is None:
        found.append(Finding(Code.NO_RATE_YET, Weight.FLAG, "", "No rate is in force yet: nothing to compare with."))
    elif current.mode is not new.mode:
        before, after = mode_words(current.mode), mode_words(new.mode)
        found.append(
            Finding(
                Code.MODE_CHANGED,
                Weight.BLOCK,
                "",
                f"Stated in {after} instead of {before}: figures cannot be compared.",
            )
        )
    else:
        found += _against(new, current, "today's", flag_percent)
    is_comparable = current is not None and current.mode is new.mode
    if not is_comparable and expected is not None and expected.mode is new.mode:
        slips = _against(new, expected, "the sheet's", flag_percent)
        found += [finding for finding in slips if finding.weight is Weight.BLOCK]
    if new.long > 0 and new.short > 0:
        found.append(
            Finding(
                Code.BOTH_PAY_CLIENT,
                Weight.BLOCK,
                "",
                "Long and short both pay the client: anybody may earn both at no risk.",
            )
        )
    if provider is not None and provider.mode is new.mode:
        for (side, value), (_, cost) in zip(new.sides, provider.sides, strict=True):
            if value > cost:
                text = f"{side.capitalize()} {plain(value)} is better for the client than the provider's {plain(cost)}."
                found.append(Finding(Code.BELOW_PROVIDER, Weight.FLAG, side, text))
    return tuple(sorted(found, key=lambda finding: finding.weight is Weight.FLAG))


def _against(new: Rates, old: Rates, whose: str, flag_percent: Decimal) -> list[Finding]:
    found: list[Finding] = []
    looks_exchanged = _looks_exchanged(new, old)
    if looks_exchanged:
        text = f"Long and short look exchanged: {whose} are {plain(old.long)} and {plain(old.short)}."
        found.append(Finding(Code.EXCHANGED, Weight.BLOCK, "", text))
    for (side, value), (_, before) in zip(new.sides, old.sides, strict=True):
        pair = f"{side.capitalize()} {plain(before)} → {plain(value)}"
        if is_sign_flip(value, before):
            who = "the client is paid now" if value > 0 else "the client pays now"
            found.append(Finding(Code.SIGN_FLIP, Weight.BLOCK, side, f"{pair}: the sign turns, {who}."))
        if places := slipped_digits(value, before):
            sign = "×" if places > 0 else "÷"
            factor = 10 ** abs(places)
            found.append(
                Finding(
                    Code.TIMES_TEN, Weight.BLOCK, side, f"{pair}: looks like {sign}{factor:,}, a slipped decimal point."
                )
            )
        elif is_leap(value, before):
            found.append(Finding(Code.LEAP, Weight.BLOCK, side, f"{pair}: {_times(value, before)} {whose}."))
        elif before and not value:
            found.append(Finding(Code.TO_ZERO, Weight.BLOCK, side, f"{pair}: nobody pays any more."))
        elif is_flagged(value, before, flag_percent=flag_percent) and not is_sign_flip(value, before):
            percent = change_percent(value, before)
            by = "from nothing" if percent is None else f"{percent:,.1f} %, more than {plain(flag_percent)} %"
            found.append(Finding(Code.CHANGE, Weight.FLAG, side, f"{pair}: {by}."))
    return found


def _looks_exchanged(new: Rates, old: Rates) -> bool:
    """Whether each new figure is far nearer to the other side's old one than to its own."""
    if old.long == old.short or new.long == new.short:
        return False
    crossed = abs(new.long - old.short) + abs(new.short - old.long)
    straight = abs(new.long - old.long) + abs(new.short - old.short)
    return crossed * 4 < straight


def _times(new: Decimal, old: Decimal) -> str:
    ratio = abs(new / old)
    return f"{ratio:,.1f} times" if ratio >= 1 else f"{plain(round(1 / ratio, 1))} times less than"


def is_blocked(found: Iterable[Finding], explanation: str) -> bool:
    """Whether the row keeps its sheet from being proposed."""
    return any(finding.weight is Weight.BLOCK for finding in found) and len(explanation.strip()) < MIN_EXPLANATION


def check_rate(value: Decimal, *, mode: SwapMode, field: str) -> Decimal:
    """A rate that can be stored. Raises InvalidInput."""
    if not value.is_finite():
        raise InvalidInput("This is no number.", field=field, value=str(value))
    if abs(value) > MAX_RATE:
        raise InvalidInput(f"No swap is above {MAX_RATE:,}.", field=field, value=str(value))
    if value != round(value, 6):
        raise InvalidInput("A swap has at most 6 decimals.", field=field, value=str(value))
    if mode is SwapMode.NONE and value:
        raise InvalidInput("A symbol without swaps has none.", field=field, value=str(value))
    return value + 0


def mode_words(mode: SwapMode) -> str:
    """What a mode is called on the screens."""
    return {
        SwapMode.NONE: "nothing",
        SwapMode.POINTS: "points",
        SwapMode.BASE_CURRENCY: "base currency per lot",
        SwapMode.MARGIN_CURRENCY: "margin currency per lot",
        SwapMode.DEPOSIT_CURRENCY: "deposit currency per lot",
        SwapMode.INTEREST_CURRENT_PRICE: "% a year of the price",
        SwapMode.INTEREST_OPEN_PRICE: "% a year of the open price",
        SwapMode.REOPEN_CLOSE_PRICE: "points, re-opened at the close",
        SwapMode.REOPEN_BID: "points, re-opened at the bid",
        SwapMode.PROFIT_CURRENCY: "profit currency per lot",
    }[mode]


def rule_for(
    rules: Collection[Any], *, symbol_id: int, symbol_group_id: int, account_group_id: int | None
) -> Any | None:
    """The rule that speaks of a row: one symbol goes before its group, that before all symbols; and among these, one
    account group goes before all. None where no rule speaks of it."""

    def rank(rule: Any) -> tuple[int, int] | None:
        if rule.account_group_id not in (None, account_group_id):
            return None
        if rule.symbol_id is not None:
            place = 0 if rule.symbol_id == symbol_id else None
        elif rule.symbol_group_id is not None:
            place = 1 if rule.symbol_group_id == symbol_group_id else None
        else:
            place = 2
        return None if place is None else (place, 0 if rule.account_group_id is not None else 1)

    ranked = [(key, rule) for rule in rules if (key := rank(rule)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


# What a policy may bound -------------------------------------------------------------------------------------------

BOUNDS = ("change_percent", "nightly_cost")


def check_bounds(bounds: Mapping[str, Any]) -> None:
    """Raises InvalidInput for bounds of a policy that cannot be read."""
    unknown = set(bounds) - set(BOUNDS)
    if unknown or "change_percent" not in bounds:
        raise InvalidInput(
            "A policy over swaps bounds change_percent and may bound nightly_cost (in the reporting currency).",
            field="bounds",
            value=", ".join(sorted(unknown)),
        )
    for name in bounds:
        try:
            value = Decimal(str(bounds[name]))
        except ArithmeticError as error:
            raise InvalidInput(f"{name} is no number.", field="bounds", value=str(bounds[name])) from error
        if not value.is_finite() or value < 0:
            raise InvalidInput(f"{name} is zero or more.", field="bounds", value=str(bounds[name]))


def reasons_outside(
    rows: Iterable[Mapping[str, Any]], bounds: Mapping[str, Any], *, nightly_change: Decimal | None
) -> list[str]:
    """Why a policy does not approve rows by itself. What somebody had to explain is always for a person.

    *nightly_change* is what the whole sheet moves in a night, in the reporting currency; None where it is not known.
    """
    limit = Decimal(str(bounds["change_percent"]))
    reasons: list[str] = []
    for row in rows:
        name = row["symbol"] + (f" for {row['group']}" if row.get("group") else "")
        if row.get("explanation"):
            reasons.append(f"{name} had to be explained")
        before = row.get("before")
        if not before:
            reasons.append(f"{name} has no rate yet")
            continue
        if before["mode"] != row["mode"]:
            reasons.append(f"{name} changes its mode")
            continue
        for side in ("long", "short"):
            new, old = Decimal(row[side]), Decimal(before[side])
            percent = change_percent(new, old)
            if new != old and (percent is None or percent > limit or is_sign_flip(new, old)):
                shown = "from nothing" if percent is None else f"by {percent:,.1f} %"
                reasons.append(f"{name} {side} moves {shown}")
    if "nightly_cost" in bounds:
        most = Decimal(str(bounds["nightly_cost"]))
        if nightly_change is None:
            reasons.append("what a night costs is not known in full")
        elif abs(nightly_change) > most:
            reasons.append(f"a night moves {abs(nightly_change):,.2f}")
    return reasons[:20]
