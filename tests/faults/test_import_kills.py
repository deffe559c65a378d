"""An import killed with -9: nothing half-applied, and the same command afterwards does it all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from django.core.management import call_command

from backoffice.core.models import AuditRecord, OutboxEvent
from platform_ops.models import (
    BalanceOperation,
    Deal,
    IngestBatch,
    OpenPositionMark,
    Position,
    StatementImport,
    Trade,
    TradingAccount,
)
from tests.faults.harness import run_child
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def run_import(file: Path, crash_at: str = "") -> int:
    """The command in a process of its own on the test's database; its exit status."""
    return run_child(lambda: call_command("import_trades", str(file), server="live"), crash_at=crash_at)


@pytest.mark.parametrize("point", ["platform.ingest.after_merge", "platform.ingest.before_commit"])
def test_a_killed_import_leaves_nothing_and_can_be_repeated(tmp_path: Path, point: str) -> None:
    file = tmp_path / "s.htm"
    file.write_bytes(statement_of(*(Ticket(number) for number in range(10, 30)), open_ticket(30)))

    assert run_import(file, crash_at=point) == -signal.SIGKILL

    for model in (Deal, Trade, Position, BalanceOperation, OpenPositionMark, IngestBatch, StatementImport):
        assert not model.objects.exists(), model
    assert not TradingAccount.objects.exists()
    assert not OutboxEvent.objects.exists()
    assert not AuditRecord.objects.filter(action="platform.import_statement").exists()

    assert run_import(file) == 0

    assert (Deal.objects.count(), Trade.objects.count(), Position.objects.count()) == (42, 20, 1)
    assert StatementImport.objects.get().matches_statement
    assert OutboxEvent.objects.filter(topic="platform.trades_changed").count() == 1
