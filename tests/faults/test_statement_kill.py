"""The approval of a statement killed with -9 after its posting: the money moves once, by whoever comes next."""

from __future__ import annotations

import signal
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from funding.ledger.models import JournalEntry
from ib.models import CommissionStatement
from ib.services.statements import approve_due_statements, run_statements
from tests.factories.platform import SYSTEM
from tests.faults.harness import run_child
from tests.ib.test_statements import LAST_OF_MARCH, World
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def test_killed_after_the_posting_nothing_moved_and_the_next_ones_move_it_once() -> None:
    # Given a statement that the terms approve, and a process that dies when it has posted
    world = World()
    world.trade("10")
    world.close_books(LAST_OF_MARCH)
    world.close()
    died = run_child(partial(approve_due_statements, actor=SYSTEM), crash_at="ib.statement.after_posting")
    assert died == -signal.SIGKILL
    assert CommissionStatement.objects.get().state == "in_review"
    assert not JournalEntry.objects.filter(source_type="ib.statement").exists()
    # When three come at once
    run = partial(run_statements, actor=SYSTEM)
    at_once(run, run, run)
    # Then it moved once
    assert JournalEntry.objects.filter(source_type="ib.statement").count() == 1
    assert (world.balance("partner_accrued"), world.balance("partner_payable")) == (Decimal(0), Decimal("70.00"))
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []
