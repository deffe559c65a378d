"""Statement files: what the command prints, repetition, overlap in any order, openings, damage."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection

from backoffice.core.models import AuditRecord, Brand, LegalEntity
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.models import (
    BalanceOperation,
    Deal,
    IngestBatch,
    OpenPositionMark,
    Position,
    StatementImport,
    Trade,
    TradingAccount,
    TradingServer,
)
from platform_ops.services.imports import import_statement
from tests.platform_ops.books import state_of_books
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
SAMPLES: Path = settings.SAMPLE_DATA_DIR
KEYS = [
    "file",
    "format",
    "account",
    "currency",
    "closed_trades",
    "open_positions",
    "cancelled_orders",
    "balance_operations",
    "gross_profit",
    "gross_loss",
    "closed_pl",
    "swap",
    "commission",
    "deposits",
    "withdrawals",
    "balance",
    "equity",
    "new_deals",
    "corrected_deals",
    "unmatched_symbols",
    "matches_statement",
    "differences",
]

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no sample statements in {SAMPLES}")


def run_command(*files: Path | str, server: str = "live", as_json: bool = True) -> tuple[int, Any]:
    """Exit status and what stdout carries."""
    out = StringIO()
    status = 0
    try:
        call_command("import_trades", *map(str, files), server=server, json=as_json, stdout=out, stderr=StringIO())
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, json.loads(out.getvalue()) if as_json else out.getvalue()


def sample(name: str) -> Path:
    return SAMPLES / ("statements_mt5" if name.endswith(".xlsx") else "statements_mt4") / name


def give(data: bytes, *, name: str = "statement.htm", server: str = "live") -> StatementImport:
    return import_statement(server_code=server, data=data, file_name=name, actor=SYSTEM)


def forget_everything() -> None:
    """Back to an empty database, past the triggers that refuse it."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute("TRUNCATE platform_ops_tradingserver, platform_ops_deal, platform_ops_trade CASCADE")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")


def number(text: object) -> Decimal:
    return Decimal(str(text).replace(" ", "")) + 0


def oracle(folder: str) -> dict[str, Any]:
    file = SAMPLES / folder / "oracle.json"
    return json.loads(file.read_text()) if file.is_file() else {}


MT4_ORACLE, MT5_ORACLE = oracle("statements_mt4"), oracle("statements_mt5")
MT5_REPORTS = sorted(name for name, told in MT5_ORACLE.items() if "tail" in told and sample(name).is_file())
MT5_LABELS = {
    "gross_profit": ("Gross Profit", "Beneficio Bruto"),
    "gross_loss": ("Gross Loss", "Pérdidas Brutas"),
    "closed_pl": ("Total Net Profit", "Beneficio Neto"),
    "balance": ("Balance", "Balance"),
    "equity": ("Equity", "Patrimonio"),
    "closed_trades": ("Total Trades", "Total de operaciones ejecutadas"),
}
TY = sorted(name for name in MT4_ORACLE if name.startswith("ty_"))
PETRO = ("petro_20190402_1655_detailed.htm", "petro_20190402_1740_detailed.htm")


@needs_samples
@pytest.mark.sample_data
@pytest.mark.parametrize("name", sorted(MT4_ORACLE))
def test_every_mt4_statement_equals_the_oracle(name: str) -> None:
    status, (report,) = run_command(sample(name))

    told = MT4_ORACLE[name]
    assert status == 0
    assert list(report) == KEYS
    assert (report["matches_statement"], report["differences"]) == (True, [])
    assert report["closed_trades"] == told["n_closed"]
    assert report["open_positions"] == told["n_open"]
    assert report["cancelled_orders"] == told["n_cancelled"]
    assert report["balance_operations"] == told["n_balance"]
    assert number(report["closed_pl"]) == number(told["rows_closed_pl"]) == number(told["summary"]["Closed P/L"])
    assert number(report["gross_profit"]) == number(told["rows_gross_profit"])
    assert number(report["gross_loss"]) == number(told["rows_gross_loss"])
    assert number(report["swap"]) == number(told["swap"])
    assert number(report["commission"]) == number(told["commission"])
    assert number(report["deposits"]) + number(report["withdrawals"]) == number(told["rows_deposits"])
    assert number(report["balance"]) == number(told["summary"]["Balance"])
    assert number(report["equity"]) == number(told["summary"]["Equity"])
    assert report["balance"].partition(".")[2] == ("" if report["currency"] == "JPY" else report["balance"][-2:])
    assert report["new_deals"] == 2 * told["n_closed"] + told["n_open"] + told["n_balance"]
    assert Trade.objects.count() == told["n_closed"]
    assert OpenPositionMark.objects.count() == told["n_open"]


