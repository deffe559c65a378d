"""Settlement of periods killed with -9 at every point, and asked for by two at once: what is due is booked once."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from ib.models import CpaClaim, PeriodLine, PeriodMark, PeriodSettlement
from ib.services.periods import SETTLE_PERIODS, enqueue_due, settle_due, settle_partner
from tests.factories.periods import MARCH, House, earned, make_period_plan, rule, settle, tell
from tests.factories.platform import SYSTEM
from tests.faults.harness import run_child
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

POINTS = [
    "ib.periods.after_marks",
    "ib.periods.after_lines",
    "ib.periods.after_postings",
]


def paid_by_the_period():
    """A partner with 40 % of net revenue and 250 for a client, one of whom lost 1 000 in March."""
    house = House()
    rules = (rule("net_revenue_share", "40"), rule("cpa", "250", currency="USD", component="cpa"))
    partner = house.partner(make_period_plan(house.brand, *rules))
    account = house.client_of(partner)
    tell(account.client_id, "deposit", "500", at=datetime(2026, 3, 3, 12, tzinfo=UTC))
    house.loses(account, "1000", date(2026, 3, 10))
    return partner


def assert_paid_once(partner) -> None:
    assert (earned(partner), PeriodLine.objects.count(), PeriodSettlement.objects.count()) == (Decimal(650), 2, 1)
    assert CpaClaim.objects.get().state == "qualified"
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_it_leaves_nothing_and_the_next_one_completes_it(point: str) -> None:
    # Given a settlement that dies at the point
    partner = paid_by_the_period()
    assert run_child(partial(settle_due, actor=SYSTEM), crash_at=point) == -signal.SIGKILL
    # Then nothing of it is there, and the marks are
    assert (PeriodLine.objects.count(), PeriodSettlement.objects.count(), CpaClaim.objects.count()) == (0, 0, 0)
    assert PeriodMark.objects.filter(is_spread=True, partner_id=partner.pk).exists()
    # When the next one comes, then everything is booked once
    settle()
    assert_paid_once(partner)


def test_two_at_once_and_two_jobs_book_once() -> None:
    from backoffice.core.services import jobs

    partner = paid_by_the_period()
    assert (enqueue_due(), enqueue_due()) == (1, 1)
    one = partial(settle_partner, partner_id=partner.pk, from_day=MARCH, actor=SYSTEM)
    at_once(one, one, partial(jobs.run_ready, kind=SETTLE_PERIODS, owner="worker"), one)
    assert jobs.run_ready(kind=SETTLE_PERIODS, owner="next") == 0
    assert_paid_once(partner)
    assert not PeriodMark.objects.exists()
