"""Two claim one client: the first stands, nobody is paid twice, and a dated decision books only differences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.books import verify_books
from backoffice.core.models import Message, WorkItem
from backoffice.core.services.messages import values_of
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from ib.models import ClaimConflict, ClientClaim, ClientReferral, CommissionLine, Partner
from ib.rules.claims import ClaimFacts, propose
from ib.services import claims, links
from ib.services.settlement import settle_range
from tests.factories.ib import Broker, booked, make_partner, refer
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_client, make_trade, staff
from tests.logins import log_in, make_actor, make_user
from tests.threads import at_once

pytestmark = pytest.mark.django_db
AT = datetime.fromisoformat("2026-03-01T10:00:00+00:00")
CODE = {"kind": "code_at_registration", "code": "ALPHA23"}
TOUCH = {"kind": "touch", "touched_at": "2026-02-20T08:00:00+00:00"}


class World:
    """Two partners with agreements, a client, and a manager."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.one = self.partner("one@alpha.test")
        self.two = self.partner("two@beta.test")
        self.client: Any = make_client(self.broker.brand, registered_at=AT)
        self.account = make_account(self.broker.server, client=self.client)
        self.manager = make_actor(make_user("manager@house.test", Role.PARTNER_MANAGER, entities=(self.broker.entity,)))

    def partner(self, email: str) -> Partner:
        """One with an address."""
        partner = self.broker.partner()
        Partner.objects.filter(pk=partner.pk).update(email=email)
        partner.refresh_from_db()
        return partner

    def claim(
        self, partner: Partner, evidence: dict[str, Any] | None = None, at: datetime = AT, **more: Any
    ) -> ClientClaim:
        """A claim of a partner."""
        return claims.claim_client(
            **{
                "client_id": self.client.pk,
                "claimed_by_type": "partner",
                "claimed_by_id": partner.pk,
                "evidence": evidence or CODE,
                "at": at,
                "actor": SYSTEM,
                **more,
            }
        )

    def trade(self) -> Any:
        """One lot of Monday."""
        return make_trade(self.account, server_symbol=self.broker.eurusd, volume_lots="1")

    def settle(self) -> None:
        """The day, settled."""
        settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)

    def spans(self) -> list[tuple[int, Any, Any]]:
        """Whom the client counted for."""
        rows = ClientReferral.objects.filter(client=self.client).order_by("validity")
        return [(row.partner_id, row.validity.lower, row.validity.upper) for row in rows]

    def told(self) -> list[tuple[str, str]]:
        """Who was told what."""
        rows = Message.objects.filter(template="ib.claim_conflict").order_by("pk")
        return [(row.address, values_of(row)["what"]) for row in rows]


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_claim_is_the_referral_and_again_is_harmless(world: World) -> None:
    first = world.claim(world.one)
    again = world.claim(world.one, TOUCH)
    assert (first.pk, first.state, world.spans()) == (again.pk, "standing", [(world.one.pk, AT, None)])
    assert not ClaimConflict.objects.exists()


def test_a_second_claim_pays_nobody_and_a_decision_for_the_past_books_differences(world: World) -> None:
    # given: the first claim stands and was paid for
    standing = world.claim(world.one, TOUCH)
    world.trade()
    world.settle()
    assert (booked(world.one), booked(world.two)) == (7, 0)

    # when: somebody else gives the code of the registration
    rival = world.claim(world.two, CODE)
    world.settle()

    # then: nothing moves, both are told without learning of each other, and a manager has it with the evidence of both
    assert (rival.state, world.spans(), booked(world.two)) == ("contested", [(world.one.pk, AT, None)], 0)
    conflict = ClaimConflict.objects.get(client=world.client)
    assert conflict.proposed_id == rival.pk and "ALPHA23" in conflict.proposed_because
    item = WorkItem.objects.get(kind="ib.claim_conflict")
    assert len(item.evidence["claims"]) == 2
    assert [address for address, _ in world.told()] == ["one@alpha.test", "two@beta.test"]
    assert world.two.name not in str(world.told()[0]) and world.one.name not in str(world.told()[1])

    # and: the decision, also for the past, books only differences
    claims.decide_conflict(
        conflict_id=conflict.pk, winner_claim_id=rival.pk, valid_from=AT, reason="The code.", actor=world.manager
    )
    world.settle()
    assert (booked(world.one), booked(world.two)) == (0, 7)
    lines = CommissionLine.objects.filter(partner_id=world.one.pk).order_by("seq").values_list("amount", flat=True)
    assert list(lines) == [7, -7]
    assert world.spans() == [(world.two.pk, AT, None)]
    standing.refresh_from_db()
    assert (standing.state, ClientClaim.objects.get(pk=rival.pk).state) == ("lost", "standing")
    item.refresh_from_db()
    assert item.state == "closed"
    assert "does not count" in world.told()[2][1] and "counts as yours" in world.told()[3][1]
    assert all(check["ok"] for check in verify_books()["checks"])
    # and: the same decision again changes nothing, another one is refused
    claims.decide_conflict(
        conflict_id=conflict.pk, winner_claim_id=rival.pk, valid_from=AT, reason="The code.", actor=world.manager
    )
    with pytest.raises(IllegalTransition):
        claims.decide_conflict(
            conflict_id=conflict.pk, winner_claim_id=standing.pk, valid_from=AT, reason="no", actor=world.manager
        )