@needs_samples
@pytest.mark.sample_data
@pytest.mark.parametrize("name", MT5_REPORTS)
def test_every_mt5_report_equals_the_oracle(name: str) -> None:
    status, (report,) = run_command(sample(name))

    told, stated = MT5_ORACLE[name], MT5_ORACLE[name]["tail"]
    assert status == 0
    assert (report["matches_statement"], report["differences"]) == (True, [])
    assert report["new_deals"] == told["deals"]
    assert report["closed_trades"] == told["entries"]["out"] == Trade.objects.count()
    assert number(report["balance"]) == number(told["final_running"])
    assert number(report["commission"]) == number(told["deals_sum"][0])
    assert number(report["swap"]) == number(told["deals_sum"][2])
    for figure, (english, spanish) in MT5_LABELS.items():
        assert number(report[figure]) == number(stated.get(english, stated.get(spanish))), figure


@needs_samples
@pytest.mark.sample_data
def test_open_positions_from_deals_are_those_that_the_latest_statement_prints() -> None:
    for name in (*TY, "patrick_20171107_detailed.htm", *MT5_REPORTS):
        give(sample(name).read_bytes(), name=name)

    for account in TradingAccount.objects.all():
        latest = account.imports.order_by("-as_of")[0]
        printed: dict[int, Decimal] = {}
        for mark in latest.marks.all():
            printed[mark.position_ticket] = printed.get(mark.position_ticket, Decimal(0)) + mark.volume_lots
        held = dict(Position.objects.filter(account=account).values_list("position_ticket", "volume_lots"))
        assert held == printed, account


@needs_samples
@pytest.mark.sample_data
def test_snapshots_of_one_account_in_any_order_give_the_same_books() -> None:
    expected = None
    orders = [TY, TY[::-1], *random.Random(20190921).sample(list(itertools.permutations(TY)), 2)]
    for order in orders:
        forget_everything()
        for name in order:
            imported = give(sample(name).read_bytes(), name=name)
            assert imported.matches_statement, (order, name, imported.differences)
            assert imported.corrected_deals == 0
        state = state_of_books()
        expected = expected or state
        assert state == expected, order
    assert {name: len(rows) for name, rows in (expected or {}).items()} == {
        "deals": 3546,
        "trades": 1761,
        "positions": 22,
        "operations": 2,
    }


@needs_samples
@pytest.mark.sample_data
def test_period_statements_replace_each_others_openings_in_any_order() -> None:
    states = []
    for order in (PETRO, PETRO[::-1]):
        forget_everything()
        for name in order:
            assert give(sample(name).read_bytes(), name=name).matches_statement
        opening = BalanceOperation.objects.get(is_opening=True, is_cancelled=False)
        assert (opening.amount, opening.kind) == (Decimal("2533.50"), 2)
        states.append(state_of_books())
    assert states[0] == states[1]
    # The later period came first, so its own opening stood until the earlier file replaced it.
    superseded = BalanceOperation.objects.get(is_opening=True, is_cancelled=True)
    assert superseded.amount == Decimal("2484.53")


@needs_samples
@pytest.mark.sample_data
def test_the_same_file_again_changes_nothing_and_shows_the_same_figures() -> None:
    file = sample(PETRO[0])
    _, (first,) = run_command(file)
    before = state_of_books(), AuditRecord.objects.count(), IngestBatch.objects.count()

    status, (again,) = run_command(file)

    assert status == 0
    assert again == first | {"new_deals": 0, "corrected_deals": 0}
    assert (state_of_books(), AuditRecord.objects.count(), IngestBatch.objects.count()) == before
    assert StatementImport.objects.count() == 1


def test_an_empty_database_gets_a_house_a_server_and_an_unassigned_account() -> None:
    imported = give(statement_of(Ticket(2)))

    server = TradingServer.objects.get()
    assert (server.code, server.platform, server.zone) == ("live", "mt4", "EET_US")
    assert LegalEntity.objects.get() == server.entity
    assert Brand.objects.get().entity == server.entity
    account = TradingAccount.objects.get()
    assert (account.client, account.server, account.name, account.leverage) == (None, server, "Test", 100)
    assert (imported.state, imported.account) == (StatementImport.State.STORED, account)
    assert default_storage.open(imported.stored_path).read() == statement_of(Ticket(2))
    record = AuditRecord.objects.get(action="platform.import_statement")
    assert (record.actor, record.changes["new_deals"]) == ("system:test", 3)


