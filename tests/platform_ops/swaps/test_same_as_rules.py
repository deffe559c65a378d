"""The rollover's SQL and the pure rules are the same arithmetic, and both are that of exact fractions."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from backoffice.kernel.currency import Currency
from platform_ops.gateways.types import CalculationMode, SwapMode
from platform_ops.models import AccountGroup, GroupSymbolOverride, SwapLine, TradingServer
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.swaps.checks import every_open_position_has_its_line, lines_follow_rules
from platform_ops.services.swaps.estimates import estimate_nightly
from platform_ops.services.swaps.rates import set_swap_rates
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.types import Side
from tests.factories import platform
from tests.platform_ops.swaps.ground import (
    EARLY,
    SYSTEM,
    TUESDAY,
    WEDNESDAY,
    at,
    close,
    deal,
    euro_rates,
    ingest,
    server,
    symbol,
)  # fmt: skip

pytestmark = pytest.mark.django_db
SEED = 20260304
MODES = [mode for mode in SwapMode if mode not in (SwapMode.REOPEN_BID, SwapMode.REOPEN_CLOSE_PRICE)]


def away(value: Fraction, digits: int) -> Decimal:
    """Half away from zero, on exact fractions."""
    scaled = abs(value) * 10**digits
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return (Decimal(whole) if value >= 0 else -Decimal(whole)).scaleb(-digits)


def oracle(line: SwapLine) -> Decimal:
    """The published formula, from the inputs that the term states and nothing else of it."""
    term = line.term
    inputs, mode = term.inputs, SwapMode(term.mode)
    size, point = Fraction(inputs["contract_size"]), Fraction(inputs["point"])
    rate, lots = Fraction(Decimal(inputs["conversion"])), Fraction(line.volume_lots)
    value, nights = Fraction(term.value), Fraction(term.nights)
    if mode is SwapMode.NONE:
        return Decimal(0)
    if mode is SwapMode.POINTS:
        return away(Fraction(away(lots * size * point * rate, term.digits)) * value * nights, term.digits)
    if mode in (SwapMode.INTEREST_CURRENT_PRICE, SwapMode.INTEREST_OPEN_PRICE):
        price = Fraction(1)
        if term.server_symbol.name == "US500":
            current = inputs["price"]
            price = Fraction(line.open_price if mode is SwapMode.INTEREST_OPEN_PRICE else Decimal(current))
        year = term.divisor // 100
        return away(lots * size * price * rate * value * nights / 100 / year, term.digits)
    return away(lots * value * nights * rate, term.digits)


def test_random_cases_in_every_mode_and_currency_equal_exact_arithmetic() -> None:
    chance = random.Random(SEED)
    live = server()
    symbols = {
        "EURUSD": symbol("EURUSD"),
        "USDJPY": symbol("USDJPY", digits=3),
        "US500": symbol(
            "US500",
            digits=2,
            contract_size=Decimal(10),
            calculation_mode=CalculationMode.CFD.value,
            margin_currency="USD",
        ),
    }
    symbols["US500"].profit_currency = "USD"
    symbols["US500"].save()
    euro_rates(TUESDAY, USD="1.0837", JPY="163.21", BHD="0.40852", GBP="0.83379")
    for code, bid, ask in (
        ("EURUSD", "1.08365", "1.08377"),
        ("USDJPY", "150.602", "150.611"),
        ("US500", "6790.1", "6790.9"),
    ):
        for day in (TUESDAY, WEDNESDAY):
            close(symbols[code], day, bid, ask)
    groups = {currency: _group(live, currency) for currency in ("USD", "JPY", "BHD", "EUR", "GBP")}
    accounts = [platform.make_account(live, currency=code, group=group) for code, group in groups.items()]
    drafts = [
        RateDraft(
            symbol_id=made.pk,
            group_id=group.pk,
            mode=chance.choice(MODES),
            long=Decimal(chance.randrange(-99_999, 99_999)) / chance.choice((10, 100, 10_000)),
            short=Decimal(chance.randrange(-99_999, 99_999)) / chance.choice((10, 100, 10_000)),
            year_days=chance.choice((360, 365)),
        )
        for made in symbols.values()
        for group in groups.values()
    ]
    set_swap_rates(rates=drafts, valid_from=EARLY, approval=None, actor=SYSTEM)
    ingest(
        live,
        [
            deal(
                account, ticket * 10 + number, at(TUESDAY, 8) + timedelta(minutes=ticket % 600), name=name,
                side=chance.choice(list(Side)), lots=str(Decimal(chance.randrange(1, 2_000)) / 100),
                price=str(Decimal(chance.randrange(100_000, 200_000)) / 100_000),
            )
            for number, account in enumerate(accounts)
            for name in symbols
            for ticket in chance.sample(range(1, 99_999), 5)
        ],
    )  # fmt: skip
    for day in (TUESDAY, WEDNESDAY):
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    lines = list(SwapLine.objects.select_related("term__server_symbol"))
    assert len(lines) >= 60
    wrong = [
        (line.term.mode, line.term.currency, line.volume_lots, line.swap, oracle(line))
        for line in lines
        if line.swap != oracle(line)
    ]
    assert wrong == []
    assert {line.term.digits for line in lines} == {0, 2, 3}
    assert all(line.term.digits == Currency.of(line.term.currency).digits for line in lines)
    assert {line.term.nights for line in lines} == {1, 3}
    assert lines_follow_rules().ok
    assert every_open_position_has_its_line().ok


def _group(live: TradingServer, currency: str) -> AccountGroup:
    return AccountGroup.objects.create(server=live, name=f"real\\{currency}", currency=currency)


def test_a_groups_rate_goes_before_the_symbols_and_both_before_the_specification() -> None:
    live, eurusd = server(), symbol("EURUSD", swap_long=Decimal(-7), swap_short=Decimal(2))
    vip, plain = _group(live, "USD"), platform.make_account(live)
    own = platform.make_account(live, group=vip)
    ingest(live, [deal(plain, 1, at(TUESDAY, 9)), deal(own, 2, at(TUESDAY, 9))])

    def charged(day: date) -> list[Decimal]:
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
        rows = SwapLine.objects.filter(day=day).order_by("position_ticket", "seq")
        totals: dict[int, Decimal] = {}
        for row in rows:
            totals[row.position_ticket] = totals.get(row.position_ticket, Decimal(0)) + row.swap
        return [totals[ticket] for ticket in (1, 2)]

    assert charged(TUESDAY) == [Decimal(-7), Decimal(-7)]
    GroupSymbolOverride.objects.create(
        group=vip, symbol=eurusd, validity=platform.DateTimeTZRange(EARLY, None), swap_long=Decimal(-6)
    )
    assert charged(TUESDAY) == [Decimal(-7), Decimal(-6)]
    draft = RateDraft(symbol_id=eurusd.pk, long=Decimal(-5))
    set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    assert charged(TUESDAY) == [Decimal(-5), Decimal(-5)]
    draft = RateDraft(symbol_id=eurusd.pk, group_id=vip.pk, long=Decimal(-4))
    set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    assert charged(TUESDAY) == [Decimal(-5), Decimal(-4)]


def test_an_estimate_is_what_a_plain_night_then_costs() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    draft = RateDraft(symbol_id=eurusd.pk, long=Decimal("-7.25"), short=Decimal("2.5"))
    set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    ingest(
        live, [deal(account, 1, at(TUESDAY, 9), lots="0.4"), deal(account, 2, at(TUESDAY, 9), side=Side.SELL, lots="2")]
    )
    proposed = RateDraft(symbol_id=eurusd.pk, long=Decimal("-72.5"), short=Decimal("2.5"))
    found = estimate_nightly(drafts=[proposed])
    assert [(row.now, row.then, row.change) for row in found] == [
        (Decimal("-2.90"), Decimal("-29.00"), Decimal("-26.10")),
        (Decimal("5.00"), Decimal("5.00"), Decimal("0.00")),
    ]
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert sorted(SwapLine.objects.values_list("swap", flat=True)) == sorted(row.now for row in found)
