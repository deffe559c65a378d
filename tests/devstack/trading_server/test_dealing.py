"""What the simulated server books: worked figures of profit, margin, swap and stop-out; netting, closing, rejections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from backoffice.devstack.trading_server import nights, sums
from backoffice.devstack.trading_server.accounts import balance_operation, change_account, open_account
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.commands import in_mask
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.executing import Execution, Outcome, Request
from backoffice.devstack.trading_server.records import Position
from backoffice.devstack.trading_server.retcodes import Refused
from backoffice.devstack.trading_server.setup import AccountPlan, set_up
from backoffice.devstack.trading_server.terms import symbol_configuration, symbol_terms
from tests.trading_server import (
    ACCOUNTS,
    EURO_LOGIN,
    GROUPS,
    HEDGING_GROUP,
    HEDGING_LOGIN,
    NETTING_LOGIN,
    QUOTES,
    SYMBOLS,
)

D = Decimal


class Clock:
    """A clock that stands until it is moved: a Tuesday, noon."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 17, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dealing(clock: Clock) -> Dealing:
    made = Dealing(Broker(now=clock), seed=1)
    set_up(made, groups=GROUPS, symbols=SYMBOLS, accounts=ACCOUNTS, quotes=QUOTES)
    return made


def _order(dealing: Dealing, login: int, symbol: str, side: str, lots: str, **more: Any) -> Outcome:
    return dealing.market_order(Request(login=login, symbol=symbol, is_buy=side == "BUY", lots=D(lots), **more))


def _prove_books(broker: Broker) -> None:
    """Balance and credit are the sums of deals; equity is balance, credit, floating and swap together."""
    for login, user in broker.users.items():
        deals = [deal for deal in broker.deals.values() if deal.login == login]
        assert user.balance == sum((d.money for d in deals if d.action not in (3, 20)), D(0))
        assert user.credit == sum((d.money for d in deals if d.action in (3, 20)), D(0))
        standing = broker.standing(login)
        positions = [p for p in broker.positions.values() if p.login == login]
        floating = sum((broker.floating(p) for p in positions), D(0))
        assert standing.equity == user.balance + user.credit + floating + sum((p.storage for p in positions), D(0))
        assert standing.free == standing.equity - standing.margin


def test_a_round_trip_in_the_profit_currency(dealing: Dealing) -> None:
    opened = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1")
    dealing.price("EURUSD", D("1.10510"), D("1.10520"))

    closed = dealing.close(HEDGING_LOGIN, opened.order.ticket)

    assert opened.deal is not None and closed.deal is not None
    assert (opened.deal.price, opened.deal.entry, opened.deal.profit) == (D("1.10010"), 0, D(0))
    assert (closed.deal.price, closed.deal.entry, closed.deal.action) == (D("1.10510"), 1, 1)
    assert closed.deal.profit == D("500.00")
    assert (closed.deal.price_position, closed.deal.position) == (D("1.10010"), opened.order.ticket)
    assert dealing.broker.standing(HEDGING_LOGIN).balance == D("10500.00")
    _prove_books(dealing.broker)


def test_a_result_in_yen_is_turned_into_dollars_by_its_own_closing_price(dealing: Dealing) -> None:
    opened = _order(dealing, HEDGING_LOGIN, "USDJPY", "BUY", "1")
    dealing.price("USDJPY", D("150.510"), D("150.520"))

    closed = dealing.close(HEDGING_LOGIN, opened.order.ticket).deal

    assert closed is not None
    assert closed.profit_raw == D(50000)
    assert closed.profit == D("332.20")  # 50 000 / 150.510 = 332.2038
    _prove_books(dealing.broker)


def test_a_cross_currency_result_takes_the_side_that_closing_takes(dealing: Dealing) -> None:
    opened = _order(dealing, EURO_LOGIN, "XAUUSD", "BUY", "0.1")
    dealing.price("XAUUSD", D("2010.00"), D("2010.30"))

    closed = dealing.close(EURO_LOGIN, opened.order.ticket).deal

    assert closed is not None
    assert closed.profit_raw == D("97.00")
    assert closed.profit == D("88.17")  # a profit by market: the bid of dollar against euro = 1 / 1.10010
    _prove_books(dealing.broker)