def test_server_local_times_become_utc() -> None:
    give(statement_of(Ticket(2, opened="2024.03.08 10:00:00", closed="2024.03.11 10:00:00")))

    assert Trade.objects.get().opened_at == datetime(2024, 3, 8, 8, 0, tzinfo=UTC)
    # New York went to summer time on the Sunday between, and the server's clock with it.
    assert Trade.objects.get().closed_at == datetime(2024, 3, 11, 7, 0, tzinfo=UTC)


def test_a_partial_close_may_be_told_before_or_after_its_opening() -> None:
    early = statement_of(open_ticket(10, lots="0.05"), printed="2024 March 5, 10:00")
    late = statement_of(
        Ticket(10, "8.00", lots="0.04", comment="to #11"),
        open_ticket(11, lots="0.01", comment="from #10"),
        printed="2024 March 6, 10:00",
    )
    states = []
    for order in ((early, late), (late, early)):
        forget_everything()
        reports = [give(data) for data in order]
        assert [report.matches_statement for report in reports] == [True, True]
        states.append(state_of_books())

    assert states[0] == states[1]
    position = Position.objects.get()
    assert (position.position_ticket, position.volume_lots) == (10, Decimal("0.01"))
    assert (reports[1].new_deals, reports[1].corrected_deals, reports[1].stale_deals) == (0, 0, 1)


def test_the_tail_of_a_chain_joins_its_beginning_when_an_earlier_file_tells_of_it() -> None:
    whole = statement_of(
        Ticket(10, "8.00", lots="0.04", comment="to #11"),
        Ticket(11, "4.00", lots="0.02", comment="from #10"),
        open_ticket(12, lots="0.01", comment="from #11"),
        printed="2024 March 6, 10:00",
    )
    tail = statement_of(
        open_ticket(12, lots="0.01", comment="from #11"), opening="12.00", printed="2024 March 7, 10:00"
    )
    states = []
    for order in ((whole, tail), (tail, whole)):
        forget_everything()
        for data in order:
            assert give(data).matches_statement
        states.append(state_of_books())

    assert states[0] == states[1]
    assert Position.objects.get().position_ticket == 10
    assert set(Trade.objects.values_list("position_ticket", flat=True)) == {10}


def test_a_row_that_changed_and_changed_back_follows_the_latest_file_in_any_order() -> None:
    files = [
        statement_of(Ticket(2, profit), printed=f"2024 March {day}, 10:00")
        for profit, day in (("5.00", 5), ("6.00", 6), ("5.00", 7))
    ]
    for order in itertools.permutations(files):
        forget_everything()
        for data in order:
            assert give(data).matches_statement
        assert Trade.objects.get().profit == Decimal(5), [files.index(data) for data in order]


def test_one_corrected_row_is_one_revision_and_is_reported(tmp_path: Path) -> None:
    first, second = tmp_path / "first.htm", tmp_path / "second.htm"
    first.write_bytes(statement_of(Ticket(2, "5.00"), printed="2024 March 5, 10:00"))
    second.write_bytes(statement_of(Ticket(2, "4.00"), printed="2024 March 6, 10:00"))

    _, (one, two) = run_command(first, second)

    assert (one["new_deals"], one["corrected_deals"]) == (3, 0)
    assert (two["new_deals"], two["corrected_deals"]) == (0, 1)
    assert (one["closed_pl"], two["closed_pl"]) == ("5.00", "4.00")
    assert (one["matches_statement"], two["matches_statement"]) == (True, True)
    assert Trade.objects.get().profit == Decimal(4)


