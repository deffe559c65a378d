"""Passkeys, sessions, the view as a client and live figures, in a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from playwright.sync_api import expect

from backoffice.core.identity import one_time_codes
from backoffice.core.models import AuditRecord, LoginEvent, User
from backoffice.core.services import sessions
from backoffice.core.types import Actor, Role
from risk.services.exposure import calculate_exposure
from tests.e2e.browser import Visitor, code_of
from tests.e2e.conftest import Arrive
from tests.logins import PASSWORD, log_in, make_entity, make_user

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

SYSTEM = Actor.system("test")


def _security_key(visitor: Visitor) -> tuple[Any, str]:
    """A device of the browser's own that keeps passkeys and always knows the finger."""
    devtools = visitor.context.new_cdp_session(visitor.page)
    devtools.send("WebAuthn.enable")
    made = devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    return devtools, made["authenticatorId"]


def _on_localhost(visitor: Visitor) -> Visitor:
    """Passkeys belong to a name, never to a bare address."""
    visitor.address = visitor.address.replace("127.0.0.1", "localhost")
    return visitor


def _sign_in(visitor: Visitor, user: User) -> None:
    page = visitor.page
    visitor.open("/account/login/")
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_made_opens_the_desk_alone_and_a_finger_is_demanded(arrive: Arrive) -> None:
    # given a member of staff with one-time codes, on a device that keeps passkeys
    user = make_user("anna@broker.example", Role.ADMINISTRATOR, entities=(make_entity(),))
    one_time_codes.enrol(user)
    visitor = _on_localhost(arrive())
    page = visitor.page
    devtools, device = _security_key(visitor)
    _sign_in(visitor, user)
    page.get_by_label("Code", exact=True).fill(code_of(user))
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/desk/")
    # when they make a passkey
    visitor.open("/account/2fa/")
    page.get_by_role("listitem").filter(has_text="Passkeys").get_by_role("link", name="Set up").click()
    assert visitor.barriers() == []
    page.get_by_label("Name of this passkey").fill("Work laptop")
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url("**/account/2fa/recovery-codes/**")
    expect(page.locator(".account-codes li")).to_have_count(10)
    visitor.open("/account/2fa/webauthn/")
    expect(page.get_by_role("heading", name="Work laptop")).to_be_visible()
    assert visitor.barriers() == []
    # and come back with nothing but the passkey
    page.get_by_role("button", name="Sign out").click()
    visitor.open("/account/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/desk/")
    # then the desk is open: the passkey was both factors
    login = LoginEvent.objects.filter(user=user, kind="login").latest("id")
    assert login.method == "webauthn"
    # and a device that cannot tell who holds it opens nothing
    visitor.context.clear_cookies()
    devtools.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    visitor.open("/account/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was given")
    visitor.complaints.clear()


def test_the_second_step_takes_a_passkey_and_the_last_factor_of_staff_stays(arrive: Arrive) -> None:
    # given a member of staff who sets up a passkey as the only second factor
    user = make_user("anna@broker.example", Role.FINANCE, entities=(make_entity(),))
    visitor = _on_localhost(arrive())
    page = visitor.page
    _security_key(visitor)
    _sign_in(visitor, user)
    page.get_by_role("link", name="Set up a passkey instead").click()
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url("**/account/2fa/recovery-codes/**")
    visitor.open("/desk/")
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    # when they sign in with the password, then the passkey is asked for and takes them in
    visitor.context.clear_cookies()
    _sign_in(visitor, user)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/desk/**")
    # and they cannot give it up, because their work needs one
    visitor.open("/account/2fa/webauthn/")
    page.get_by_role("link", name="Remove").click()
    expect(page.locator("body")).to_contain_text("set up another one first")
    visitor.complaints.clear()
    assert AuditRecord.objects.filter(action="core.remove_second_factor").count() == 0


def test_sessions_on_desktop_and_phone(arrive: Arrive) -> None:
    user = make_user("tom@example.com", Role.TRADER, entities=(make_entity(),))
    log_in(Browser(), user, second_factor=False)
    for is_phone in (False, True):
        visitor = arrive(phone=is_phone)
        visitor.sign_in_as(user)
        visitor.open("/account/sessions/")
        expect(visitor.page.get_by_text("This session")).to_have_count(1)
        assert visitor.barriers() == []
        wide = visitor.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, "nothing sticks out sideways"
    visitor.page.get_by_role("button", name="End all other sessions").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("other sessions ended")
    assert sessions.own_sessions(actor=Actor(label="", user_id=user.pk)).count() == 1


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


@contextmanager
def _streams(origin: str) -> Iterator[int]:
    """The streams' process as in service, on a port of its own, beside the live server's database."""
    port = _free_port()
    database = connection.settings_dict
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
        "BACKOFFICE_TRUSTED_ORIGINS": origin,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
    }
    command = [sys.executable, "-m", "gunicorn", "-k", "asgi", "backoffice.streams.asgi:application"]
    command += [f"--bind=127.0.0.1:{port}", "--workers=1", "--graceful-timeout=1", "--log-level=error"]
    process = subprocess.Popen(command, env=environment)
    try:
        until = time.monotonic() + 30
        while not _is_live(port):
            assert time.monotonic() < until, "the streams did not start"
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def _is_live(port: int) -> bool:
    asking = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        asking.request("GET", "/streams/healthz")
        return b'"is_live": true' in asking.getresponse().read()
    except OSError:
        return False
    finally:
        asking.close()


def test_the_exposure_page_is_live_and_says_when_it_is_not(arrive: Arrive, live_server: Any, settings: Any) -> None:
    # given an exposure page with its stream on another port
    entity = make_entity()
    user = make_user("dealer@example.com", Role.DEALING, entities=(entity,))
    calculate_exposure(entity_id=entity.pk, actor=SYSTEM)
    visitor = arrive()
    with _streams(live_server.url) as port:
        settings.STREAMS = str(port)
        visitor.context.unroute("**/*")
        visitor.sign_in_as(user)
        visitor.open("/desk/pages/risk/exposure/")
        state = visitor.page.locator("[data-risk-state]")
        expect(state).to_have_attribute("data-mode", "live")
        box = visitor.page.locator("#risk-exposure")
        asked: list[str] = []
        visitor.page.on(
            "request", lambda request: asked.append(request.url) if "exposure/data" in request.url else None
        )
        before = box.inner_text()
        # when it is calculated again, then the page shows it without asking
        time.sleep(1.1)
        calculate_exposure(entity_id=entity.pk, actor=SYSTEM)
        expect(box).not_to_have_text(before, use_inner_text=True)
        assert asked == []
    # when the stream is gone, then the page says that its figures are delayed, and asks for itself
    expect(state).to_have_attribute("data-mode", "delayed")
    with visitor.page.expect_response(lambda answer: "exposure/data" in answer.url):
        visitor.page.wait_for_timeout(100)
    visitor.complaints.clear()
