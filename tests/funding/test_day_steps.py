"""Funding's place in the business day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backoffice.core.services import outbox
from funding.day_steps import close_books
from funding.ledger.models import ClosedDay, JournalEntry
from platform_ops.models import BusinessDay
from platform_ops.services.business_day import step_definitions
from tests.factories.platform import MONDAY, make_account, make_server, make_trade
from tests.funding.ledger_help import day

pytestmark = pytest.mark.django_db


def closed_event(business_day: BusinessDay) -> dict[str, object]:
    """The payload with which a closed day is announced."""
    return {
        "business_day_id": business_day.pk,
        "day": business_day.day.isoformat(),
        "server_id": business_day.server_id,
    }


def test_results_are_posted_between_swaps_and_commissions() -> None:
    orders = {step.name: step.order for step in step_definitions()}

    assert orders["trading_results"] == 40


@pytest.mark.django_db(transaction=True)
def test_the_step_posts_the_results_of_its_server_and_day() -> None:
    account = make_account()
    make_trade(account, profit="5")
    business_day = BusinessDay.objects.create(server=account.server, entity=account.server.entity, day=MONDAY)
    step = next(step for step in step_definitions() if step.name == "trading_results")

    outcome = step.run(business_day)

    assert outcome["booked"] == {"USD": {"profit": "5"}}
    assert step.run(business_day)["lines"] == 0
    assert JournalEntry.objects.count() == 1


def test_the_books_close_behind_the_last_server_of_the_entity() -> None:
    first = make_account().server
    entity = first.entity
    second = make_account(make_server(entity)).server
    make_server(entity)  # without accounts it has no day to close
    days = [
        BusinessDay.objects.create(server=server, entity=entity, day=MONDAY, state="open") for server in (first, second)
    ]

    for business_day, closed in zip(days, (0, 1), strict=True):
        business_day.state, business_day.closed_at = "closed", datetime(2026, 3, 2, 23, tzinfo=UTC)
        business_day.save()
        close_books(closed_event(business_day), None)
        close_books(closed_event(business_day), None)
        assert ClosedDay.objects.filter(entity=entity, business_day=MONDAY).count() == closed


def test_a_server_keeps_no_day_open_that_was_before_its_first() -> None:
    old = make_account().server
    new = make_account(make_server(old.entity)).server
    for server, at, state in ((old, day(0), "closed"), (old, day(1), "closed"), (new, day(1), "open")):
        BusinessDay.objects.create(
            server=server,
            entity=old.entity,
            day=at,
            state=state,
            closed_at=datetime(2026, 3, 4, tzinfo=UTC) if state == "closed" else None,
        )

    for business_day in BusinessDay.objects.filter(server=old).order_by("day"):
        close_books(closed_event(business_day), None)

    assert list(ClosedDay.objects.values_list("business_day", flat=True)) == [day(0)]


def test_a_closed_day_is_heard_of() -> None:
    assert "funding.close_books" in outbox.subscriptions()["platform.day_closed"]
    assert day(0) == MONDAY
