"""Commissions are settled on the desk; an introducing broker sees their own in the portal, and nobody else's.

By the world's plan: Beta introduced the client of 2.50 lots and earns 15.00 USD, Alpha above earns 3.75; Omega introduced
the client of 3.00 lots and earns 18.00.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from playwright.sync_api import expect

from backoffice.core.types import Role
from ib.models import CommissionLine
from ib.services.settlement import settle_range
from tests.e2e.conftest import Arrive
from tests.e2e.world import MONDAY, SYSTEM, TUESDAY, World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

MARCH = f"?from_day={MONDAY}&to_day={TUESDAY}"


def test_a_partner_manager_settles_two_days_and_sees_the_lines(arrive: Arrive, world: World) -> None:
    # given closed trades that nobody has been paid for
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.PARTNER_MANAGER))
    page = visitor.page
    visitor.open("/desk/")
    visitor.choose("Partners", "Settle commissions")
    # when the partner manager names the days, reads what will happen, and confirms
    page.get_by_label("From").fill(MONDAY.isoformat())
    page.get_by_label("To", exact=False).last.fill(TUESDAY.isoformat())
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Please confirm")).to_be_visible()
    assert not CommissionLine.objects.exists()
    page.get_by_role("button", name="Settle", exact=True).click()
    # then five lines are booked, and said to be
    expect(page.locator("body")).to_contain_text("4 trades, 5 new lines, booked: 36.75 USD")
    # and each of them can be read, down to how it came about
    visitor.choose("Partners", "Commission lines")
    table = page.get_by_role("table")
    for amount in ("12.00", "3.00", "18.00", "0.75"):
        expect(table).to_contain_text(amount)
    line = CommissionLine.objects.get(amount=Decimal(18))
    page.get_by_role("link", name=line.reference).click()
    expect(page.locator("main")).to_contain_text("Omega Partners")
    expect(page.locator("main")).to_contain_text("18.00")
    # and settling the same days again books nothing
    visitor.choose("Partners", "Settle commissions")
    page.get_by_label("From").fill(MONDAY.isoformat())
    page.get_by_label("To", exact=False).last.fill(TUESDAY.isoformat())
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Settle", exact=True).click()
    expect(page.locator("body")).to_contain_text("4 trades, 0 new lines, booked: nothing")
    assert CommissionLine.objects.count() == 5


def test_an_introducing_broker_sees_their_own_commission_and_nobody_elses(arrive: Arrive, world: World) -> None:
    # given two introducing brokers who have both earned something
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    omegas_line = CommissionLine.objects.get(partner_id=world.partners["Omega"].pk)
    alphas_line = CommissionLine.objects.filter(partner_id=world.partners["Alpha"].pk).first()
    assert alphas_line is not None
    visitor = arrive()
    visitor.sign_in_as(world.people["Alpha"])
    page = visitor.page
    # when Alpha looks at the portal
    visitor.open("/portal/")
    expect(page.locator("main")).to_contain_text("3.75")
    seen = [page.locator("main").inner_text()]
    for path in ("commission/", "commission/lines/", "clients/", "partners/"):
        visitor.open(f"/portal/{path}{MARCH}")
        seen.append(page.locator("main").inner_text())
    # then there is what Alpha earned and who stands below, and nothing of Omega, of its client or of its money
    everything = "\n".join(seen)
    assert "3.75" in everything
    assert "Beta Partners" in everything
    for foreign in ("Omega", "Olga", "olga", "800002", "18.00", omegas_line.reference):
        assert foreign not in everything, foreign
    # and what Beta earned below is not told either
    assert "15.00" not in everything
    # and the own line opens, while the other's address does not exist, nor do the desk and the API open
    visitor.open(f"/portal/commission/lines/{alphas_line.reference}/")
    expect(page.locator("main")).to_contain_text("Equal to the cent")
    visitor.open(f"/portal/commission/lines/{omegas_line.reference}/", status=404)
    visitor.open(f"/desk/pages/ib/lines/{omegas_line.reference}/", status=403)
    visitor.open(f"/desk/ib/partner/{world.partners['Omega'].pk}/change/", status=403)


def test_a_file_of_commission_lines_holds_the_own_ones_only(arrive: Arrive, world: World) -> None:
    # given both introducing brokers' lines
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    visitor = arrive()
    visitor.sign_in_as(world.people["Omega"])
    # when Omega downloads theirs
    visitor.open(f"/portal/commission/lines/{MARCH}")
    with visitor.page.expect_download() as started:
        visitor.page.get_by_role("link", name="Download as CSV").click()
    rows = started.value.path().read_text("utf-8-sig").strip().splitlines()
    # then there is the heading and one line of 18.00
    assert len(rows) == 2
    assert "18.00" in rows[1]
