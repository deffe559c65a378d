"""Links and codes: never another site's, counted without knowing who, and whose clients come by them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.test import Client as Browser

from backoffice.core.organisation.brands import forget_brands
from backoffice.core.services.outbox import deliver_due
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from crm.services.clients import register_client
from ib.models import ClientClaim, ClientReferral, LinkDay, LinkVisitor, Partner, PartnerLink
from ib.selectors.links import figures_of_links
from ib.services import links
from tests.factories.ib import make_partner
from tests.factories.platform import SYSTEM, make_brand, make_client, number
from tests.logins import log_in, make_actor, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def partner() -> Partner:
    cache.clear()
    forget_brands()
    return make_partner(make_brand(), user_id=make_user("own@alpha.test", Role.IB).pk)


def make(partner: Partner, **more: Any) -> PartnerLink:
    return links.create_link(**{"partner_id": partner.pk, "campaign": "Newsletter", "actor": SYSTEM, **more})


def follow(link: PartnerLink, *, address: str = "203.0.113.1", browser: str = "Firefox") -> str:
    return links.follow_link(code=link.code, address=address, browser=browser, brand_id=None)


@pytest.mark.parametrize(
    "path",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "\\/evil.test", "evil", "/a b", "/a\nb", "/" + "x" * 200],
)
def test_a_link_never_leads_to_another_site(partner: Partner, path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make(partner, landing_path=path)
    assert refusal.value.details["field"] == "landing_path"
    if len(path) <= 200:
        with pytest.raises(IntegrityError), transaction.atomic():
            PartnerLink.objects.create(partner=partner, code="ABCD", campaign="x", landing_path=path, created_by="x")


def test_a_code_belongs_to_one_partner_for_good(partner: Partner) -> None:
    link = make(partner, code="Alpha-23")
    other = make_partner(partner.brand)
    for code in ("ALPHA-23", "alpha-23"):
        with pytest.raises(Conflict):
            make(other, code=code)
    links.end_link(link_id=link.pk, actor=SYSTEM)
    with pytest.raises(Conflict):
        make(other, code="alpha-23")
    with pytest.raises(NotFound):
        follow(link)
    with pytest.raises(IntegrityError), transaction.atomic():
        PartnerLink.objects.create(partner=other, code="ALPHA-23", campaign="x", created_by="x")
    for code in ("abc", "no spaces", "ümlaut", "x" * 33):
        with pytest.raises(InvalidInput):
            make(other, code=code)


def test_a_partner_makes_and_ends_only_own_links(partner: Partner) -> None:
    below = make_partner(partner.brand, parent=partner)
    theirs = make(below)
    own = make_actor(partner.user)  # type: ignore[arg-type]
    assert make(partner, actor=own).partner_id == partner.pk
    with pytest.raises(NotFound):
        make(below, actor=own)
    with pytest.raises(NotFound):
        links.end_link(link_id=theirs.pk, actor=own)


def test_clicks_are_counted_by_day_and_nobody_can_be_followed(partner: Partner) -> None:
    link = make(partner)
    with time_machine.travel("2026-03-02 10:00:00+00:00", tick=False):
        for address, browser in (
            ("203.0.113.1", "a"),
            ("203.0.113.1", "a"),
            ("203.0.113.1", "b"),
            ("203.0.113.2", "a"),
        ):
            assert follow(link, address=address, browser=browser).endswith(f"/?ref={link.code}")
        day = LinkDay.objects.get(link=link)
        assert (day.clicks, day.visitors) == (4, 3)
        kept = set(LinkVisitor.objects.values_list("digest", flat=True))
    assert not any("203" in digest for digest in kept) and all(len(digest) == 32 for digest in kept)
    # the same browser has another digest the next day, and at another link
    today = day.day
    digests = {
        links.visitor_digest(link_id=number, day=when, address="203.0.113.1", browser="a")
        for number in (link.pk, link.pk + 1)
        for when in (today, today + timedelta(days=1))
    }
    assert len(digests) == 4
    # and the digests are gone after days; the counts stay
    with time_machine.travel("2026-03-06 10:00:00+00:00", tick=False):
        assert links.forget_visitors() == 3
    assert LinkDay.objects.get(link=link).visitors == 3


def test_counting_is_bounded(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    link = make(partner)
    for _ in range(links.CLICKS_A_MINUTE + 5):
        follow(link)
    assert LinkDay.objects.get(link=link).clicks == links.CLICKS_A_MINUTE
    monkeypatch.setattr(links, "MOST_VISITORS_A_DAY", 2)
    for last in range(5):
        follow(link, address=f"203.0.113.{last + 10}")
    day = LinkDay.objects.get(link=link)
    assert (day.clicks, day.visitors, LinkVisitor.objects.count()) == (links.CLICKS_A_MINUTE + 5, 2, 2)


def test_a_registration_with_a_code_is_a_claim_at_that_instant(partner: Partner) -> None:
    link = make(partner, code="alpha23")
    at = clock.now() - timedelta(minutes=3)

    def register(code: str, brand: Any = partner.brand) -> Any:
        client = register_client(
            entity_id=brand.entity_id,
            brand_id=brand.pk,
            full_name="Cy",
            email=f"cy{number()}@x.test",
            country="CY",
            language="en",
            registered_at=at,
            referral_code=code,
            actor=SYSTEM,
        )
        deliver_due()
        return client

    client = register("ALPHA23")
    claim = ClientClaim.objects.get(client=client)
    assert (claim.claimed_by_id, claim.state, claim.evidence["kind"]) == (
        partner.pk,
        "standing",
        "code_at_registration",
    )
    assert ClientReferral.objects.get(client=client).validity.lower == at
    # codes that are nobody's, have ended, or are of another house bring nothing and stop nothing
    links.end_link(link_id=link.pk, actor=SYSTEM)
    with time_machine.travel(clock.now() + timedelta(hours=1), tick=True):
        at = clock.now()
        for code, brand in (("nobody", partner.brand), ("alpha23", partner.brand), ("alpha23", make_brand())):
            lost = register(code, brand)
            assert not ClientClaim.objects.filter(client=lost).exists()
            assert not ClientReferral.objects.filter(client=lost).exists()


def test_a_partner_sees_own_links_with_figures_a_picture_and_a_file(partner: Partner) -> None:
    browser = log_in(Browser(), partner.user)  # type: ignore[arg-type]
    assert b"You have no link yet" in browser.get("/portal/links/").content
    made = browser.post("/portal/links/", {"campaign": "Spring", "landing_path": "/open", "code": "SPRING26"})
    assert made.status_code == 302
    bad = browser.post("/portal/links/", {"campaign": "Spring", "landing_path": "https://evil.test", "code": ""})
    assert bad.status_code == 400 and b"begins with one slash" in bad.content
    link = PartnerLink.objects.get(code="SPRING26")
    anybody = Browser()
    followed = anybody.get("/portal/go/spring26/")
    assert followed.status_code == 302 and followed["Location"].endswith("/open?ref=SPRING26")
    assert anybody.get("/portal/go/nobodys/").status_code == 404
    client = make_client(partner.brand)
    from ib.services.claims import claim_by_code

    claim_by_code(client_id=client.pk, code="spring26", at=clock.now(), actor=SYSTEM)
    page = browser.get(made["Location"]).content.decode()
    assert "<svg" in page and "/portal/go/SPRING26/" in page
    (figures,) = figures_of_links(actor=make_actor(partner.user), partner=partner)  # type: ignore[arg-type]
    assert (figures.clicks, figures.visitors, figures.clients) == (1, 1, 1)
    file = browser.get("/portal/links/?export=csv")
    assert b"SPRING26" in b"".join(file.streaming_content if file.streaming else [file.content])  # type: ignore[attr-defined]
    # and not those of somebody else
    other = make_partner(partner.brand, user_id=make_user("other@x.test", Role.IB).pk)
    stranger = log_in(Browser(), other.user)  # type: ignore[arg-type]
    assert b"SPRING26" not in stranger.get("/portal/links/").content
    assert stranger.get(f"/portal/links/{link.public_id}/").status_code == 404
    assert browser.post(f"/portal/links/{link.public_id}/").status_code == 302
    assert not PartnerLink.objects.get(pk=link.pk).is_active
    assert anybody.get("/portal/go/spring26/").status_code == 404
    assert re.search(r"<script(?! src)", page) is None
