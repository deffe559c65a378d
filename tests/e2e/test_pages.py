"""Every page of the menus opens without a complaint of the browser, and axe finds no serious barrier on the main ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from zlib import crc32

import pytest
from django.urls import reverse

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.types import STAFF_ROLES, Role
from backoffice.kernel.business_day import day_bounds
from backoffice.reports.services.issue import issue_report
from backoffice.ui.navigation import menu_for
from backoffice.ui.portal import pages_for
from funding.services.trading_results import post_trading_results
from ib.models import CommissionLine, PartnerEdge
from ib.services.requests import request_move
from ib.services.settlement import settle_range
from risk.services.exposure import calculate_exposure
from tests.e2e.conftest import Arrive
from tests.e2e.world import MONDAY, SYSTEM, TUESDAY, World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def _menu_of(user: User) -> Iterator[str]:
    yield "/desk/"
    for _section, pages in menu_for(actor_of_user(user)):
        yield from (page.url for page in pages)


PARTS = 6
FULL = bool(os.environ.get("ADDRESSES_FULL"))
"""With ADDRESSES_FULL in the environment every page is opened in one run."""


def test_every_page_of_every_staff_menu_opens_in_silence(arrive: Arrive, world: World) -> None:
    # given every role of the broker's staff; each page is opened by the first role that has it, a sixth of them a day
    opened: set[str] = set()
    part = date.today().toordinal() % PARTS
    visitor = arrive()
    for role in sorted(STAFF_ROLES):
        user = world.person(Role(role))
        fresh = [url for url in _menu_of(user) if url not in opened]
        pages = [url for url in fresh if FULL or crc32(url.encode()) % PARTS == part]
        opened.update(fresh)
        if not pages:
            continue
        visitor.sign_in_as(user)
        # when they open it
        for url in pages:
            visitor.open(url)
            # then it is a whole page with one title
            assert visitor.page.title().strip(), url
    assert len(opened) > 10


def test_the_desk_has_no_serious_barriers_by_day_and_night(arrive: Arrive, world: World) -> None:
    # given the pages that stand for their kinds, with something to show
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    post_trading_results(business_day=TUESDAY, server_id=world.server.pk, actor=SYSTEM)
    calculate_exposure(entity_id=world.entity.pk, actor=SYSTEM)
    issue_report(definition="daily_finance", entity_id=world.entity.pk, as_of=MONDAY, format="csv", actor=SYSTEM)
    client = world.clients["Bruno Keller"]
    change = request_move(
        partner_id=PartnerEdge.objects.order_by("pk")[0].child_id,
        parent_id=None,
        valid_from=day_bounds(TUESDAY)[0],
        actor=actor_of_user(world.person(Role.PARTNER_MANAGER)),
        reason="stands alone",
    )
    pages = {
        "dashboard": reverse("admin:index"),
        "list": reverse("admin:crm_client_changelist"),
        "detail": reverse("admin:crm_client_change", args=[client.pk]),
        "history": reverse("admin:crm_client_history", args=[client.pk]),
        "action": reverse("admin:core_user_access", args=[world.person(Role.FINANCE).pk]),
        "trades": reverse("admin:platform_ops_trade_changelist"),
        "account": reverse("admin:platform_ops_tradingaccount_change", args=[world.accounts["800001"].pk]),
        "partner": reverse("admin:ib_partner_change", args=[world.partners["Alpha"].pk]),
        "tree": reverse("admin:ib_tree"),
        "settle": reverse("admin:ib_settle"),
        "commission lines": reverse("admin:ib_lines"),
        "upload": reverse("admin:platform_ops_statementimport_upload"),
        "trial balance": reverse("admin:funding_trial_balance"),
        "exposure": reverse("admin:risk_exposure"),
        "reports": reverse("admin:reports_issuedreport_changelist"),
        "change requests": reverse("admin:core_changerequest_changelist"),
        "change request": reverse("admin:core_changerequest_change", args=[change.pk]),
        "approval": reverse("admin:core_changerequest_approve", args=[change.pk]),
        "approval policies": reverse("admin:core_approvalpolicy_changelist"),
    }
    visitor = arrive()
    visitor.open("/account/login/")
    found = {"sign-in": visitor.barriers_by_day_and_night()}
    visitor.sign_in_as(world.person(Role.ADMINISTRATOR))
    # when axe looks at each of them
    for name, url in pages.items():
        visitor.open(url)
        found[name] = visitor.barriers_by_day_and_night()
    # and at one that was opened in the dark
    by_night = arrive(dark=True)
    by_night.sign_in_as(world.person(Role.ADMINISTRATOR))
    by_night.open(pages["dashboard"])
    assert "dark" in (by_night.page.locator("html").get_attribute("class") or "").split()
    found["dashboard, opened in the dark"] = by_night.barriers()
    # then it finds nothing serious
    assert {name: barriers for name, barriers in found.items() if barriers} == {}


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_the_portal_has_no_serious_barriers_and_fits_its_window(arrive: Arrive, world: World, phone: bool) -> None:
    # given an introducing broker and a trader with something to show
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    line = CommissionLine.objects.filter(partner_id=world.partners["Alpha"].pk)[0]
    found: dict[str, list[str]] = {}
    visitor = arrive(phone=phone)
    visitor.open("/account/login/")
    found["sign-in"] = visitor.barriers_by_day_and_night()
    for name in ("Alpha", "Bruno"):
        user = world.people[name]
        visitor.sign_in_as(user)
        pages = ["/portal/", *(page.url for page in pages_for(actor_of_user(user))), "/account/2fa/"]
        pages += [f"/portal/commission/lines/{line.reference}/"] if name == "Alpha" else []
        for url in pages:
            # when each of their pages is opened
            visitor.open(f"{url}?from_day={MONDAY}&to_day={TUESDAY}")
            found[f"{name} {url}"] = visitor.barriers_by_day_and_night()
            # then nobody has to push it sideways
            widths = visitor.page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            assert widths[0] <= widths[1], f"{url} is {widths[0]} wide in a window of {widths[1]}"
    # and axe finds nothing serious
    assert {name: barriers for name, barriers in found.items() if barriers} == {}