def test_a_part_is_closed_with_its_share_of_the_swap(dealing: Dealing) -> None:
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.3").order.ticket
    nights.close_day(dealing, date(2026, 11, 17))
    whole = dealing.broker.positions[ticket].storage

    part = dealing.close(HEDGING_LOGIN, ticket, lots=D("0.1")).deal

    assert whole == D("-2.16")  # one point of 0.3 lots is 0.30; x -7.2
    assert part is not None and part.storage == D("-0.72")
    assert dealing.broker.positions[ticket].lots == D("0.2")
    assert dealing.broker.positions[ticket].storage == D("-1.44")
    _prove_books(dealing.broker)


def test_a_netting_account_adds_reduces_and_turns_round(dealing: Dealing) -> None:
    first = _order(dealing, NETTING_LOGIN, "EURUSD", "BUY", "1")
    dealing.price("EURUSD", D("1.10100"), D("1.10110"))
    added = _order(dealing, NETTING_LOGIN, "EURUSD", "BUY", "1")
    held = dealing.broker.positions[first.order.ticket]
    assert added.deal is not None and added.deal.position == first.order.ticket
    assert (held.lots, held.open_price) == (D(2), D("1.10060"))

    reduced = _order(dealing, NETTING_LOGIN, "EURUSD", "SELL", "0.5").deal
    turned = _order(dealing, NETTING_LOGIN, "EURUSD", "SELL", "2").deal

    assert reduced is not None and turned is not None
    assert (reduced.entry, reduced.profit) == (1, D("20.00"))
    assert (turned.entry, turned.lots, turned.lots_closed, turned.profit) == (2, D(2), D("1.5"), D("60.00"))
    held = dealing.broker.positions[first.order.ticket]
    assert (held.is_buy, held.lots, held.open_price) == (False, D("0.5"), D("1.10100"))
    assert len(dealing.broker.positions) == 1
    _prove_books(dealing.broker)


def test_close_by_books_the_result_on_one_deal_and_keeps_the_rest_open(dealing: Dealing) -> None:
    buy = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket
    dealing.price("EURUSD", D("1.10210"), D("1.10220"))
    sell = _order(dealing, HEDGING_LOGIN, "EURUSD", "SELL", "0.4").order.ticket

    first, second = dealing.close_by(HEDGING_LOGIN, buy, sell)

    assert (first.entry, second.entry) == (3, 3)
    assert (first.profit, second.profit) == (D("80.00"), D(0))
    assert dealing.broker.positions[buy].lots == D("0.6")
    assert sell not in dealing.broker.positions
    _prove_books(dealing.broker)


def test_what_cannot_be_is_refused_and_leaves_nothing(dealing: Dealing) -> None:
    before = (dict(dealing.broker.deals), dict(dealing.broker.history), dealing.broker.counters["ticket"])
    ticket = 5

    for request in (
        Request(login=1, symbol="EURUSD", is_buy=True, lots=D(1)),
        Request(login=HEDGING_LOGIN, symbol="NOPE", is_buy=True, lots=D(1)),
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D("0.001")),
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D("0.015")),
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D(101)),
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D(-1)),
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D(1), position=ticket),
    ):
        with pytest.raises(Refused):
            dealing.market_order(request)

    assert (dict(dealing.broker.deals), dict(dealing.broker.history), dealing.broker.counters["ticket"]) == before


@pytest.mark.parametrize(("mode", "side"), [("0", "BUY"), ("1", "SELL"), ("2", "BUY"), ("3", "BUY")])
def test_a_restricted_symbol_may_be_closed_but_not_opened(dealing: Dealing, mode: str, side: str) -> None:
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", side, "0.1").order.ticket
    whole = symbol_configuration({"TradeMode": mode}, dealing.broker.symbols["EURUSD"])
    dealing.broker.put("symbol", "EURUSD", whole)

    with pytest.raises(Refused):
        _order(dealing, HEDGING_LOGIN, "EURUSD", side, "0.1")
    if mode == "0":
        with pytest.raises(Refused):
            dealing.close(HEDGING_LOGIN, ticket)
    else:
        assert dealing.close(HEDGING_LOGIN, ticket).deal is not None


