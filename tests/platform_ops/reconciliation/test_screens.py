"""The boards of the comparison and of liquidity providers: who sees them, what they show, what they do."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import Job
from platform_ops.admin.reconciliation import ReconciliationBoard
from platform_ops.models import CurrentFill, LiquidityProvider, LiquiditySymbol, ReconciliationBreak, ServerConnection
from platform_ops.services.liquidity import import_fix_log, save_provider
from tests.logins import log_in, make_entity, make_user
from tests.platform_ops.liquidity.test_messages import fix
from tests.platform_ops.reconciliation.test_breaks import AT, SYSTEM, RecordedServer, account, booked, compare, money

pytestmark = pytest.mark.django_db


def operator(entity: object, role: str = "platform_operations") -> Browser:
    browser = Browser()
    log_in(browser, make_user(f"{role}@broker.example", role, entities=(entity,)))  # type: ignore[arg-type]
    return browser


def test_the_board_shows_each_difference_with_both_sides() -> None:
    server = booked(money(1, "100"), money(2, "5", login="200"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    browser = operator(server.entity)
    page = browser.get(ReconciliationBoard.url()).content.decode()
    assert "Balance differs" in page
    assert "balance 100.00" in page
    assert "balance 90.00" in page
    assert "archived or deleted there" in page
    for model in ("reconciliationbreak", "reconciliationrun"):
        listed = browser.get(reverse(f"admin:platform_ops_{model}_changelist"))
        assert (listed.status_code, "alpha" in listed.content.decode()) == (200, True)
    one = ReconciliationBreak.objects.get(kind="balance")
    detail = browser.get(reverse("admin:platform_ops_reconciliationbreak_change", args=[one.pk])).content.decode()
    assert "Both sides" in detail
    run = browser.get(reverse("admin:platform_ops_reconciliationrun_change", args=[one.first_run_id])).content.decode()
    assert "What was compared" in run


def test_a_difference_is_accepted_on_its_page_after_a_look() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    one = ReconciliationBreak.objects.get()
    browser = operator(server.entity)
    url = reverse("admin:platform_ops_reconciliationbreak_accept", args=[one.pk])
    looked = browser.post(url, {"reason": "A fee that the server took."})
    assert "Nothing is booked" in looked.content.decode()
    one.refresh_from_db()
    assert one.state == "open"
    key = looked.content.decode().split('name="idempotency_key" value="')[-1].split('"')[0]
    browser.post(url, {"reason": "A fee that the server took.", "confirmed": "yes", "idempotency_key": key})
    one.refresh_from_db()
    assert (one.state, one.explanation) == ("accepted", "A fee that the server took.")


def test_a_comparison_is_asked_for_and_queued() -> None:
    server = booked(money(1, "100"))
    ServerConnection.objects.create(server=server, kind="mt5_web", host="x", port=1, is_enabled=True, started_at=AT)
    browser = operator(server.entity)
    browser.post(reverse("admin:platform_ops_reconciliationrun_compare"), {"server": server.pk, "start": "2026-01-05"})
    job = Job.objects.get(kind="platform.reconcile")
    assert job.payload["server_id"] == server.pk


def test_another_entitys_differences_are_not_shown() -> None:
    server = booked(money(1, "100"))
    compare(server, RecordedServer([money(1, "100")], [account("90")]))
    one = ReconciliationBreak.objects.get()
    stranger = operator(make_entity("elsewhere"))
    assert "alpha" not in stranger.get(ReconciliationBoard.url()).content.decode()
    assert stranger.get(reverse("admin:platform_ops_reconciliationbreak_change", args=[one.pk])).status_code in (
        302,
        404,
    )
    assert stranger.post(reverse("admin:platform_ops_reconciliationbreak_accept", args=[one.pk])).status_code == 404


def test_executions_names_and_messages_are_listed_and_a_log_is_taken_in() -> None:
    entity = make_entity("nova")
    provider = save_provider(
        code="lp", name="LP", comp_id="LP", entity_id=entity.pk, actor=SYSTEM, units_per_quantity=Decimal(10_000)
    )
    raw = fix(
        (37, "A"),
        (17, "1"),
        (150, "F"),
        (54, 1),
        (48, "4001"),
        (22, 8),
        (32, 5),
        (31, 2),
        (14, 5),
        (60, "20261102-10:00:00"),
    )
    import_fix_log(provider_id=provider.pk, data=raw, file_name="day.log", actor=SYSTEM)
    browser = operator(entity, "dealing")
    for model in (CurrentFill, LiquidityProvider, LiquiditySymbol):
        name = model._meta.model_name
        listed = browser.get(reverse(f"admin:platform_ops_{name}_changelist"))
        assert listed.status_code == 200
        first = model._default_manager.all()[0]
        assert browser.get(reverse(f"admin:platform_ops_{name}_change", args=[first.pk])).status_code == 200
    assert "50,000" in browser.get(reverse("admin:platform_ops_currentfill_changelist")).content.decode()
    assert browser.get(reverse("admin:platform_ops_liquiditymessage_changelist")).status_code == 200
    marketing = operator(entity, "marketing")
    assert marketing.get(reverse("admin:platform_ops_currentfill_changelist")).status_code == 403
