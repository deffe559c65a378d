"""What a closed trade earned, before conversion to the account's currency.

Owns the two calculation modes that cover forex and contracts for difference, and the value of a pip. It must
never convert: multiply the result by the rate of the booking (`fx`) and round once, to the account
currency's digits.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.decimals import EXACT, exact_decimal, round_decimal
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.lots import Lots


class TradeSide(StrEnum):
    """The direction of the trade that opened the position."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 when a rising price earns, -1 when a falling one does."""
        return 1 if self is TradeSide.BUY else -1


class ProfitMode(StrEnum):
    """How the platform rounds: forex rounds the value of each leg, CFD only the difference."""

    FOREX = "forex"
    CFD = "cfd"


def profit_in_profit_currency(
    *,
    side: TradeSide,
    open_price: Decimal,
    close_price: Decimal,
    lots: Lots,
    contract_size: Decimal | int,
    digits: int,
    mode: ProfitMode = ProfitMode.FOREX,
) -> Decimal:
    """Profit (negative: loss) in the symbol's profit currency, rounded to that currency's `digits`.

    FOREX (also without leverage): R(close × units) - R(open × units), reversed for a sell; each leg is
    rounded, as the trading servers do it, so the result can differ by one unit from the rounded difference.
    CFD, stocks and index: R((close - open) × units). R rounds half away from zero; units = lots × contract
    size. Prices may be negative (oil was). Raises InvalidInput for floats and for a contract size that is
    not above zero.
    """
    opened = exact_decimal(open_price, field="open_price")
    closed = exact_decimal(close_price, field="close_price")
    units = lots.units(contract_size)
    if mode is ProfitMode.FOREX:
        close_value = round_decimal(EXACT.multiply(closed, units), digits)
        open_value = round_decimal(EXACT.multiply(opened, units), digits)
        rise = EXACT.subtract(close_value, open_value)
    else:
        rise = round_decimal(EXACT.multiply(EXACT.subtract(closed, opened), units), digits)
    profit = rise if side is TradeSide.BUY else rise.copy_negate()
    return profit if profit else profit.copy_abs()


def pip_value(*, pip: Decimal, lots: Lots, contract_size: Decimal | int) -> Decimal:
    """What one pip is worth in the profit currency, exact: pip × lots × contract size.

    `pip` is the symbol's own pip size as a price (0.0001 for EURUSD, 0.01 for USDJPY). Raises InvalidInput
    unless it is above zero.
    """
    size = exact_decimal(pip, field="pip")
    if size <= 0:
        raise InvalidInput(f"A pip size must be above zero, not {size}.", field="pip", value=str(size))
    return EXACT.multiply(size, lots.units(contract_size))
