"""Becoming a partner: from the form for everybody to the decision, the agreement, tax data, and a brand of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.db.utils import DatabaseError
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord, Brand, Message, TermsVersion, User, WorkItem
from backoffice.core.organisation.brands import forget_brands
from backoffice.core.services import terms as core_terms
from backoffice.core.services.messages import values_of
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from ib import tax_papers
from ib.models import Agreement, Partner, PartnerApplication, PartnerEdge, PartnerLink, TermsAcceptance
from ib.services import application_decisions, applications, links, terms, white_labels
from ib.services.application_letters import access_token
from ib.services.client_events import ClientFact, record_client_event
from ib.types import ApplicationDetails
from tests.factories.ib import Broker, make_partner, refer
from tests.factories.platform import SYSTEM, make_brand, make_client, make_entity, staff
from tests.logins import log_in, make_actor, make_user
from tests.threads import at_once

pytestmark = pytest.mark.django_db
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000" "1f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)  # fmt: skip
WHO = ApplicationDetails(
    applicant="company",
    name="Alpha Media Ltd",
    contact_name="Ana Ruiz",
    company_number="HE 1234",
    email="ana@alpha.test",
    country="cy",
    kind="affiliate",
    promised_lots=Decimal(500),
    promised_clients=20,
)


class World:
    """A broker with a published agreement and two managers."""

    def __init__(self) -> None:
        cache.clear()
        forget_brands()
        self.broker = Broker()
        self.entity, self.brand = self.broker.entity, self.broker.brand
        self.terms = self.publish("You bring clients; we pay you.")
        self.one = self.manager("one")
        self.two = self.manager("two")

    def manager(self, name: str) -> Any:
        """A partner manager with a login."""
        return make_actor(make_user(f"{name}@house.test", Role.PARTNER_MANAGER, entities=(self.entity,)))

    def publish(self, text: str, *, days_ago: int = 0) -> TermsVersion:
        """A published version of the agreement."""
        draft = core_terms.draft_terms(
            entity_id=self.entity.pk, kind="partner_agreement", title="Partner agreement", body=text, actor=SYSTEM
        )
        return core_terms.publish_terms(
            terms_id=draft.pk, valid_from=clock.now().date() - timedelta(days=days_ago), actor=SYSTEM, reason="new"
        )

    def open(self, key: UUID | None = None, actor: Any = SYSTEM, code: str = "", **more: Any) -> PartnerApplication:
        """A draft."""
        return applications.open_application(
            entity_id=self.entity.pk,
            brand_id=self.brand.pk,
            details=replace(WHO, **more),
            form_key=key or uuid4(),
            actor=actor,
            code=code,
        )

    def submit(self, application: PartnerApplication) -> PartnerApplication:
        """Handed in with the agreement."""
        return applications.submit_application(
            application_id=application.pk,
            terms_id=self.terms.pk,
            sha256=self.terms.sha256,
            actor=applications.applicant(application),
            address="203.0.113.9",
        )

    def ready(self, **more: Any) -> PartnerApplication:
        """Submitted, with a verified identity."""
        application = self.submit(self.open(**more))
        return applications.decide_identity(
            application_id=application.pk, is_verified=True, reason="Passport seen.", actor=self.one
        )

    def approve(self, application: PartnerApplication, **more: Any) -> PartnerApplication:
        """Approved."""
        return application_decisions.approve_application(
            application_id=application.pk,
            plan_id=self.broker.plan.pk,
            reason="Good traffic.",
            **{"actor": self.one, **more},
        )


@pytest.fixture
def world() -> World:
    return World()


def mails(template: str) -> list[dict[str, str]]:
    return [values_of(message) for message in Message.objects.filter(template=template).order_by("pk")]


def test_an_applicant_becomes_a_partner_with_login_agreement_place_and_link(world: World) -> None:
    # given: a partner whose link brought the applicant
    parent = make_partner(world.brand)
    link = links.create_link(partner_id=parent.pk, campaign="Friends", actor=SYSTEM)
    application = world.ready(code=link.code.lower())

    # when
    done = world.approve(application)

    # then: everything that a partner needs came of it
    partner = Partner.objects.get(application=done)
    assert (done.state, partner.name, partner.kind, partner.country) == ("approved", WHO.name, "affiliate", "CY")
    assert partner.user is not None and partner.user.roles == [Role.IB.value] and not partner.user.has_usable_password()
    assert Agreement.objects.get(partner=partner).plan_id == world.broker.plan.pk
    assert PartnerEdge.objects.get(child=partner).parent_id == parent.pk
    first = PartnerLink.objects.get(partner=partner)
    # and: the invitation leads to a page on which a password is chosen
    (welcome,) = mails("ib.partner_welcome")
    assert welcome["code"] == first.code
    browser = Browser()
    chosen = browser.get(re.sub(r"^https?://[^/]+", "", welcome["password_url"]), follow=True)
    assert chosen.status_code == 200 and b'name="password1"' in chosen.content
    # and: each step is on record, nothing is anybody's work any more
    steps = AuditRecord.objects.filter(object_type="ib.partnerapplication", object_id=str(done.pk))
    assert set(steps.values_list("action", flat=True)) == {
        "ib.open_application",
        "ib.accept_agreement",
        "ib.submit_application",
        "ib.decide_identity",
        "ib.approve_application",
    }
    assert not WorkItem.objects.filter(kind="ib.application_waits").exclude(state="closed").exists()
    # and: approving again changes nothing
    assert world.approve(application).partner_id == partner.pk
    assert Partner.objects.filter(email=WHO.email).count() == 1


@pytest.mark.django_db(transaction=True)
def test_approved_by_two_at_once_it_makes_one_partner(world: World) -> None:
    application = world.ready()
    found = at_once(
        lambda: world.approve(application, actor=world.two).partner_id,
        lambda: world.approve(application, actor=world.manager("three")).partner_id,
    )
    partner = Partner.objects.get(email=WHO.email)
    assert found == [partner.pk, partner.pk]
    assert (partner.links.count(), PartnerApplication.objects.get().state) == (1, "approved")


def test_repeated_forms_and_submissions_are_harmless(world: World) -> None:
    key = uuid4()
    first, again = world.open(key), world.open(key, name="Somebody else")
    assert first.pk == again.pk and again.name == WHO.name
    world.submit(first)
    world.submit(first)
    assert TermsAcceptance.objects.filter(application=first).count() == 1
    assert WorkItem.objects.get(kind="ib.application_waits").occurrences == 1
    assert [mail["reference"] for mail in mails("ib.application_step")] == [first.reference] * 2
    # and: one address does not fill the desk
    world.open()
    world.open()
    with pytest.raises(Conflict) as refusal:
        world.open()
    assert refusal.value.code == "too_many_open"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"contact_name": ""}, "contact_name"),
        ({"kind": "trader"}, "kind"),
        ({"country": "Cyprus"}, "country"),
        ({"email": "nobody"}, "email"),
        ({"website": "javascript:alert(1)"}, "website"),
        ({"promised_lots": Decimal(-1)}, "promised_lots"),
        ({"applicant": "cat"}, "applicant"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(world: World, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        world.open(**wrong)
    assert refusal.value.details["field"] == field
    assert not PartnerApplication.objects.exists()


def test_nobody_is_approved_without_identity_agreement_and_a_second_person(world: World) -> None:
    # given: an application entered by a manager for somebody
    application = world.submit(world.open(actor=world.one))

    # then: not by who entered it, and not before it is known who this is
    with pytest.raises(Conflict, match="a colleague decides"):
        world.approve(application)
    with pytest.raises(Conflict, match="a colleague decides"):
        applications.decide_identity(application_id=application.pk, is_verified=True, reason="me", actor=world.one)
    with pytest.raises(Conflict, match="identity is not verified"):
        world.approve(application, actor=world.two)
    applications.decide_identity(application_id=application.pk, is_verified=True, reason="Seen.", actor=world.two)

    other_entity = make_user("else@house.test", Role.PARTNER_MANAGER, entities=(make_entity(),))
    with pytest.raises(NotFound):
        world.approve(application, actor=make_actor(other_entity))
    with pytest.raises(Denied):
        world.approve(application, actor=staff(Role.DEALING, entities=[world.entity]))
    # and: not while a newer agreement waits to be accepted
    tomorrow = clock.now() + timedelta(days=1)
    newer = core_terms.draft_terms(
        entity_id=world.entity.pk, kind="partner_agreement", title="Agreement", body="We pay less.", actor=SYSTEM
    )
    core_terms.publish_terms(terms_id=newer.pk, valid_from=tomorrow.date(), actor=SYSTEM, reason="new")
    with time_machine.travel(tomorrow, tick=True):
        with pytest.raises(Conflict, match="not accepted version 2"):
            world.approve(application, actor=world.two)
        applications.accept_for_applicant(
            application_id=application.pk, terms_id=newer.pk, sha256=newer.sha256, actor=SYSTEM
        )
        assert not Partner.objects.filter(email=WHO.email).exists()
        assert world.approve(application, actor=world.two).state == "approved"


def test_identity_is_read_from_the_facts_about_the_client(world: World) -> None:
    # given: an applicant who is a client
    client = make_client(world.brand)
    application = world.submit(world.open(client_id=client.pk))
    assert applications.identity_of(application) == (False, "Nobody decided yet")

    # when: another desk tells that the client was verified
    fact = ClientFact(client.pk, "kyc_verified", clock.now(), "kyc", "K-1")
    event = record_client_event(fact=fact, actor=SYSTEM)

    # then
    assert applications.identity_of(application)[0]
    done = world.approve(application)
    assert done.partner is not None and done.partner.client_id == client.pk
    assert event.client_id == client.pk


def test_more_information_is_asked_and_answered(world: World) -> None:
    application = world.submit(world.open())
    applications.take_application(application_id=application.pk, actor=world.one)
    asked = applications.want_information(application_id=application.pk, question="Which sites?", actor=world.one)
    assert asked.state == "information" and "Which sites?" in mails("ib.application_step")[-1]["what"]
    assert not WorkItem.objects.filter(kind="ib.application_waits").exclude(state="closed").exists()
    with pytest.raises(IllegalTransition):
        world.approve(application)
    answered = applications.answer_application(
        application_id=application.pk, answer="alpha.test", actor=applications.applicant(application)
    )
    assert (answered.state, answered.answer) == ("in_review", "alpha.test")
    assert WorkItem.objects.filter(kind="ib.application_waits").exclude(state="closed").count() == 1
    # and: refused with a letter, of which the reason for the desk is no part
    refused = application_decisions.refuse_application(
        application_id=application.pk, reason="Bought traffic.", letter="We cannot work with you.", actor=world.one
    )
    assert refused.state == "refused"
    told = mails("ib.application_step")[-1]["what"]
    assert told == "We cannot work with you." and "Bought" not in str(mails("ib.application_step"))
    for act in (world.approve, world.submit):
        with pytest.raises(IllegalTransition):
            act(application)


def test_who_decides_sees_duplicates(world: World) -> None:
    twin = world.open(name="Twin", email="other@alpha.test")
    partner = make_partner(world.brand, email=WHO.email.upper())
    application = world.open()
    assert {(item.why, item.application_id, item.partner_id) for item in applications.duplicates_of(application)} == {
        ("same company number", twin.pk, None),
        ("same e-mail", None, partner.pk),
    }


def test_a_traders_login_becomes_a_partners_and_a_colleagues_never(world: World) -> None:
    trader = make_user(WHO.email, Role.TRADER)
    done = world.approve(world.ready())
    trader.refresh_from_db()
    assert done.partner is not None and done.partner.user_id == trader.pk
    assert sorted(trader.roles) == ["ib", "trader"]
    make_user("boss@house.test", Role.ADMINISTRATOR, entities=(world.entity,))
    second = world.ready(email="boss@house.test")
    with pytest.raises(Conflict) as refusal:
        world.approve(second)
    assert refusal.value.code == "login_taken"
    assert not Partner.objects.filter(email="boss@house.test").exists()


def test_the_form_for_everybody_leads_to_a_secret_page(world: World) -> None:
    browser = Browser()
    page = browser.get("/portal/apply/")
    key = re.search(rb'name="form_key" value="([^"]+)"', page.content)
    assert page.status_code == 200 and key is not None
    form = {
        "applicant": "person",
        "name": "Ana Ruiz",
        "email": "ana@ruiz.test",
        "country": "CY",
        "language": "en",
        "kind": "rebate",
        "currency": "USD",
        "promised_clients": "5",
        "promised_lots": "10",
        "form_key": key[1].decode(),
    }
    # when: sent twice
    first, again = browser.post("/portal/apply/", form), browser.post("/portal/apply/", form)
    assert first.status_code == 302 and first["Location"] == again["Location"]
    url = first["Location"]
    application = PartnerApplication.objects.get(email="ana@ruiz.test")
    assert url.endswith(f"/{access_token(application)}/") and access_token(application) not in str(application.__dict__)

    # then: documents, the agreement, the submission
    picture = SimpleUploadedFile("passport.png", PNG, content_type="image/png")
    assert browser.post(url, {"act": "document", "file": picture}).status_code == 302
    script = SimpleUploadedFile("passport.png", b"<script>", content_type="image/png")
    assert browser.post(url, {"act": "document", "file": script}).status_code == 400
    assert (
        browser.post(url, {"act": "submit", "terms": world.terms.pk, "sha256": world.terms.sha256}).status_code == 400
    )
    agreed = {"act": "submit", "agreed": "1", "terms": world.terms.pk, "sha256": world.terms.sha256}
    assert browser.post(url, {**agreed, "sha256": "0" * 64}).status_code == 409
    assert browser.post(url, agreed).status_code == 302
    application.refresh_from_db()
    accepted = TermsAcceptance.objects.get(application=application)
    assert (application.state, accepted.sha256, accepted.address) == ("submitted", world.terms.sha256, "127.0.0.1")
    shown = browser.get(url)
    assert b"passport.png" in shown.content and shown["Cache-Control"] == "private, no-store"
    # and: nobody else's address finds anything, and the page bounds what it takes
    assert browser.get("/portal/application/nothing/").status_code == 404
    assert browser.post(url, {"act": "steal"}).status_code == 404
    bad = browser.post("/portal/apply/", {**form, "country": "Cyprus", "form_key": str(uuid4())})
    assert bad.status_code == 400 and b"Two letters" in bad.content
    statuses = [browser.post("/portal/apply/", form).status_code for _ in range(12)]
    assert statuses[-1] == 429


def test_a_new_version_is_asked_for_again_and_old_acceptances_stay(world: World) -> None:
    done = world.approve(world.ready())
    assert done.partner is not None and done.partner.user is not None
    user: User = done.partner.user
    browser = log_in(Browser(), user)
    assert b"has a new version" not in browser.get("/portal/").content

    # when: the next version counts
    draft = core_terms.draft_terms(
        entity_id=world.entity.pk, kind="partner_agreement", title="Agreement", body="We pay less.", actor=SYSTEM
    )
    tomorrow = clock.now() + timedelta(days=1)
    core_terms.publish_terms(terms_id=draft.pk, valid_from=tomorrow.date(), actor=SYSTEM, reason="new")
    with time_machine.travel(tomorrow, tick=True):
        browser = log_in(Browser(), user)
        assert b"has a new version" in browser.get("/portal/").content
        old = {"agreed": "1", "terms": world.terms.pk, "sha256": world.terms.sha256}
        assert browser.post("/portal/agreement/", old).status_code == 409
        new = {"agreed": "1", "terms": draft.pk, "sha256": draft.sha256}
        assert browser.post("/portal/agreement/", new).status_code == 302
        assert browser.post("/portal/agreement/", new).status_code == 302
        assert b"has a new version" not in browser.get("/portal/").content
        page = browser.get("/portal/agreement/").content
    assert page.count(b'data-label="Document"') == 2
    assert TermsAcceptance.objects.filter(partner=done.partner).count() == 1
    # and: neither the text nor what was agreed to can be changed
    with pytest.raises(DatabaseError), transaction.atomic():
        TermsAcceptance.objects.update(sha256="0" * 64)
    with pytest.raises(DatabaseError), transaction.atomic():
        TermsVersion.objects.filter(pk=draft.pk).update(body="We pay nothing.")


def test_tax_data_count_from_their_day_once_a_colleague_confirmed_them(world: World) -> None:
    partner = make_partner(world.brand)
    today = clock.now().date()
    entry = terms.TaxEntry("Alpha Media Ltd", "1 Harbour Road\nLimassol", "cy", today, "cy10000000x", today)
    row = terms.enter_tax_data(partner_id=partner.pk, entry=entry, actor=world.one)
    assert terms.tax_profile(partner.pk, today) is None
    with pytest.raises(Denied):
        terms.confirm_tax_data(tax_data_id=row.pk, reason="me", actor=world.one)
    terms.confirm_tax_data(tax_data_id=row.pk, vat_percent=Decimal(19), reason="VIES", actor=world.two)
    # then: invoices print it
    assert tax_papers.tax_profile(partner_id=partner.pk, on=today) == tax_papers.TaxProfile(
        True, "Alpha Media Ltd\n1 Harbour Road\nLimassol\nCY", "CY10000000X", Decimal(19), ""
    )
    assert tax_papers.tax_profile(partner_id=partner.pk, on=today - timedelta(days=1)) is None
    # and: later data end the first ones, and never overlap them
    later = today + timedelta(days=10)
    second = terms.enter_tax_data(partner_id=partner.pk, entry=replace(entry, valid_from=later), actor=world.one)
    terms.confirm_tax_data(tax_data_id=second.pk, reason="VIES", actor=world.two)
    row.refresh_from_db()
    assert row.validity.upper == later
    third = terms.enter_tax_data(partner_id=partner.pk, entry=replace(entry, valid_from=later), actor=world.one)
    with pytest.raises(Conflict):
        terms.confirm_tax_data(tax_data_id=third.pk, reason="again", actor=world.two)
    with pytest.raises(IntegrityError), transaction.atomic():
        type(third).objects.filter(pk=third.pk).update(state="confirmed", decided_at=clock.now(), decided_by="x")
    # and: a partner enters only the own, not for the past
    make_user("p@alpha.test", Role.IB)
    other = make_partner(world.brand, user_id=User.objects.get(email="p@alpha.test").pk)
    own = make_actor(User.objects.get(email="p@alpha.test"))
    with pytest.raises(NotFound):
        terms.enter_tax_data(partner_id=partner.pk, entry=entry, actor=own)
    with pytest.raises(InvalidInput):
        terms.enter_tax_data(partner_id=other.pk, entry=replace(entry, valid_from=date(2020, 1, 1)), actor=own)


class TwoLabels:
    """Two white labels of one house, each with a host, a partner below and a client of that partner."""

    def __init__(self, world: World, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["*"]
        self.people: dict[str, dict[str, Any]] = {}
        for name in ("orion", "vega"):
            brand = make_brand(world.entity, code=name, name=f"{name.title()} Trading", accent_colour="#7c2d12")
            Brand.objects.filter(pk=brand.pk).update(host=f"portal.{name}.test", site=f"https://www.{name}.test")
            head = make_partner(world.brand, kind="white_label", user_id=self._login(f"head@{name}.test", Role.IB))
            white_labels.give_brand(partner_id=head.pk, brand_id=brand.pk, reason="signed", actor=world.one)
            below = make_partner(world.brand, parent=head, user_id=self._login(f"sub@{name}.test", Role.IB))
            client = make_client(world.brand, user_id=self._login(f"client@{name}.test", Role.TRADER))
            refer(client, below)
            link = links.create_link(partner_id=below.pk, campaign=name, landing_path="/open?x=1", actor=SYSTEM)
            self.people[name] = {"brand": brand, "head": head, "below": below, "link": link}
        forget_brands()

    def _login(self, email: str, role: Role) -> int:
        return make_user(email, role).pk

    def get(self, who: str, host: str, path: str = "/portal/") -> Any:
        browser = Browser(headers={"host": f"portal.{host}.test" if host != "house" else "localhost"})
        if who:
            log_in(browser, User.objects.get(email=who))
        return browser.get(path)


def test_a_white_label_shows_its_own_brand_and_nothing_of_another(world: World, settings: Any) -> None:
    labels = TwoLabels(world, settings)
    # its partners and their clients see the brand on its host
    for who in ("head@orion.test", "sub@orion.test", "client@orion.test"):
        shown = labels.get(who, "orion")
        assert shown.status_code == 200 and b"Orion Trading" in shown.content and b"Vega" not in shown.content
    # nobody of another brand gets in there, nor does staff, nor stand the desk and the API there
    for who in ("head@vega.test", "client@vega.test", "one@house.test"):
        assert labels.get(who, "orion").status_code == 404
    for path in ("/desk/", "/api/v1/own/partner/", "/reports/keys/"):
        assert labels.get("head@orion.test", "orion", path).status_code == 404
    # what is for everybody is of the host's brand alone
    assert b"Orion Trading" in labels.get("", "orion", "/portal/apply/").content
    assert b"Orion Trading" in labels.get("", "orion", "/account/login/").content
    assert b"back office" not in labels.get("", "orion", "/account/login/").content.lower()
    assert b"#7c2d12" in labels.get("", "orion", "/portal/brand.css").content
    for path in ("/portal/apply/vega/", f"/portal/go/{labels.people['vega']['link'].code}/"):
        assert labels.get("", "orion", path).status_code == 404
    assert labels.get("", "house", "/portal/apply/vega/").status_code == 404
    assert labels.get("", "house", "/portal/brand.css").status_code == 404
    # an application made there is read there alone
    application = applications.open_application(
        entity_id=world.entity.pk,
        brand_id=labels.people["orion"]["brand"].pk,
        details=WHO,
        form_key=uuid4(),
        actor=SYSTEM,
    )
    secret = reverse("portal:ib_application", args=[access_token(application)])
    assert [labels.get("", host, secret).status_code for host in ("orion", "vega", "house")] == [200, 404, 404]
    # and its links lead to its own site
    followed = labels.get("", "orion", f"/portal/go/{labels.people['orion']['link'].code}/")
    assert followed["Location"] == f"https://www.orion.test/open?x=1&ref={labels.people['orion']['link'].code}"


def test_a_brands_logo_is_a_picture_and_shown_on_its_host_alone(world: World, settings: Any) -> None:
    labels = TwoLabels(world, settings)
    brand = labels.people["orion"]["brand"]
    admin = log_in(Browser(), make_user("admin@house.test", Role.ADMINISTRATOR, entities=(world.entity,)))
    url = reverse("admin:core_brand_logo", args=[brand.pk])
    for data, status in ((b"<svg onload=alert(1)>", 400), (PNG, 302)):
        upload = SimpleUploadedFile("logo.png", data, content_type="image/png")
        assert admin.post(url, {"file": upload}).status_code == status
    forget_brands()
    shown = labels.get("", "orion", "/portal/brand-logo")
    assert (shown.status_code, shown["Content-Type"]) == (200, "image/png")
    assert b"/portal/brand-logo" in labels.get("", "orion", "/portal/apply/").content
    assert [labels.get("", host, "/portal/brand-logo").status_code for host in ("vega", "house")] == [404, 404]


def test_a_brand_is_given_once_to_a_white_label_of_the_same_house(world: World) -> None:
    brand, other = make_brand(world.entity), make_brand()
    plain = make_partner(world.brand)
    head = make_partner(world.brand, kind="white_label")
    give = white_labels.give_brand
    for partner, of, error in ((plain, brand, InvalidInput), (head, other, (InvalidInput, NotFound))):
        with pytest.raises(error):
            give(partner_id=partner.pk, brand_id=of.pk, reason="r", actor=world.one)
    first = give(partner_id=head.pk, brand_id=brand.pk, reason="r", actor=world.one)
    assert give(partner_id=head.pk, brand_id=brand.pk, reason="r", actor=world.one).pk == first.pk
    second = make_partner(world.brand, kind="white_label")
    with pytest.raises(Conflict):
        give(partner_id=second.pk, brand_id=brand.pk, reason="r", actor=world.one)


def test_the_desk_shows_applications_by_state_and_decides(world: World) -> None:
    browser = log_in(Browser(), User.objects.get(email="one@house.test"))
    empty = browser.get(reverse("admin:ib_applications_board"))
    assert b"Nobody has applied yet" in empty.content
    application = world.ready()
    board = browser.get(reverse("admin:ib_applications_board")).content
    assert WHO.name.encode() in board
    page = browser.get(reverse("admin:ib_partnerapplication_change", args=[application.pk])).content
    assert b"Identity known" in page and b"Passport seen." in page
    url = reverse("admin:ib_partnerapplication_approve", args=[application.pk])
    form = {"plan": world.broker.plan.pk, "reason": "Good.", "confirmed": "yes", "idempotency_key": str(uuid4())}
    assert browser.post(url, form).status_code == 302
    application.refresh_from_db()
    assert application.state == "approved"
