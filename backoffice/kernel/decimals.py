"""Exact decimal arithmetic, shared by every value type of the kernel.

Owns the working precision, the reading of numbers and the house rounding (half away from zero). It must
never see a float: a float near money is refused, not converted.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
)

from backoffice.kernel.errors import InvalidInput

WORKING_DIGITS = 60
"""Significant digits of sums and products: NUMERIC(24,8) times a 34-digit rate loses nothing."""

MAX_DECIMAL_PLACES = 18
"""The finest rounding that is ever asked for; crypto currencies need 8."""

EXACT = Context(prec=WORKING_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation])
"""The kernel's own context, so that no thread's or library's setting can change a result."""

QUOTIENT_DIGITS = 34
"""Significant digits of a quotient: an inverse or cross rate of this length still converts 10^15 exactly."""

_QUOTIENT = Context(prec=QUOTIENT_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation])


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """A quotient to QUOTIENT_DIGITS significant digits. Raises InvalidInput for a divisor of zero."""
    if not divisor:
        raise InvalidInput("Nothing can be divided by zero.", field="divisor", value=str(divisor))
    return _QUOTIENT.divide(dividend, divisor)


def exact_decimal(value: Decimal | int | str, *, field: str = "amount") -> Decimal:
    """Read a finite decimal number exactly.

    Text must be plain ASCII: sign, digits, point, exponent; no spaces, no thousands separators. Floats and
    booleans are refused even though Python could convert them. Raises InvalidInput with `field` and `value`.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidInput(
            f"{field} must be a Decimal, an integer or text, not {type(value).__name__}.",
            field=field,
            value=str(value),
        )
    else:
        if isinstance(value, str) and not (value.isascii() and "_" not in value and value == value.strip()):
            raise InvalidInput(f"{field} is not a plain number: {value!r}.", field=field, value=value)
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise InvalidInput(f"{field} is not a number: {value!r}.", field=field, value=str(value)) from None
    if not number.is_finite():
        raise InvalidInput(f"{field} must be finite, not {number}.", field=field, value=str(number))
    return number


def round_decimal(value: Decimal, digits: int, mode: str = ROUND_HALF_UP) -> Decimal:
    """Round to `digits` decimal places; the default mode rounds a half away from zero, also below zero.

    A result of zero never carries a minus sign. Raises InvalidInput for digits outside 0 to
    MAX_DECIMAL_PLACES.
    """
    if not 0 <= digits <= MAX_DECIMAL_PLACES:
        raise InvalidInput(
            f"Digits must be between 0 and {MAX_DECIMAL_PLACES}, not {digits}.", field="digits", value=digits
        )
    rounded = value.quantize(Decimal(1).scaleb(-digits), rounding=mode, context=EXACT)
    return rounded if rounded else rounded.copy_abs()
