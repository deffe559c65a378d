"""Webhooks: signed, in order, nothing lost, retried, dead letters seen, replayed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
import time_machine
from django.db import connection, transaction

from backoffice.core.messages import outgoing
from backoffice.core.models import (
    AuditRecord,
    Job,
    OutboxEvent,
    PublicEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from backoffice.core.services import jobs, outbox, public_events, webhook_delivery, webhooks
from backoffice.core.types import Role
from backoffice.core.webhooks import signing as webhook_signing
from backoffice.core.webhooks.topics import public_topics
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from tests.api.receiver import Receiver, receiving
from tests.api.world import SYSTEM, make_administrator, service_caller
from tests.logins import make_actor, make_entity

pytestmark = pytest.mark.django_db
TOPIC = "work.item_opened"


@pytest.fixture(autouse=True)
def _local_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def happen(title: str = "Something", entity_id: int | None = None, topic: str = TOPIC) -> None:
    """An event of the house."""
    entity_id = entity_id or make_entity().pk
    payload = {
        "entity_id": entity_id,
        "item_id": str(uuid4()),
        "kind": "core.test",
        "desk": "core",
        "title": title,
        "severity": "high",
        "opened_at": "2026-11-20T12:00:00+00:00",
        "due_at": "2026-11-20T14:00:00+00:00",
        "escalation_level": 0,
    }
    with transaction.atomic():
        outbox.publish(topic=topic, payload=payload)


def deliver() -> None:
    """The outbox, then whatever attempts are due."""
    outbox.deliver_due()
    jobs.run_ready(kind=webhook_delivery.JOB_KIND, owner="test")


def endpoint_to(receiver: Receiver, entity: Any = None) -> webhooks.EndpointWithSecret:
    entity = entity or make_entity()
    return webhooks.register_endpoint(entity_id=entity.pk, url=receiver.url, topics=[TOPIC], actor=SYSTEM)


def test_an_event_arrives_signed_once(receiver: Receiver) -> None:
    # given
    made = endpoint_to(receiver)
    happen("A file was refused")

    # when
    deliver()
    deliver()

    # then
    ((headers, body),) = receiver.received
    message = json.loads(body)
    event = PublicEvent.objects.get()
    assert (message["type"], message["version"], message["entity"]) == (TOPIC, 1, "nova")
    assert message["id"] == headers["webhook-id"] == str(event.event_id)
    assert message["data"]["title"] == "A file was refused"
    assert webhook_signing.is_valid(
        secret=made.secret,
        message_id=headers["webhook-id"],
        timestamp=headers["webhook-timestamp"],
        signatures=headers["webhook-signature"],
        body=body,
        now=int(clock.now().timestamp()),
    )
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.status_code) == ("delivered", 1, 204)


def test_the_signature_is_the_schemes_own() -> None:
    """The figures of the scheme's reference implementations."""
    signature = webhook_signing.signature_of(
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "change",
    [{"body": b"{}"}, {"message_id": "x"}, {"timestamp": "1614265331"}, {"signatures": "v1,AAAA"}, {"now": 1614266000}],
)
def test_a_message_that_was_changed_or_is_old_is_not_valid(change: dict[str, Any]) -> None:
    secret = webhook_signing.new_secret()
    given: dict[str, Any] = {"message_id": "m", "timestamp": "1614265330", "body": b'{"a":1}', "now": 1614265400}
    signature = webhook_signing.signature_of(secret=secret, message_id="m", timestamp=1614265330, body=b'{"a":1}')
    assert webhook_signing.is_valid(secret=secret, signatures=f"v1,no {signature}", **given)
    assert not webhook_signing.is_valid(**({"secret": secret, "signatures": signature} | given | change))


def test_the_secret_is_not_readable_in_the_database(receiver: Receiver) -> None:
    made = endpoint_to(receiver)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(e)::text FROM core_webhookendpoint AS e")
        row = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(row_to_json(v)::text, '') FROM core_webhookendpointversion AS v")
        versions = cursor.fetchone()[0]
    assert made.secret not in row + versions + repr(list(AuditRecord.objects.values()))