def test_a_damaged_file_is_refused_whole_and_kept_aside(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.htm", tmp_path / "good.htm"
    damaged = statement_of(Ticket(2), Ticket(3, lots="abc"))
    bad.write_bytes(damaged)
    good.write_bytes(statement_of(Ticket(4)))

    status, (refused, stored) = run_command(bad, good)

    assert status == 1
    assert set(refused) == {"file", "error"}
    assert refused["file"] == str(bad)
    assert (refused["error"]["code"], refused["error"]["field"]) == ("invalid_input", "Size")
    assert isinstance(refused["error"]["row"], int)
    assert stored["new_deals"] == 3
    kept = StatementImport.objects.get(state=StatementImport.State.REFUSED)
    assert kept.stored_path.startswith("quarantine/")
    assert default_storage.open(kept.stored_path).read() == damaged
    assert set(Deal.objects.values_list("ticket", flat=True)) == {1, 4}
    assert AuditRecord.objects.filter(action="platform.refuse_statement").count() == 1

    again = give(damaged, name="bad.htm")
    assert again == kept
    assert StatementImport.objects.count() == 2


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_books_nothing(share: float) -> None:
    whole = statement_of(*(Ticket(number) for number in range(10, 40)))

    imported = give(whole[: int(len(whole) * share)])

    assert imported.state == StatementImport.State.REFUSED
    assert not Deal.objects.exists()
    assert not TradingAccount.objects.exists()


def test_a_ticket_of_another_account_refuses_the_file() -> None:
    give(statement_of(Ticket(2), account="1001"))

    imported = give(statement_of(Ticket(2), account="2002"))

    assert imported.state == StatementImport.State.REFUSED
    assert imported.error["code"] == "ticket_of_other_account"
    assert not TradingAccount.objects.filter(login="2002").exists()


def test_an_account_does_not_change_its_currency() -> None:
    give(statement_of(Ticket(2)))

    imported = give(statement_of(Ticket(3)).replace(b"Currency: USD", b"Currency: EUR"))

    assert (imported.state, imported.error["field"]) == (StatementImport.State.REFUSED, "currency")
    assert not Deal.objects.filter(ticket=3).exists()


def test_a_missing_file_is_named_and_the_others_are_stored(tmp_path: Path) -> None:
    good = tmp_path / "good.htm"
    good.write_bytes(statement_of(Ticket(4)))

    status, (missing, stored) = run_command(tmp_path / "nothing.htm", good)

    assert status == 1
    assert missing["error"]["code"] == "unreadable"
    assert stored["matches_statement"] is True


def test_a_statement_that_contradicts_itself_is_stored_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "odd.htm"
    file.write_bytes(statement_of(Ticket(4), stated_closed="6.00"))

    status, (report,) = run_command(file)

    assert status == 0
    assert report["matches_statement"] is False
    assert {"field": "closed_pl", "stated": "6.00", "recomputed": "5.00"} in report["differences"]


def test_missing_history_becomes_one_opening_that_an_earlier_file_replaces() -> None:
    march = statement_of(Ticket(20), deposit="0.00", opening="1010.00", printed="2024 March 30, 10:00")
    whole = statement_of(
        Ticket(10, closed="2024.03.03 12:00:00", opened="2024.03.02 12:00:00"),
        Ticket(11, closed="2024.03.03 13:00:00", opened="2024.03.02 12:00:00"),
        Ticket(20),
        printed="2024 March 20, 10:00",
    )

    give(march)
    opening = BalanceOperation.objects.get()
    assert (opening.amount, opening.is_opening, opening.ticket) == (Decimal(1010), True, None)
    assert opening.at == Trade.objects.get().closed_at

    give(whole)
    opening.refresh_from_db()
    assert opening.is_cancelled
    assert not BalanceOperation.objects.filter(is_opening=True, is_cancelled=False).exists()
    assert opening.batch == IngestBatch.objects.latest("id")


def test_the_table_names_refusals_and_unmatched_symbols(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.htm", tmp_path / "bad.htm"
    good.write_bytes(statement_of(Ticket(4, symbol="WTF.x")))
    bad.write_text("nothing")

    status, text = run_command(good, bad, as_json=False)

    assert status == 1
    assert "good.htm: without a canonical symbol: WTF.x" in text
    assert "bad.htm: refused: The file is not a trading statement" in text


def test_importing_needs_the_capability() -> None:
    trader = Actor(label="t", user_id=7, roles=frozenset({Role.TRADER.value}))

    with pytest.raises(Denied):
        import_statement(server_code="live", data=b"x", file_name="x", actor=trader)
    assert not TradingServer.objects.exists()


def test_a_server_code_is_plain_and_needs_an_owner() -> None:
    with pytest.raises(InvalidInput):
        give(b"x", server="../etc")
    for code in ("one", "two"):
        LegalEntity.objects.create(code=code, name=code, country="CY", base_currency="USD")
    with pytest.raises(Conflict, match="register it first"):
        give(b"x")
