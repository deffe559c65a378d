"""A whole broker that is brought into an empty database, killed with -9 in the middle: nothing stands, and a repeat does it all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django.db import connection

from backoffice.migration.services.broker_export import export_broker
from backoffice.migration.services.running import migrate_in
from tests.faults.harness import OwnServers, connected_to, database_url, run_child, work_until_idle
from tests.faults.world import FaultWorld, assert_books_hold
from tests.migration.packages import SYSTEM

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

POINTS = ["migration.rebuild.after_ledger", "migration.rebuild.before_commit"]


def test_a_killed_rebuild_leaves_an_empty_database_and_a_repeat_is_equal(
    own_servers: OwnServers, tmp_path: Path
) -> None:
    # Given a broker, taken out, and an empty database
    own_servers.copy_database(database_url(), "rebuilt")
    world = FaultWorld()
    world.feed(world.deals())
    work_until_idle()
    state = world.state()
    export_broker(folder=tmp_path / "broker", actor=SYSTEM)
    with connected_to(HOST=str(own_servers.sockets), PORT="", NAME="rebuilt", USER="backoffice"):
        # When whoever brings it in dies, at each point, then nothing of it stands
        for point in POINTS:
            assert run_child(lambda: bring_in(tmp_path / "broker"), crash_at=point) == -signal.SIGKILL
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM ledger_journalentry")
                assert cursor.fetchone() == (0,)
        # And the next one brings in everything
        bring_in(tmp_path / "broker")
        assert world.state() == state
        assert_books_hold()


def bring_in(folder: Path) -> None:
    """Brings a package in, for good."""
    report = migrate_in(source=folder, actor=SYSTEM, is_dry_run=False)
    assert report.ok, report.problems