def test_no_money_is_a_rejected_order_without_a_deal(dealing: Dealing) -> None:
    outcome = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "10")

    assert (outcome.code, outcome.deal) == (10019, None)
    assert dealing.broker.history[outcome.order.ticket].state == 5
    assert dealing.broker.history[outcome.order.ticket].comment == "no money"
    assert not dealing.broker.positions


def test_requotes_rejects_slippage_and_fill_time_are_as_set(dealing: Dealing) -> None:
    dealing.execution = Execution(requote_share=1.0)
    assert _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.1").code == 10004
    dealing.execution = Execution(reject_share=1.0)
    assert _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.1").code == 10006
    dealing.execution = Execution(fill_milliseconds=40, slippage_points=3.0, mark_up_points=2)

    filled = [_order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.01") for _ in range(20)]

    assert all(outcome.order.done_msc - outcome.order.setup_msc == 40 for outcome in filled)
    assert len({outcome.order.price_filled for outcome in filled}) > 3
    assert {outcome.order.price_order for outcome in filled} == {D("1.10010")}
    assert all(o.deal is not None and o.deal.price - o.deal.price_gateway == D("0.00002") for o in filled)


def test_beyond_the_allowed_deviation_an_order_is_requoted(dealing: Dealing) -> None:
    late = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.1", price=D("1.10000"), deviation_points=5)
    fine = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.1", price=D("1.10000"), deviation_points=10)

    assert (late.code, fine.code) == (10004, 0)


def test_waiting_orders_and_stops_are_set_off_by_the_price(dealing: Dealing) -> None:
    request = Request(
        login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D("0.1"), price=D("1.09500"), stop_loss=D("1.09000")
    )
    placed = dealing.place_pending(request, kind=2)
    dealing.price("EURUSD", D("1.09480"), D("1.09490"))
    assert dealing.broker.history[placed.ticket].state == 4
    assert dealing.broker.positions[placed.ticket].open_price == D("1.09500")

    dealing.price("EURUSD", D("1.08990"), D("1.09000"))

    assert not dealing.broker.positions
    closing = max(dealing.broker.deals.values(), key=lambda deal: deal.ticket)
    assert (closing.reason, closing.comment, closing.profit) == (3, "[sl 1.09000]", D("-51.00"))
    _prove_books(dealing.broker)


def test_the_worst_position_is_stopped_out_first_and_what_is_left_below_zero_is_compensated(dealing: Dealing) -> None:
    broker = dealing.broker
    large = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "5").order.ticket
    small = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket
    waiting = dealing.place_pending(
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D("0.1"), price=D("1.00000")), kind=2
    )
    dealing.price("EURUSD", D("1.08900"), D("1.08910"))  # equity 3 340, margin 6 600.60: above one half
    assert set(broker.positions) == {large, small}

    dealing.price("EURUSD", D("1.08800"), D("1.08810"))  # equity 2 740 of 6 600.60: 41.51 %

    assert set(broker.positions) == {small}
    stopped = max(broker.deals.values(), key=lambda deal: deal.ticket)
    assert (stopped.position, stopped.reason, stopped.comment) == (large, 5, "[so 41.51%/2740.00/6600.60]")
    assert broker.history[waiting.ticket].state == 2

    dealing.price("EURUSD", D("1.00000"), D("1.00010"))  # a gap through everything

    assert not broker.positions
    assert broker.users[HEDGING_LOGIN].balance == 0
    compensation = max(broker.deals.values(), key=lambda deal: deal.ticket)
    assert (compensation.action, compensation.profit) == (19, D("6060.00"))
    _prove_books(broker)


@pytest.mark.parametrize(
    ("day", "factor"),
    [(date(2026, 11, 16), 1), (date(2026, 11, 18), 3), (date(2026, 11, 20), 1), (date(2026, 11, 21), 0)],
    ids=["monday", "wednesday", "friday", "saturday"],
)
def test_nights_are_counted_by_the_day_that_ends(dealing: Dealing, day: date, factor: int) -> None:
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket

    nights.close_day(dealing, day)

    assert dealing.broker.positions[ticket].storage == D("-7.20") * factor


