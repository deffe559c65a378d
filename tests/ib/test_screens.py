"""The desk's pages and the partner's portal: who opens what, what stands there, and what the acts do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import ChangeRequest
from backoffice.core.types import Role
from ib.models import Agreement, ClientReferral, CommissionLine, Partner, PartnerEdge, PlanVersion
from ib.services.partners import link_partner_login
from ib.services.settlement import settle_range
from tests.factories.ib import Broker, booked
from tests.factories.platform import MONDAY, SYSTEM, make_trade
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

RANGE = {"from_day": MONDAY.isoformat(), "to_day": (MONDAY + timedelta(days=4)).isoformat()}


def body(response) -> str:
    return (b"".join(response.streaming_content) if response.streaming else response.content).decode()


def confirmed(browser: Browser, url: str, data: dict):
    """Fills in, confirms; the answer to the confirmation."""
    asked = browser.post(url, data)
    assert asked.status_code == 200, body(asked)
    return browser.post(url, {**data, "confirmed": "yes", "idempotency_key": asked.context["idempotency_key"]})


@pytest.fixture
def broker() -> Broker:
    broker = Broker()
    broker.top = broker.partner()
    broker.direct = broker.partner(parent=broker.top)
    broker.stranger = broker.partner()
    broker.account = broker.client_of(broker.direct)
    broker.other_account = broker.client_of(broker.stranger)
    make_trade(broker.account, lots="1.5", server_symbol=broker.eurusd)
    make_trade(broker.other_account, lots="2", server_symbol=broker.gold)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    return broker


@pytest.fixture
def manager(client: Browser, broker: Broker) -> Browser:
    user = make_user("manager@house.test", Role.PARTNER_MANAGER, Role.FINANCE, entities=(broker.entity,))
    return log_in(client, user)


def portal_of(partner: Partner) -> Browser:
    user = make_user(f"{partner.reference.lower()}@partners.test", Role.IB)
    link_partner_login(partner_id=partner.pk, user_id=user.pk, actor=SYSTEM)
    return log_in(Browser(), user)


@pytest.mark.parametrize(
    "name",
    [
        "admin:ib_partner_changelist",
        "admin:ib_tree",
        "admin:ib_clientreferral_changelist",
        "admin:ib_agreement_changelist",
        "admin:ib_plan_changelist",
        "admin:ib_planversion_changelist",
        "admin:ib_lines",
        "admin:ib_settle",
        "admin:ib_settlementbatch_changelist",
        "admin:ib_coverage",
        "admin:ib_uncovered",
        "admin:index",
    ],
)
def test_every_page_opens_for_a_partner_manager_and_for_nobody_without_the_role(manager, broker, name):
    assert manager.get(reverse(name)).status_code == 200
    if name != "admin:index":
        dealer = log_in(Browser(), make_user("dealer@house.test", Role.DEALING, entities=(broker.entity,)))
        assert dealer.get(reverse(name)).status_code == 403


def test_a_settlement_is_seen_by_staff_of_the_entities_it_paid(manager, broker):
    assert "33.50" in body(manager.get(reverse("admin:ib_settlementbatch_changelist")))


def test_a_partners_page_shows_balances_tree_agreements_and_lines(manager, broker):
    page = body(manager.get(reverse("admin:ib_partner_change", args=[broker.direct.pk])))
    assert "10.50" in page
    assert broker.top.reference in page
    assert broker.plan.name in page
    assert CommissionLine.objects.get(partner_id=broker.direct.pk).reference in page


def test_staff_of_another_entity_see_neither_partner_nor_line(broker):
    other = Broker()
    user = make_user("elsewhere@house.test", Role.PARTNER_MANAGER, Role.FINANCE, entities=(other.entity,))
    browser = log_in(Browser(), user)
    line = CommissionLine.objects.get(partner_id=broker.direct.pk)
    for url in (reverse("admin:ib_partner_changelist"), reverse("admin:ib_tree"), reverse("admin:ib_lines")):
        assert broker.direct.reference not in body(browser.get(url))
    assert line.reference not in body(browser.get(reverse("admin:ib_lines"), {"search": broker.direct.reference}))
    assert browser.get(reverse("admin:ib_line", args=[line.reference])).status_code == 404
    assert broker.direct.reference not in body(browser.get(reverse("admin:ib_lines"), {"export": "csv"}))
    settlements = body(browser.get(reverse("admin:ib_settlementbatch_changelist")))
    assert "33.50" not in settlements


def test_lines_are_searched_by_partner_and_ticket_and_exported(manager, broker):
    line = CommissionLine.objects.get(partner_id=broker.stranger.pk)
    found = body(manager.get(reverse("admin:ib_lines"), {"search": broker.stranger.reference}))
    assert line.reference in found
    assert CommissionLine.objects.get(partner_id=broker.direct.pk).reference not in found
    exported = body(manager.get(reverse("admin:ib_lines"), {"export": "csv"}))
    assert exported.count("\n") == 4


def test_a_line_is_explained_in_words_and_equal_to_the_stored_cent(manager, broker):
    line = CommissionLine.objects.get(partner_id=broker.top.pk)
    page = body(manager.get(reverse("admin:ib_line", args=[line.reference])))
    assert "Equal to the stored cent" in page
    assert "stood at level 2" in page
    assert "2 USD per lot" in page


def test_a_range_is_settled_by_hand_after_a_confirmation(manager, broker):
    make_trade(broker.account, lots="1", server_symbol=broker.eurusd)
    asked = manager.post(reverse("admin:ib_settle"), RANGE)
    assert asked.status_code == 200
    assert booked(broker.direct) == Decimal("10.50")
    done = confirmed(manager, reverse("admin:ib_settle"), RANGE)
    assert done.status_code == 302
    assert booked(broker.direct) == Decimal("17.50")
    assert "2 new lines, booked: 9.00 USD" in body(manager.get(done.headers["Location"]))


def test_the_auditor_sees_and_settles_nothing(broker):
    auditor = log_in(Browser(), make_user("auditor@house.test", Role.AUDITOR, entities=(broker.entity,)))
    assert auditor.get(reverse("admin:ib_lines")).status_code == 200
    assert auditor.post(reverse("admin:ib_settle"), {**RANGE, "confirmed": "yes"}).status_code == 403


def test_coverage_names_why_a_trade_earns_nothing(manager, broker):
    make_trade(broker.client_of(None), server_symbol=broker.eurusd)
    make_trade(broker.account, server_symbol=broker.map("NOBODY.KNOWS", None))
    page = body(manager.get(reverse("admin:ib_coverage"), RANGE))
    assert "no partner introduced the client" in page
    assert "is not mapped yet" in page
    trades = body(
        manager.get(reverse("admin:ib_uncovered"), {"day": MONDAY.isoformat(), "reason": "symbol_not_mapped"})
    )
    assert "symbol is not mapped yet" in trades


def test_a_manager_registers_places_signs_and_refers(manager, broker):
    data = {"name": "New Partner", "brand": broker.brand.pk, "currency": "EUR", "email": "", "country": "DE"}
    assert confirmed(manager, reverse("admin:ib_partner_register"), data).status_code == 302
    partner = Partner.objects.get(name="New Partner")
    dated = {"valid_from": MONDAY.isoformat(), "reason": "as agreed"}
    acts = {
        "place": {"parent": broker.top.pk, **dated},
        "sign": {"plan": broker.plan.pk, **dated},
        "refer": {"client_reference": broker.account.client.reference, **dated},
        "status": {"status": "suspended", "reason": "under review"},
    }
    staff = make_user("wide@house.test", Role.PARTNER_MANAGER, Role.ADMINISTRATOR, entities=(broker.entity,))
    browser = log_in(Browser(), staff)
    for slug, form in acts.items():
        done = confirmed(browser, reverse(f"admin:ib_partner_{slug}", args=[partner.pk]), form)
        assert done.status_code == 302, body(done)
    partner.refresh_from_db()
    assert partner.status == "suspended"
    assert PartnerEdge.objects.get(child=partner).parent == broker.top
    assert Agreement.objects.get(partner=partner).plan == broker.plan
    assert ClientReferral.objects.filter(client=broker.account.client, partner=partner).exists()


def test_a_move_under_the_own_subtree_is_refused_on_the_page_and_changes_nothing(manager, broker):
    url = reverse("admin:ib_partner_place", args=[broker.top.pk])
    refused = confirmed(manager, url, {"parent": broker.direct.pk, "valid_from": MONDAY.isoformat(), "reason": "x"})
    assert refused.status_code == 409
    assert "circle" in body(refused)
    assert not PartnerEdge.objects.filter(child=broker.top).exists()


def test_a_plan_is_drafted_ruled_and_published_by_two_people(manager, broker):
    drafted = manager.post(reverse("admin:ib_plan_draft", args=[broker.plan.pk]), {})
    draft = PlanVersion.objects.get(plan=broker.plan, state="draft")
    assert str(draft.pk) in drafted.headers["Location"]
    rule = {"symbol_group": broker.metals.pk, "level": 2, "rate": "3.5", "currency": "USD"}
    assert manager.post(reverse("admin:ib_planversion_rule", args=[draft.pk]), rule).status_code == 302
    page = body(manager.get(reverse("admin:ib_planversion_change", args=[draft.pk])))
    assert f"3.50 USD per lot on {broker.metals.name} to level 2" in page

    wanted = {"valid_from": (MONDAY + timedelta(days=7)).isoformat(), "reason": "spring"}
    asked = confirmed(manager, reverse("admin:ib_planversion_publish", args=[draft.pk]), wanted)
    change = ChangeRequest.objects.get()
    assert asked.headers["Location"] == reverse("admin:core_changerequest_change", args=[change.pk])
    page = body(manager.get(asked.headers["Location"]))
    assert f"{broker.metals.name}, level 2" in page and "not there before" in page and "3.50 USD per lot" in page
    handed_in = confirmed(manager, reverse("admin:core_changerequest_submit", args=[change.pk]), {})
    assert handed_in.status_code == 302
    own = confirmed(manager, reverse("admin:core_changerequest_approve", args=[change.pk]), {"reason": "mine"})
    assert own.status_code == 403
    draft.refresh_from_db()
    assert draft.state == "draft"

    colleague = make_user("finance@house.test", Role.FINANCE, entities=(broker.entity,))
    browser = log_in(Browser(), colleague)
    assert change.title in body(browser.get(reverse("admin:index")))
    approval = {"reason": "fair", "then_apply": "on", "seen_diff": change.diff_hash}
    done = confirmed(browser, reverse("admin:core_changerequest_approve", args=[change.pk]), approval)
    assert done.status_code == 302, body(done)
    draft.refresh_from_db()
    assert draft.state == "published"
    page = body(browser.get(reverse("admin:core_changerequest_change", args=[change.pk])))
    assert "Applied and verified" in page and "finance@house.test" in page


def test_a_move_of_somebody_with_clients_is_drafted_and_moves_nothing(manager, broker):
    wanted = {"parent": broker.stranger.pk, "valid_from": MONDAY.isoformat(), "reason": "sold"}
    asked = confirmed(manager, reverse("admin:ib_partner_place", args=[broker.direct.pk]), wanted)
    change = ChangeRequest.objects.get()
    assert asked.headers["Location"] == reverse("admin:core_changerequest_change", args=[change.pk])
    page = body(manager.get(asked.headers["Location"]))
    assert "bo-diff" in page and broker.stranger.reference in page
    assert PartnerEdge.objects.get(child=broker.direct).parent == broker.top


PORTAL_PAGES = ["portal:ib_commission", "portal:ib_lines", "portal:ib_clients", "portal:ib_partners", "portal:home"]


def test_a_partner_sees_their_own_commission_clients_and_sub_partners_and_nobody_elses(broker):
    browser = portal_of(broker.direct)
    pages = {name: body(browser.get(reverse(name), RANGE)) for name in PORTAL_PAGES}
    everything = "".join(pages.values())
    assert "10.50" in pages["portal:ib_commission"]
    assert broker.account.client.reference in pages["portal:ib_lines"]
    assert broker.account.client.reference in pages["portal:ib_clients"]
    assert broker.account.client.email not in everything
    assert broker.account.client.full_name not in everything
    for foreign in (broker.top, broker.stranger):
        assert foreign.reference not in everything
    assert broker.other_account.client.reference not in everything


def test_a_partner_above_sees_through_whom_a_trade_came_and_not_the_client(broker):
    browser = portal_of(broker.top)
    everything = "".join(body(browser.get(reverse(name), RANGE)) for name in PORTAL_PAGES)
    assert f"through {broker.direct.reference}" in everything
    assert broker.account.client.reference not in everything


def test_a_partner_reads_why_and_nobody_elses_why(broker):
    browser = portal_of(broker.direct)
    own = CommissionLine.objects.get(partner_id=broker.direct.pk)
    above = CommissionLine.objects.get(partner_id=broker.top.pk)
    page = body(browser.get(reverse("portal:ib_line", args=[own.reference])))
    assert "Equal to the cent" in page
    assert "1.5 lots × 7 USD" in page
    assert browser.get(reverse("portal:ib_line", args=[above.reference])).status_code == 404
    assert browser.get(reverse("portal:ib_line", args=["1-2-x"])).status_code == 404


def test_the_partners_file_holds_their_own_lines_only(broker):
    browser = portal_of(broker.direct)
    file = body(browser.get(reverse("portal:ib_lines"), {**RANGE, "export": "csv"}))
    assert file.count("\n") == 2
    assert broker.account.client.reference in file
    assert "10.5" in file


def test_a_login_without_a_partner_and_a_trader_see_no_partners_pages(broker):
    lonely = log_in(Browser(), make_user("lonely@partners.test", Role.IB))
    assert lonely.get(reverse("portal:home")).status_code == 200
    assert lonely.get(reverse("portal:ib_lines")).status_code == 404
    trader = log_in(Browser(), make_user("trader@clients.test", Role.TRADER))
    assert trader.get(reverse("portal:ib_lines")).status_code == 403