def test_a_decision_from_a_later_moment_leaves_what_was_before(world: World) -> None:
    world.claim(world.one, TOUCH)
    world.trade()
    world.settle()
    rival = world.claim(world.two, CODE)
    later = AT + timedelta(days=10)
    claims.decide_conflict(
        conflict_id=ClaimConflict.objects.get().pk,
        winner_claim_id=rival.pk,
        valid_from=later,
        reason="r",
        actor=world.manager,
    )
    world.settle()
    assert (booked(world.one), booked(world.two)) == (7, 0)
    assert world.spans() == [(world.one.pk, AT, later), (world.two.pk, later, None)]


def test_who_has_the_client_keeps_it_without_a_line(world: World) -> None:
    standing = world.claim(world.one)
    world.claim(world.two, TOUCH)
    before = world.spans()
    claims.decide_conflict(
        conflict_id=ClaimConflict.objects.get().pk,
        winner_claim_id=standing.pk,
        valid_from=AT,
        reason="r",
        actor=world.manager,
    )
    assert world.spans() == before
    # and a rival who lost may not begin anew by the same door
    assert world.claim(world.two, CODE).state == "lost"
    assert ClaimConflict.objects.count() == 1


def test_a_campaign_claims_by_the_same_door(world: World) -> None:
    campaign = world.claim(world.one, {**TOUCH, "campaign": "Spring ads"}, claimed_by_type="campaign", claimed_by_id=12)
    assert (campaign.state, campaign.claimant, world.spans()) == ("standing", "Spring ads", [])
    rival = world.claim(world.one, CODE)
    assert (rival.state, world.spans()) == ("contested", [])
    claims.decide_conflict(
        conflict_id=ClaimConflict.objects.get().pk,
        winner_claim_id=rival.pk,
        valid_from=AT,
        reason="r",
        actor=world.manager,
    )
    assert world.spans() == [(world.one.pk, AT, None)]


def test_a_referral_made_by_hand_is_a_claim_too(world: World) -> None:
    refer(world.client, world.one, since=AT)
    world.claim(world.two, CODE)
    kinds = dict(ClientClaim.objects.values_list("claimed_by_id", "evidence__kind"))
    assert kinds == {world.one.pk: "referral", world.two.pk: "code_at_registration"}
    assert world.spans() == [(world.one.pk, AT, None)]


@pytest.mark.django_db(transaction=True)
def test_two_claims_at_once_make_one_referral_and_one_conflict(world: World) -> None:
    results = at_once(lambda: world.claim(world.one, TOUCH), lambda: world.claim(world.two, TOUCH))
    assert sorted(claim.state for claim in results) == ["contested", "standing"]
    assert len(world.spans()) == 1 and ClaimConflict.objects.count() == 1
    world.trade()
    world.settle()
    assert booked(world.one) + booked(world.two) == 7


def test_claims_that_cannot_be_are_refused(world: World) -> None:
    stranger = make_partner(Broker().brand)
    self_made = make_partner(world.broker.brand, client_id=world.client.pk)
    for wrong, field in (
        ({"claimed_by_id": stranger.pk}, "claimed_by_id"),
        ({"claimed_by_id": self_made.pk}, "claimed_by_id"),
        ({"claimed_by_type": "cat"}, "claimed_by_type"),
        ({"at": clock.now() + timedelta(days=1)}, "at"),
        ({"at": datetime(2026, 3, 1)}, "at"),
        ({"evidence": {"kind": "feeling"}}, "evidence"),
        ({"evidence": {"kind": "touch", "touched_at": "2026-02-20T08:00:00"}}, "evidence"),
        ({"evidence": {"kind": "touch", "touched_at": TOUCH["touched_at"], "note": "x" * 501}}, "evidence"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            world.claim(world.one, **wrong)
        assert refusal.value.details["field"] == field
    with pytest.raises(Denied):
        world.claim(world.one, actor=staff(Role.DEALING, entities=[world.broker.entity]))
    with pytest.raises(NotFound):
        world.claim(world.one, actor=staff(Role.PARTNER_MANAGER, entities=[stranger.entity]))
    assert not ClientClaim.objects.exists() and world.spans() == []


def facts(number: int, evidence: dict[str, Any], hours: int = 0) -> ClaimFacts:
    return ClaimFacts(number, f"P{number}", evidence, AT + timedelta(hours=hours))


def touch(days: int) -> dict[str, Any]:
    return {"kind": "touch", "touched_at": (AT - timedelta(days=days)).isoformat()}


@pytest.mark.parametrize(
    ("claimed", "winner"),
    [
        ([facts(1, touch(5)), facts(2, CODE)], 2),
        ([facts(1, CODE, 2), facts(2, CODE, 1)], 2),
        ([facts(1, touch(5)), facts(2, touch(29))], 2),
        ([facts(1, touch(5)), facts(2, touch(31))], 1),
        ([facts(1, touch(30)), facts(2, touch(29))], 1),
        ([facts(1, touch(-1)), facts(2, touch(3))], 2),
        ([facts(1, {"kind": "client_statement"}, 1), facts(2, {"kind": "referral"})], 2),
        ([facts(1, touch(40)), facts(2, touch(50))], 1),
    ],
)
def test_the_rule_proposes_the_same_in_any_order(claimed: list[ClaimFacts], winner: int) -> None:
    for order in (claimed, claimed[::-1]):
        assert propose(order, registered_at=AT, window_days=30).claim_id == winner


def test_a_trader_names_a_forgotten_code_within_thirty_days_and_nothing_is_paid_back(world: World) -> None:
    user = make_user("trader@x.test", Role.TRADER)
    type(world.client).objects.filter(pk=world.client.pk).update(user=user)
    link = links.create_link(partner_id=world.one.pk, campaign="x", actor=SYSTEM)
    world.trade()
    with time_machine.travel(AT + timedelta(days=20), tick=True):
        browser = log_in(Browser(), user)
        assert b"Did somebody bring you" in browser.get("/portal/").content
        wrong = browser.post("/portal/introducer/", {"code": "NOBODYS"})
        assert wrong.status_code == 400 and b"do not know this code" in wrong.content
        assert browser.post("/portal/introducer/", {"code": link.code.lower()}).status_code == 302
        assert browser.post("/portal/introducer/", {"code": link.code}).status_code == 302
        assert b"we know who brought you" in browser.get("/portal/introducer/").content
        other = links.create_link(partner_id=world.two.pk, campaign="x", actor=SYSTEM)
        with pytest.raises(Conflict):
            claims.name_introducer(code=other.code, actor=make_actor(user))
    world.settle()
    assert world.spans()[0][0] == world.one.pk and world.spans()[0][1] >= AT + timedelta(days=20)
    assert booked(world.one) == 0
    late = make_user("late@x.test", Role.TRADER)
    make_client(world.broker.brand, user=late, registered_at=AT)
    with time_machine.travel(AT + timedelta(days=31), tick=True), pytest.raises(Conflict) as refusal:
        claims.name_introducer(code=link.code, actor=make_actor(late))
    assert refusal.value.code == "too_late"


def test_a_manager_decides_at_the_desk(world: World) -> None:
    boss = make_user("boss@house.test", Role.PARTNER_MANAGER, entities=(world.broker.entity,))
    browser = log_in(Browser(), boss)
    world.claim(world.one, TOUCH)
    rival = world.claim(world.two, CODE)
    conflict = ClaimConflict.objects.get()
    page = browser.get(reverse("admin:ib_claimconflict_change", args=[conflict.pk])).content.decode()
    assert "Code given at the registration: code ALPHA23" in page and world.one.name in page
    url = reverse("admin:ib_claimconflict_decide", args=[conflict.pk])
    form = {"winner": rival.pk, "valid_from": "2026-03-01T10:00:00", "reason": "The code."}
    shown = browser.post(url, form)
    assert b"The rule proposes the same" in shown.content
    assert browser.post(url, {**form, "confirmed": "yes"}).status_code == 302
    assert world.spans() == [(world.two.pk, AT, None)]
