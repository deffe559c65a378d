"""Log lines: JSON, with a trace id, without what identifies people or opens doors."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse

from backoffice.core.middleware import TraceMiddleware
from backoffice.core.observing.logs import configure, remove_personal_data
from backoffice.core.observing.masks import mask_event, mask_text
from tests.core.test_files import keep
from tests.logins import PASSWORD, log_in, make_user
from tests.mails import mails


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged as JSON during the test."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    configure({"format": "json", "level": "INFO"})
    stream = io.StringIO()
    handler = next(handler for handler in root.handlers if isinstance(handler, logging.StreamHandler))
    handler.setStream(stream)
    yield stream
    root.handlers, root.level = before
    configure({"format": "console", "level": "WARNING"})
    root.handlers = before[0]


def events(stream: io.StringIO) -> list[dict[str, object]]:
    """The lines, read back."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_trace(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="trace-1"):
        structlog.get_logger("some.module").info("settled", lines=3)
        logging.getLogger("a.library").warning("careful: %s", "hot")

    ours, theirs = events(lines)
    assert (ours["event"], ours["lines"], ours["request_id"], ours["level"]) == ("settled", 3, "trace-1", "info")
    assert (theirs["event"], theirs["request_id"], theirs["logger"]) == ("careful: hot", "trace-1", "a.library")


def test_an_error_is_told_with_its_traceback_on_the_same_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("x").exception("failed")

    (line,) = events(lines)
    assert "ValueError: broken" in str(line["exception"])


@pytest.mark.parametrize("key", ["email", "password", "Phone", "full_name", "ip", "user_agent", "token", "secret"])
def test_what_identifies_a_person_is_removed(key: str) -> None:
    assert remove_personal_data(None, "info", {key: "anna@example.com", "user_id": 3}) == {
        key: "[removed]",
        "user_id": 3,
    }


def test_the_values_in_a_database_error_are_removed() -> None:
    event = remove_personal_data(
        None, "error", {"exception": "IntegrityError: duplicate\nDETAIL:  Key (email)=(anna@example.com) exists.\n"}
    )

    assert event["exception"] == "IntegrityError: duplicate\nDETAIL: [removed]\n"


def test_a_request_is_logged_without_its_query_and_without_secrets_in_its_path() -> None:
    build = RequestFactory()

    assert TraceMiddleware.format_request(build.get("/desk/crm/client/?q=anna")) == "GET /desk/crm/client/"
    assert (
        TraceMiddleware.format_request(build.get("/account/password/reset/key/2-abc-def/"))
        == "GET /account/password/reset/key/…/"
    )


@pytest.mark.django_db
def test_signing_in_logs_neither_address_nor_password(lines: io.StringIO, client: Browser, empty_cache: None) -> None:
    make_user("tom@example.com", "trader")
    for password in ("a very wrong one", PASSWORD):
        client.post(reverse("account_login"), {"login": "tom@example.com", "password": password})

    text = lines.getvalue()
    assert "sign_in_failed" in text
    assert [word for word in ("tom@example.com", "a very wrong one", PASSWORD) if word in text] == []


PERSONAL = {
    "mail": "anna.lindqvist@example.com",
    "telephone": "+46 70 123 45 67",
    "card": "4111 1111 1111 1111",
    "account": "DE89 3704 0044 0532 0130 00",
    "bearer": "Bearer bo_live_0123456789abcdef",
    "header": "Authorization: Token 0123456789abcdef",
    "json web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "password": "password=hunter2-secret",
    "url": "postgresql://backoffice:hunter2@db/backoffice",
    "sealed": "v1:k1:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
    "reset link": "/account/password/reset/key/5-c8x2-0123abcd/",
}
HARMLESS = [
    "batch 12 of server 7 took 3.25 s",
    "01a203ff-adf2-79eb-b1c3-b858dcba156d",
    "2026-11-22T16:03:37.539761Z",
    "ticket 1234567890123456 closed at 1.08450",
    "amount 1,250.00 EUR, 4200000000001 rows",
    "digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "/desk/crm/client/7/change/",
]


@pytest.mark.parametrize("kind", sorted(PERSONAL))
def test_what_looks_personal_is_removed_from_any_text(kind: str) -> None:
    text = f"before {PERSONAL[kind]} after"

    masked = mask_text(text)

    assert PERSONAL[kind] not in masked
    assert not [
        part
        for part in ("lindqvist", "123 45", "1111", "0532", "0123456789abcdef", "hunter2", "c8x2")
        if part in masked
    ]
    assert masked.startswith("before ")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_operations_need_stays(text: str) -> None:
    assert mask_text(text) == text


def test_values_are_removed_however_deep_they_stand() -> None:
    event = {"event": "x", "client": {"id": 7, "Email": "a@example.com", "cards": [{"card-number": "1"}]}, "raw": b"x"}

    assert mask_event(event) == {
        "event": "x",
        "client": {"id": 7, "Email": "[removed]", "cards": [{"card-number": "[removed]"}]},
        "raw": "[removed]",
    }


def test_an_error_tells_neither_its_locals_nor_the_values_in_its_words(lines: io.StringIO) -> None:
    def send(to: str, iban: str) -> None:
        phone = "+49 30 12345678"
        raise ValueError(f"cannot write to {to} ({iban}, {phone})")

    for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        try:
            send("anna.lindqvist@example.com", "DE89370400440532013000")
        except ValueError:
            logger.exception("failed for anna.lindqvist@example.com")

    ours, theirs = events(lines)
    for line in (ours, theirs):
        assert "ValueError: cannot write to [removed]" in str(line["exception"])
    text = lines.getvalue()
    assert [word for word in ("lindqvist", "DE8937", "12345678") if word in text] == []


@pytest.mark.django_db
def test_a_refused_request_is_one_line_without_a_traceback(lines: io.StringIO, client: Browser) -> None:
    log_in(client, make_user("tom@example.com", "trader"))

    assert client.get(reverse("admin:login")).status_code == 403

    (line,) = [line for line in events(lines) if line["logger"] == "django.request"]
    assert str(line["event"]).startswith("Forbidden")
    assert "exception" not in line


@pytest.mark.django_db(transaction=True)
def test_a_whole_upload_and_a_mail_leave_no_personal_data_in_the_log(
    lines: io.StringIO, client: Browser, empty_cache: None
) -> None:
    logging.getLogger().setLevel(logging.INFO)
    user = make_user("tom.traveller@example.com", "trader")
    client.post(reverse("account_reset_password"), {"email": user.email})
    (sent,) = mails()
    link = sent.body.split("/account/password/reset/key/")[1].split("/")[0]
    client.get(f"/account/password/reset/key/{link}/")
    keep(b"name;mail\nTom;tom.traveller@example.com\n", "tom.traveller passport.csv")

    text = lines.getvalue()
    assert "message_ended" in text
    assert "file_checked" in text
    assert [word for word in ("traveller", "passport", link, "Lindqvist") if word in text] == []
