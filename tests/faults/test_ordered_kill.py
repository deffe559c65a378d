"""The settlement of trades in their order, killed with -9 at every point: each tier is paid once, and its job is done."""

from __future__ import annotations

import signal
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import Job
from backoffice.core.services import jobs
from ib.models import CommissionLine, Partner, TradePeriodMark
from ib.services.ordered import SETTLE_ORDERED
from ib.services.settlement import settle_ingest_batch
from ib.types import RuleTerms
from tests.factories import ib as factory
from tests.factories.platform import MONDAY, SYSTEM, make_batch, make_trade, noon
from tests.faults.harness import free_leases, run_child

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

POINTS = [
    "ib.settle.after_claim",
    "ib.settle.after_lines",
    "ib.settle.after_postings",
    "core.jobs.before_finish",
]


def tiered_trades() -> Partner:
    """Three lots in a batch, at 5 for the first two and 9 above; their month waits for a worker."""
    broker = factory.Broker()
    terms = RuleTerms(
        rate=Decimal(5),
        currency="USD",
        pays_close_by=True,
        tier_measure="lots",
        tier_mode="marginal",
        tier_window="this",
        tier_scope="own",
        tiers=((Decimal(2), Decimal(9)),),
    )
    partner = broker.partner(plan=factory.make_plan_of(broker.entity, terms))
    account = broker.client_of(partner)
    batch = make_batch(broker.server)
    for hours in (1, 2, 3):
        at = noon(MONDAY) + timedelta(hours=hours)
        make_trade(account, lots="1", at=at, batch=batch, server_symbol=broker.eurusd)
    settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    return partner


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_every_tier_is_paid_once_by_the_next(point: str) -> None:
    # Given a worker that dies at the point
    partner = tiered_trades()
    work = partial(jobs.run_ready, kind=SETTLE_ORDERED, owner="killed")
    assert run_child(work, crash_at=point) == -signal.SIGKILL
    # Then the lines of a month are there with its marks gone, or neither is
    assert CommissionLine.objects.exists() != TradePeriodMark.objects.exists()
    assert not Job.objects.filter(kind=SETTLE_ORDERED, state=Job.State.DONE).exists()
    # When the next one comes, then each slice is paid once, and the job is done
    free_leases()
    assert jobs.run_ready(kind=SETTLE_ORDERED, owner="next") == 1
    assert factory.booked(partner) == Decimal(19)
    assert CommissionLine.objects.count() == 3
    assert set(Job.objects.filter(kind=SETTLE_ORDERED).values_list("state", flat=True)) == {Job.State.DONE}
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []
