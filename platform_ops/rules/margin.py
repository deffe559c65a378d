"""Margin: what open volume in a symbol binds, per calculation mode, hedged or not, by fixed leverage or by tiers.

Margin is fixed at the opening: price and conversion rate of each leg are those of its opening and are not revalued. The
volume of the smaller side is covered by the larger one. All arithmetic is exact and rounded once, at the end, to the
account's digits. Levels (margin level, stop-out) are here too; how a server closes positions is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, divide, round_decimal
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import CalculationMode, SymbolTerms
from platform_ops.rules.trading import FUTURES_MODES, face_value, tick_terms
from platform_ops.rules.worked import Step, Worked, plain
from platform_ops.types import Side

MAX_LEGS = 100_000
MAX_BANDS = 50
ZERO, ONE, TWO, HUNDRED = Decimal(0), Decimal(1), Decimal(2), Decimal(100)

LEVERAGED_MODES = frozenset({CalculationMode.FOREX, CalculationMode.CFD_LEVERAGE})
"""Modes whose margin is divided by leverage, also where it is fixed per lot."""

_PRICED_MODES = frozenset(
    {
        CalculationMode.CFD,
        CalculationMode.CFD_INDEX,
        CalculationMode.CFD_LEVERAGE,
        CalculationMode.EXCHANGE_STOCKS,
        CalculationMode.EXCHANGE_BONDS,
    }
)


class Averaging(StrEnum):
    """Whose average price and rate the uncovered volume is margined at."""

    LARGER_LEG = "larger_leg"
    """MetaTrader 5: those of the larger side; covered volume at the average price of all legs and the mean rate."""

    ALL_LEGS = "all_legs"
    """MetaTrader 4: those of all legs together, for both parts; the price rounded to the symbol's digits."""


class TierMeasure(StrEnum):
    """What a band of leverage counts."""

    LOTS = "lots"
    NOTIONAL = "notional"


class TierVolume(StrEnum):
    """Whether opposite volume is set off before it is counted."""

    NET = "net"
    GROSS = "gross"


class TierReach(StrEnum):
    """Whether a band's leverage is for the volume inside it (as with income tax) or for all volume."""

    MARGINAL = "marginal"
    RETROACTIVE = "retroactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginLeg:
    """One open position, or the volume of an order. `rate` converts the margin currency, as it stood at the opening."""

    side: Side
    lots: Decimal
    price: Decimal
    rate: Decimal = ONE


@dataclass(frozen=True, slots=True)
class Band:
    """Leverage up to and with `up_to` lots or money; None: without an end."""

    up_to: Decimal | None
    leverage: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverageTiers:
    """Leverage that falls with volume. Raises InvalidInput unless the bands rise and the last of them has no end."""

    bands: tuple[Band, ...]
    measure: TierMeasure = TierMeasure.LOTS
    volume: TierVolume = TierVolume.NET
    reach: TierReach = TierReach.MARGINAL

    def __post_init__(self) -> None:
        if not 1 <= len(self.bands) <= MAX_BANDS:
            raise InvalidInput(f"Between one and {MAX_BANDS} bands of leverage.", field="bands")
        reached = ZERO
        for number, band in enumerate(self.bands, start=1):
            if band.leverage <= 0:
                raise InvalidInput("Leverage is above zero.", field="bands", row=number)
            if band.up_to is None:
                if number < len(self.bands):
                    raise InvalidInput("Only the last band of leverage has no end.", field="bands", row=number)
            elif band.up_to <= reached:
                raise InvalidInput("Bands of leverage rise.", field="bands", row=number)
            else:
                reached = band.up_to
        if self.bands[-1].up_to is not None:
            raise InvalidInput("The last band of leverage has no end.", field="bands", row=len(self.bands))


@dataclass(frozen=True, slots=True)
class _Part:
    """Volume that is margined alike: its price, rate, margin rate, and what a lot of it counts as."""

    label: str
    lots: Decimal
    price: Decimal
    rate: Decimal
    margin_rate: Decimal
    is_covered: bool = False


