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

from backoffice.core.logs import configure, remove_personal_data
from backoffice.core.middleware import TraceMiddleware
from tests.logins import PASSWORD, make_user


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
