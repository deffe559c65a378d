"""Mail of work items: who gets one, for what, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from backoffice.core.models import Message, OutboxEvent, Severity
from backoffice.core.services import outbox, work_items, work_sweep
from tests.core.work_help import ALARM, alarm, kinds, person
from tests.logins import make_actor, make_entity

__all__ = ["kinds"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kinds")]

WEDNESDAY = datetime(2026, 7, 1, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(WEDNESDAY, tick=False) as traveller:
        yield traveller


def mailed() -> list[tuple[str, str]]:
    """To whom which message goes."""
    outbox.deliver_due()
    assert not OutboxEvent.objects.exclude(last_error="").exists()
    return [(message.address, message.template) for message in Message.objects.order_by("id")]


def test_a_severe_item_is_mailed_to_who_sees_it_and_a_mild_one_to_nobody_by_default() -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    person("finance", entity, name="ann")
    person("finance", elsewhere, name="bob")
    person("dealing", entity)

    alarm("mild", entity_id=entity.pk)
    assert mailed() == []
    alarm("severe", entity_id=entity.pk, severity=Severity.HIGH)
    assert mailed() == [("ann@house.test", "core.work_item_opened")]


def test_each_person_says_from_which_severity_on() -> None:
    all_of_it, nothing = person("finance", name="all"), person("finance", name="nothing")
    work_items.set_delivery(actor=make_actor(all_of_it), plays_sound=False, mail_from=Severity.LOW)
    work_items.set_delivery(actor=make_actor(nothing), plays_sound=False, mail_from=None)

    alarm("mild", severity=Severity.LOW)
    alarm("severe", severity=Severity.CRITICAL)

    assert {address for address, _ in mailed()} == {"all@house.test"}


def test_a_storm_of_different_items_is_one_mail_in_ten_minutes(clock: Any) -> None:
    person("finance", name="ann")
    for number in range(50):
        alarm(f"k{number}", severity=Severity.HIGH)
    assert len(mailed()) == 1
    clock.shift(timedelta(minutes=10))
    alarm("later", severity=Severity.HIGH)
    assert len(mailed()) == 2


def test_an_escalation_is_mailed_once_to_the_role_that_is_called_in(clock: Any) -> None:
    person("finance", name="ann")
    person("compliance", name="carl")
    alarm()
    clock.shift(timedelta(hours=6))
    work_sweep.sweep()
    work_sweep.sweep()
    assert mailed() == [("carl@house.test", "core.work_item_escalated")]


def test_what_is_muted_or_closed_by_then_is_not_mailed() -> None:
    ann = make_actor(person("finance", name="ann"))
    work_items.mute_items(kind=ALARM, group_key="quiet", until=WEDNESDAY + timedelta(days=1), reason="x", actor=ann)
    alarm("quiet", severity=Severity.CRITICAL)
    alarm("gone", severity=Severity.CRITICAL)
    work_items.clear_item(kind=ALARM, group_key="gone", reason="Gone.")
    assert mailed() == []
