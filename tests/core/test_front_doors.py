"""What every answer carries: security headers by door, the trace id, health, and refusals told in one way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import time_machine
from django.http import HttpRequest, HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import path, reverse

from backoffice import urls as site_urls
from backoffice.core.middleware import DomainErrorMiddleware
from backoffice.core.models import AuditRecord, OutboxEvent
from backoffice.core.observing.trace import current_trace_id
from backoffice.core.services import audit, heartbeats
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, DomainError, MissingRate, NotFound, Retryable
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def fail_with_conflict(request: HttpRequest) -> HttpResponse:
    """A view whose use case refuses."""
    raise Conflict("The day is closed.", entity_id=3)


def write_audit(request: HttpRequest) -> HttpResponse:
    """A view whose use case is audited."""
    from django.db import transaction

    with transaction.atomic():
        audit.record(actor=Actor.system("test"), action="core.test", target=make_entity())
    return HttpResponse(current_trace_id())


urlpatterns = [*site_urls.urlpatterns, path("refused/", fail_with_conflict), path("audited/", write_audit)]
here = pytest.mark.urls(__name__)


@pytest.mark.parametrize("url", ["/account/login/", "/portal/", "/api/v1/me/", "/healthz", "/nothing-here", "/"])
def test_no_page_outside_of_the_desk_may_evaluate_or_inline(client: Browser, url: str) -> None:
    policy = client.get(url).headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_desk_may_evaluate_what_its_screens_need_and_load_nothing_from_elsewhere(client: Browser) -> None:
    policy = client.get("/desk/").headers["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert "http" not in policy


def test_every_answer_is_isolated(client: Browser) -> None:
    headers = client.get("/account/login/").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "no-store" in headers["Cache-Control"]


def test_no_template_of_ours_holds_an_inline_script_or_handler() -> None:
    from django.conf import settings

    inline = re.compile(
        r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>|\son\w+=\"|href=\"javascript:", re.IGNORECASE
    )
    found = [
        str(template)
        for template in (settings.BASE_DIR / "templates").rglob("*.html")
        if inline.search(template.read_text())
    ]

    assert found == []


def test_each_request_gets_a_trace_id_and_forgets_it(client: Browser) -> None:
    first, second = client.get("/healthz"), client.get("/healthz")

    assert re.fullmatch(r"[0-9a-f-]{36}", first.headers["X-Request-ID"])
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert current_trace_id() == ""


def test_a_sound_trace_id_of_the_proxy_is_kept(client: Browser) -> None:
    assert (
        client.get("/healthz", headers={"X-Request-ID": "proxy-0123456789"}).headers["X-Request-ID"]
        == "proxy-0123456789"
    )


@pytest.mark.parametrize("given", ["short", "x" * 65, "line\tbreak-123", "<script>alert(1)</script>"])
def test_an_unsound_trace_id_is_not_taken(client: Browser, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] != given


@here
def test_an_audit_record_carries_the_trace_id_of_its_request(client: Browser) -> None:
    answer = client.get("/audited/")

    assert answer.content.decode() == answer.headers["X-Request-ID"]
    assert AuditRecord.objects.get().trace_id == answer.headers["X-Request-ID"]


def test_a_task_inherits_the_trace_id_of_who_sent_it() -> None:
    from django_structlog.celery.receivers import CeleryReceiver

    headers: dict[str, object] = {}
    with structlog.contextvars.bound_contextvars(request_id="trace-of-request"):
        CeleryReceiver().receiver_before_task_publish(headers=headers)

    class Task:
        name = "some.task"

        class request:  # noqa: N801 - the shape of Celery's own
            pass

    Task.request.__django_structlog__ = headers["__django_structlog__"]
    CeleryReceiver().receiver_task_prerun("task-1", Task)
    try:
        assert current_trace_id() == "trace-of-request"
    finally:
        structlog.contextvars.clear_contextvars()


@here
def test_a_refusal_is_a_page_with_its_own_status(client: Browser) -> None:
    answer = client.get("/refused/")

    assert answer.status_code == 409
    assert "The day is closed." in answer.content.decode()
    assert "entity_id" not in answer.content.decode()


@here
def test_a_refusal_is_a_problem_document_for_who_wants_json(client: Browser) -> None:
    answer = client.get("/refused/", headers={"Accept": "application/json"})

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content) == {
        "type": "about:blank",
        "title": "The day is closed.",
        "status": 409,
        "code": "conflict",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(Denied("No."), 403), (NotFound("No."), 404), (MissingRate("No rate."), 422), (Retryable("Busy."), 503)],
)
def test_every_kind_of_refusal_keeps_its_status(error: DomainError, status: int) -> None:
    middleware = DomainErrorMiddleware(lambda request: HttpResponse())

    answer = middleware.process_exception(RequestFactory().get("/"), error)

    assert answer is not None
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)


def test_other_errors_are_left_to_django() -> None:
    middleware = DomainErrorMiddleware(lambda request: HttpResponse())

    assert middleware.process_exception(RequestFactory().get("/"), ZeroDivisionError()) is None


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Noon, until a test moves on."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_a_process_that_answers_is_alive(client: Browser) -> None:
    assert client.get("/healthz").json() == {"alive": True}
    assert client.post("/healthz").status_code == 405


def test_an_installation_with_all_its_parts_is_ready(client: Browser, clock: time_machine.Traveller) -> None:
    heartbeats.beat("beat")
    heartbeats.beat("worker")

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {
            "database": {"ok": True},
            "broker": {"ok": True},
            "beat": {"ok": True, "age_seconds": 0.0},
            "worker": {"ok": True, "age_seconds": 0.0},
            "outbox": {"ok": True, "lag_seconds": 0.0, "dead": 0},
            "servers": {"ok": True, "servers": 0, "live": 0, "worst_lag_seconds": 0.0, "open_gaps": 0},
        },
    }


def test_a_silent_process_or_a_late_outbox_is_named(client: Browser, clock: time_machine.Traveller) -> None:
    heartbeats.beat("beat")
    heartbeats.beat("worker")
    OutboxEvent.objects.create(topic="t")
    clock.shift(timedelta(minutes=3))

    answer = client.get("/readyz")

    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["beat", "worker", "outbox"]
    assert checks["outbox"]["lag_seconds"] == 180.0


def test_a_process_never_seen_and_a_broker_away_are_named(client: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app

    def nowhere(**_: object) -> object:
        raise OSError("no socket at /run/secret-place")

    monkeypatch.setattr(current_app, "connection_for_write", nowhere)

    answer = client.get("/readyz")

    checks = answer.json()["checks"]
    assert checks["broker"] == {"ok": False, "problem": "unreachable"}
    assert checks["beat"] == {"ok": False, "problem": "never seen"}
    assert "secret-place" not in answer.content.decode()


def test_the_front_page_sends_everybody_where_their_work_is(client: Browser) -> None:
    assert client.get("/").headers["Location"] == f"{reverse('account_login')}?next=/"
    log_in(client, make_user("tom@example.com", "trader"))
    assert client.get("/").headers["Location"] == reverse("portal:home")
    staff = make_user("fred@example.com", "finance")
    log_in(client, staff, second_factor=False)
    assert client.get("/").headers["Location"].startswith(reverse("mfa_activate_totp"))
    log_in(client, staff)
    assert client.get("/").headers["Location"] == reverse("admin:index")
