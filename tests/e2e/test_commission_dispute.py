"""A partner reads why a line is what it is and disputes it; the desk decides to correct; the difference arrives."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db.models import Sum
from playwright.sync_api import expect

from backoffice.core.books import verify_books
from backoffice.core.types import Role
from funding.ledger.models import LedgerAccount
from ib.models import CommissionLine, Dispute, StatementHold
from ib.services.disputes import follow_disputes
from ib.services.referrals import refer_client
from ib.services.settlement import settle_range
from tests.e2e.conftest import Arrive
from tests.e2e.world import MONDAY, START, SYSTEM, TUESDAY, World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

CHECKS = ["ib.disputes_frozen", "ib.disputes_decided", "ib.lines_equal_accruals", "ib.dispute_evidence_intact"]


def test_a_partner_disputes_a_line_and_the_difference_is_posted(arrive: Arrive, world: World) -> None:
    # given a client whom Alpha introduced, as they say, while the books have Beta below them: 1.50 a lot instead of 6.00
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    alpha = world.partners["Alpha"]
    line = CommissionLine.objects.get(partner_id=alpha.pk, amount=Decimal(3))
    visitor = arrive(phone=True)
    visitor.sign_in_as(world.people["Alpha"])
    page = visitor.page
    # when the partner opens the line, reads why, and disputes it
    visitor.open(f"/portal/commission/lines/{line.reference}/")
    expect(page.locator("main")).to_contain_text("Equal to the cent")
    page.get_by_role("link", name="Dispute this").click()
    page.get_by_label("What is wrong?").select_option("referral")
    page.get_by_label("In your words").fill("I introduced Bruno myself: 12.00 it should be.")
    page.get_by_label("What you expected").fill("12")
    page.get_by_role("button", name="Send the dispute").click()
    expect(page.locator("main")).to_contain_text("The amount is held")
    expect(page.locator("main")).to_contain_text("Received")
    dispute = Dispute.objects.get()
    assert StatementHold.objects.get(released_at__isnull=True).amount == Decimal(3)
    # and the partner manager, to whose inbox it came, takes it and decides that it is corrected
    manager = arrive()
    manager.sign_in_as(world.person(Role.PARTNER_MANAGER))
    desk = manager.page
    manager.open("/desk/")
    manager.choose("Partners", "Disputes")
    desk.get_by_role("link", name=dispute.reference).click()
    expect(desk.locator("#content")).to_contain_text("I introduced Bruno myself")
    manager.open(f"/desk/ib/dispute/{dispute.pk}/do/correct/")
    desk.get_by_label("Where it is corrected").select_option("referral")
    desk.get_by_label("What was wrong").fill("Bruno is referred to you now, from the beginning.")
    desk.get_by_role("button", name="Continue").click()
    desk.get_by_role("button", name="Correct", exact=True).click()
    expect(desk.locator("#content")).to_contain_text("Being corrected")
    # and the referral is corrected, settled again by the engine, and followed
    refer_client(client_id=world.clients["Bruno Keller"].pk, partner_id=alpha.pk, valid_from=START, actor=SYSTEM)
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    assert follow_disputes() == 1
    # then the partner sees the difference, and the amount is free again
    visitor.open(f"/portal/commission/disputes/{dispute.public_id}/")
    expect(page.locator("main")).to_contain_text("Corrected")
    expect(page.locator("main")).to_contain_text("9.00")
    expect(page.locator("main")).to_contain_text("12.00")
    assert not StatementHold.objects.filter(released_at__isnull=True).exists()
    # and everything paid is what the ledger has
    paid = CommissionLine.objects.filter(partner_id=alpha.pk).aggregate(sum=Sum("amount"))["sum"]
    account = LedgerAccount.objects.get(kind="partner_accrued", owner_type="partner", owner_id=alpha.pk)
    assert (paid, account.balance.balance) == (Decimal(15), Decimal(15))
    assert [check for check in verify_books(CHECKS)["checks"] if not check["ok"]] == []