def effective_leverage(account: int | Decimal | None, symbol_maximum: int | Decimal | None) -> Decimal:
    """The lower of the account's and the symbol's leverage; 1 where neither is set."""
    stated = [Decimal(number) for number in (account, symbol_maximum) if number]
    return min(stated) if stated else ONE


def margin_of_order(
    *,
    terms: SymbolTerms,
    leg: MarginLeg,
    account_currency: str,
    leverage: Decimal | int = ONE,
    tiers: LeverageTiers | None = None,
) -> Worked:
    """What has to be free for an order to be placed: its own volume at the initial margin, whatever else is open."""
    return margin_of_symbol(
        terms=terms, legs=[leg], account_currency=account_currency, leverage=leverage, tiers=tiers, is_initial=True
    )


def margin_of_symbol(
    *,
    terms: SymbolTerms,
    legs: Sequence[MarginLeg],
    account_currency: str,
    leverage: Decimal | int = ONE,
    averaging: Averaging = Averaging.LARGER_LEG,
    tiers: LeverageTiers | None = None,
    is_initial: bool = False,
) -> Worked:
    """What the open legs of one symbol bind together, in the account's currency.

    *is_initial* takes the initial margin also where a maintenance margin is stated. Raises InvalidInput for a leverage,
    a leg or terms that cannot be.
    """
    _check(terms, legs, leverage)
    digits = Currency.of(account_currency).digits
    parts = _parts(terms, legs, averaging, as_gross=tiers is not None and tiers.volume is TierVolume.GROSS)
    steps: list[Step] = []
    if tiers is not None:
        total = _tiered(terms, parts, tiers, is_initial, steps, account_currency)
    elif terms.is_hedged_by_larger_leg and len(parts) > 1:
        figures = [_part_margin(terms, part, Decimal(leverage), is_initial, steps, account_currency) for part in parts]
        total = max(figures)
        numbers = ", ".join(plain(figure) for figure in figures)
        steps.append(
            Step("The larger leg counts", "max(buy leg, sell leg)", f"max({numbers})", total, account_currency)
        )
    else:
        figures = [_part_margin(terms, part, Decimal(leverage), is_initial, steps, account_currency) for part in parts]
        total = sum(figures, ZERO)
    amount = round_decimal(total, digits)
    if len(parts) > 1 and tiers is None and not terms.is_hedged_by_larger_leg:
        numbers = " + ".join(plain(step.value) for step in steps)
        steps.append(Step("Margin", "R(covered + uncovered)", f"R({numbers}, {digits})", amount, account_currency))
    else:
        steps.append(Step("Margin", "R(margin)", f"R({plain(total)}, {digits})", amount, account_currency))
    return Worked(amount, account_currency, tuple(steps))


def margin_level(*, equity: Decimal, margin: Decimal) -> Decimal:
    """Equity in per cent of margin; 0 where no margin is bound, as servers state it."""
    return divide(EXACT.multiply(HUNDRED, equity), margin) if margin else ZERO


def equity_at_level(*, margin: Decimal, percent: Decimal) -> Decimal:
    """The equity at which the margin level has fallen to so many per cent."""
    return divide(EXACT.multiply(margin, percent), HUNDRED)


def is_stopped_out(*, equity: Decimal, margin: Decimal, stop_out_percent: Decimal) -> bool:
    """Whether positions are closed: the level is at or below stop-out. Without margin nothing is."""
    return margin > 0 and margin_level(equity=equity, margin=margin) <= stop_out_percent


def _check(terms: SymbolTerms, legs: Sequence[MarginLeg], leverage: Decimal | int) -> None:
    if isinstance(leverage, float) or not Decimal(leverage).is_finite() or Decimal(leverage) <= 0:
        raise InvalidInput(f"Leverage is above zero, not {leverage}.", field="leverage", value=str(leverage))
    if terms.contract_size <= 0:
        raise InvalidInput("The contract size is above zero.", field="contract_size", value=str(terms.contract_size))
    if len(legs) > MAX_LEGS:
        raise InvalidInput(f"At most {MAX_LEGS} legs at a time.", field="legs", value=len(legs))
    for number, leg in enumerate(legs, start=1):
        if leg.lots < 0 or leg.rate <= 0:
            raise InvalidInput("A leg has lots of zero or more and a rate above zero.", field="legs", row=number)


