"""Facts about clients: told once, taken out by another fact, heard from other desks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import DatabaseError, transaction

from backoffice.core.services import outbox
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IdempotencyMismatch, InvalidInput, NotFound
from ib.models import ClientEvent, PeriodMark
from ib.services.client_events import ClientFact, record_client_event, reverse_client_event
from tests.factories import platform
from tests.factories.periods import tell
from tests.factories.platform import SYSTEM, staff

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


def test_the_same_reference_is_the_same_fact_and_another_content_is_refused():
    client = platform.make_client()
    first = tell(client, "deposit", "100", at=NOON, reference="d-1")
    assert tell(client, "deposit", "100.00", at=NOON, reference="d-1").pk == first.pk
    for changed in (
        partial(tell, client, "deposit", "101", at=NOON, reference="d-1"),
        partial(tell, client, "withdrawal", "100", at=NOON, reference="d-1"),
        partial(tell, client, "deposit", "100", at=NOON + timedelta(seconds=1), reference="d-1"),
        partial(tell, client, "deposit", "100", at=NOON, currency="EUR", reference="d-1"),
        partial(tell, platform.make_client(), "deposit", "100", at=NOON, reference="d-1"),
    ):
        with pytest.raises(IdempotencyMismatch):
            changed()
    assert ClientEvent.objects.count() == 1
    assert PeriodMark.objects.filter(client_id=client.pk, day=NOON.date()).exists()


@pytest.mark.parametrize(
    ("kind", "amount", "currency", "more"),
    [
        ("deposit", None, "", {}),
        ("deposit", "0", "USD", {}),
        ("deposit", "-5", "USD", {}),
        ("deposit", "0.001", "USD", {}),
        ("deposit", "5", "XXQ", {}),
        ("fraud", "5", "USD", {}),
        ("nonsense", "5", "USD", {}),
        ("deposit", "5", "USD", {"disputed_from": NOON}),
        ("chargeback", "5", "USD", {"disputed_from": NOON + timedelta(days=1)}),
    ],
)
def test_a_fact_that_cannot_be_is_refused(kind, amount, currency, more):
    client = platform.make_client()
    fact = ClientFact(
        client.pk, kind, NOON, "payments", "x-1", None if amount is None else Decimal(amount), currency, **more
    )
    with pytest.raises(InvalidInput):
        record_client_event(fact=fact, actor=SYSTEM)
    assert not ClientEvent.objects.exists()


def test_a_fact_from_the_future_or_without_a_zone_is_refused():
    client = platform.make_client()
    for moment in (clock.now() + timedelta(hours=1), datetime(2026, 3, 3)):
        with pytest.raises(InvalidInput):
            record_client_event(fact=ClientFact(client.pk, "fraud", moment, "risk", "f-1"), actor=SYSTEM)


def test_a_fact_is_taken_out_once_and_never_changed():
    client = platform.make_client()
    event = tell(client, "deposit", "100", at=NOON)
    out = reverse_client_event(event_id=event.pk, reference="out-1", reason="told twice", actor=SYSTEM)
    assert reverse_client_event(event_id=event.pk, reference="out-1", reason="told twice", actor=SYSTEM).pk == out.pk
    with pytest.raises(Conflict):
        reverse_client_event(event_id=event.pk, reference="out-2", reason="again", actor=SYSTEM)
    with pytest.raises(Conflict):
        reverse_client_event(event_id=out.pk, reference="out-3", reason="no", actor=SYSTEM)
    for change in (lambda: ClientEvent.objects.filter(pk=event.pk).update(note="x"), event.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert ClientEvent.objects.count() == 2


def test_staff_of_another_entity_and_roles_without_the_verb_record_nothing():
    client = platform.make_client()
    fact = ClientFact(client.pk, "fraud", NOON, "risk", "f-1")
    with pytest.raises(NotFound):
        record_client_event(fact=fact, actor=staff(Role.FINANCE, entities=[platform.make_entity()]))
    with pytest.raises(Denied):
        record_client_event(fact=fact, actor=staff(Role.AUDITOR, entities=[client.entity]))
    assert record_client_event(fact=fact, actor=staff(Role.FINANCE, entities=[client.entity])).kind == "fraud"


def test_what_other_desks_publish_is_heard_once_and_taken_back():
    client = platform.make_client()
    payload = {"client_id": client.pk, "amount": "250.00", "currency": "USD", "at": NOON.isoformat(), "reference": 17}
    with transaction.atomic():
        outbox.publish(topic="funding.deposit_completed", payload=payload)
        outbox.publish(topic="funding.deposit_completed", payload=payload)
        outbox.publish(topic="funding.withdrawal_completed", payload={**payload, "amount": "10"})
        outbox.publish(topic="funding.kyc_verified", payload={"client_id": client.pk, "reference": "k-1"})
    outbox.deliver_due()
    assert sorted(ClientEvent.objects.values_list("kind", "amount")) == [
        ("deposit", Decimal(250)),
        ("kyc_verified", None),
        ("withdrawal", Decimal(10)),
    ]
    with transaction.atomic():
        outbox.publish(
            topic="funding.deposit_completed", payload={"client_id": client.pk, "reference": 18, "reverses": 17}
        )
    outbox.deliver_due()
    assert ClientEvent.objects.get(reverses__isnull=False).reverses.reference == "deposit:17"
