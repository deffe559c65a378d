"""What a complaint is worth: worked by hand, in every way that a result is converted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.errors import IllegalTransition, InvalidInput
from platform_ops.gateways.types import CalculationMode, SymbolTerms
from platform_ops.rules.complaints import (
    ComplaintState,
    Disputed,
    QuoteSeen,
    TradeFacts,
    client_buys,
    next_state,
    price_in_force,
    proposed_amount,
    result_at,
)
from platform_ops.types import Side

AT = datetime(2026, 3, 2, 12, 0, 10, tzinfo=UTC)


def facts(
    pair: str, side: Side, opened: str, closed: str, profit: str, currency: str = "USD", **more: object
) -> TradeFacts:
    terms = SymbolTerms(
        digits=5, contract_size=Decimal(100_000), base_currency=pair[:3], profit_currency=pair[3:],
        margin_currency=pair[:3], calculation_mode=CalculationMode.FOREX,
    )  # fmt: skip
    return TradeFacts(
        terms=terms, side=side, open_price=Decimal(opened), close_price=Decimal(closed), volume_lots=Decimal(1),
        profit=Decimal(profit), currency=currency, **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trade", "disputed", "price", "result", "amount"),
    [
        # A buy closed 20 points too low: 20 × 100 000 × 0.00001 = 20 dollars
        (facts("EURUSD", Side.BUY, "1.20000", "1.20480", "480"), "closing", "1.20500", "500.00", "20.00"),
        # A sell opened 50 points too low
        (facts("EURUSD", Side.SELL, "1.20000", "1.19900", "100"), "opening", "1.20050", "150.00", "50.00"),
        # The right price would have been worse: nothing is taken back
        (facts("EURUSD", Side.BUY, "1.20000", "1.20480", "480"), "closing", "1.20400", "400.00", "0"),
        # The close itself converts yen into dollars: 200 000 yen / 152.000
        (facts("USDJPY", Side.BUY, "150.000", "151.000", "662.25"), "closing", "152.000", "1315.79", "653.54"),
        # Cents of the dollar are a hundredfold
        (facts("USDJPY", Side.BUY, "150.000", "151.000", "66225.17", "USC"), "closing", "152.000", "131578.95", "65353.78"),
        (facts("EURUSD", Side.BUY, "1.20000", "1.20480", "48000", "USC"), "closing", "1.20500", "50000.00", "2000.00"),
        # The trade tells the rate at which its profit was converted: 80 pounds were 100 dollars
        (facts("EURGBP", Side.BUY, "0.85000", "0.85080", "100"), "closing", "0.85160", "200.00", "100.00"),
        # It made nothing, so only a rate from elsewhere can say
        (facts("EURGBP", Side.BUY, "0.85", "0.85", "0", fallback_rate=Decimal("1.25")), "closing", "0.85100", "125.00", "125.00"),
    ],
)  # fmt: skip
def test_worked_results(trade: TradeFacts, disputed: str, price: str, result: str, amount: str) -> None:
    assert result_at(trade, disputed=Disputed(disputed), price=Decimal(price)) == Decimal(result)
    assert proposed_amount(trade, disputed=Disputed(disputed), price=Decimal(price)) == Decimal(amount)


def test_without_any_rate_nothing_is_proposed_and_no_price_is_refused() -> None:
    trade = facts("EURGBP", Side.BUY, "0.85", "0.85", "0")
    assert proposed_amount(trade, disputed=Disputed.CLOSING, price=Decimal("0.86")) is None
    with pytest.raises(InvalidInput):
        proposed_amount(trade, disputed=Disputed.CLOSING, price=Decimal(0))


def test_the_client_pays_the_ask_and_gets_the_bid() -> None:
    assert client_buys(Side.BUY, Disputed.OPENING) and client_buys(Side.SELL, Disputed.CLOSING)
    assert not client_buys(Side.BUY, Disputed.CLOSING) and not client_buys(Side.SELL, Disputed.OPENING)


def test_the_price_in_force_is_the_last_accepted_quote_before_the_deal() -> None:
    def quote(seconds: float, bid: str, *, accepted: bool = True) -> QuoteSeen:
        return QuoteSeen(AT + timedelta(seconds=seconds), Decimal(bid), Decimal(bid) + Decimal("0.0002"), accepted)

    quotes = [quote(-5, "1.1"), quote(-0.1, "1.3", accepted=False), quote(0, "1.2"), quote(0.1, "1.4")]
    assert price_in_force(quotes, at=AT, buys=False) == Decimal("1.2")
    assert price_in_force(quotes, at=AT, buys=True) == Decimal("1.2002")
    assert price_in_force(quotes, at=AT - timedelta(milliseconds=50), buys=False) == Decimal("1.1")
    assert price_in_force(quotes, at=AT - timedelta(seconds=6), buys=False) is None
    assert price_in_force([quote(-31, "1.1")], at=AT, buys=False) is None


def test_no_decision_without_evidence_and_no_second_one() -> None:
    for state, step in (
        (ComplaintState.OPEN, "propose"),
        (ComplaintState.APPROVED, "approve"),
        (ComplaintState.CLOSED, "close"),
    ):
        with pytest.raises(IllegalTransition):
            next_state(state, step)