def test_a_day_ends_once_at_the_server_s_midnight(dealing: Dealing, clock: Clock) -> None:
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket
    nights.close_ended_days(dealing)

    clock.at = datetime(2026, 11, 17, 21, 59, tzinfo=UTC)
    assert nights.close_ended_days(dealing) == 0
    clock.at = datetime(2026, 11, 17, 22, 0, tzinfo=UTC)
    assert nights.close_ended_days(dealing) == 1
    assert nights.close_ended_days(dealing) == 0
    clock.at += timedelta(days=2)
    assert nights.close_ended_days(dealing) == 2

    assert dealing.broker.positions[ticket].storage == D("-7.20") * 5  # Tuesday 1, Wednesday 3, Thursday 1


def test_a_group_without_swap_pays_none(dealing: Dealing) -> None:
    group = {
        **dealing.broker.groups[HEDGING_GROUP],
        "Symbols": [{"Path": "*", "SwapMode": "0", "SwapLong": "4294967295"}],
    }
    dealing.broker.put("group", HEDGING_GROUP, group)
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket

    nights.close_day(dealing, date(2026, 11, 18))

    assert dealing.broker.positions[ticket].storage == 0


def test_a_swap_by_reopening_moves_the_price_and_keeps_the_ticket(dealing: Dealing) -> None:
    whole = symbol_configuration({"SwapMode": "7", "SwapLong": "-5"}, dealing.broker.symbols["EURUSD"])
    dealing.broker.put("symbol", "EURUSD", whole)
    ticket = _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "1").order.ticket

    nights.close_day(dealing, date(2026, 11, 17))

    held = dealing.broker.positions[ticket]
    assert held.open_price == D("1.10005")
    assert dealing.broker.users[HEDGING_LOGIN].balance == D("9990.00")
    _prove_books(dealing.broker)


def _leg(*, is_buy: bool, lots: str, price: str, rate: str) -> Position:
    return Position(
        ticket=1, login=1, symbol="X", is_buy=is_buy, lots=D(lots), open_price=D(price), opened_msc=0, updated_msc=0,
        margin_rate=D(rate),
    )  # fmt: skip


def _terms(**given: str) -> Any:
    return symbol_terms(symbol_configuration({"Symbol": "X", **given}))


def test_margin_is_as_the_platform_s_own_examples_say() -> None:
    one = [_leg(is_buy=True, lots="1", price="1.2790", rate="1.2790")]
    assert sums.symbol_margin(_terms(), one, leverage=100) == 1279
    with_rate = _terms(MarginInitialBuy="1.15")
    assert sums.rounded(sums.symbol_margin(with_rate, one, leverage=100), 2) == D("1470.85")
    assert (
        sums.symbol_margin(_terms(CalcMode="5"), [_leg(is_buy=True, lots="1", price="1", rate="1")], leverage=9)
        == 100_000
    )
    share = _terms(CalcMode="2", ContractSize="100")
    assert sums.symbol_margin(share, [_leg(is_buy=True, lots="1", price="33", rate="1")], leverage=9) == 3300


def test_hedged_margin_is_as_published() -> None:
    terms = _terms(CalcMode="4", MarginHedged="100000")
    legs = [
        _leg(is_buy=False, lots="3", price="1.11943", rate="4"),
        _leg(is_buy=True, lots="2", price="1.11953", rate="2"),
    ]

    assert sums.rounded(sums.symbol_margin(terms, legs, leverage=500), 2) == D("2238.91")  # 1 343.364 + 895.544

    real = _terms(MarginHedged="50000")
    legs = [
        _leg(is_buy=True, lots="0.62", price="0.88", rate="1.1758"),
        _leg(is_buy=False, lots="0.24", price="0.88", rate="1.1758"),
    ]
    assert sums.rounded(sums.symbol_margin(real, legs, leverage=1000), 2) == D("58.79")

    fixed = _terms(CalcMode="2", MarginInitial="1000", MarginMaintenance="500", MarginHedged="500")
    legs = [_leg(is_buy=True, lots="1", price="9", rate="1"), _leg(is_buy=False, lots="2", price="9", rate="1")]
    assert sums.symbol_margin(fixed, legs, leverage=1) == 1000

    larger = _terms(MarginFlags="4", MarginHedged="50000")
    legs = [_leg(is_buy=True, lots="1", price="1", rate="1"), _leg(is_buy=False, lots="2", price="1", rate="1")]
    assert sums.symbol_margin(larger, legs, leverage=100) == 2000


