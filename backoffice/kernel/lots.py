"""Traded volume in lots.

Owns Lots and the reading of the platforms' integer volumes. It must never know a symbol: the contract size
is data and comes from the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backoffice.kernel.decimals import EXACT, exact_decimal
from backoffice.kernel.errors import InvalidInput

_MT4_DECIMAL_PLACES = 2
_MT5_DECIMAL_PLACES = 4
_MT5_EXTENDED_DECIMAL_PLACES = 8


@dataclass(frozen=True, slots=True, order=True)
class Lots:
    """A volume of zero or more lots; the direction of a trade is never in the sign of its volume."""

    value: Decimal

    def __post_init__(self) -> None:
        if not isinstance(self.value, Decimal) or not self.value.is_finite() or self.value < 0:
            raise InvalidInput(
                f"A volume must be a Decimal of zero or more lots, not {self.value!r}.",
                field="lots",
                value=str(self.value),
            )
        if not self.value and self.value.is_signed():
            object.__setattr__(self, "value", self.value.copy_abs())

    @classmethod
    def of(cls, value: Decimal | int | str) -> Lots:
        """Read a number of lots exactly, e.g. `Lots.of("0.10")`."""
        return cls(exact_decimal(value, field="lots"))

    @classmethod
    def from_mt4_volume(cls, volume: int) -> Lots:
        """MetaTrader 4 counts hundredths of a lot."""
        return cls._from_integer(volume, _MT4_DECIMAL_PLACES)

    @classmethod
    def from_mt5_volume(cls, volume: int) -> Lots:
        """MetaTrader 5 `Volume` counts ten-thousandths of a lot."""
        return cls._from_integer(volume, _MT5_DECIMAL_PLACES)

    @classmethod
    def from_mt5_volume_ext(cls, volume: int) -> Lots:
        """MetaTrader 5 `VolumeExt` counts hundred-millionths of a lot."""
        return cls._from_integer(volume, _MT5_EXTENDED_DECIMAL_PLACES)

    @classmethod
    def _from_integer(cls, volume: int, decimal_places: int) -> Lots:
        if isinstance(volume, bool) or not isinstance(volume, int):
            raise InvalidInput(f"A platform volume is an integer, not {volume!r}.", field="volume", value=str(volume))
        return cls(Decimal(volume).scaleb(-decimal_places, context=EXACT))

    def units(self, contract_size: Decimal | int) -> Decimal:
        """Units of the underlying: lots times the contract size, exact.

        Raises InvalidInput unless the size is > 0.
        """
        size = exact_decimal(contract_size, field="contract_size")
        if size <= 0:
            raise InvalidInput(
                f"A contract size must be above zero, not {size}.", field="contract_size", value=str(size)
            )
        return EXACT.multiply(self.value, size)

    def __add__(self, other: Lots) -> Lots:
        if not isinstance(other, Lots):
            return NotImplemented
        return Lots(EXACT.add(self.value, other.value))

    def __sub__(self, other: Lots) -> Lots:
        """What is left; raises InvalidInput when more is taken than there is."""
        if not isinstance(other, Lots):
            return NotImplemented
        return Lots(EXACT.subtract(self.value, other.value))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return f"{self.value:f}"