def _parts(terms: SymbolTerms, legs: Sequence[MarginLeg], averaging: Averaging, *, as_gross: bool) -> list[_Part]:
    """The volume that is margined alike: covered and uncovered, or each side for itself."""
    buys, sells = (_sum(legs, side) for side in (Side.BUY, Side.SELL))
    if as_gross or terms.is_hedged_by_larger_leg:
        return [
            _Part(f"{name} leg", lots, *_average(figures), margin_rate)
            for name, figures, margin_rate in (
                ("Buy", buys, terms.margin_rate_buy),
                ("Sell", sells, terms.margin_rate_sell),
            )
            if (lots := figures[0])
        ]
    larger, larger_rate = (buys, terms.margin_rate_buy) if buys[0] >= sells[0] else (sells, terms.margin_rate_sell)
    covered, uncovered = min(buys[0], sells[0]), abs(buys[0] - sells[0])
    both = tuple(EXACT.add(one, other) for one, other in zip(buys, sells, strict=True))
    price, rate = _average(both) if both[0] else (ZERO, ONE)
    if averaging is Averaging.ALL_LEGS:
        price = round_decimal(price, terms.digits)
    parts = []
    if covered:
        if averaging is Averaging.LARGER_LEG:
            rate = divide(EXACT.add(_average(buys)[1], _average(sells)[1]), TWO)
        mean = divide(EXACT.add(terms.margin_rate_buy, terms.margin_rate_sell), TWO)
        parts.append(_Part("Covered", covered, price, rate, mean, is_covered=True))
    if uncovered:
        own_price, own_rate = _average(larger) if averaging is Averaging.LARGER_LEG else (price, rate)
        parts.append(_Part("Uncovered" if covered else "Position", uncovered, own_price, own_rate, larger_rate))
    return parts


def _sum(legs: Sequence[MarginLeg], side: Side) -> tuple[Decimal, Decimal, Decimal]:
    """(lots, lots × price, lots × rate) of a side."""
    lots = priced = rated = ZERO
    for leg in legs:
        if leg.side is side:
            lots = EXACT.add(lots, leg.lots)
            priced = EXACT.add(priced, EXACT.multiply(leg.lots, leg.price))
            rated = EXACT.add(rated, EXACT.multiply(leg.lots, leg.rate))
    return lots, priced, rated


def _average(figures: tuple[Decimal, ...]) -> tuple[Decimal, Decimal]:
    lots, priced, rated = figures
    return divide(priced, lots), divide(rated, lots)


def _fixed_per_lot(terms: SymbolTerms, is_initial: bool) -> Decimal:
    """The margin of a lot where it is stated as money; 0 where it follows from the contract."""
    if not is_initial and terms.margin_maintenance:
        return terms.margin_maintenance
    return terms.margin_initial


def _unlevered(terms: SymbolTerms, part: _Part, is_initial: bool) -> tuple[Decimal, str, str]:
    """A part's margin in the margin currency before leverage; the formula, and it with the numbers put in."""
    mode = terms.calculation_mode
    if mode is CalculationMode.COLLATERAL:
        return ZERO, "a collateral binds nothing", "0"
    fixed = _fixed_per_lot(terms, is_initial)
    if mode in FUTURES_MODES or fixed:
        per_lot = terms.margin_hedged if part.is_covered else fixed
        if not part.is_covered and not per_lot:
            raise InvalidInput("Futures need an initial margin above zero.", field="margin_initial", value="0")
        name = "hedged margin" if part.is_covered else "margin of a lot"
        return EXACT.multiply(part.lots, per_lot), f"lots × {name}", f"{plain(part.lots)} × {plain(per_lot)}"
    size, name = (terms.margin_hedged, "hedged size") if part.is_covered else (terms.contract_size, "contract size")
    value = EXACT.multiply(part.lots, size)
    words, numbers = f"lots × {name}", f"{plain(part.lots)} × {plain(size)}"
    if mode in _PRICED_MODES:
        value = EXACT.multiply(value, part.price)
        words, numbers = f"{words} × price", f"{numbers} × {plain(part.price)}"
    if mode is CalculationMode.CFD_INDEX:
        tick_size, tick_value = tick_terms(terms)
        value = divide(EXACT.multiply(value, tick_value), tick_size)
        words = f"{words} × tick value ÷ tick size"
        numbers = f"{numbers} × {plain(tick_value)} ÷ {plain(tick_size)}"
    if mode is CalculationMode.EXCHANGE_BONDS:
        value = divide(EXACT.multiply(value, face_value(terms)), HUNDRED)
        words, numbers = f"{words} × face value ÷ 100", f"{numbers} × {plain(terms.face_value)} ÷ 100"
    return value, words, numbers


