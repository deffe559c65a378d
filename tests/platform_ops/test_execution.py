"""Execution quality: what is kept of an order, and the figures that the board shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from hypothesis import given
from hypothesis import strategies as st

from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.checks import executions_are_of_their_server
from platform_ops.gateways.types import DealReason, GatewayOrder, OrderState
from platform_ops.models import OrderExecution, TradingServer
from platform_ops.rules.execution import figures_of, written_point
from platform_ops.selectors.execution import (
    ExecutionFilter,
    execution_rows,
    execution_totals,
    reject_reasons,
    slippage_distribution,
)
from platform_ops.services.execution import StoredOrders, store_orders
from platform_ops.types import Side
from tests.factories.platform import make_account, make_entity, make_server
from tests.logins import log_in, make_user

D = Decimal
SYSTEM = Actor.system("test")
AT = datetime(2026, 11, 17, 9, 30, tzinfo=UTC)
POINT = D("0.00001")
DAY = ExecutionFilter.of(start=AT - timedelta(days=1), end=AT + timedelta(days=1))


def an_order(**changes: Any) -> GatewayOrder:
    order = GatewayOrder(
        ticket=1,
        login="900",
        symbol="EURUSD",
        state=OrderState.FILLED,
        type=0,
        side=Side.BUY,
        volume_initial_lots=D("0.50"),
        volume_filled_lots=D("0.50"),
        requested_price=D("1.10010"),
        placed_at=AT,
        done_at=AT + timedelta(milliseconds=34),
        filled_price=D("1.10013"),
        reason=DealReason.CLIENT,
    )
    return replace(order, **changes)


@pytest.mark.parametrize(
    ("changes", "slippage"),
    [
        ({}, D("-3.00")),
        ({"side": Side.SELL}, D("3.00")),
        ({"filled_price": D("1.10010")}, D("0.00")),
        ({"requested_price": None}, None),
        ({"requested_price": D(0)}, None),
        ({"filled_price": None}, None),
        ({"state": OrderState.REJECTED, "volume_filled_lots": D(0)}, None),
        ({"type": 8}, None),
        ({"type": 2}, D("-3.00")),
    ],
)
def test_slippage_is_points_in_the_client_s_favour(changes: dict[str, Any], slippage: Decimal | None) -> None:
    assert figures_of(an_order(**changes), point=POINT).slippage_points == slippage


@pytest.mark.parametrize(
    ("changes", "milliseconds"),
    [
        ({}, 34),
        ({"type": 2}, None),
        ({"done_at": AT}, 0),
        ({"done_at": AT - timedelta(seconds=1)}, None),
        ({"done_at": AT + timedelta(minutes=11)}, None),
        ({"volume_filled_lots": D(0)}, None),
    ],
)
def test_fill_time_is_known_for_market_orders_only(changes: dict[str, Any], milliseconds: int | None) -> None:
    assert figures_of(an_order(**changes), point=POINT).fill_milliseconds == milliseconds


def test_a_rejected_order_tells_why_and_a_requote_counts_as_one() -> None:
    rejected = {"state": OrderState.REJECTED, "volume_filled_lots": D(0), "filled_price": None}

    assert figures_of(an_order(comment="Requote", **rejected), point=POINT).requotes == 1
    assert figures_of(an_order(comment="no money", requotes=2, **rejected), point=POINT).requotes == 2
    assert figures_of(an_order(comment="no money", **rejected), point=POINT).reject_reason == "no money"
    assert figures_of(an_order(comment=" ", **rejected), point=POINT).reject_reason == "not told"
    assert figures_of(an_order(comment="requote"), point=POINT).requotes == 0
    assert written_point(D("1.10011"), None) == D("0.00001")
    assert written_point(D("1.1001000000")) == D("0.0001")
    assert written_point(D("2000"), D("2000.3")) == D("0.1")
    assert written_point(D("2000")) == D(1)


@given(asked=st.integers(1, 10**7), got=st.integers(1, 10**7), digits=st.integers(0, 6))
def test_what_one_side_gains_the_other_would_lose(asked: int, got: int, digits: int) -> None:
    point = D(1).scaleb(-digits)
    order = an_order(requested_price=asked * point, filled_price=got * point)
    bought = figures_of(order, point=point).slippage_points
    sold = figures_of(replace(order, side=Side.SELL), point=point).slippage_points

    assert bought == asked - got
    assert sold is not None and bought is not None and bought + sold == 0


@pytest.fixture
def server() -> TradingServer:
    return make_server(entity=make_entity(), code="exec-live", platform="mt5")


@pytest.mark.django_db
def test_orders_are_kept_once_and_brought_up_to_date(server: TradingServer) -> None:
    make_account(server=server, login="900")
    orders = [
        an_order(),
        an_order(ticket=2, state=OrderState.PLACED, done_at=None),
        an_order(ticket=3, login="nobody"),
        an_order(ticket=4, state=OrderState.PARTIAL, volume_filled_lots=D("0.20")),
    ]

    first = store_orders(server_id=server.pk, orders=orders)
    again = store_orders(server_id=server.pk, orders=iter([*orders, *orders]))
    filled = store_orders(server_id=server.pk, orders=[an_order(ticket=4, filled_price=D("1.10008"))])

    assert first == StoredOrders(new=2, known=0, working=1, unknown_accounts=1)
    assert again == StoredOrders(new=0, known=2, working=2, unknown_accounts=1)
    assert filled == StoredOrders(known=1)
    kept = {row.order_ticket: row for row in OrderExecution.objects.all()}
    assert set(kept) == {1, 4}
    assert (kept[1].slippage_points, kept[1].fill_milliseconds, kept[1].hour) == (D("-3.00"), 34, 9)
    assert (kept[4].state, kept[4].filled_lots, kept[4].slippage_points) == (4, D("0.50"), D("2.00"))


@pytest.mark.django_db
def test_a_clock_that_jumped_back_does_not_stop_the_rest(server: TradingServer) -> None:
    make_account(server=server, login="900")
    backwards = an_order(ticket=7, done_at=AT - timedelta(seconds=5))

    assert store_orders(server_id=server.pk, orders=[backwards, an_order()]).new == 2

    row = OrderExecution.objects.get(order_ticket=7)
    assert row.placed_at == row.done_at
    assert row.fill_milliseconds is None


@pytest.mark.django_db
def test_the_books_find_an_order_that_was_tampered_with(server: TradingServer) -> None:
    make_account(server=server, login="900")
    elsewhere = make_account(login="901")
    orders = [an_order(ticket=1), an_order(ticket=2), an_order(ticket=3, side=Side.SELL)]
    store_orders(server_id=server.pk, orders=orders)
    assert executions_are_of_their_server().count == 0

    OrderExecution.objects.filter(order_ticket=1).update(account=elsewhere)
    OrderExecution.objects.filter(order_ticket=3).update(slippage_points=D(-3))

    assert [row["order_ticket"] for row in executions_are_of_their_server().rows] == [1, 3]


@pytest.mark.django_db
def test_the_database_refuses_what_cannot_be(server: TradingServer) -> None:
    make_account(server=server, login="900")
    store_orders(server_id=server.pk, orders=[an_order()])
    rows = OrderExecution.objects.all()

    for changes in ({"fill_milliseconds": -1}, {"hour": 24}, {"filled_lots": D(9)}, {"done_at": AT - timedelta(1)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**changes)


@pytest.mark.django_db
def test_the_board_counts_percentiles_shares_and_asymmetry(server: TradingServer) -> None:
    make_account(server=server, login="900")
    fills = [
        an_order(ticket=number, done_at=AT + timedelta(milliseconds=number), filled_price=D("1.10010") + slip * POINT)
        for number, slip in zip(range(1, 101), [1] * 60 + [0] * 20 + [-2] * 20, strict=True)
    ]
    rejected = {"state": OrderState.REJECTED, "volume_filled_lots": D(0), "filled_price": None}
    store_orders(
        server_id=server.pk,
        orders=[
            *fills,
            an_order(ticket=201, comment="requote", **rejected),
            an_order(ticket=202, comment="no money", **rejected),
            an_order(ticket=203, comment="no money", **rejected),
            # The server's own orders say nothing of its service, nor does an order that was taken back.
            an_order(ticket=204, reason=DealReason.STOP_OUT),
            an_order(ticket=205, state=OrderState.CANCELED, volume_filled_lots=D(0)),
        ],
    )

    (row,) = execution_rows(actor=SYSTEM, filters=DAY)

    assert (row.key, row.orders, row.filled, row.rejected, row.requotes) == ("exec-live", 103, 100, 3, 1)
    assert (row.fill_p50, row.fill_p95, row.fill_p99) == (50, 95, 99)
    assert (row.better, row.exact, row.worse) == (20, 20, 60)
    assert row.slippage_average == D("-0.20")
    assert row.asymmetry == D("-50.00")
    assert (row.reject_percent, row.requote_percent) == (D("2.91"), D("0.97"))
    assert execution_totals(actor=SYSTEM, filters=DAY) == replace(row, key="All")
    assert reject_reasons(actor=SYSTEM, filters=DAY) == [("no money", 2), ("requote", 1)]
    bars = dict(slippage_distribution(actor=SYSTEM, filters=DAY))
    assert bars == {
        "below -10": 0, "-10 to -5": 0, "-5 to -2": 0, "-2 to 0": 60, "exact": 20, "0 to 2": 0, "2 to 5": 20,
        "5 to 10": 0, "10 and more": 0,
    }  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("group_by", "keys"),
    [
        ("hour", ["09:00", "14:00"]),
        ("day", ["2026-11-17"]),
        ("symbol", ["EURUSD", "XAUUSD"]),
        ("account_group", ["USD"]),
    ],
)
def test_the_board_is_grouped_as_asked(server: TradingServer, group_by: str, keys: list[str]) -> None:
    make_account(server=server, login="900", currency="USD")
    later = AT.replace(hour=14)
    store_orders(
        server_id=server.pk,
        orders=[an_order(), an_order(ticket=2), an_order(ticket=3, symbol="XAUUSD", placed_at=later, done_at=later)],
    )

    rows = execution_rows(actor=SYSTEM, filters=DAY, group_by=group_by)

    assert [row.key for row in rows] == keys


@pytest.mark.django_db
def test_a_filter_limits_server_symbol_and_time(server: TradingServer) -> None:
    other = make_server(entity=make_entity(), code="exec-other", platform="mt5")
    for one in (server, other):
        make_account(server=one, login="900")
        store_orders(server_id=one.pk, orders=[an_order(), an_order(ticket=2, symbol="XAUUSD")])

    assert execution_totals(actor=SYSTEM, filters=replace(DAY, server_code="exec-live")).orders == 2
    assert execution_totals(actor=SYSTEM, filters=replace(DAY, symbol_code="XAUUSD")).orders == 2
    assert execution_totals(actor=SYSTEM, filters=replace(DAY, end=AT)).orders == 0
    assert execution_totals(actor=Actor(label="nobody", user_id=1), filters=DAY).orders == 0
    with pytest.raises(InvalidInput):
        ExecutionFilter.of(start=AT, end=AT)
    with pytest.raises(InvalidInput):
        ExecutionFilter.of(start=AT - timedelta(days=93), end=AT)
    with pytest.raises(InvalidInput):
        execution_rows(actor=SYSTEM, filters=DAY, group_by="client")


@pytest.mark.django_db
def test_the_board_and_the_api_show_the_entity_s_own_orders(server: TradingServer, client: Browser) -> None:
    make_account(server=server, login="900")
    foreign = make_server(entity=make_entity(), code="exec-foreign", platform="mt5")
    make_account(server=foreign, login="900")
    recent = clock.now() - timedelta(hours=2)
    order = an_order(placed_at=recent, done_at=recent + timedelta(milliseconds=34))
    for one in (server, foreign):
        store_orders(server_id=one.pk, orders=[order])
    log_in(client, make_user("po@broker.example", Role.PLATFORM_OPERATIONS, entities=(server.entity,)))

    page = client.get("/desk/pages/platform_ops/execution_quality/", {"group_by": "server"})
    export = client.get("/desk/pages/platform_ops/execution_quality/", {"export": "csv"})
    wrong = client.get(
        "/desk/pages/platform_ops/execution_quality/", {"from_day": "2026-01-01", "to_day": "2026-11-01"}
    )
    orders = client.get("/desk/platform_ops/orderexecution/")
    figures = client.get("/api/v1/execution-quality/", {"group_by": "symbol"})
    listed = client.get("/api/v1/order-executions/")
    refused = client.get("/api/v1/execution-quality/", {"group_by": "client"})

    assert "exec-live" in page.content.decode() and "exec-foreign" not in page.content.decode()
    exported = b"".join(export).decode()
    assert "exec-live" in exported and "exec-foreign" not in exported
    assert "At most 92 days at once." in wrong.content.decode()
    assert orders.status_code == 200
    assert figures.json()["total"]["orders"] == 1
    assert [row["key"] for row in figures.json()["rows"]] == ["EURUSD"]
    assert [row["server"] for row in listed.json()["results"]] == ["exec-live"]
    assert refused.status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.SALES, Role.TRADER, Role.IB, Role.MARKETING])
def test_the_board_is_for_who_sees_the_platform(server: TradingServer, client: Browser, role: Role) -> None:
    log_in(client, make_user("no@broker.example", role, entities=(server.entity,)))

    assert client.get("/desk/pages/platform_ops/execution_quality/").status_code in (302, 403)
    assert client.get("/api/v1/execution-quality/").status_code == 403