def test_swap_points_are_rounded_before_they_are_multiplied() -> None:
    lira = _terms(CurrencyBase="USD", CurrencyProfit="TRY", CurrencyMargin="USD", SwapLong="-11.35")
    swap = sums.night_swap(
        lira, is_buy=True, lots=D(5), opened=D(4), current=D(4), nights=D(1), account_currency="USD", digits=2,
        rate=lambda _source, _target, _at_ask: sums.Fraction("0.2274587"),
    )  # fmt: skip

    assert swap == D("-12.94")


def test_an_account_is_opened_changed_and_refused_by_the_platform_s_codes(dealing: Dealing) -> None:
    given = {
        "GROUP": HEDGING_GROUP,
        "NAME": "New",
        "LEVERAGE": "200",
        "PASS_MAIN": "Abcd1234",
        "PASS_INVESTOR": "Abcd1234",
    }
    user = open_account(dealing, given)
    assert user.login == 10_001
    set_up(dealing, groups=[{"Group": "other", "Server": "2"}, {"Group": "euro", "Currency": "EUR"}])

    for changed, code in (
        ({**given, "LOGIN": str(HEDGING_LOGIN)}, 3004),
        ({**given, "GROUP": "nowhere"}, 13),
        ({**given, "PASS_MAIN": "short1"}, 3006),
        ({**given, "LEVERAGE": "0"}, 3),
    ):
        with pytest.raises(Refused) as refused:
            open_account(dealing, changed)
        assert refused.value.code == code
    for group, code in (("other", 3009), ("euro", 3010), ("nowhere", 13)):
        with pytest.raises(Refused) as refused:
            change_account(dealing, {"LOGIN": user.login, "GROUP": group})
        assert refused.value.code == code
    _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "0.1")
    with pytest.raises(Refused) as refused:
        change_account(dealing, {"LOGIN": HEDGING_LOGIN, "GROUP": "other"})
    assert refused.value.code == 3008


def test_money_is_not_taken_beyond_what_is_free(dealing: Dealing) -> None:
    _order(dealing, HEDGING_LOGIN, "EURUSD", "BUY", "5")

    def take(amount: str, *, checks: bool = True) -> Callable[[], Any]:
        return lambda: balance_operation(
            dealing, login=HEDGING_LOGIN, action=2, amount=D(amount), comment="w", checks_margin=checks
        )

    with pytest.raises(Refused) as refused:
        take("-4500.00")()
    assert refused.value.code == 10019
    for wrong in ("0", "1.001"):
        with pytest.raises(Refused):
            take(wrong)()
    take("-4000.00")()
    take("-1000.00", checks=False)()
    balance_operation(dealing, login=HEDGING_LOGIN, action=3, amount=D("50"), comment="c" * 40, checks_margin=True)

    assert dealing.broker.users[HEDGING_LOGIN].balance == D("5000.00")
    assert dealing.broker.users[HEDGING_LOGIN].credit == D(50)
    assert max(dealing.broker.deals.values(), key=lambda deal: deal.ticket).comment == "c" * 32
    _prove_books(dealing.broker)


def test_the_zone_is_told_in_minutes(dealing: Dealing, clock: Clock) -> None:
    assert dealing.broker.zone_minutes() == 120
    clock.at = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert dealing.broker.zone_minutes() == 180


def test_group_masks_choose_and_take_away() -> None:
    assert in_mask("demo\\a", "*")
    assert in_mask("demo\\a", "real\\*,demo\\*")
    assert not in_mask("demo\\a", "*,!demo\\*")
    assert not in_mask("demo\\a", "real\\*")


def test_an_account_plan_is_set_up_once(dealing: Dealing) -> None:
    set_up(dealing, accounts=[AccountPlan(login=HEDGING_LOGIN, group=HEDGING_GROUP, deposit=D(5))])

    assert dealing.broker.users[HEDGING_LOGIN].balance == D(10_000)
