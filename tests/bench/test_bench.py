"""The bench itself: every suite runs at its smallest size, its contenders agree, and the database is left as it was."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from backoffice.core.measuring.bench import Comparison, Contender, Contest, register_suite, run_suite, suite_names
from backoffice.core.measuring.database import bench_entity, own_database
from backoffice.core.models import LegalEntity, User
from backoffice.kernel.errors import Conflict
from platform_ops.models import TradingServer

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = {"job", "ours", "peer", "ratio", "target", "unit", "size", "rounds", "ours_name", "peer_name", "missed"}


def quietly(text: str) -> None:
    """Takes the progress of a suite."""


def tables_with_rows() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'bench')"
        )
        names = [name for (name,) in cursor.fetchall()]
        found = set()
        for name in names:
            cursor.execute(f"SELECT 1 FROM {name} LIMIT 1")
            if cursor.fetchone():
                found.add(name)
    return found


@pytest.mark.parametrize(
    ("suite", "jobs"),
    [
        (
            "settle",
            {
                "settle, 1 process",
                "settle, 2 processes",
                "settle again: 0 lines",
                "prove every line",
                "settle the delta of 1 % corrected trades",
                "settle 100 trades to posted",
                "cost of a trade: a tenth against a hundredth",
                "cost of a trade: all against a tenth",
                "preview the move of a team",
                "move a team: the differences",
                "backfill: a month of history at once",
            },
        ),
        ("ingest", {"ingest: deals only", "ingest: deals, trades, positions", "ingest: all duplicates"}),
        ("exposure", {"exposure of 20,000 positions"}),
        ("swap", {"swap: rollover of every open position", "swap: the same day again"}),
        (
            "ticks",
            {"ticks: filter in bulk", "ticks: filter in bulk, three sources", "ticks: filter tick by tick"},
        ),
        ("streams", {"an announcement to 60 streams"}),
    ],
)
def test_a_suite_runs_its_contenders_agree_and_it_leaves_nothing_behind(suite: str, jobs: set[str]) -> None:
    # Given a database without a broker
    before = tables_with_rows()
    # When the suite runs at its smallest size (it raises when two contenders disagree)
    rows = run_suite(suite, size="smoke", rounds=1, say=quietly)
    # Then every row is complete
    assert {row["job"] for row in rows} == jobs
    for row in rows:
        assert row.keys() >= KEYS
        assert row["ours"] > 0 and row["peer"] > 0 and row["ratio"] > 0
        assert row["size"] == "smoke" and row["rounds"] == 1
    # And the database holds what it held
    assert tables_with_rows() == before


def test_a_database_that_holds_a_broker_is_refused_and_not_touched() -> None:
    broker = LegalEntity.objects.create(code="alpha", name="Alpha", country="CY", base_currency="USD")
    before = tables_with_rows()
    with pytest.raises(Conflict) as refusal:
        run_suite("exposure", size="smoke", rounds=1, say=quietly)
    assert refusal.value.code == "bench_database_in_use"
    assert LegalEntity.objects.get() == broker
    assert tables_with_rows() == before


def test_what_a_killed_bench_left_is_tidied_up_by_the_next() -> None:
    before = tables_with_rows()
    # Given a bench that never came to its end: its memory and its rows are there
    killed = own_database()
    killed.__enter__()
    TradingServer.objects.create(entity=bench_entity(), code="left", name="Left")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE left_behind (number int)")
        cursor.execute("SELECT pg_advisory_unlock_all()")
    # When another bench begins, it finds an empty database, and leaves one
    with own_database():
        assert not TradingServer.objects.exists()
        assert not LegalEntity.objects.exists()
    assert tables_with_rows() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('left_behind'), to_regnamespace('bench')")
        assert cursor.fetchone() == (None, None)


def test_a_person_who_was_there_before_stays() -> None:
    # Given a login that belongs to no broker yet, as on a database that is being set up
    person = User.objects.create_user(email="first@example.com", full_name="The First")
    # When a bench has worked
    with own_database():
        bench_entity()
    # Then the login is still there, and the bench's entity is not
    assert User.objects.get() == person
    assert not LegalEntity.objects.exists()


def _contest_that_disagrees(size: str):  # type: ignore[no-untyped-def]
    def state(total: int):  # type: ignore[no-untyped-def]
        return lambda: {"total": total}

    contenders = [
        Contender("ours", lambda: None, 1, checksums=state(1)),
        Contender("peer", lambda: None, 1, checksums=state(2)),
    ]
    yield Contest("two answers", "units", contenders, [Comparison("two answers", "ours", "peer")])


def test_contenders_that_disagree_have_no_result() -> None:
    if "disagree" not in suite_names():
        register_suite("disagree", "tests.bench.test_bench._contest_that_disagrees")
    with pytest.raises(Conflict) as refusal:
        run_suite("disagree", size="smoke", rounds=1, say=quietly)
    assert refusal.value.code == "bench_checksum"
    assert refusal.value.details["found"] == {"ours": 1, "peer": 2}


def test_the_command_prints_a_table_and_writes_its_rows(tmp_path: Path) -> None:
    out, file = StringIO(), tmp_path / "bench.json"
    call_command("bench", "exposure", size="smoke", rounds=1, json=str(file), stdout=out, stderr=StringIO())
    written = json.loads(file.read_text())
    assert [row["job"] for row in written["rows"]] == ["exposure of 20,000 positions"]
    assert written["machine"]["cores"] >= 1
    assert "exposure of 20,000 positions" in out.getvalue()


def test_the_command_names_the_suites_when_asked_for_another() -> None:
    with pytest.raises(CommandError, match="settle"):
        call_command("bench", "no-such-suite", stdout=StringIO(), stderr=StringIO())
