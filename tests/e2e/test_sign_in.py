"""The front door: password, one-time code, desk; and what a password alone opens."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from backoffice.core.models import AuditRecord, User
from backoffice.core.services import users
from backoffice.core.types import Role
from tests.e2e.browser import code_of
from tests.e2e.conftest import Arrive
from tests.e2e.world import PASSWORD
from tests.factories.platform import SYSTEM, make_entity

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def _member_of_staff(*, with_codes: bool) -> User:
    user = users.create_user(
        email="finance@broker.example",
        full_name="Farid Osman",
        roles=[Role.FINANCE],
        entity_codes=[make_entity(name="Northgate Markets Ltd").code],
        actor=SYSTEM,
        password=PASSWORD,
    )
    if with_codes:
        users.set_up_one_time_codes(user_id=user.pk, actor=SYSTEM)
    return user


def test_staff_sign_in_with_a_one_time_code_and_land_on_the_dashboard(arrive: Arrive) -> None:
    # given a member of staff with an authenticator
    user = _member_of_staff(with_codes=True)
    visitor = arrive()
    page = visitor.page
    # when they open the desk, and give their password and the code that their app shows now
    visitor.open("/desk/")
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code", exact=True).fill(code_of(user))
    page.get_by_role("button", name="Continue").click()
    # then they are at their dashboard, in their legal entity, and the trail says that they came
    page.wait_for_url("**/desk/")
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    expect(page.locator("body")).to_contain_text("Northgate Markets Ltd")
    assert AuditRecord.objects.filter(action="core.sign_in", user_id=user.pk).count() == 1


def test_a_code_that_was_used_opens_nothing_again(arrive: Arrive) -> None:
    # given a member of staff, and somebody who saw their password and their code
    user = _member_of_staff(with_codes=True)
    code = ""
    for attempt, heading in (("the owner", "Today"), ("the thief", "One-time code")):
        visitor = arrive()
        page = visitor.page
        # when each of them signs in with the same code
        visitor.open("/account/login/?next=/desk/")
        page.get_by_label("E-mail address").fill(user.email)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        code = code or code_of(user)
        page.get_by_label("Code", exact=True).fill(code)
        page.get_by_role("button", name="Continue").click()
        # then only the first is let in
        expect(page.get_by_role("heading", name=heading, level=1), attempt).to_be_visible()


def test_staff_without_a_second_factor_are_kept_out_of_the_desk_until_they_set_it_up(arrive: Arrive) -> None:
    # given a member of staff who has never set up one-time codes
    user = _member_of_staff(with_codes=False)
    visitor = arrive()
    page = visitor.page
    # when they sign in with their password alone
    visitor.open("/account/login/")
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    # then they are asked to set up codes, and every way into the desk and the API leads back there or says no
    page.wait_for_url("**/account/2fa/totp/activate/**")
    visitor.open("/desk/")
    assert "/account/2fa/totp/activate/" in page.url
    visitor.open("/desk/core/user/")
    assert "/account/2fa/totp/activate/" in page.url
    visitor.open("/api/v1/clients/", status=403)


def test_a_trader_is_refused_by_the_desk(arrive: Arrive) -> None:
    # given a trader, who needs no second factor
    trader = users.create_user(
        email="trader@example.com",
        full_name="Tomas Lind",
        roles=[Role.TRADER],
        entity_codes=[make_entity().code],
        actor=SYSTEM,
        password=PASSWORD,
    )
    visitor = arrive()
    visitor.sign_in_as(trader)
    # when they open the desk, then they are refused; their own door is the portal
    visitor.open("/desk/", status=403)
    visitor.open("/")
    assert visitor.page.url.endswith("/portal/")


def test_what_the_browser_refuses_is_heard(arrive: Arrive) -> None:
    # given a page of the portal's strict policy
    visitor = arrive()
    visitor.open("/account/login/")
    # when something tries to run a script or to load from elsewhere there
    visitor.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))")
    visitor.page.evaluate("fetch('https://elsewhere.example/').catch(() => null)")
    # then both are refused, and these tests hear of it
    heard = "\n".join(visitor.complaints)
    assert "script-src" in heard
    assert "connect-src" in heard
    visitor.complaints.clear()
