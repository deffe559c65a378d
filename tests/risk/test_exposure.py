"""Exposure from real positions: one snapshot, stored, proved, and seen only by whom it concerns."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.schedule import beat_schedule
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Denied, NotFound
from platform_ops.models import FxReferenceRate, Position, Quote
from risk import selectors
from risk.models import ExposureRow, ExposureRun
from risk.services import exposure as service
from risk.services.exposure import calculate_exposure, recalculate_where_changed
from risk.tasks import recalculate_exposure
from risk.types import SymbolPrice
from tests.risk import world

pytestmark = pytest.mark.django_db
D = Decimal
SYSTEM = Actor.system("test")
CHECK = "risk.exposure_equals_positions"


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(world.NOW, tick=False)
    return time_machine


@pytest.fixture
def broker():
    """Two accounts, one in each book: 2 lots EURUSD long in B, 0.5 short in A, 1 lot XAUUSD long in B; base USD."""
    entity = world.make_entity()
    server = world.make_server(entity)
    eurusd = world.make_symbol("EURUSD", "EUR", "USD")
    xauusd = world.make_symbol("XAUUSD", "XAU", "USD", contract_size="100", mode="cfd", digits=2, asset_class="metal")
    world.quote(eurusd, "1.1000", "1.1002")
    world.quote(xauusd, "2400.00", "2400.50", at=world.NOW - timedelta(seconds=30))
    world.rate("USD", "1.12")
    a_book, b_book = world.make_account(server, book="A"), world.make_account(server, book="B")
    eur = world.named(server, eurusd, "EURUSD.m")
    world.open_position(b_book, eur, 1, "1.5", "1.0900")
    world.open_position(b_book, eur, 1, "0.5", "1.1100")
    world.open_position(a_book, eur, -1, "0.5", "1.1050")
    world.open_position(b_book, world.named(server, xauusd, "XAUUSD#"), 1, "1", "2390")
    return entity


def rows_of(run: ExposureRun, axis: str = "symbol", book: str = "") -> dict[str, ExposureRow]:
    return {row.key: row for row in run.rows.filter(axis=axis, book=book)}


def test_exposure_is_summed_priced_and_stored(broker):
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert (run.positions, run.unmapped_positions, run.unpriced_symbols) == (4, 0, [])
    assert run.report_currency == "USD"
    assert run.prices_as_of == world.NOW - timedelta(seconds=30)
    euro = rows_of(run)["EURUSD"]
    assert (euro.long_lots, euro.short_lots, euro.net_lots) == (D(2), D("0.5"), D("1.5"))
    assert euro.net_units == D(150_000)
    assert (euro.average_price_long, euro.average_price_short) == (D("1.0950"), D("1.1050"))
    assert euro.price == D("1.1001")
    assert euro.notional == D("165015.00")
    # Longs: (1.1000 − 1.0950) × 200,000 = 1,000; shorts: (1.1050 − 1.1002) × 50,000 = 240.
    assert euro.floating == D("1240.00")
    currencies = rows_of(run, "currency")
    assert currencies["EUR"].notional == D("168000.00")  # 150,000 at the reference rate of 1.12
    assert currencies["XAU"].notional == D("240025.00")
    assert currencies["USD"].net_units == D("-405040")  # −165,015 − 240,025


def test_each_book_stands_on_its_own_and_books_add_up(broker):
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert rows_of(run, book="A")["EURUSD"].net_lots == D("-0.5")
    assert rows_of(run, book="B")["EURUSD"].net_lots == D(2)
    assert set(rows_of(run, book="A")) == {"EURUSD"}
    for key, row in rows_of(run).items():
        parts = [rows_of(run, book=book).get(key) for book in ("A", "B")]
        assert row.net_lots == sum(part.net_lots for part in parts if part)
        assert row.notional == sum(part.notional for part in parts if part)


def test_an_account_without_a_book_is_shown_as_such(broker):
    # given
    account = world.make_account(broker.trading_servers.get())
    world.open_position(account, account.server.symbols.get(name="EURUSD.m"), 1, "1", "1.1")
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert rows_of(run, book="none")["EURUSD"].net_lots == D(1)


def test_a_book_counts_while_it_is_valid(broker, frozen):
    # given: the A account moves to B in an hour
    account = Position.objects.get(side=-1).account
    change = world.NOW + timedelta(hours=1)
    account.dimensions.update(validity=(world.LONG_AGO, change))
    world.put_into_book(account, "B", change)
    # when
    frozen.move_to(change, tick=False)
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert rows_of(run, book="A") == {}
    assert rows_of(run, book="B")["EURUSD"].net_lots == D("1.5")


def test_demo_accounts_and_other_entities_do_not_count(broker):
    # given
    server = broker.trading_servers.get()
    demo = world.make_account(server, is_demo=True)
    world.open_position(demo, server.symbols.get(name="EURUSD.m"), 1, "100", "1.1")
    other = world.make_entity("beta", "EUR")
    world.open_position(
        world.make_account(world.make_server(other)), world.named(other.trading_servers.get(), None, "X"), 1, "7", "1"
    )
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert run.positions == 4
    assert rows_of(run)["EURUSD"].long_lots == D(2)


def test_what_has_no_symbol_no_price_or_no_terms_is_named_and_counted(broker):
    # given
    server = broker.trading_servers.get()
    account = world.make_account(server, book="B")
    world.open_position(account, world.named(server, None, "DOGE.x"), 1, "3", "0.1")
    world.open_position(account, world.named(server, None, "DOGE.x"), -1, "1", "0.1")
    world.open_position(account, world.named(server, world.make_symbol("GBPUSD", "GBP", "USD")), 1, "1", "1.3")
    bare = world.make_symbol("USDSEK", "USD", "SEK", contract_size=None)
    world.quote(bare, "9.5")
    world.open_position(account, world.named(server, bare), 1, "1", "9.4")
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert (run.positions, run.unmapped_positions) == (8, 2)
    assert run.unmapped_symbols == [{"server": "alpha-mt5", "name": "DOGE.x", "positions": 2, "lots": "4"}]
    assert run.unpriced_symbols == [
        {"symbol": "GBPUSD", "reason": "no price", "positions": 1},
        {"symbol": "USDSEK", "reason": "no specification", "positions": 1},
    ]
    pound = rows_of(run)["GBPUSD"]
    assert (pound.net_lots, pound.notional, pound.floating) == (D(1), None, None)
    assert "GBP" not in rows_of(run, "currency")


def test_two_server_names_of_one_symbol_are_one_row(broker):
    # given
    server = broker.trading_servers.get()
    same = world.named(server, server.symbols.get(name="EURUSD.m").symbol, "EURUSD.raw")
    world.open_position(world.make_account(server, book="B"), same, 1, "1", "1.1000")
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert rows_of(run)["EURUSD"].long_lots == D(3)


def test_given_prices_replace_the_quotes_wholly_and_are_not_what_the_desk_shows(broker):
    # given
    shown = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # when
    answer = calculate_exposure(entity_id=broker.pk, actor=SYSTEM, prices={"EURUSD": SymbolPrice(D("1.2"), D("1.2"))})
    # then
    assert rows_of(answer)["EURUSD"].notional == D("180000.00")
    assert answer.unpriced_symbols == [{"symbol": "XAUUSD", "reason": "no price", "positions": 1}]
    assert selectors.latest_run(actor=SYSTEM).pk == shown.pk


def test_no_position_is_an_empty_run(broker):
    # given
    Position.objects.all().delete()
    # when
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # then
    assert (run.positions, run.rows.count(), run.prices_as_of) == (0, 0, None)


def test_only_dealing_and_administrators_of_the_entity_calculate(broker):
    # given
    other = world.make_entity("beta")
    # then
    with pytest.raises(Denied):
        calculate_exposure(entity_id=broker.pk, actor=world.dealer(broker, Role.SALES.value))
    with pytest.raises(Denied):
        calculate_exposure(entity_id=broker.pk, actor=world.dealer(broker, Role.AUDITOR.value))
    with pytest.raises(NotFound):
        calculate_exposure(entity_id=broker.pk, actor=world.dealer(other))
    assert not ExposureRun.objects.exists()
    assert calculate_exposure(entity_id=broker.pk, actor=world.dealer(broker)).positions == 4


def test_exposure_is_read_only_of_ones_own_entities(broker):
    # given
    calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    other = world.make_entity("beta")
    # then
    assert selectors.latest_exposure(actor=world.dealer(broker)).open_positions == 4
    assert selectors.latest_exposure(actor=world.dealer(broker, Role.AUDITOR.value)) is not None
    assert selectors.latest_exposure(actor=world.dealer(other)) is None
    assert selectors.latest_exposure(actor=world.dealer(other), entity_id=broker.pk) is None
    with pytest.raises(Denied):
        selectors.latest_exposure(actor=world.dealer(broker, Role.SALES.value))


def test_the_books_prove_exposure_and_name_an_altered_row(broker):
    # given
    run = calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    assert verify_books([CHECK])["ok"]
    # when
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE risk_exposurerow SET notional = notional + 1 WHERE run_id = %s AND key = 'XAU'", [run.pk]
        )
        cursor.execute("DELETE FROM risk_exposurerow WHERE run_id = %s AND book = 'A' AND key = 'EURUSD'", [run.pk])
    report = verify_books([CHECK])
    # then
    assert not report["ok"]
    found = {(row["book"], row["key"]): row for row in report["checks"][0]["rows"]}
    assert found["", "XAU"]["notional"] == "240026.00000000, should be 240025.00"
    assert found["A", "EURUSD"]["row"] == "missing"


def test_after_a_change_of_positions_there_is_nothing_to_compare_until_the_next_run(broker):
    # given
    calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # when
    Position.objects.filter(side=-1).delete()
    # then
    assert verify_books([CHECK])["ok"]
    calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    assert verify_books([CHECK])["ok"]


def test_prices_and_rates_of_the_run_are_proved_not_those_of_today(broker):
    # given
    calculate_exposure(entity_id=broker.pk, actor=SYSTEM)
    # when
    Quote.objects.update(bid=D("5"), ask=D("6"))
    world.rate("USD", "2", world.NOW.date())
    # then
    assert verify_books([CHECK])["ok"]


def test_recalculates_only_where_something_moved(broker, frozen):
    # given
    assert recalculate_where_changed(actor=SYSTEM) == 1
    frozen.move_to(world.NOW + timedelta(seconds=5), tick=False)
    # then: nothing moved
    assert recalculate_where_changed(actor=SYSTEM) == 0
    # when a quote moves
    world.quote(Quote.objects.first().symbol, "1.2", at=world.NOW + timedelta(seconds=6))
    frozen.move_to(world.NOW + timedelta(seconds=10), tick=False)
    assert recalculate_where_changed(actor=SYSTEM) == 1
    # when a batch comes in
    account = Position.objects.first().account
    world.open_position(
        account, account.server.symbols.get(name="EURUSD.m"), 1, "1", "1.1", at=world.NOW + timedelta(seconds=11)
    )
    frozen.move_to(world.NOW + timedelta(seconds=15), tick=False)
    assert recalculate_where_changed(actor=SYSTEM) == 1
    assert recalculate_where_changed(actor=SYSTEM) == 0
    # when a minute has passed
    frozen.move_to(world.NOW + timedelta(seconds=80), tick=False)
    assert recalculate_where_changed(actor=SYSTEM) == 1


def test_an_entity_without_any_batch_is_not_calculated():
    world.make_entity()
    assert recalculate_where_changed(actor=SYSTEM) == 0


def test_runs_are_kept_up_to_the_bound(broker, monkeypatch):
    # given
    monkeypatch.setattr(service, "KEPT_RUNS", 3)
    # when
    runs = [calculate_exposure(entity_id=broker.pk, actor=SYSTEM) for _ in range(5)]
    # then
    assert list(ExposureRun.objects.values_list("pk", flat=True)) == [run.pk for run in reversed(runs[2:])]
    assert set(ExposureRow.objects.values_list("run_id", flat=True)) == {run.pk for run in runs[2:]}


def test_positions_are_read_by_one_statement(broker, django_assert_num_queries):
    with django_assert_num_queries(1):
        selectors.open_book(entity_ids=[broker.pk], at=world.NOW)


def test_reference_rates_equal_the_function_in_the_database(broker):
    # given
    world.rate("JPY", "163.27")
    world.rate("GBP", "0.8338", world.NOW.date() - timedelta(days=10))
    world.rate("USD", "1.09", world.NOW.date() - timedelta(days=10))
    world.rate("SEK", "11.2", world.NOW.date() - timedelta(days=11))
    # when
    rates = selectors.report_rates(
        currencies=["JPY", "GBP", "EUR", "USD", "SEK", "US500"], report_currency="USD", on=world.NOW.date()
    )
    # then
    assert sorted(rates) == ["EUR", "GBP", "JPY", "USD"]
    assert rates["GBP"].fixed_on == world.NOW.date() - timedelta(days=10)
    with connection.cursor() as cursor:
        for code, found in rates.items():
            cursor.execute("SELECT fx_cross(%s, %s, 'USD')", [world.NOW.date(), code])
            assert cursor.fetchone()[0] == found.rate


def test_the_houses_own_fixing_fills_in_and_is_named(broker):
    # given: the central bank ended yesterday, the house fixed today
    FxReferenceRate.objects.create(date=world.NOW.date(), currency="USD", per_euro=D("1.25"), source="HOUSE")
    # when
    found = selectors.report_rates(currencies=["EUR"], report_currency="USD", on=world.NOW.date())["EUR"]
    # then
    assert (found.rate, found.fixed_on, found.source) == (D("1.25"), world.NOW.date(), "HOUSE")


def command(*arguments: str) -> dict:
    out, errors = io.StringIO(), io.StringIO()
    call_command("exposure", *arguments, stdout=out, stderr=errors)
    return json.loads(out.getvalue())


def test_the_command_prints_one_json_object(broker, tmp_path):
    # given
    prices = tmp_path / "prices.json"
    prices.write_text('{"EURUSD": 1.2, "XAUUSD": {"bid": "2500", "ask": 2501}}')
    # when
    document = command("--json", "--prices", str(prices), "--book", "B")
    # then
    assert document["report_currency"] == "USD"
    assert (document["unpriced"], document["unmapped"]) == ([], {"positions": 0, "symbols": []})
    found = {row["symbol"]: row for row in document["symbols"]}
    assert found["EURUSD"]["net_lots"] == "2"
    assert found["EURUSD"]["notional"] == "240000.00"
    assert found["EURUSD"]["floating"] == "21000.00"
    assert found["XAUUSD"]["price"] == "2500.5"
    assert {row["currency"] for row in document["currencies"]} == {"EUR", "USD", "XAU"}
    assert document["price_source"] == "given"


def test_the_command_puts_entities_together(broker):
    # given: a second entity, in euro, one lot long
    other = world.make_entity("beta", "EUR")
    server = world.make_server(other)
    symbol = broker.trading_servers.get().symbols.get(name="EURUSD.m").symbol
    world.open_position(world.make_account(server), world.named(server, symbol), 1, "1", "1.10")
    # when
    together, alone = command("--json"), command("--json", "--entity", "beta")
    # then
    assert (together["report_currency"], together["entities"]) == ("EUR", ["alpha", "beta"])
    assert {row["symbol"]: row["net_lots"] for row in together["symbols"]}["EURUSD"] == "2.5"
    assert [row["net_lots"] for row in alone["symbols"]] == ["1"]


def test_the_command_refuses_what_it_cannot_read(broker, tmp_path):
    broken = tmp_path / "prices.json"
    broken.write_text('{"EURUSD": "abc"}')
    for arguments in (["--entity", "nobody"], ["--prices", "no-such-file"], ["--prices", str(broken)]):
        with pytest.raises(CommandError):
            command("--json", *arguments)
    assert not ExposureRun.objects.exists()


def test_the_command_prints_a_table_too(broker):
    out = io.StringIO()
    call_command("exposure", stdout=out, stderr=io.StringIO())
    assert "EURUSD" in out.getvalue()


def test_the_scheduled_task_calculates(broker):
    assert beat_schedule()["risk.exposure"]["task"] == recalculate_exposure.name
    recalculate_exposure()
    assert ExposureRun.objects.get().entity == broker
