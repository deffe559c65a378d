"""Pure arithmetic of swaps: how many nights a day counts, what a night of a position costs, who pays none, dividends.

Signs are the client's: negative is paid by the client. Money is rounded half away from zero to the digits of the account's
currency, once per position and day, after the nights are multiplied in. Everything that the positions of one symbol, side
and kind of account share is a `Term`; `money_of` is the whole formula for one position, and the rollover's SQL is the same
formula for all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import IntEnum, StrEnum
from typing import Any

from backoffice.kernel.business_day import NEW_YORK, ServerZone, previous_business_day
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import CalculationMode, SwapMode
from platform_ops.types import Side

ZERO = Decimal(0)
ONE = Decimal(1)
WEEKDAYS = 7
UNIT_DECIMALS = 20
RATE_DECIMALS = 20
PRECISION = 80
"""Significant digits of every step before rounding; nothing of the inputs is lost."""

MAX_LOOK_AHEAD = 21
"""Days that a run of holidays and weekends may last."""
MAX_VALUE = Decimal(10) ** 9
VALUE_DECIMALS = 8
MAX_MULTIPLIER = Decimal(31)

ONE_DAY = timedelta(days=1)
DEFAULT_MULTIPLIERS = tuple(Decimal(nights) for nights in (0, 1, 1, 3, 1, 1, 0))
FOREX_MODES = frozenset({CalculationMode.FOREX, CalculationMode.FOREX_NO_LEVERAGE})
FUTURES_MODES = frozenset({CalculationMode.FUTURES, CalculationMode.EXCHANGE_FUTURES})
INTEREST_MODES = frozenset({SwapMode.INTEREST_CURRENT_PRICE, SwapMode.INTEREST_OPEN_PRICE})
REOPEN_MODES = frozenset({SwapMode.REOPEN_CLOSE_PRICE, SwapMode.REOPEN_BID})
# MetaTrader 4 numbers its swap types otherwise, and knows four.
_MODE_OF_MT4 = {
    0: SwapMode.POINTS,
    1: SwapMode.BASE_CURRENCY,
    2: SwapMode.INTEREST_CURRENT_PRICE,
    3: SwapMode.MARGIN_CURRENCY,
}


class Cause(StrEnum):
    """Why a line is what it is."""

    SWAP = "swap"
    NO_NIGHTS = "no_nights"
    NO_RATE = "no_rate"
    NO_SWAP = "no_swap"
    UNMAPPED = "unmapped"
    REOPENED = "reopened"
    SWAP_FREE = "swap_free"
    FEE = "fee"
    CLOSE_DUE = "close_due"
    CORRECTION = "correction"


class Applies(IntEnum):
    """To which positions something applies (`SwapTerm.Applies`)."""

    NEVER = 0
    ALWAYS = 1
    AFTER_GRACE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDraft:
    """A swap rate as it is to be: of a symbol, for one group of accounts or (None) for all others.

    `long` and `short` are stated as `mode` says, negative where the client pays; `multipliers` count nights by weekday from
    Sunday; `lp_long` and `lp_short` are the liquidity provider's, None where unknown.
    """

    symbol_id: int
    group_id: int | None = None
    mode: SwapMode = SwapMode.POINTS
    long: Decimal = ZERO
    short: Decimal = ZERO
    multipliers: tuple[Decimal, ...] = DEFAULT_MULTIPLIERS
    year_days: int = 360
    considers_holidays: bool = False
    lp_long: Decimal | None = None
    lp_short: Decimal | None = None
    source: str = ""

    def value(self, side: Side) -> Decimal:
        """The swap of one night on a side."""
        return self.long if side is Side.BUY else self.short

    def lp_value(self, side: Side) -> Decimal | None:
        """What the liquidity provider charges or pays on a side."""
        return self.lp_long if side is Side.BUY else self.lp_short


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFacts:
    """What the swap arithmetic needs to know of a symbol's terms."""

    digits: int
    contract_size: Decimal
    calculation_mode: CalculationMode
    base_currency: str
    profit_currency: str
    margin_currency: str
    tick_size: Decimal = ZERO
    tick_value: Decimal = ZERO

    @property
    def point(self) -> Decimal:
        """The smallest step of the price."""
        return ONE.scaleb(-self.digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Units of the account's currency for one unit of another: `bid` for what is sold, `ask` for what must be bought."""

    bid: Decimal
    ask: Decimal
    source: str = ""

    def worse(self, *, pays: bool) -> Decimal:
        """The side that is worse for the client: who pays must buy the currency."""
        return self.ask if pays else self.bid


SAME_CURRENCY = Conversion(bid=ONE, ask=ONE, source="same currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freedom:
    """What a swap-free policy says on a day: positions opened before `grace_start` have used up their free nights."""

    grace_start: datetime
    after: str = "fee"
    fee_per_lot: Decimal = ZERO
    """Already in the account's currency, for one night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What the positions of one symbol, side and kind of account share on a day. See `SwapTerm` for the formula."""

    digits: int
    mode: SwapMode
    value: Decimal
    nights: Decimal
    weight: Decimal
    unit: Decimal
    cause: Cause
    dividend_in_swap: Decimal = ZERO
    lp_weight: Decimal | None = None
    divisor: int = 1
    uses_open_price: bool = False
    rounds_unit_first: bool = False
    swap_applies: Applies = Applies.ALWAYS
    fee_applies: Applies = Applies.NEVER
    grace_start: datetime | None = None
    fee_unit: Decimal = ZERO
    dividend_unit: Decimal = ZERO
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What one position gets (negative: pays) for a day, in its account's currency."""

    swap: Decimal
    dividend: Decimal
    fee: Decimal
    lp_swap: Decimal | None
    cause: Cause

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.swap + self.dividend + self.fee


# Days and nights


def cut_of(day: date, *, zone: ServerZone, at_new_york_close: bool = False) -> datetime:
    """The instant at which a server's *day* ends: its own midnight, or 17:00 New York. Aware UTC.

    What is opened at this very instant belongs to the next day; what is closed at it was still open.
    """
    if at_new_york_close:
        return datetime.combine(day, time(17), tzinfo=NEW_YORK).astimezone(UTC)
    return zone.to_utc(datetime.combine(day + ONE_DAY, time()))


def days_of(business_day: date) -> list[date]:
    """The server's days whose cuts a business day takes in: Monday's are Saturday, Sunday and Monday."""
    before = previous_business_day(business_day)
    return [before + timedelta(days=number) for number in range(1, (business_day - before).days + 1)]


def multiplier_on(day: date, multipliers: Sequence[Decimal]) -> Decimal:
    """How many nights the close of *day* counts by its weekday; the seven multipliers are from Sunday."""
    return multipliers[(day.weekday() + 1) % WEEKDAYS]


def nights_on(
    day: date,
    *,
    multipliers: Sequence[Decimal],
    holidays: Collection[date] = (),
    considers_holidays: bool = False,
) -> Decimal:
    """How many nights are charged at the cut of *day*.

    With the holidays considered, a holiday itself counts none, and its nights are charged with the last day before it on
    which anything is charged: over a week-end too, and over several holidays in a row. No night is lost or charged twice.
    """
    own = multiplier_on(day, multipliers)
    if not considers_holidays:
        return own
    if day in holidays or own == 0:
        return ZERO
    nights = own
    for number in range(1, MAX_LOOK_AHEAD + 1):
        following = day + timedelta(days=number)
        night = multiplier_on(following, multipliers)
        if following not in holidays and night != 0:
            break
        nights += night
    return nights


def dividend_day(ex_date: date, holidays: Collection[date] = ()) -> date:
    """The day whose cut adjusts for a dividend: the last one before the ex-date on which the market is open."""
    day = previous_business_day(ex_date)
    for _ in range(MAX_LOOK_AHEAD):
        if day not in holidays:
            break
        day = previous_business_day(day)
    return day


def opening_bound(day: date, *, grace_nights: int, zone: ServerZone, at_new_york_close: bool = False) -> datetime:
    """The instant before which a position must have been opened to have used up its free nights at the cut of *day*.

    Nights are counted by the calendar, that of *day* included: with no grace every position is past it.
    """
    return cut_of(day - timedelta(days=grace_nights), zone=zone, at_new_york_close=at_new_york_close)


# One position


def round_away(value: Decimal, digits: int) -> Decimal:
    """Half away from zero, to *digits* places."""
    with localcontext(prec=PRECISION):
        return value.quantize(ONE.scaleb(-digits), rounding=ROUND_HALF_UP)


def unit_currency(mode: SwapMode, facts: SymbolFacts, account_currency: str) -> str:
    """The currency in which a mode's unit comes out before it is converted to the account's."""
    if mode is SwapMode.BASE_CURRENCY:
        return facts.base_currency
    if mode is SwapMode.MARGIN_CURRENCY:
        return facts.margin_currency
    if mode in (SwapMode.DEPOSIT_CURRENCY, SwapMode.NONE):
        return account_currency
    if mode in INTEREST_MODES and facts.calculation_mode in FOREX_MODES:
        return facts.base_currency
    return facts.profit_currency


def needs_price(mode: SwapMode, facts: SymbolFacts) -> bool:
    """Whether a night depends on the day's closing price."""
    return mode is SwapMode.INTEREST_CURRENT_PRICE and facts.calculation_mode not in FOREX_MODES


def make_term(
    *,
    rate: RateDraft | None,
    facts: SymbolFacts,
    side: Side,
    digits: int,
    nights: Decimal,
    conversion: Conversion = SAME_CURRENCY,
    dividend_conversion: Conversion = SAME_CURRENCY,
    price: Decimal | None = None,
    dividend_in_swap: Decimal = ZERO,
    dividend_price: Decimal = ZERO,
    freedom: Freedom | None = None,
    rounds_point_value_first: bool = True,
) -> Term:
    """The term of a symbol, side and kind of account. *digits* are those of the account's currency.

    *price* is the closing price of the side (bid for a buy, ask for a sell), for interest on the current price.
    *dividend_in_swap* is stated as the swap is; *dividend_price* is a price per unit of the contract.
    """
    mode = rate.mode if rate is not None else SwapMode.NONE
    value = rate.value(side) if rate is not None else ZERO
    with localcontext(prec=PRECISION):
        weight = value * nights + dividend_in_swap
        lp_value = rate.lp_value(side) if rate is not None else None
        cost, divisor, uses_open = _cost_of_lot(mode, facts, price, rate.year_days if rate else 360)
        converted = _rate_for(mode, side, weight, conversion)
        unit = round_away(cost * converted, UNIT_DECIMALS)
        pays = dividend_price < 0
        dividend_unit = round_away(
            facts.contract_size * dividend_price * dividend_conversion.worse(pays=pays), UNIT_DECIMALS
        )
    in_force = Applies.ALWAYS
    fee_applies, fee_unit, grace_start = Applies.NEVER, ZERO, None
    if freedom is not None:
        grace_start = freedom.grace_start
        in_force = Applies.AFTER_GRACE if freedom.after == "swap" else Applies.NEVER
        if freedom.after == "fee" and freedom.fee_per_lot and nights:
            fee_applies, fee_unit = Applies.AFTER_GRACE, round_away(freedom.fee_per_lot * nights, UNIT_DECIMALS)
    return Term(
        digits=digits,
        mode=mode,
        value=value,
        nights=nights,
        weight=weight,
        dividend_in_swap=dividend_in_swap,
        lp_weight=None if lp_value is None or mode in REOPEN_MODES else lp_value * nights + dividend_in_swap,
        unit=unit,
        divisor=divisor,
        uses_open_price=uses_open,
        rounds_unit_first=mode is SwapMode.POINTS and rounds_point_value_first,
        swap_applies=in_force,
        fee_applies=fee_applies,
        grace_start=grace_start,
        fee_unit=fee_unit,
        dividend_unit=dividend_unit,
        cause=_cause(rate, mode, nights, dividend_in_swap, freedom),
        inputs={
            "contract_size": str(facts.contract_size),
            "point": f"{facts.point:f}",
            "price": None if price is None else str(price),
            "conversion": str(converted),
            "conversion_source": conversion.source,
            "dividend_price": str(dividend_price),
            "after_grace": freedom.after if freedom else None,
        },
    )


def money_of(term: Term, *, lots: Decimal, open_price: Decimal, opened_at: datetime) -> Money:
    """The day's money of one position."""
    is_past = term.grace_start is not None and opened_at < term.grace_start
    has_swap = term.swap_applies is Applies.ALWAYS or (term.swap_applies is Applies.AFTER_GRACE and is_past)
    has_fee = term.fee_applies is Applies.AFTER_GRACE and is_past
    reopens = term.mode in REOPEN_MODES
    with localcontext(prec=PRECISION):
        inner = lots * term.unit * (open_price if term.uses_open_price else ONE)
        if term.rounds_unit_first:
            inner = round_away(inner, term.digits)
        weight = term.weight if has_swap else term.dividend_in_swap
        swap = ZERO if reopens else round_away(inner * weight / term.divisor, term.digits)
        lp_swap = None if term.lp_weight is None else round_away(inner * term.lp_weight / term.divisor, term.digits)
        return Money(
            swap=swap,
            dividend=round_away(lots * term.dividend_unit, term.digits),
            fee=-round_away(lots * term.fee_unit, term.digits) if has_fee else ZERO,
            lp_swap=lp_swap,
            cause=cause_of_line(term.cause, has_swap=has_swap, has_fee=has_fee, is_past=is_past,
                                closes=term.inputs.get("after_grace") == "close"),
        )  # fmt: skip


def cause_of_line(cause: Cause, *, has_swap: bool, has_fee: bool, is_past: bool, closes: bool) -> Cause:
    """The cause of a line whose term is *cause*, once the age of the position is known."""
    if cause is not Cause.SWAP_FREE or has_swap:
        return Cause.SWAP if cause is Cause.SWAP_FREE else cause
    if has_fee:
        return Cause.FEE
    return Cause.CLOSE_DUE if is_past and closes else Cause.SWAP_FREE


def reopen_price(*, mode: SwapMode, side: Side, close_price: Decimal, bid: Decimal, value: Decimal, nights: Decimal,
                 point: Decimal) -> Decimal:  # fmt: skip
    """The price at which a reopening mode opens the position anew: the base price moved against (negative value) or for
    the client by the swap's points. A worse price for a buy is a higher one."""
    base = close_price if mode is SwapMode.REOPEN_CLOSE_PRICE else bid
    return base - side.value * value * nights * point


def broker_result(*, client: Decimal, lp: Decimal) -> Decimal:
    """What the broker keeps of a hedged position's swap: what the provider pays or charges us, less what the client gets."""
    return lp - client


def nightly_value(*, value: Decimal, dividend: Decimal, nights: Decimal) -> Decimal:
    """The swap of one night to be set on a server so that the night's *nights* carry the dividend exactly once.

    Before a Friday that counts three nights a dividend of 30 adds 10. A day without nights carries none.
    """
    if nights == 0:
        return value
    with localcontext(prec=PRECISION):
        return round_away(value + dividend / nights, VALUE_DECIMALS)


def mode_of_mt4(number: int) -> SwapMode:
    """MetaTrader 4's `swap_type` as a mode. Raises InvalidInput for a number that it does not have."""
    if number not in _MODE_OF_MT4:
        raise InvalidInput(f"MetaTrader 4 has no swap type {number}.", field="swap_type", value=number)
    return _MODE_OF_MT4[number]


def _cost_of_lot(
    mode: SwapMode, facts: SymbolFacts, price: Decimal | None, year_days: int
) -> tuple[Decimal, int, bool]:
    """What one lot is multiplied with before conversion, the divisor, and whether the opening price comes in too."""
    size = facts.contract_size
    if mode is SwapMode.POINTS or mode in REOPEN_MODES:
        return size * facts.point, 1, False
    if mode not in INTEREST_MODES:
        return ONE if mode is not SwapMode.NONE else ZERO, 1, False
    divisor = 100 * year_days
    if facts.calculation_mode in FOREX_MODES:
        return size, divisor, False
    is_open = mode is SwapMode.INTEREST_OPEN_PRICE
    factor = ONE if is_open else (price or ZERO)
    if facts.calculation_mode in FUTURES_MODES and facts.tick_size:
        return factor * facts.tick_value / facts.tick_size, divisor, is_open
    return factor * size, divisor, is_open


def _rate_for(mode: SwapMode, side: Side, weight: Decimal, conversion: Conversion) -> Decimal:
    """Interest is converted by the side of the position, everything else at the side worse for the client."""
    if mode in INTEREST_MODES:
        return conversion.bid if side is Side.BUY else conversion.ask
    return conversion.worse(pays=weight < 0)


def _cause(
    rate: RateDraft | None, mode: SwapMode, nights: Decimal, dividend: Decimal, freedom: Freedom | None
) -> Cause:
    if freedom is not None:
        return Cause.SWAP_FREE
    if rate is None:
        return Cause.NO_RATE
    if mode is SwapMode.NONE:
        return Cause.NO_SWAP
    if nights == 0 and dividend == 0:
        return Cause.NO_NIGHTS
    return Cause.REOPENED if mode in REOPEN_MODES else Cause.SWAP


# Rates as text, and what a rate must be


def rate_terms(rate: RateDraft) -> dict[str, Any]:
    """A rate as JSON that says the same for the same rate: for payloads of change requests and their comparison."""
    return {
        "symbol_id": rate.symbol_id,
        "group_id": rate.group_id,
        "mode": int(rate.mode),
        "long": _plain(rate.long),
        "short": _plain(rate.short),
        "multipliers": [_plain(nights) for nights in rate.multipliers],
        "year_days": rate.year_days,
        "considers_holidays": rate.considers_holidays,
        "lp_long": None if rate.lp_long is None else _plain(rate.lp_long),
        "lp_short": None if rate.lp_short is None else _plain(rate.lp_short),
        "source": rate.source,
    }


def read_rate_terms(terms: Mapping[str, Any]) -> RateDraft:
    """The rate that `rate_terms` wrote."""
    return RateDraft(
        symbol_id=int(terms["symbol_id"]),
        group_id=None if terms["group_id"] is None else int(terms["group_id"]),
        mode=SwapMode(int(terms["mode"])),
        long=Decimal(terms["long"]),
        short=Decimal(terms["short"]),
        multipliers=tuple(Decimal(nights) for nights in terms["multipliers"]),
        year_days=int(terms["year_days"]),
        considers_holidays=bool(terms["considers_holidays"]),
        lp_long=None if terms["lp_long"] is None else Decimal(terms["lp_long"]),
        lp_short=None if terms["lp_short"] is None else Decimal(terms["lp_short"]),
        source=str(terms["source"]),
    )


def check_rate(rate: RateDraft, *, name: str) -> None:
    """Raises InvalidInput naming the symbol (*name*) and the field for a rate that no server could have."""
    figures = {"long": rate.long, "short": rate.short, "lp_long": rate.lp_long, "lp_short": rate.lp_short}
    for field_name, figure in figures.items():
        if figure is None:
            continue
        if not figure.is_finite() or abs(figure) > MAX_VALUE or -int(figure.as_tuple().exponent) > VALUE_DECIMALS:
            raise InvalidInput(
                f"{name}: {field_name} {figure} is no swap rate (at most {VALUE_DECIMALS} decimals).",
                field=field_name, value=str(figure), symbol=name,
            )  # fmt: skip
    if len(rate.multipliers) != WEEKDAYS:
        raise InvalidInput(f"{name}: seven day multipliers, from Sunday.", field="multipliers", symbol=name)
    for nights in rate.multipliers:
        if not nights.is_finite() or not 0 <= nights <= MAX_MULTIPLIER or -int(nights.as_tuple().exponent) > 2:
            raise InvalidInput(
                f"{name}: a day counts 0 to {MAX_MULTIPLIER} nights.",
                field="multipliers",
                value=str(nights),
                symbol=name,
            )
    if rate.year_days not in (360, 365):
        raise InvalidInput(f"{name}: a year has 360 or 365 days.", field="year_days", value=rate.year_days, symbol=name)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value else "0"
