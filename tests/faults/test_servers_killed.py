"""PostgreSQL and Valkey die under the work, and real workers that were left running take it up again by themselves."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from django.db import connection

from backoffice.core.models import Job, OutboxEvent
from ib.models import CommissionLine, SettlementBatch
from tests.faults.harness import (
    SitePrograms,
    eventually,
    free_leases,
    start_child,
    wait_for_child,
    work_until_idle,
)
from tests.faults.world import FaultWorld, assert_books_hold, assert_paid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

RECOVERY_SECONDS = 15.0
"""On a quiet machine it is one or two; the bound leaves room for a test machine that does much else."""


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_a_server_that_dies_in_the_middle_of_a_settlement_recovers_in_seconds_with_books_that_prove(
    own_database: SimpleNamespace, number: signal.Signals
) -> None:
    # Given a worker in the middle of writing lines
    world = FaultWorld()
    deals = world.deals(per_day=20)
    world.feed(deals)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;"
            "CREATE TRIGGER linger AFTER INSERT ON ib_commissionline FOR EACH STATEMENT EXECUTE FUNCTION linger()"
        )
    worker = start_child(work_until_idle)
    eventually(
        lambda: own_database.servers.execute(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", own_database.name
        )
    )
    # When the server is killed
    connection.close()
    own_database.servers.end_postgres(number)
    # Then the worker ends with an error and not with a wrong idea of what happened; the server is back in seconds
    assert wait_for_child(worker) == 1
    recovery = own_database.servers.start_postgres()
    print(f"recovered in {recovery:.2f} s")
    assert recovery < RECOVERY_SECONDS
    assert not CommissionLine.objects.exists()
    assert not SettlementBatch.objects.exists()
    assert_books_hold()
    # And the work is done by whoever comes next
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER linger ON ib_commissionline")
    free_leases()
    work_until_idle()
    assert_paid(world, trades=len(deals) // 2)


@pytest.fixture
def site(own_database: SimpleNamespace, tmp_path: Path) -> Iterator[SitePrograms]:
    """A Celery worker and beat on the servers that may be killed, as they run in production."""
    programs = SitePrograms(database=own_database.url, redis=own_database.servers.redis_url, logs=tmp_path)
    programs.start("worker", "-m", "celery", "-A", "backoffice", "worker", "--concurrency=1", "--loglevel=INFO")
    programs.start("beat", "-m", "celery", "-A", "backoffice", "beat", "--loglevel=INFO")
    yield programs
    programs.end()


def all_is_done() -> bool:
    """Whether every event is delivered and every job done."""
    waiting = OutboxEvent.objects.filter(delivered_at__isnull=True).exists()
    return not waiting and not Job.objects.exclude(state=Job.State.DONE).exists()


def test_running_workers_survive_the_loss_of_the_queue_and_of_the_database(
    own_database: SimpleNamespace, site: SitePrograms
) -> None:
    servers = own_database.servers
    queue = redis.Redis.from_url(servers.redis_url)
    world = FaultWorld()
    trades = 0
    timings: dict[str, float] = {}

    def paid(name: str) -> None:
        """Some more deals come in; running workers settle them without anybody's help."""
        nonlocal trades
        world.feed(world.deals(per_day=1, first=1 + 2 * trades))
        trades += 4
        timings[name] = eventually(lambda: all_is_done() and CommissionLine.objects.count() == 2 * trades)

    try:
        paid("start")
        # When everything in the queue is forgotten, then tasks are derived anew from PostgreSQL
        queue.flushall()
        paid("FLUSHALL")
        # When Valkey holds everybody up for a second
        queue.execute_command("CLIENT", "PAUSE", "1000", "ALL")
        paid("CLIENT PAUSE")
        # When Valkey is killed and comes back, with work that arrived while it was away
        servers.kill_valkey()
        world.feed(world.deals(per_day=1, first=1 + 2 * trades))
        trades += 4
        servers.start_valkey()
        paid("valkey killed")
        # When PostgreSQL is killed and comes back, then workers connect again
        connection.close()
        servers.end_postgres(signal.SIGKILL)
        time.sleep(0.5)
        assert servers.start_postgres() < RECOVERY_SECONDS
        free_leases()
        paid("postgres killed")
    except AssertionError:
        print(site.log("worker")[-6000:], site.log("beat")[-3000:])
        raise
    finally:
        print({name: round(seconds, 2) for name, seconds in timings.items()})
    assert_paid(world, trades=trades)


def test_two_beats_and_a_task_that_is_delivered_twice_do_the_work_once(
    own_database: SimpleNamespace, site: SitePrograms
) -> None:
    """Beat only asks whether anything is due; two of them, and the same question twice, start nothing twice."""
    site.start("beat2", "-m", "celery", "-A", "backoffice", "beat", "--loglevel=INFO")
    world = FaultWorld()
    world.feed(world.deals(per_day=3))
    eventually(lambda: all_is_done() and CommissionLine.objects.count() == 24)
    assert_paid(world, trades=12)
    assert SettlementBatch.objects.filter(purpose="ingest").count() == 1
    assert Job.objects.get(kind="ib.settle_batch").attempts == 1
