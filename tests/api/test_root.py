"""What every endpoint shares: one effect for one key, problems, pages, filters, limits."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.test import Client as Browser

from backoffice.core import throttle
from backoffice.core.models import AuditRecord, IdempotencyRecord
from backoffice.core.services import idempotency
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.ui import api_views
from crm.models import Client
from funding.ledger.models import JournalEntry, Posting
from tests.api.world import Caller, caller_for, make_brand, make_client, make_service, service_caller
from tests.logins import log_in, make_entity, make_user
from tests.threads import at_once

PROBLEM = "application/problem+json"
pytestmark = pytest.mark.django_db


def new_client(name: str = "Ann Example") -> dict[str, Any]:
    brand = make_brand(make_entity())
    return {"entity": "nova", "brand": brand.code, "full_name": name, "email": "ann@x.test", "country": "CY"}


def deposit_of(client: Any, amount: str = "100.00") -> dict[str, Any]:
    return {
        "client": str(client.public_id),
        "amount": amount,
        "currency": "EUR",
        "method": "bank",
        "reference": "SEPA 1",
    }


# --- one effect for one key ---------------------------------------------------------------------------------------


def test_the_same_key_and_body_has_one_effect_and_one_answer() -> None:
    caller, body = service_caller(Role.SALES), new_client()
    first = caller.post("clients/", body, key="k1")
    second = caller.post("clients/", dict(reversed(body.items())), key="k1")
    assert (first.status_code, first.content) == (201, second.content)
    assert second.status_code == 201
    assert Client.objects.count() == 1


def test_the_same_key_with_another_body_is_refused() -> None:
    caller = service_caller(Role.SALES)
    caller.post("clients/", new_client(), key="k1")
    answer = caller.post("clients/", new_client("Bea Example"), key="k1")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert Client.objects.count() == 1


def test_a_key_belongs_to_its_owner_and_endpoint() -> None:
    first = service_caller(Role.SALES)
    second = caller_for(make_service(Role.SALES, entities=(make_entity(),), email="other@house.test"))
    assert [caller.post("clients/", new_client(), key="k1").status_code for caller in (first, second)] == [201, 201]
    assert Client.objects.count() == 2
    assert IdempotencyRecord.objects.count() == 2


def test_a_refusal_does_not_burn_the_key() -> None:
    caller, body = service_caller(Role.SALES), new_client()
    assert caller.post("clients/", body | {"country": "Cyprus"}, key="k1").status_code == 400
    assert caller.post("clients/", body | {"brand": "none"}, key="k1").status_code == 400
    assert IdempotencyRecord.objects.count() == 0
    assert caller.post("clients/", body, key="k1").status_code == 201


def test_money_needs_a_key_and_nothing_moves_without() -> None:
    caller, client = service_caller(Role.FINANCE), make_client(make_entity())
    answer = caller.post("deposits/", deposit_of(client))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert JournalEntry.objects.count() == 0


@pytest.mark.parametrize("key", ["k" * 121, "ä"])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    caller, client = service_caller(Role.FINANCE), make_client(make_entity())
    answer = caller.post("deposits/", deposit_of(client), key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")
    assert JournalEntry.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_money_moves_once_however_often_it_is_asked_at_the_same_time() -> None:
    # given
    caller, client = service_caller(Role.FINANCE), make_client(make_entity())
    body = deposit_of(client)

    # when six callers come at once with one key
    def call() -> Any:
        return Caller(caller.text).post("deposits/", body, key="k1")

    answers = at_once(*[call] * 6)

    # then one effect; whoever came in between is told so, and every success is the same
    codes = {answer.status_code for answer in answers}
    assert codes <= {201, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"request_in_progress"}
    assert JournalEntry.objects.count() == 1
    again = call()
    assert {answer.content for answer in [again, *answers] if answer.status_code == 201} == {again.content}
    assert Posting.objects.filter(side="C").get().amount == Decimal(100)


@pytest.mark.django_db(transaction=True)
def test_a_registration_happens_once_however_often_it_is_asked_at_the_same_time() -> None:
    caller, body = service_caller(Role.SALES), new_client()
    answers = at_once(*[lambda: Caller(caller.text).post("clients/", body, key="k1")] * 5)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Client.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_server_that_dies_between_booking_and_writing_it_down_books_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a process that dies right after the booking has committed
    caller, client = service_caller(Role.FINANCE), make_client(make_entity())
    body = deposit_of(client)

    def die(*args: Any, **options: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(api_views, "_rendered", die)
        with pytest.raises(SystemExit):
            caller.post("deposits/", body, key="k1")
    assert (JournalEntry.objects.count(), IdempotencyRecord.objects.count()) == (1, 0)

    # when
    answer = caller.post("deposits/", body, key="k1")

    # then
    assert answer.status_code == 201
    assert JournalEntry.objects.count() == 1
    assert answer.json()["id"] == str(JournalEntry.objects.get().public_id)


@pytest.mark.django_db(transaction=True)
def test_a_failed_booking_leaves_nothing_behind() -> None:
    caller, client = service_caller(Role.FINANCE), make_client(make_entity())
    for wrong in ({"amount": "0"}, {"amount": "-1"}, {"amount": "1.001"}, {"amount": "NaN"}, {"currency": "XXQ"}):
        answer = caller.post("deposits/", deposit_of(client) | wrong, key="k1")
        assert answer.status_code == 400, answer.content
    assert (JournalEntry.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)
    assert not AuditRecord.objects.filter(action="funding.receive_deposit").exists()
    assert caller.post("deposits/", deposit_of(client), key="k1").status_code == 201


def test_answers_are_forgotten_after_a_week() -> None:
    service_caller(Role.SALES).post("clients/", new_client(), key="k1")
    idempotency.run_once(scope="other", key="k", request={}, execute=dict)
    IdempotencyRecord.objects.update(created_at=clock.now() - idempotency.KEEP_ANSWERS)
    assert idempotency.forget_old(scope_prefix=idempotency.API_SCOPE, older_than=idempotency.KEEP_ANSWERS) == 1
    assert IdempotencyRecord.objects.get().scope == "other"


# --- problems ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("get", "/api/", {}, 404, "not_found"),
        ("get", "/api/v2/clients/", {}, 404, "not_found"),
        ("get", "/api/v1/clients/not-a-uuid/", {}, 404, "not_found"),
        ("get", "/api/v1/clients/%00/", {}, 400, "bad_request"),
        ("get", "/api/v1/clients/?stage=%00", {}, 400, "bad_request"),
        ("patch", "/api/v1/clients/", {}, 405, "method_not_allowed"),
        ("options", "/api/v1/clients/", {}, 405, "method_not_allowed"),
        ("post", "/api/v1/clients/", {"data": "{", "content_type": "application/json"}, 400, "parse_error"),
        ("post", "/api/v1/clients/", {"data": "a=1", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("get", "/api/v1/clients/", {"headers": {"Accept": "text/html"}}, 406, "not_acceptable"),
        ("get", "/api/v1/clients/", {"headers": {"Host": "evil.example"}}, 400, "bad_request"),
    ],
)
def test_every_error_is_a_problem(
    method: str, path: str, options: dict[str, Any], status: int, code: str, client: Browser
) -> None:
    log_in(client, make_user("admin@house.test", Role.ADMINISTRATOR, entities=(make_entity(),)))
    browser = client if method not in ("post", "patch", "options") else Browser()
    headers = options.pop("headers", {})
    if browser is not client:
        headers = {"Authorization": f"Bearer {service_caller(Role.ADMINISTRATOR).text}"}
    answer = getattr(browser, method)(path, headers=headers, **options)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)


def test_a_mistake_of_ours_is_a_problem_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = service_caller(Role.SALES)
    caller.browser.raise_request_exception = False

    def break_down(*args: Any, **options: Any) -> Any:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("crm.selectors.facts_of", break_down)
    client = make_client(make_entity())
    Client.objects.update(owner=caller.key.owner)
    answer = caller.get(f"clients/{client.public_id}/facts/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, PROBLEM)
    assert answer.json()["code"] == "server_error"
    assert b"hunter2" not in answer.content
    assert answer.headers["X-Request-ID"]


def test_a_busy_database_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*args: Any, **options: Any) -> Any:
        raise OperationalError("canceling statement due to lock timeout on relation 17")

    caller = service_caller(Role.SALES)
    monkeypatch.setattr("crm.services.clients.register_client", busy)
    answer = caller.post("clients/", new_client())
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "retryable", "2")
    assert b"relation" not in answer.content


@pytest.mark.parametrize(
    "text",
    [
        '{"full_name": "\\u0000"}',
        '{"full_name": "\\ud800"}',
        '{"\\udfff": 1}',
        '{"full_name": NaN}',
        '{"full_name": Infinity}',
        '{"full_name": 1e999999}',
        '{"full_name": ' + "9" * 5000 + "}",
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 200 + "1" + "}" * 200,
        "\xff",
        "[]",
        "null",
        '"text"',
        "1",
    ],
)
def test_a_body_that_nobody_can_mean_is_refused_as_a_problem(text: str) -> None:
    caller = service_caller(Role.SALES)
    answer = caller.browser.post(
        "/api/v1/clients/",
        text.encode("latin-1", "replace"),
        content_type="application/json",
        headers={"Authorization": f"Bearer {caller.text}"},
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    caller = service_caller(Role.SALES)
    answer = caller.post("clients/", {"full_name": "x" * 1_100_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_misspelt_field_is_refused_and_named() -> None:
    caller = service_caller(Role.SALES)
    answer = caller.post("clients/", new_client() | {"contry": "CY"})
    assert (answer.status_code, answer.json()["field"]) == (400, "contry")
    assert Client.objects.count() == 0


def test_another_persons_object_is_not_there() -> None:
    hidden = make_client(make_entity("orbis"))
    caller = service_caller(Role.ADMINISTRATOR)
    body = {"owner": None, "team": None, "reason": "x"}
    answers = [
        caller.get(f"clients/{hidden.public_id}/"),
        caller.get(f"clients/{hidden.public_id}/facts/"),
        caller.post(f"clients/{hidden.public_id}/assign/", body),
    ]
    missing = caller.get("clients/00000000-0000-7000-8000-000000000000/")
    assert [answer.status_code for answer in answers] == [404] * 3
    assert answers[0].json()["title"] == missing.json()["title"]


def test_the_session_of_a_person_needs_the_csrf_token() -> None:
    browser = log_in(Browser(enforce_csrf_checks=True), make_user("s@h.test", Role.SALES, entities=(make_entity(),)))
    answer = browser.post("/api/v1/clients/", new_client(), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert Client.objects.count() == 0


# --- pages and filters --------------------------------------------------------------------------------------------


def _pages(caller: Caller, address: str, direction: str = "next") -> list[list[str]]:
    found = []
    for _ in range(10):
        page = caller.get(address).json()
        found.append([row["reference"] for row in page["results"]])
        if page[direction] is None:
            break
        address = page[direction]
    return found


def test_pages_are_stable_while_rows_come_and_can_be_walked_back() -> None:
    # given
    caller = service_caller(Role.COMPLIANCE)
    made = [make_client(make_entity(), f"N{number} Example").reference for number in range(5)]

    # when a row comes while somebody reads
    first = caller.get("clients/", {"page_size": 2}).json()
    make_client(make_entity(), "Late Example")
    rest = _pages(caller, first["next"])
    last = caller.get(caller.get(first["next"]).json()["next"]).json()

    # then
    assert [row["reference"] for row in first["results"]] + [name for page in rest for name in page] == made[::-1]
    assert (first["previous"], last["next"]) == (None, None)
    back = _pages(caller, last["previous"], "previous")
    assert [reference for page in back for reference in page][:4] == [*made[::-1][2:4], *made[::-1][0:2]]


@pytest.mark.parametrize("cursor", ["x", "%FF", "WyJuIiwgWyIxIl1d", "a" * 2000, ""])
def test_a_cursor_that_was_altered_is_refused(cursor: str) -> None:
    answer = service_caller(Role.COMPLIANCE).get(f"clients/?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid_cursor", "cursor")


def test_a_cursor_of_another_list_is_refused() -> None:
    caller = service_caller(Role.ADMINISTRATOR)
    for number in range(3):
        make_client(make_entity(), f"N{number} Example")
    following = caller.get("clients/", {"page_size": 1}).json()["next"]
    assert caller.get(following.replace("/clients/", "/accounts/")).json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("size", ["0", "-1", "1001", "x", "1.5", "٣", "99999999999999999999"])
def test_a_page_size_that_cannot_be_is_refused(size: str) -> None:
    answer = service_caller(Role.COMPLIANCE).get("clients/", {"page_size": size})
    assert (answer.status_code, answer.json()["field"]) == (400, "page_size")


@pytest.mark.parametrize("path", ["clients/", "me/", "trial-balance/", "risk/exposure/", "events/", "partner-tree/"])
def test_an_unknown_parameter_is_refused_not_ignored(path: str) -> None:
    answer = service_caller(Role.ADMINISTRATOR).get(path, {"stagee": "lead"})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "unknown_parameter", "stagee")


def test_amounts_travel_as_decimal_text_without_losing_a_digit() -> None:
    caller = service_caller(Role.FINANCE)
    body = json.dumps({"source": "house", "rates": []})
    exact = body.replace("[]", '[{"date": "2026-11-20", "currency": "USD", "per_euro": 1.0812345678}]')
    headers = {"Authorization": f"Bearer {caller.text}"}
    made = caller.browser.post("/api/v1/reference-rates/", exact, content_type="application/json", headers=headers)
    assert (made.status_code, made.json()) == (200, {"new": 1, "corrections": []})
    (row,) = caller.get("reference-rates/", {"source": "house"}).json()["results"]
    assert row["per_euro"] == "1.0812345678"


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.fixture
def counters(settings: Any) -> Any:
    """Valkey without the counters of other tests."""
    valkey = redis.Redis.from_url(settings.CACHE_URL)

    def clear() -> None:
        for name in valkey.scan_iter("backoffice:throttle:*"):
            valkey.delete(name)

    clear()
    yield valkey
    clear()


def test_a_key_is_stopped_at_its_limit_and_told_when_to_come_back(settings: Any, counters: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 3
    caller, other = service_caller(Role.FINANCE), None
    answers = [caller.get("me/") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert (answers[3].json()["code"], answers[3].headers["Content-Type"]) == ("throttled", PROBLEM)
    other = caller_for(caller.key.owner)
    assert other.get("me/").status_code == 200


def test_an_address_is_stopped_even_without_any_key(settings: Any, counters: Any) -> None:
    settings.API_CALLS_PER_MINUTE_AND_ADDRESS = 2
    guesser = Caller("bo_aaaaaaaaaaaa_guess", address="198.51.100.7")
    assert [guesser.get("me/").status_code for _ in range(3)] == [401, 401, 429]
    assert Caller("bo_aaaaaaaaaaaa_guess", address="198.51.100.8").get("me/").status_code == 401


def test_exactly_the_limit_is_let_through_however_many_ask_at_once(counters: Any) -> None:
    def ask() -> list[bool]:
        return [throttle.take("test", limit=50, window_seconds=60).is_exceeded for _ in range(20)]

    taken = [answer for answers in at_once(*[ask] * 5) for answer in answers]
    assert taken.count(False) == 50
    assert 0 < counters.pttl("backoffice:throttle:test") <= 60_000


def test_a_counter_that_lost_its_end_gets_one_again(counters: Any) -> None:
    counters.set("backoffice:throttle:test", 5)
    throttle.take("test", limit=50, window_seconds=60)
    assert 0 < counters.pttl("backoffice:throttle:test") <= 60_000


def test_without_valkey_calls_pass_uncounted_and_quickly(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_rest", throttle._Rest())
    caller = service_caller(Role.FINANCE)
    settings.CACHE_URL = "unix:///nonexistent/valkey.sock"
    asked: list[str] = []
    ask = throttle._valkey
    monkeypatch.setattr(throttle, "_valkey", lambda url: asked.append(url) or ask(url))
    answers = [caller.get("me/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "RateLimit-Limit" not in answers[0].headers
    assert len(asked) == 1  # left alone for a while
