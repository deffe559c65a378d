"""The portal's shell: a login, a role, one's own."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.types import STAFF_ROLES, Role
from backoffice.ui import portal
from backoffice.ui.columns import money
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db


def test_the_portal_is_for_traders_and_partners(client: Browser) -> None:
    assert client.get(reverse("portal:home")).status_code == 302
    for role in (Role.TRADER, Role.IB):
        assert log_in(client, make_user(f"{role}@world.test", role)).get(reverse("portal:home")).status_code == 200
    for role in sorted(STAFF_ROLES):
        browser = log_in(client, make_user(f"{role}@house.test", role, entities=(make_entity(),)))
        assert browser.get(reverse("portal:home")).status_code == 403


def test_the_first_page_shows_the_panels_of_the_role(client: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(portal, "_panels", {})
    columns = (money("amount", fixed_currency="USD", title="Amount"),)
    portal.register_home_panel("a", [Role.TRADER], lambda actor: portal.Panel("Balance", figure="1.00 USD"), 10)
    portal.register_home_panel(
        "b", [Role.TRADER], lambda actor: portal.Panel("Rows", columns=columns, empty_text="None"), 20
    )
    portal.register_home_panel("c", [Role.IB], lambda actor: portal.Panel("Commission"), 30)

    # when
    page = log_in(client, make_user("t@world.test", Role.TRADER)).get(reverse("portal:home")).content.decode()

    # then
    assert "1.00 USD" in page
    assert "None" in page
    assert "Commission" not in page


def test_the_portal_runs_without_script(client: Browser) -> None:
    answer = log_in(client, make_user("t@world.test", Role.TRADER)).get(reverse("portal:home"))
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.content.decode()
    assert "style=" not in answer.content.decode()


def test_what_does_not_exist_is_said_plainly(client: Browser) -> None:
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "Nothing here" in answer.content.decode()
