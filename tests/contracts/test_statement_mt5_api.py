"""Exports of the MT5 client's API: real files, and what they must not be mistaken for."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from openpyxl import Workbook, load_workbook

from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import read_statement
from platform_ops.gateways.statements.mt5_api import from_client_api
from platform_ops.gateways.statements.types import StatementFormat
from platform_ops.gateways.types import DealReason
from platform_ops.models import CurrentDeal, OrderExecution, StatementImport, Trade
from platform_ops.services.imports import import_statement
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind
from tests.factories.platform import make_entity, make_server


def sample(name: str) -> bytes:
    path = Path(settings.SAMPLE_DATA_DIR) / "statements_mt5" / name
    if not path.exists():
        pytest.skip("The sample exports are not here.")
    return path.read_bytes()


def changed(data: bytes, cell: str, value: object) -> bytes:
    book = load_workbook(io.BytesIO(data))
    book.worksheets[0][cell] = value
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_every_deal_of_the_real_export() -> None:
    statement = read_statement(sample("api_deals_acct1.xlsx"), filename="deals.xlsx")
    assert (statement.format, statement.account, statement.currency) == (StatementFormat.MT5_API_DEALS, "", "")
    deals = statement.deals
    assert len(deals) == 42
    assert (sum(deal.profit for deal in deals), sum(deal.swap for deal in deals)) == (
        Decimal("102022.17"), Decimal("-25.80"),
    )  # fmt: skip
    kinds = [deal.kind for deal in deals]
    assert [kinds.count(kind) for kind in (DealKind.BALANCE, DealKind.BUY, DealKind.SELL)] == [1, 23, 18]
    assert [deal.entry for deal in deals].count(DealEntry.OUT) == 18
    assert len({deal.position for deal in deals if deal.position}) == 20
    closing = next(deal for deal in deals if deal.ticket == 32774118)
    assert (closing.open_price, closing.profit, closing.position) == (Decimal("1.17763"), Decimal("-0.08"), 45386469)


def test_every_order_of_the_real_export() -> None:
    statement = read_statement(sample("api_orders_acct1.xlsx"), filename="orders.xlsx")
    assert (statement.format, len(statement.orders), statement.deals) == (StatementFormat.MT5_API_ORDERS, 41, ())
    reasons = {order.ticket: DealReason(order.reason) for order in statement.orders}
    assert (reasons[45386786], reasons[45762318], reasons[45386469]) == (
        DealReason.STOP_LOSS, DealReason.TAKE_PROFIT, DealReason.WEB,
    )  # fmt: skip
    first = statement.orders[0]
    assert (f"{first.done_at:%Y-%m-%d %H:%M:%S}", first.initial_lots, first.filled_lots) == (
        "2021-09-17 15:55:56", Decimal("0.01"), Decimal("0.01"),
    )  # fmt: skip


def test_the_clients_reasons_are_not_the_servers() -> None:
    told = [DealReason(from_client_api(number)).name for number in range(10)]
    assert told == [
        "CLIENT", "MOBILE", "WEB", "EXPERT", "STOP_LOSS", "TAKE_PROFIT", "STOP_OUT", "ROLLOVER", "VARIATION_MARGIN", "SPLIT",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="16"):
        from_client_api(16)


@pytest.mark.parametrize(
    ("cell", "value", "field"),
    [
        ("F3", 99, "type"),
        ("G3", 9, "entry"),
        ("J3", 16, "reason"),
        ("B3", -1, "ticket"),
        ("L3", "1.1x", "price"),
        ("O3", "much", "profit"),
        ("D3", "soon", "time"),
        ("Q3", None, "symbol"),
    ],
)
def test_what_cannot_be_is_refused_by_row_and_column(cell: str, value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_statement(changed(sample("api_deals_acct1.xlsx"), cell, value), filename="deals.xlsx")
    assert (refused.value.details["row"], refused.value.details["field"]) == (3, field)


def test_an_empty_export_and_another_sheet_are_refused() -> None:
    book = Workbook()
    book.active.append(
        ["ticket", "order", "time", "type", "entry", "position_id", "volume", "price", "profit", "symbol"]
    )
    out = io.BytesIO()
    book.save(out)
    with pytest.raises(InvalidInput, match="holds no deals"):
        read_statement(out.getvalue(), filename="empty.xlsx")


@pytest.mark.django_db
def test_an_export_is_booked_where_its_deals_say_whose_it_is() -> None:
    server = make_server(make_entity(), code="alpha", platform="mt5", zone="EET_US")
    data, system = sample("api_deals_acct1.xlsx"), Actor.system("test")
    refused = import_statement(server_code="alpha", data=data, file_name="deals.xlsx", actor=system)
    assert (refused.state, refused.error["field"]) == (StatementImport.State.REFUSED, "account")
    assert not CurrentDeal.objects.exists()

    statement = read_statement(data, filename="deals.xlsx")
    first = statement.deals[1]
    ingest_records(
        server_id=server.pk,
        source="test",
        records=[
            IngestRecord(
                ticket=first.ticket, kind=first.kind, entry=first.entry, login="5001", currency="USD", symbol=first.symbol,
                volume_lots=first.volume_lots, price=first.price, position_ticket=first.position, order_ticket=first.order,
                at=refused.created_at.replace(year=2021, month=9, day=17, hour=12, minute=55, second=56, microsecond=0),
            )
        ],
        as_of=refused.created_at.replace(year=2021, month=9, day=18),
    )  # fmt: skip
    stored = import_statement(server_code="alpha", data=data, file_name="deals.xlsx", actor=system)
    assert (stored.state, stored.account.login, stored.new_deals) == (StatementImport.State.STORED, "5001", 41)
    assert Trade.objects.count() == 18
    assert sum(CurrentDeal.objects.values_list("profit", flat=True)) == Decimal("102022.17")
    again = import_statement(server_code="alpha", data=data, file_name="again.xlsx", actor=system)
    assert again.new_deals == 0

    # The orders that belong to the deals end in the board of execution quality, with what their deals were filled at.
    orders = import_statement(
        server_code="alpha", data=sample("api_orders_acct1.xlsx"), file_name="orders.xlsx", actor=system
    )
    assert (orders.state, orders.account.login, orders.rows_total, orders.new_deals) == ("stored", "5001", 41, 0)
    assert OrderExecution.objects.count() == 41
    market = OrderExecution.objects.get(order_ticket=45386469)
    assert (market.fill_milliseconds, market.requested_price, market.reason) == (8, None, DealReason.WEB)
    assert market.filled_price == CurrentDeal.objects.get(order_ticket=45386469).price
    assert f"{market.placed_at:%Y-%m-%d %H:%M:%S}" == "2021-09-17 12:55:56"
    stop = OrderExecution.objects.get(order_ticket=45386786)
    assert (stop.requested_price, stop.filled_price, stop.slippage_points, stop.reason) == (
        Decimal("1.17711"), Decimal("1.17711"), 0, DealReason.STOP_LOSS,
    )  # fmt: skip
    once_more = import_statement(
        server_code="alpha", data=sample("api_orders_acct1.xlsx"), file_name="twice.xlsx", actor=system
    )
    assert (once_more.pk, OrderExecution.objects.count()) == (orders.pk, 41)
    assert CurrentDeal.objects.count() == 42
