"""Volumes of the platforms, points and pips."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.lots import Lots
from backoffice.kernel.prices import Pips, Points, pip_size, point_size, points_per_pip, price_to_points


def test_platform_volumes_are_the_same_lots() -> None:
    assert Lots.from_mt4_volume(15) == Lots.of("0.15")
    assert Lots.from_mt5_volume(1500) == Lots.of("0.15")
    assert Lots.from_mt5_volume_ext(15_000_000) == Lots.of("0.15")
    assert Lots.from_mt5_volume_ext(1) == Lots.of("0.00000001")
    assert str(Lots.from_mt4_volume(100)) == "1.00"


@pytest.mark.parametrize("volume", [-1, True, 1.0, "15"])
def test_platform_volumes_are_integers_of_zero_or_more(volume: object) -> None:
    for read in (Lots.from_mt4_volume, Lots.from_mt5_volume, Lots.from_mt5_volume_ext):
        with pytest.raises(InvalidInput):
            read(volume)  # type: ignore[arg-type]


def test_lots_add_up_and_never_fall_below_zero() -> None:
    assert Lots.of("1.5") + Lots.of("0.3") == Lots.of("1.8")
    assert Lots.of("1.8") - Lots.of("1.8") == Lots.of(0)
    assert not Lots.of(0) and Lots.of("0.01") < Lots.of("0.1")
    with pytest.raises(InvalidInput):
        Lots.of(1) - Lots.of("1.01")
    for value in ("-0.01", "NaN", "", 0.1):
        with pytest.raises(InvalidInput):
            Lots.of(value)  # type: ignore[arg-type]


def test_units_are_lots_times_contract_size() -> None:
    assert Lots.of("0.15").units(100_000) == Decimal(15_000)
    assert Lots.of("0.01").units(Decimal("0.1")) == Decimal("0.001")
    for size in (0, -1):
        with pytest.raises(InvalidInput):
            Lots.of(1).units(size)


@pytest.mark.parametrize(
    ("digits", "point", "pip"),
    [
        (5, "0.00001", "0.0001"),
        (4, "0.0001", "0.0001"),
        (3, "0.001", "0.01"),
        (2, "0.01", "0.01"),
        (1, "0.1", "0.1"),
        (0, "1", "1"),
    ],
)
def test_point_and_pip_by_digits(digits: int, point: str, pip: str) -> None:
    assert (point_size(digits), pip_size(digits)) == (Decimal(point), Decimal(pip))
    assert pip_size(digits) == point_size(digits) * points_per_pip(digits)


def test_price_differences_in_points_and_pips() -> None:
    assert price_to_points("0.00125", 5) == Points(Decimal(125))
    assert price_to_points(Decimal("-0.020"), 3) == Points(Decimal(-20))
    assert Points(Decimal(125)).to_pips(5) == Pips(Decimal("12.5"))
    assert Points(Decimal(125)).to_pips(4) == Pips(Decimal(125))
    assert Pips(Decimal("1.5")).to_points(3) == Points(Decimal(15))
    assert Points(Decimal(125)).to_price(5) == Decimal("0.00125")
    assert Pips(Decimal("1.5")).to_price(3) == Decimal("0.015")


@pytest.mark.parametrize("digits", [-1, 19, True, 2.0])
def test_price_digits_have_bounds(digits: object) -> None:
    for use in (point_size, pip_size, lambda value: price_to_points(1, value)):
        with pytest.raises(InvalidInput):
            use(digits)  # type: ignore[arg-type]


def test_distances_are_decimals() -> None:
    for kind in (Points, Pips):
        for value in (1.5, Decimal("NaN"), 1):
            with pytest.raises(InvalidInput):
                kind(value)  # type: ignore[arg-type]
