"""Real statements, imported and posted: the ledger owes each account what its statement says."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from backoffice.core.books import check_names, verify_books
from funding.ledger.models import AccountBalance
from funding.ledger.selectors import trial_balance, trial_balance_totals
from funding.services.trading_results import post_trading_results
from platform_ops.models import StatementImport
from platform_ops.services.imports import import_statement
from tests.factories.platform import SYSTEM, make_server

pytestmark = [pytest.mark.sample_data, pytest.mark.django_db]

LAST_DAY = date(2026, 11, 20)
FILES = [
    "statements_mt4/patrick_20171107_detailed.htm",
    "statements_mt4/petro_20190402_1740_detailed.htm",
    "statements_mt4/sujay_20260528_detailed.htm",
    "statements_mt5/darwinex_3000090143_demo_hedge.xlsx",
    "statements_mt5/fxpro_5500995_netting.xlsx",
    "statements_mt5/mq_5006391922_hedge.xlsx",
]
FIRST, MIDDLE, LAST = "ty_20190526_detailed.htm", "ty_20190714_detailed.htm", "ty_20190921_detailed.htm"
ORDERS = [(FIRST, MIDDLE, LAST), (LAST, MIDDLE, FIRST), (MIDDLE, LAST, FIRST)]


def sample(name: str) -> Path:
    """A sample file, or the test is skipped."""
    path = Path(settings.SAMPLE_DATA_DIR) / name
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    return path


def stored(server_code: str, name: str) -> StatementImport:
    """The import of a sample file."""
    path = sample(name)
    imported = import_statement(server_code=server_code, data=path.read_bytes(), file_name=path.name, actor=SYSTEM)
    assert imported.state == StatementImport.State.STORED, imported.error
    return imported


def owed(imported: StatementImport, kind: str) -> Decimal:
    """What the ledger owes the account of a statement."""
    found = AccountBalance.objects.filter(
        account__kind=kind, account__owner_type="trading_account", account__owner_id=imported.account_id
    ).first()
    return found.balance if found else Decimal(0)


def assert_books_are_right() -> None:
    """Every proof of ledger and funding holds and the trial balance agrees."""
    names = [name for name in check_names() if name.startswith(("ledger.", "funding."))]
    assert [check for check in verify_books(names)["checks"] if not check["ok"]] == []
    assert all(total.agrees for total in trial_balance_totals(trial_balance(actor=SYSTEM)))


@pytest.mark.parametrize("name", FILES)
def test_the_ledger_owes_what_the_statement_says(name: str) -> None:
    server = make_server()
    imported = stored(server.code, name)

    first = post_trading_results(business_day=LAST_DAY, server_id=server.pk, actor=SYSTEM)
    second = post_trading_results(business_day=LAST_DAY, server_id=server.pk, actor=SYSTEM)

    assert first["lines"] > 0
    assert second["lines"] == 0
    assert owed(imported, "client_liability") == Decimal(imported.figures["balance"])
    assert_books_are_right()


def test_snapshots_in_any_order_end_in_the_same_books() -> None:
    outcomes = set()
    for order in ORDERS:
        server = make_server()
        for name in order:
            imported = stored(server.code, f"statements_mt4/{name}")
            # Booked after each file, so that later files correct what is booked already.
            post_trading_results(business_day=LAST_DAY, server_id=server.pk, actor=SYSTEM)
        rows = trial_balance(actor=SYSTEM, entity_id=server.entity_id)
        outcomes.add(
            (
                owed(imported, "client_liability"),
                *((row.kind.value, row.debits - row.credits) for row in rows if row.debits != row.credits),
            )
        )
        assert_books_are_right()

    assert len(outcomes) == 1
