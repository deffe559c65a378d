"""What other systems hear of the desk: operations that end, swaps, differences from servers, drift. Each as its schema says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from backoffice.core.models import WebhookDelivery
from backoffice.core.services import outbox, webhooks
from backoffice.core.types import Role
from backoffice.kernel import clock
from platform_ops.events import SWAPS_COMPUTED
from platform_ops.models import ReconciliationBreak, SwapRun
from platform_ops.services import account_operations as operations
from platform_ops.types import DealKind
from tests.factories.platform import SYSTEM
from tests.platform_ops.api.world import D, World
from tests.platform_ops.reconciliation.test_breaks import RecordedServer, account, booked, compare, money
from tests.told import told

pytestmark = pytest.mark.django_db


def test_an_operation_that_ends_is_told_with_how_it_ended(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = True
    world = World()
    for entity in (world.nova, world.luna):
        webhooks.register_endpoint(
            entity_id=entity.pk, url="https://127.0.0.1/", topics=["platform.operation_finished"], actor=SYSTEM
        )
    asked = operations.request_balance_operation(
        account_id=world.account.pk, kind=DealKind.CREDIT, amount=D("12.50"), actor=SYSTEM, reason="Promised",
        idempotency_key="one",
    )  # fmt: skip
    operations.cancel_operation(operation_id=asked.pk, actor=SYSTEM, reason="Not promised")
    (event,) = told("platform.operation_finished")
    assert (event["reference"], event["state"], event["amount"], event["currency"], event["deal_ticket"]) == (
        asked.reference, "cancelled", "12.50000000", "USD", None,
    )  # fmt: skip
    assert event["account"] == str(world.account.public_id)
    assert WebhookDelivery.objects.get().endpoint.entity_id == world.nova.pk
    stranger = world.caller(Role.AUDITOR, entities=(world.luna,))
    assert stranger.get("events/").json()["events"] == []


def test_a_rollover_is_told_with_its_day_and_lines() -> None:
    world = World()
    now = clock.now()
    run = SwapRun.objects.create(
        server=world.server, day=now.date(), cut_at=now, mode="prove", actor="test", positions=2, lines=2
    )
    with transaction.atomic():
        outbox.publish(
            topic=SWAPS_COMPUTED,
            payload={"run_id": run.pk, "server_id": world.server.pk, "day": run.day.isoformat(), "lines": 2},
        )
    assert told(SWAPS_COMPUTED) == [
        {
            "run": run.pk, "server": world.code, "day": run.day.isoformat(), "number": 1, "mode": "prove", "positions": 2,
            "lines": 2,
        }
    ]  # fmt: skip


def test_differences_are_told_once_by_kind_and_again_when_an_accepted_one_moves() -> None:
    # given: a server with two deals that the books lack
    server = booked(money(1, "100"))
    stated = [money(1, "100"), money(3, "7"), money(4, "8")]
    compare(server, RecordedServer(stated, [account("115")]))
    (first,) = told("platform.reconciliation_break_opened")
    assert (first["server"], first["kind"], first["opened"]) == ("alpha", "deal_missing", 2)
    assert [(one["ticket"], one["login"]) for one in first["breaks"]] == [(3, "100"), (4, "100")]

    # when nothing changes, nothing is told; when an accepted one stands otherwise, it is
    compare(server, RecordedServer(stated, [account("115")]))
    assert len(told("platform.reconciliation_break_opened")) == 1
    ReconciliationBreak.objects.filter(ticket=4).update(state="accepted", accepted_at=clock.now(), explanation="Known")
    compare(server, RecordedServer([*stated[:2], replace(stated[2], profit=D("9"))], [account("116")]))
    _, second = told("platform.reconciliation_break_opened")
    assert (second["opened"], [one["ticket"] for one in second["breaks"]]) == (1, [4])


def test_drift_is_told_when_it_is_found_and_not_at_every_look() -> None:
    world = World()
    drift = world.drift()
    world.drift()
    (event,) = told("platform.symbol_drift_found")
    assert (event["server"], event["found"]) == (world.code, 1)
    assert event["drifts"] == [
        {
            "drift": drift.pk,
            "name": "EURUSD",
            "symbol": "EURUSD",
            "field": "swap_long",
            "approved": "0",
            "stated": "-65",
        }
    ]
    assert drift.first_seen_at <= clock.now() + timedelta(seconds=1)
    world.drift(swap_long=D("-66"))
    assert [one["drifts"][0]["stated"] for one in told("platform.symbol_drift_found")] == ["-65", "-66"]