def _value(terms: SymbolTerms, part: _Part, is_initial: bool) -> tuple[Decimal, str, str]:
    """The same in the account's currency, by the part's rates."""
    value, words, numbers = _unlevered(terms, part, is_initial)
    for factor, name in ((part.rate, "conversion rate"), (part.margin_rate, "margin rate")):
        if factor != ONE:
            value = EXACT.multiply(value, factor)
            words, numbers = f"{words} × {name}", f"{numbers} × {plain(factor)}"
    return value, words, numbers


def _part_margin(
    terms: SymbolTerms, part: _Part, leverage: Decimal, is_initial: bool, steps: list[Step], currency: str
) -> Decimal:
    value, words, numbers = _value(terms, part, is_initial)
    if terms.calculation_mode in LEVERAGED_MODES:
        value = divide(value, leverage)
        words, numbers = f"{words} ÷ leverage", f"{numbers} ÷ {plain(leverage)}"
    steps.append(Step(part.label, words, numbers, value, currency))
    return value


def _tiered(
    terms: SymbolTerms, parts: list[_Part], tiers: LeverageTiers, is_initial: bool, steps: list[Step], currency: str
) -> Decimal:
    """The unlevered value of the volume, each band of it by the band's leverage.

    Opposite volume: NET counts the uncovered part in the bands and puts the covered part into the band that is reached
    last; GROSS counts both sides as they are.
    """
    value = lots = covered = ZERO
    for part in parts:
        worth, words, numbers = _value(terms, part, is_initial)
        steps.append(Step(f"{part.label}, before leverage", words, numbers, worth, currency))
        if part.is_covered:
            covered = EXACT.add(covered, worth)
        else:
            value, lots = EXACT.add(value, worth), EXACT.add(lots, part.lots)
    total = lots if tiers.measure is TierMeasure.LOTS else value
    slices = _slices(tiers, total)
    reached = slices[-1][0] if slices else tiers.bands[0]
    if tiers.reach is TierReach.RETROACTIVE and slices:
        slices = [(reached, total)]
    margin = ZERO
    for band, counted in slices:
        share = divide(EXACT.multiply(value, counted), total)
        bound = divide(share, band.leverage)
        upper = "beyond" if band.up_to is None else f"up to {plain(band.up_to)}"
        steps.append(
            Step(
                f"Band {upper} at 1:{plain(band.leverage)}",
                "value × share of the band ÷ leverage",
                f"{plain(value)} × {plain(counted)} ÷ {plain(total)} ÷ {plain(band.leverage)}",
                bound,
                currency,
            )
        )
        margin = EXACT.add(margin, bound)
    if covered:
        bound = divide(covered, reached.leverage)
        numbers = f"{plain(covered)} ÷ {plain(reached.leverage)}"
        steps.append(Step("Covered", "value ÷ leverage of the band reached", numbers, bound, currency))
        margin = EXACT.add(margin, bound)
    return margin


def _slices(tiers: LeverageTiers, total: Decimal) -> list[tuple[Band, Decimal]]:
    """How much of the total lies in each band."""
    found, reached = [], ZERO
    for band in tiers.bands:
        upper = total if band.up_to is None else min(total, band.up_to)
        if upper > reached:
            found.append((band, EXACT.subtract(upper, reached)))
            reached = upper
    return found