def test_failures_are_tried_again_later_and_then_delivered(receiver: Receiver) -> None:
    # given
    endpoint_to(receiver)
    receiver.answers = [(500, {}, b"sorry"), (503, {}, b"later")]
    happen()
    start = clock.now()

    # when
    with time_machine.travel(start, tick=False) as traveller:
        deliver()
        first = WebhookDelivery.objects.get()
        deliver()
        assert len(receiver.received) == 1  # not yet due
        traveller.move_to(start + timedelta(seconds=60))
        deliver()
        traveller.move_to(start + timedelta(seconds=180))
        deliver()

    # then
    assert (first.state, first.attempts, first.status_code) == ("pending", 1, 500)
    assert (first.error, first.response_excerpt) == ("Answered 500.", "sorry")
    assert first.next_attempt_at is not None
    assert 4 <= (first.next_attempt_at - start).total_seconds() <= 6
    ids = {headers["webhook-id"] for headers, _ in receiver.received}
    delivery = WebhookDelivery.objects.get()
    assert (len(receiver.received), len(ids)) == (3, 1)
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    assert WebhookEndpoint.objects.get().failing_since is None


def test_after_the_last_attempt_a_delivery_is_dead_and_can_be_retried(receiver: Receiver) -> None:
    # given
    endpoint_to(receiver)
    receiver.answers = [(500, {}, b"no")] * webhook_delivery.MAX_ATTEMPTS
    happen()
    start = clock.now()
    with time_machine.travel(start, tick=False) as traveller:
        for day in range(webhook_delivery.MAX_ATTEMPTS):
            traveller.move_to(start + timedelta(days=2 * day))
            deliver()
        dead = WebhookDelivery.objects.get()
        assert (dead.state, dead.attempts, dead.next_attempt_at) == ("dead", webhook_delivery.MAX_ATTEMPTS, None)
        deliver()
        assert len(receiver.received) == webhook_delivery.MAX_ATTEMPTS

        # when
        traveller.move_to(start + timedelta(days=40))
        webhooks.retry_delivery(delivery_id=dead.pk, actor=SYSTEM)
        deliver()

    # then
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.round, delivery.attempts) == ("delivered", 2, 1)
    with pytest.raises(Conflict):
        webhooks.retry_delivery(delivery_id=dead.pk, actor=SYSTEM)


def test_an_endpoint_that_fails_rests_and_costs_one_attempt_not_one_per_event(receiver: Receiver) -> None:
    # given
    endpoint_to(receiver)
    receiver.answers = [(500, {}, b"")]
    for number in range(5):
        happen(str(number))

    # when
    start = clock.now()
    with time_machine.travel(start, tick=False) as traveller:
        deliver()
        assert len(receiver.received) == 1
        assert sorted(WebhookDelivery.objects.values_list("attempts", flat=True)) == [0, 0, 0, 0, 1]
        traveller.move_to(start + timedelta(seconds=webhook_delivery.REST_SECONDS + 10))
        deliver()

    # then
    assert WebhookDelivery.objects.filter(state="delivered").count() == 5


def test_a_receiver_may_ask_for_time(receiver: Receiver) -> None:
    endpoint_to(receiver)
    receiver.answers = [(429, {"Retry-After": "600"}, b"")]
    happen()
    start = clock.now()
    with time_machine.travel(start, tick=False):
        deliver()
        until = WebhookEndpoint.objects.get().resting_until
    assert until is not None
    assert (until - start).total_seconds() == 600


def test_a_receiver_that_is_gone_is_disabled_and_says_why(receiver: Receiver) -> None:
    endpoint_to(receiver)
    receiver.answers = [(410, {}, b"")]
    happen()
    deliver()
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.state, "410" in endpoint.disabled_reason) == ("disabled", True)
    assert AuditRecord.objects.filter(action="core.disable_webhook_endpoint").count() == 1
    with time_machine.travel(clock.now() + timedelta(hours=1)):
        deliver()
    assert WebhookDelivery.objects.get().state == "dead"
    assert len(receiver.received) == 1


