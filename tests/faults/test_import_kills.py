"""An import killed with -9: nothing half-applied, and the same command afterwards does it all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

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
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def run_import(file: Path, crash_at: str = "") -> int:
    """The command in a process of its own on the test's database; its exit status."""
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    environment = {
        **os.environ,
        "DATABASE_URL": url if not database["PORT"] else url.replace("@/", f"@{database['HOST']}:{database['PORT']}/"),
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "BACKOFFICE_PRIVATE_FILES": str(default_storage.location),  # type: ignore[attr-defined]
    }
    environment.pop("CRASH_AT", None)
    if crash_at:
        environment["CRASH_AT"] = crash_at
    command = [sys.executable, "manage.py", "import_trades", "--server", "live", str(file)]
    return subprocess.run(
        command, env=environment, cwd=Path(settings.BASE_DIR), timeout=120, check=False, capture_output=True
    ).returncode


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
