"""The proofs of this desk name the row that is wrong, and a rebuild puts it right."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command

from backoffice.core.books import verify_books
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Denied
from platform_ops.models import BalanceOperation, IngestBatch, Position, StatementImport, Trade, TradingServer
from platform_ops.services.imports import import_statement
from platform_ops.services.rebuilding import rebuild_projections
from tests.platform_ops.books import state_of_books
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
CHECKS = [
    "platform.trades_equal_deals",
    "platform.positions_equal_deals",
    "platform.operations_equal_deals",
    "platform.statements_balance",
]


@pytest.fixture(autouse=True)
def _books() -> None:
    data = statement_of(
        Ticket(10, "8.00", lots="0.04", comment="to #11"),
        open_ticket(11, lots="0.01", comment="from #10"),
        Ticket(12, "-3.00"),
        opening="50.00",
    )
    assert import_statement(server_code="live", data=data, file_name="s.htm", actor=SYSTEM).matches_statement


def found() -> dict[str, list[dict[str, object]]]:
    """The rows of the checks that do not hold."""
    return {check["name"]: check["rows"] for check in verify_books(CHECKS)["checks"] if not check["ok"]}


def rebuild() -> IngestBatch:
    return rebuild_projections(server_id=TradingServer.objects.get().pk, actor=SYSTEM)


def test_right_books_pass_and_a_rebuild_leaves_them_alone() -> None:
    before = state_of_books()

    assert found() == {}
    assert rebuild().pk is None
    assert state_of_books() == before


def test_an_altered_trade_is_named_and_put_right() -> None:
    before = state_of_books()
    Trade.objects.filter(ticket=12).update(profit=Decimal("3.00"))

    (row,) = found()["platform.trades_equal_deals"]
    assert (row["server"], row["ticket"], row["leg"], row["problem"]) == ("live", 12, 1, "differs")
    assert (row["profit"], row["profit_of_deal"]) == ("3.00000000", "-3.00000000")

    batch = rebuild()
    assert (batch.changed_trades, batch.changed_positions, batch.changed_operations) == (1, 0, 0)
    assert Trade.objects.get(ticket=12).batch == batch
    assert state_of_books() == before
    assert found() == {}


def test_lost_rows_are_named_and_come_back() -> None:
    before = state_of_books()
    Trade.objects.filter(ticket=10).delete()
    Position.objects.all().delete()
    BalanceOperation.objects.all().delete()

    rows = found()
    assert [row["problem"] for row in rows["platform.trades_equal_deals"]] == ["missing"]
    assert [row["position_ticket"] for row in rows["platform.positions_equal_deals"]] == [10]
    assert [row["problem"] for row in rows["platform.operations_equal_deals"]] == ["missing", "opening"]
    assert rows["platform.statements_balance"][0]["balance_of_books"] == "1005.00000000"

    rebuild()
    assert state_of_books() == before
    assert found() == {}


def test_invented_rows_are_named_and_count_as_nothing_afterwards() -> None:
    trade = Trade.objects.get(ticket=12)
    trade.pk, trade.ticket = None, 99
    trade.save(force_insert=True)
    position = Position.objects.get()
    position.pk, position.position_ticket = None, 98
    position.save(force_insert=True)

    rows = found()
    assert [(row["ticket"], row["problem"]) for row in rows["platform.trades_equal_deals"]] == [(99, "no deal")]
    assert [(row["position_ticket"], row["problem"]) for row in rows["platform.positions_equal_deals"]] == [
        (98, "not open")
    ]

    rebuild()
    assert Trade.objects.get(ticket=99).is_cancelled
    assert not Position.objects.filter(position_ticket=98).exists()
    assert found() == {}


def test_an_invented_row_does_not_stand_in_the_way_of_its_real_deal() -> None:
    trade = Trade.objects.get(ticket=12)
    trade.pk, trade.ticket, trade.profit = None, 13, Decimal(99)
    trade.save(force_insert=True)

    data = statement_of(Ticket(13, "7.00"), deposit="0.00", opening="1055.00", printed="2024 March 8, 10:00")
    import_statement(server_code="live", data=data, file_name="t.htm", actor=SYSTEM)

    assert Trade.objects.get(ticket=13).profit == Decimal(7)
    assert "platform.trades_equal_deals" not in found()


def test_a_statement_that_the_books_do_not_give_is_named() -> None:
    StatementImport.objects.update(stated_balance=Decimal("1055.01"))

    (row,) = found()["platform.statements_balance"]
    assert (row["account"], row["file_name"]) == ("1001", "s.htm")
    assert (row["stated_balance"], row["balance_of_books"]) == ("1055.01000000", "1055.00000000")


def test_the_command_says_what_was_wrong() -> None:
    Trade.objects.filter(ticket=12).update(profit=0)
    out = StringIO()

    call_command("rebuild_projections", server="live", stdout=out)

    assert out.getvalue() == "live: 1 trades, 0 positions and 0 balance operations put right\n"


def test_rebuilding_needs_the_capability() -> None:
    with pytest.raises(Denied):
        rebuild_projections(
            server_id=TradingServer.objects.get().pk,
            actor=Actor(label="x", user_id=5, roles=frozenset({Role.SALES.value})),
        )