def test_an_endpoint_that_only_fails_for_five_days_is_disabled(receiver: Receiver) -> None:
    endpoint_to(receiver)
    WebhookEndpoint.objects.update(failing_since=clock.now() - timedelta(days=4, hours=23))
    assert webhook_delivery.disable_failing() == 0
    WebhookEndpoint.objects.update(failing_since=clock.now() - timedelta(days=5))
    assert webhook_delivery.disable_failing() == 1
    assert WebhookEndpoint.objects.get().disabled_reason == "Nothing but failures for five days."


def test_no_request_is_made_inside_a_transaction(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    depth: list[int] = []
    send = outgoing.post
    before = len(connection.savepoint_ids)

    def watched(**given: Any) -> outgoing.Answer:
        depth.append(len(connection.savepoint_ids) - before)
        return send(**given)

    monkeypatch.setattr(outgoing, "post", watched)
    endpoint_to(receiver)
    happen()
    deliver()
    assert depth == [0]


def test_a_worker_that_dies_after_sending_sends_again_under_the_same_id(receiver: Receiver) -> None:
    # given a worker that sent, and died before it could write it down
    endpoint_to(receiver)
    happen()
    outbox.deliver_due()
    job = jobs.claim(kind=webhook_delivery.JOB_KIND, owner="doomed")
    assert job is not None
    webhook_delivery._send(WebhookDelivery.objects.select_related("endpoint", "event__entity").get())
    Job.objects.filter(pk=job.pk).update(lease_until=clock.now() - timedelta(days=1))

    # when
    assert jobs.reap_expired() == 1
    deliver()

    # then
    ids = [headers["webhook-id"] for headers, _ in receiver.received]
    assert (len(ids), len(set(ids))) == (2, 1)
    assert WebhookDelivery.objects.get().state == "delivered"


def test_a_delivery_without_a_living_job_is_started_again(receiver: Receiver) -> None:
    endpoint_to(receiver)
    happen()
    outbox.deliver_due()
    Job.objects.update(state="failed")
    assert webhook_delivery.requeue_stranded() == 0
    with time_machine.travel(clock.now() + timedelta(minutes=16)):
        assert webhook_delivery.requeue_stranded() == 1
        deliver()
    assert WebhookDelivery.objects.get().state == "delivered"


def test_both_secrets_sign_while_they_overlap(receiver: Receiver) -> None:
    # given
    made = endpoint_to(receiver)
    rotated = webhooks.rotate_secret(
        endpoint_id=made.endpoint.pk, overlap=timedelta(hours=1), actor=SYSTEM, reason="yearly"
    )

    # when
    happen()
    deliver()
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        happen()
        deliver()

    # then
    def fits(secret: str, number: int) -> bool:
        headers, body = receiver.received[number]
        return webhook_signing.is_valid(
            secret=secret,
            message_id=headers["webhook-id"],
            timestamp=headers["webhook-timestamp"],
            signatures=headers["webhook-signature"],
            body=body,
            now=int(headers["webhook-timestamp"]),
        )

    assert [fits(secret, 0) for secret in (made.secret, rotated.secret)] == [True, True]
    assert [fits(secret, 1) for secret in (made.secret, rotated.secret)] == [False, True]


def test_only_the_own_entity_and_topics_are_told(receiver: Receiver) -> None:
    endpoint_to(receiver)
    other = make_entity("orbis")
    happen("theirs", entity_id=other.pk)
    with transaction.atomic():
        outbox.publish(topic="crm.client_registered", payload={"client_id": 1})
    deliver()
    assert receiver.received == []
    assert [event.entity_id for event in PublicEvent.objects.all()] == [other.pk]


def test_replay_from_a_cursor_and_since_a_time(receiver: Receiver) -> None:
    # given three events, of which the second was never delivered because the endpoint was disabled
    start = clock.now()
    made = endpoint_to(receiver)
    happen("1")
    deliver()
    webhooks.disable_endpoint(endpoint_id=made.endpoint.pk, actor=SYSTEM, reason="maintenance")
    happen("2")
    deliver()
    webhooks.enable_endpoint(endpoint_id=made.endpoint.pk, actor=SYSTEM, reason="back")
    happen("3")
    deliver()
    first = PublicEvent.objects.earliest("id")
    assert [json.loads(body)["data"]["title"] for _, body in receiver.received] == ["1", "3"]

    # when
    receiver.received.clear()
    assert webhooks.replay(endpoint_id=made.endpoint.pk, after=first.event_id, actor=SYSTEM) == (2, None)
    deliver()
    after_cursor = [json.loads(body)["data"]["title"] for _, body in receiver.received]
    receiver.received.clear()
    assert webhooks.replay(endpoint_id=made.endpoint.pk, since=start, actor=SYSTEM) == (3, None)
    deliver()

    # then
    assert after_cursor == ["2", "3"]
    assert sorted(json.loads(body)["data"]["title"] for _, body in receiver.received) == ["1", "2", "3"]
    assert WebhookDelivery.objects.count() == 3
    with pytest.raises(NotFound):
        webhooks.replay(endpoint_id=made.endpoint.pk, after=UUID(int=1), actor=SYSTEM)
    with pytest.raises(InvalidInput):
        webhooks.replay(endpoint_id=made.endpoint.pk, actor=SYSTEM)


def test_a_long_replay_says_from_where_to_go_on(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_REPLAYED_AT_ONCE", 2)
    start = clock.now()
    made = endpoint_to(receiver)
    for number in range(3):
        happen(str(number))
    outbox.deliver_due()
    second = list(PublicEvent.objects.order_by("id"))[1]
    assert webhooks.replay(endpoint_id=made.endpoint.pk, since=start, actor=SYSTEM) == (2, second.event_id)
    assert webhooks.replay(endpoint_id=made.endpoint.pk, after=second.event_id, actor=SYSTEM) == (1, None)


@pytest.mark.parametrize(
    ("url", "topics"),
    [
        ("http://example.com/", [TOPIC]),
        ("https://10.0.0.1/", [TOPIC]),
        ("https://example.com/", []),
        ("https://example.com/", ["no.such"]),
        ("https://example.com/", ["crm.client_registered"]),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(url: str, topics: list[str]) -> None:
    with pytest.raises(InvalidInput):
        webhooks.register_endpoint(entity_id=make_entity().pk, url=url, topics=topics, actor=SYSTEM)
    assert WebhookEndpoint.objects.count() == 0


def test_a_topic_needs_its_own_capability() -> None:
    """An operator reads events, but nothing of the books."""
    operator = service_caller(Role.PLATFORM_OPERATIONS)
    topics = {row["topic"] for row in operator.get("event-topics/").json()}
    assert "platform.trades_changed" in topics
    assert "funding.deposit_received" not in topics


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_when_transactions_commit_out_of_order() -> None:
    """An event with a lower number that commits late gets a later place: who read along does not miss it."""
    # given a transaction that has published and stays open
    actor = make_actor(make_administrator(make_entity()))
    entity_id = make_entity().pk
    published, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                happen("slow", entity_id=entity_id)
                published.set()
                assert go_on.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert published.wait(10)

    # when a later one commits first, and is read
    happen("quick", entity_id=entity_id)
    outbox.deliver_due()
    first, _ = public_events.events_after(actor=actor, limit=10)
    go_on.set()
    thread.join()
    outbox.deliver_due()
    then, _ = public_events.events_after(actor=actor, after=first[-1].event_id, limit=10)

    # then
    numbers = list(OutboxEvent.objects.order_by("id").values_list("payload__title", flat=True))
    assert numbers == ["slow", "quick"]
    assert [event.data["title"] for event in first] == ["quick"]
    assert [event.data["title"] for event in then] == ["slow"]


@pytest.mark.django_db(transaction=True)
def test_places_become_visible_in_their_order() -> None:
    """While one delivery is not committed, no other gets a place after it."""
    entity_id = make_entity().pk
    for title in ("a", "b"):
        happen(title, entity_id=entity_id)
    first, second = OutboxEvent.objects.order_by("id")
    placed, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                public_events.on_event(first.payload, first)
                placed.set()
                assert go_on.wait(10)
        finally:
            connection.close()

    def follow() -> None:
        try:
            with transaction.atomic():
                public_events.on_event(second.payload, second)
            done.set()
        finally:
            connection.close()

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    assert placed.wait(10)
    threads[1].start()
    assert not done.wait(0.3)
    assert PublicEvent.objects.count() == 0
    go_on.set()
    for thread in threads:
        thread.join()
    assert list(PublicEvent.objects.order_by("id").values_list("data__title", flat=True)) == ["a", "b"]


def test_the_feed_catches_up_page_by_page() -> None:
    # given
    for number in range(5):
        happen(str(number))
    happen("theirs", entity_id=make_entity("orbis").pk)
    outbox.deliver_due()
    caller = service_caller(Role.AUDITOR)

    # when
    titles: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(4):
        page = caller.get("events/", query).json()
        titles += [event["data"]["title"] for event in page["events"]]
        query["after"] = page["cursor"]
        if not page["has_more"]:
            break

    # then
    assert titles == ["0", "1", "2", "3", "4"]
    assert caller.get("events/", query).json() == {"events": [], "cursor": query["after"], "has_more": False}
    theirs = PublicEvent.objects.latest("id").event_id
    assert caller.get("events/", {"after": str(theirs)}).json()["code"] == "event_unknown"
    assert caller.get("events/", {"after": "x"}).status_code == 400


def test_endpoints_over_the_api(receiver: Receiver) -> None:
    # given
    caller = service_caller(Role.ADMINISTRATOR)
    body = {"entity": "nova", "url": receiver.url, "topics": [TOPIC]}

    # when
    made = caller.post("webhook-endpoints/", body, key="k1")
    again = caller.post("webhook-endpoints/", body, key="k1")
    happen()
    deliver()
    shown = made.json()["endpoint"]["id"]

    # then the secret is answered alike to a repetition, and nowhere else
    assert (made.status_code, made.content, WebhookEndpoint.objects.count()) == (201, again.content, 1)
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json()["secret"].startswith("whsec_")
    assert "secret" not in caller.get(f"webhook-endpoints/{shown}/").json()
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(result::text, '') FROM core_idempotencyrecord")
        assert made.json()["secret"] not in cursor.fetchone()[0]
    (row,) = caller.get("webhook-deliveries/", {"endpoint": shown}).json()["results"]
    assert (row["state"], row["status_code"]) == ("delivered", 204)
    replayed = caller.post(f"webhook-endpoints/{shown}/replay/", {"since": "2020-01-01T00:00:00Z"})
    assert replayed.json() == {"events": 1, "go_on_after": None}
    assert caller.delete(f"webhook-endpoints/{shown}/").status_code == 204
    assert caller.get(f"webhook-endpoints/{shown}/").status_code == 404


def test_old_events_are_forgotten() -> None:
    happen()
    outbox.deliver_due()
    assert public_events.forget_old() == 0
    PublicEvent.objects.update(created_at=clock.now() - timedelta(days=91))
    assert public_events.forget_old() == 1


def test_every_topic_has_a_schema_that_is_one() -> None:
    names = [topic.topic for topic in public_topics()]
    assert {
        "platform.trades_changed",
        "platform.statement_refused",
        "platform.account_assigned",
        "platform.operation_finished",
        "platform.swaps_computed",
        "platform.reconciliation_break_opened",
        "platform.symbol_drift_found",
        "funding.deposit_received",
        "funding.withdrawal_paid",
        "ib.commissions_settled",
        "ib.dispute_changed",
        "ib.payout_paid",
        "ib.payout_returned",
        "reports.report_issued",
        "work.item_opened",
        "core.change_applied",
    } <= set(names)
    for topic in public_topics():
        jsonschema.Draft202012Validator.check_schema(topic.schema)
