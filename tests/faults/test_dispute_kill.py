"""A dispute that is closed, and goodwill that is booked, by a process that is killed with -9: once, by whoever comes next."""

from __future__ import annotations

import signal
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.kernel.errors import Conflict
from funding.ledger.models import JournalEntry
from ib.models import CommissionAdjustment, Dispute, StatementHold
from ib.services import disputes
from tests.factories.platform import SYSTEM
from tests.faults.harness import run_child
from tests.ib.test_disputes import CHECKS, World, accrued
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def test_killed_while_it_ends_a_dispute_ends_once() -> None:
    # Given three who dispute one line at once: one of them gets through
    world = World()
    opened = at_once(*[partial(_try_to_open, world)] * 3)
    assert sorted(map(bool, opened)) == [False, False, True]
    dispute = Dispute.objects.get()
    assert StatementHold.objects.count() == 1
    # and goodwill that a person approved, booked by a process that dies after its posting, and by one that dies later
    world.limit()
    disputes.propose_goodwill(dispute_id=dispute.pk, amount=Decimal(5), reason="x", actor=world.actors["manager"])
    change = ChangeRequest.objects.get()
    changes.approve_change(change_id=change.pk, actor=world.actors["finance"], reason="Yes.")
    apply = partial(changes.apply_change, change_id=change.pk, actor=SYSTEM)
    for point in ("ib.goodwill.after_posting", "ib.dispute.before_close"):
        assert run_child(apply, crash_at=point) == -signal.SIGKILL
        assert (CommissionAdjustment.objects.count(), Dispute.objects.get().state) == (0, "correcting")
        assert StatementHold.objects.filter(released_at__isnull=True).count() == 1
    # When two come at once
    at_once(apply, apply)
    # Then it was booked once, the dispute is closed and the amount free
    dispute.refresh_from_db()
    assert (dispute.state, dispute.delta, accrued(world.partner)) == ("closed", Decimal(5), Decimal(29))
    assert JournalEntry.objects.filter(source_type="ib.adjustment").count() == 1
    assert not StatementHold.objects.filter(released_at__isnull=True).exists()
    assert [check for check in verify_books(CHECKS)["checks"] if not check["ok"]] == []


def _try_to_open(world: World) -> Dispute | None:
    try:
        return world.open()
    except Conflict:
        return None
