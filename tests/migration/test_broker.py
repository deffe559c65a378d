"""The whole broker out of one database and into another: equal to the cent and the line, proved by SQL of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.models import Team, TeamMembership
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied
from backoffice.migration.example import EXAMPLE
from backoffice.migration.services.broker_export import export_broker
from backoffice.migration.services.running import migrate_in
from backoffice.migration.tables import LEFT_BEHIND, loaded_tables, scope_of, tables
from crm.services.clients import grant_client_exception, write_fact
from funding.ledger.models import LedgerAccount
from funding.ledger.services import holds
from funding.ledger.services.accounts import freeze_account, get_account
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry, reverse_entry
from funding.ledger.services.periods import close_day
from funding.services.trading_results import post_trading_results
from ib.services.settlement import settle_ingest_batch, settle_range
from platform_ops.models import FxReferenceRate, IngestBatch, Trade, TradingServer
from platform_ops.services.ingest import IngestRecord, ingest_records
from tests.factories.platform import staff
from tests.faults.harness import connected_to, run_child
from tests.logins import make_user
from tests.migration.packages import SYSTEM, Contents, bring_in, example, house, rewrite, write

pytestmark = pytest.mark.django_db(transaction=True)

DAYS = [date(2026, 6, day) for day in (3, 4, 5)]
AS_OF = datetime.fromisoformat("2026-06-05T20:00:00+00:00")

# What a broker is: read from both databases by these texts alone, which share nothing with the room.
EQUAL = {
    "ledger": """SELECT a.id, a.kind, a.currency, a.owner_type, a.owner_id, a.is_frozen, b.balance, b.held, b.debits, b.credits
        FROM ledger_ledgeraccount a JOIN ledger_accountbalance b ON b.account_id = a.id ORDER BY a.id""",
    "postings": "SELECT entry_id, account_id, side, amount, currency FROM ledger_posting ORDER BY id",
    "entries": """SELECT id, idempotency_key, input_hash::text, business_day, reverses_id, source_type, source_id
        FROM ledger_journalentry ORDER BY id""",
    "lines": """SELECT partner_id, trade_id, seq, day, rule_id, card_entry_id, rate, fx_rate, target, amount,
        currency, booked_day, batch_id FROM ib_commissionline ORDER BY 1, 2, 3, 4""",
    "deals": "SELECT id, server_id, ticket, leg, revision, account_id, batch_id, profit FROM platform_ops_deal ORDER BY id",
    "trades": "SELECT id, ticket, account_id, profit, swap, business_day, is_cancelled FROM platform_ops_trade ORDER BY id",
    "exposure": """SELECT s.name, p.side, sum(p.volume_lots), sum(p.volume_lots * p.open_price)
        FROM platform_ops_position p JOIN platform_ops_serversymbol s ON s.id = p.server_symbol_id GROUP BY 1, 2 ORDER BY 1, 2""",
    "results": "SELECT account_id, business_day, component, book, seq, amount FROM funding_tradingresultline ORDER BY id",
    "tree": "SELECT child_id, parent_id, validity::text FROM ib_partneredge ORDER BY id",
    "people": "SELECT id, email, roles::text FROM core_user ORDER BY id",
    "exceptions": "SELECT user_id, content_object_id FROM crm_clientuserobjectpermission ORDER BY id",
    "facts": "SELECT client_id, fact, value::text FROM crm_clientfact ORDER BY id",
    "closed": "SELECT entity_id, business_day FROM ledger_closedday ORDER BY id",
    "keys": "SELECT content, external_id, object_id FROM migration_migrationkey ORDER BY id",
    "numbers": "SELECT last_value FROM crm_client_reference UNION ALL SELECT last_value FROM ib_partner_reference",
}


def read(database: str) -> dict[str, list[tuple]]:
    """What the texts above find in a database."""
    with (
        psycopg2.connect(**{**connection.get_connection_params(), "dbname": database, "cursor_factory": None}) as other,
        other.cursor() as cursor,
    ):
        found = {}
        for name, query in EQUAL.items():
            cursor.execute(query)
            found[name] = cursor.fetchall()
    return found


@pytest.fixture
def scratch() -> Iterator[str]:
    """A second database with the tables and nothing in them: a copy of the test's own before it is filled."""
    own = connection.settings_dict["NAME"]
    name = f"{own}_scratch"
    command(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE "{own}"')
    yield name
    command(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def command(*statements: str) -> None:
    """Statements about databases, from outside of them."""
    connection.close()
    other = psycopg2.connect(**{**connection.get_connection_params(), "dbname": "postgres", "cursor_factory": None})
    other.autocommit = True
    with other.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    other.close()


def manage(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the product in a process of its own, on a database of that name."""
    given = connection.settings_dict
    url = f"postgresql://{given['USER']}@/{database}?host={given['HOST']}"
    url = url.replace("@/", f"@{given['HOST']}:{given['PORT']}/") if given["PORT"] else url
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "backoffice.settings.test"},
        cwd=Path(settings.BASE_DIR),
        timeout=180,
        check=False,
        capture_output=True,
        text=True,
    )


def manage_here(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As `manage`, in a fork of this process, which need not start Django anew."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as output:

        def run() -> None:
            with connected_to(NAME=database), redirect_stdout(output), redirect_stderr(output):
                ContentType.objects.clear_cache()
                try:
                    call_command(*arguments)
                finally:
                    output.flush()

        status = run_child(run)
        return subprocess.CompletedProcess(arguments, status, Path(output.name).read_text("utf-8"), "")


def contents_of(prefix: str) -> Contents:
    """The example under other codes, so that two legal entities can take it over."""
    text = json.dumps(EXAMPLE)
    for name in ("OLD-MT5", "rebate"):
        text = text.replace(f'"{name}"', f'"{prefix}{name}"')
    return json.loads(text)


def lively_broker(folder: Path) -> None:
    """Two legal entities that were taken over, traded, settled, corrected, closed a day; holds, a reversal, a freeze."""
    for name, prefix in (("newhouse", ""), ("island", "I-")):
        house(name)
        assert bring_in(write(folder / name, contents_of(prefix), entity=name)).problems == []
    for day in DAYS:
        FxReferenceRate.objects.create(date=day, currency="USD", per_euro=Decimal("1.25"))
    for server in TradingServer.objects.order_by("pk"):
        trade(server)
    for batch in IngestBatch.objects.filter(changed_trades__gt=0).order_by("pk"):
        settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    server = TradingServer.objects.get(code="OLD-MT5")
    ingest_records(
        server_id=server.pk,
        source="correction",
        as_of=AS_OF + timedelta(minutes=1),
        records=[record(server, 9102, entry=1, position=9101, profit="75.00", lots="1.5", minutes=60)],
    )
    settle_range(from_day=DAYS[0], to_day=DAYS[-1], actor=SYSTEM)
    for server in TradingServer.objects.order_by("pk"):
        post_trading_results(business_day=DAYS[-1], server_id=server.pk, actor=SYSTEM)
    move_money(server.entity_id)


def record(server: TradingServer, ticket: int, *, entry: int, position: int, **more: str | int) -> IngestRecord:
    """A deal in gold."""
    at = datetime.fromisoformat("2026-06-05T10:00:00+00:00") + timedelta(minutes=int(more.get("minutes", 0)))
    return IngestRecord(
        ticket=ticket,
        kind=0 if entry == 0 else 1,
        entry=entry,
        at=at,
        login="500101",
        currency="USD",
        position_ticket=position,
        order_ticket=ticket,
        symbol="XAUUSD.m",
        volume_lots=Decimal(str(more.get("lots", "2"))),
        price=Decimal("2400.10"),
        profit=Decimal(str(more.get("profit", "0"))),
        commission=Decimal("-3.10") if entry == 0 else Decimal(0),
    )


def trade(server: TradingServer) -> None:
    """A position that is half closed."""
    records = [
        record(server, 9101, entry=0, position=9101),
        record(server, 9102, entry=1, position=9101, profit="80.00", lots="1", minutes=60),
    ]
    ingest_records(server_id=server.pk, source="feed", records=records, as_of=AS_OF)


def move_money(entity_id: int) -> None:
    """Holds in every state, a reversed entry, a frozen account, closed books, a fact, a team, a named exception."""
    wallet = LedgerAccount.objects.get(kind="client_wallet", entity_id=entity_id)
    bank = get_account(entity_id=entity_id, kind="bank", currency="EUR")
    for number in range(3):
        holds.place_hold(
            account_id=wallet.pk, amount=Decimal("40"), reason="withdrawal", idempotency_key=f"hold {number}",
        ) if number == 2 else end_hold(wallet.pk, number)  # fmt: skip
    entry = post_entry(
        draft=EntryDraft(
            entity_id, "adjustment", DAYS[-1], "a mistake",
            (PostingLine(bank.pk, "D", Decimal("5"), "EUR"), PostingLine(wallet.pk, "C", Decimal("5"), "EUR")), "mistake",
        ),
        actor=SYSTEM,
    )  # fmt: skip
    reverse_entry(entry_id=entry.pk, actor=SYSTEM, reason="It was one.", business_day=DAYS[-1])
    frozen = LedgerAccount.objects.filter(kind="partner_accrued", entity_id=entity_id).order_by("pk")[0]
    freeze_account(account_id=frozen.pk, actor=SYSTEM, reason="an inquiry")
    close_day(entity_id=entity_id, business_day=DAYS[-1], actor=SYSTEM)
    entity = apps.get_model("core.LegalEntity").objects.get(pk=entity_id)
    sales = make_user("sales@house.test", Role.SALES, entities=(entity,))
    TeamMembership.objects.create(team=Team.objects.create(entity=entity, name="Retention"), user=sales)
    client = apps.get_model("crm.Client").objects.filter(entity_id=entity_id).order_by("pk")[0]
    grant_client_exception(client_id=client.pk, user_id=sales.pk, actor=SYSTEM, reason="knows them")
    write_fact(client_id=client.pk, fact="equity", value={"USD": "12.30"}, as_of=AS_OF)


def end_hold(account_id: int, number: int) -> None:
    """A hold of nearly everything that was let go again: many of them exceed the balance together."""
    placed = holds.place_hold(
        account_id=account_id, amount=Decimal("70"), reason="withdrawal", idempotency_key=f"hold {number}"
    )
    holds.void_hold(hold_id=placed.pk)


def test_an_export_rebuilds_an_equal_broker(tmp_path: Path, scratch: str) -> None:
    # given
    lively_broker(tmp_path)
    own = connection.settings_dict["NAME"]
    before = read(own)
    assert all(before.values())
    assert verify_books()["ok"]
    # when it is exported twice
    figures = export_broker(folder=tmp_path / "one", actor=SYSTEM)
    export_broker(folder=tmp_path / "two", actor=SYSTEM)
    # then the bytes are the same, the moment in the manifest apart
    for file in sorted((tmp_path / "one").iterdir()):
        if file.name not in ("manifest.json", "core_auditrecord.csv"):
            assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    # when it is tried, and then done, in an empty database
    tried = manage_here(scratch, "migrate_in", str(tmp_path / "one"), "--dry-run", "--json")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert not read(scratch)["ledger"]
    done = manage(scratch, "migrate_in", str(tmp_path / "one"), "--json")
    # then
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["digest"] == figures["digest"]
    assert read(scratch) == before
    # and the engines, asked again, find nothing to book; the proofs hold; a password opens nothing
    code = (
        "from datetime import date; from ib.services.settlement import settle_range;"
        "from ib.services.card import compile_rate_card; from ib.models import RateCardVersion;"
        "from platform_ops.models import TradingServer; from platform_ops.services.rebuilding import rebuild_projections;"
        "from funding.services.trading_results import post_trading_results; from backoffice.core.types import Actor;"
        "from backoffice.core.models import User; a = Actor.system('test');"
        "card = RateCardVersion.objects.get(is_active=True).pk; assert compile_rate_card(actor=a).pk == card;"
        "r = settle_range(from_day=date(2026, 6, 1), to_day=date(2026, 6, 5), actor=a); assert r.lines == 0, r;"
        "p = [post_trading_results(business_day=date(2026, 6, 5), server_id=s.pk, actor=a)"
        " for s in TradingServer.objects.all()]; assert all(x['lines'] == 0 for x in p), p;"
        "b = [rebuild_projections(server_id=s.pk, actor=a).pk for s in TradingServer.objects.all()]; assert b == [None, None], b;"
        "assert not any(u.has_usable_password() for u in User.objects.all())"
    )
    again = manage_here(scratch, "shell", "-c", code)
    assert again.returncode == 0, again.stdout + again.stderr
    assert read(scratch)["lines"] == before["lines"]
    books = manage_here(scratch, "verify_books", "--json")
    assert books.returncode == 0, books.stdout
    # and a second time is refused, changing nothing
    twice = manage_here(scratch, "migrate_in", str(tmp_path / "one"), "--json")
    assert (twice.returncode, json.loads(twice.stdout)["code"]) == (1, "not_empty")


def test_one_legal_entity_is_exported_by_itself_and_nothing_of_the_other_leaks(tmp_path: Path, scratch: str) -> None:
    # given
    lively_broker(tmp_path)
    # when
    export_broker(folder=tmp_path / "one", actor=SYSTEM, entity_code="island")
    # then
    texts = {file.name: file.read_text("utf-8") for file in (tmp_path / "one").iterdir()}
    assert "newhouse" not in "".join(texts.values()).lower()
    assert "sales@house.test" in texts["core_user.csv"]
    done = manage_here(scratch, "migrate_in", str(tmp_path / "one"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = read(scratch), read(connection.settings_dict["NAME"])
    assert 0 < len(ours["ledger"]) < len(theirs["ledger"])
    for name in ("ledger", "lines", "trades", "deals", "results"):
        assert set(ours[name]) <= set(theirs[name])
    assert Trade.objects.count() == 2 * len(ours["trades"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace(b",12500.5", b",12500.6"), "refused_by_the_database"),
        (lambda text: text.replace(b"entry_id", b"colour", 1), "unknown_column"),
    ],
    ids=["altered amount", "other column"],
)
def test_an_export_that_was_altered_is_refused(tmp_path: Path, scratch: str, change: object, code: str) -> None:
    # given
    house()
    bring_in(write(tmp_path / "in", example()))
    export_broker(folder=tmp_path / "one", actor=SYSTEM)
    file = tmp_path / "one" / "ledger_posting.csv"
    altered = change(file.read_bytes())  # type: ignore[operator]
    assert altered != file.read_bytes()
    rewrite(tmp_path / "one", file.name, altered)
    # when
    done = manage_here(scratch, "migrate_in", str(tmp_path / "one"), "--json")
    # then
    assert done.returncode == 1, done.stdout + done.stderr
    assert code in {problem["code"] for problem in json.loads(done.stdout)["problems"]}
    assert not read(scratch)["people"]
    assert not read(scratch)["ledger"]


def test_a_broker_is_rebuilt_in_an_empty_database_only_and_by_command_only(tmp_path: Path) -> None:
    # given
    house()
    export_broker(folder=tmp_path / "one", actor=SYSTEM)
    # when, then
    with pytest.raises(Conflict) as refusal:
        bring_in(tmp_path / "one")
    assert refusal.value.code == "not_empty"
    with pytest.raises(Denied):
        migrate_in(source=tmp_path / "one", actor=staff(Role.ADMINISTRATOR), is_dry_run=True)
    with pytest.raises(Conflict) as refusal:
        export_broker(folder=tmp_path / "one", actor=SYSTEM)
    assert refusal.value.code == "folder_not_empty"
    with pytest.raises(Denied):
        export_broker(folder=tmp_path / "three", actor=staff(Role.FINANCE))


def test_another_version_of_the_tables_is_named(tmp_path: Path, scratch: str) -> None:
    # given
    house()
    export_broker(folder=tmp_path / "one", actor=SYSTEM)
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    manifest["schema"]["ib"] = "0001_initial"
    (tmp_path / "one" / "manifest.json").write_text(json.dumps(manifest))
    # when
    done = manage_here(scratch, "migrate_in", str(tmp_path / "one"), "--json")
    # then
    assert {problem["code"] for problem in json.loads(done.stdout)["problems"]} == {"other_version"}


def test_no_secret_leaves_and_no_table_is_forgotten() -> None:
    # given
    secret = ("password", "secret", "token", "session_key")
    # then: no column that sounds like a secret is written
    suspects = {
        f"{table.name}.{column}"
        for table in tables()
        for column in table.columns
        if any(word in column for word in secret) and not column.endswith("_until")
    }
    assert suspects == set()
    # and every table that is left behind is one, with a reason
    labels = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert set(LEFT_BEHIND) - labels == set()
    assert all(LEFT_BEHIND.values())
    # and nothing that is taken along must have what is left behind
    for table in loaded_tables():
        for part in table.model._meta.concrete_fields:
            if part.is_relation and not part.null and part.column in table.columns:
                assert part.related_model._meta.label not in LEFT_BEHIND, f"{table.label}.{part.name}"


def test_every_table_belongs_to_an_entity_or_to_all() -> None:
    without = {table.name for table in loaded_tables() if scope_of(table.model) is None}
    assert without == set()
