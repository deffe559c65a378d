"""The demo's applications in every state, an agreement, tax data, two links with clicks, a conflict, and a white label."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from backoffice.core.actors import actor_of_user
from backoffice.core.models import Brand, User
from backoffice.core.organisation.brands import forget_brands
from backoffice.core.services import entities
from backoffice.core.services import terms as core_terms
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from ib.models import ClientReferral, LinkDay, Partner, PartnerLink, Plan
from ib.services import application_decisions, applications, claims, links, partners, terms, white_labels
from ib.types import ApplicationDetails

AGREEMENT = """1. You bring clients to us by your links and codes, truthfully and within the law of your country.

2. We pay you the commission of the plan that was agreed with you, for every trade of your clients, and show you each line \
and why it is what it is.

3. You promise nobody a profit, and do not trade for your clients.

4. Either of us may end this agreement with thirty days of notice. What was earned until then is paid."""
WHITE_LABEL_HOST = "orion.localhost"
DAYS_OF_CLICKS = 21
PEOPLE = (
    ("draft", "person", "Mara Lindholm", "", "SE", "social_media", 8, 40),
    ("submitted", "company", "Pips Academy OÜ", "Jaan Tamm", "EE", "affiliate", 40, 900),
    ("submitted", "person", "Rui Carvalho", "", "PT", "signal", 12, 150),
    ("in_review", "company", "Levant Introducers Ltd", "Maya Khoury", "CY", "master", 60, 2500),
    ("information", "person", "Chen Wei", "", "SG", "rebate", 15, 300),
    ("approved", "company", "Baltic Brokers UAB", "Rasa Petraitė", "LT", "customer_service", 25, 600),
    ("refused", "person", "Gold Signals 100", "", "AE", "signal", 500, 90000),
    ("withdrawn", "person", "Lena Vogt", "", "DE", "affiliate", 5, 20),
)


def write_partner_applications(seeding: Seeding) -> None:
    """Comes after the history: a conflict is about a client who traded."""
    seeding.say("applications of partners, links, a conflict about a client, a white label")
    manager, finance = _person(seeding, Role.PARTNER_MANAGER), _person(seeding, Role.FINANCE)
    draft = core_terms.draft_terms(
        entity_id=seeding.entity.pk,
        kind=terms.KIND,
        title="Partner agreement",
        body=AGREEMENT,
        actor=seeding.actor,
    )
    core_terms.publish_terms(
        terms_id=draft.pk, valid_from=clock.now().date(), actor=seeding.actor, reason="The first agreement"
    )
    for person in PEOPLE:
        _apply(seeding, person, manager)
    head = Partner.objects.filter(entity=seeding.entity, user__isnull=False).order_by("pk").first()
    if head is None or head.user is None:
        return
    own = actor_of_user(head.user)
    terms.accept_agreement(terms_id=draft.pk, sha256=draft.sha256, actor=own, address="203.0.113.20")
    _tax(head, manager, finance, since=seeding.start.date() - timedelta(days=40))
    spring = links.create_link(partner_id=head.pk, campaign="Newsletter", landing_path="/", code="NORTH26", actor=own)
    links.create_link(partner_id=head.pk, campaign="Video channel", landing_path="/open-account", actor=own)
    _clicks(head)
    _conflict(seeding, head, spring)
    _white_label(seeding, manager)


def _apply(seeding: Seeding, person: tuple[str, str, str, str, str, str, int, int], manager: Actor) -> None:
    state, applicant, name, contact, country, kind, clients, lots = person
    mail = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum())
    application = applications.open_application(
        entity_id=seeding.entity.pk,
        brand_id=seeding.brand.pk,
        form_key=uuid5(NAMESPACE_URL, f"demo application {name}"),
        details=ApplicationDetails(
            applicant=applicant,
            name=name,
            contact_name=contact,
            company_number=f"{country} {14560000 + lots // 900 * 900}" if applicant == "company" else "",
            email=f"{mail}@partners.example",
            country=country,
            kind=kind,
            promised_clients=clients,
            promised_lots=Decimal(lots),
            promotion="Own readers and courses; a list of sites comes with the documents.",
        ),
        actor=seeding.actor,
    )
    number, themselves = application.pk, applications.applicant(application)
    if state == "withdrawn":
        applications.withdraw_application(application_id=number, actor=themselves)
    if state in {"draft", "withdrawn"}:
        return
    agreement = terms.agreement_in_force(entity_id=seeding.entity.pk, language="en")
    if agreement is None:
        return
    applications.submit_application(
        application_id=number, terms_id=agreement.pk, sha256=agreement.sha256, actor=themselves, address="203.0.113.40"
    )
    if state == "submitted":
        return
    applications.take_application(application_id=number, actor=manager)
    match state:
        case "information":
            applications.want_information(
                application_id=number, question="Please send us the addresses of your sites.", actor=manager
            )
        case "approved":
            applications.decide_identity(
                application_id=number, is_verified=True, reason="Certificate and passport seen.", actor=manager
            )
            plan = Plan.objects.filter(entity=seeding.entity, versions__state="published").order_by("pk").first()
            if plan is not None:
                application_decisions.approve_application(
                    application_id=number, plan_id=plan.pk, reason="Known house with good clients.", actor=manager
                )
        case "refused":
            application_decisions.refuse_application(
                application_id=number,
                reason="Promises profits on its pages.",
                letter="We cannot work with you: your pages promise profits, which our licence does not allow.",
                actor=manager,
            )


def _tax(partner: Partner, manager: Actor, finance: Actor, *, since: date) -> None:
    entry = terms.TaxEntry(
        legal_name=f"{partner.name} Ltd",
        address="1 Harbour Road\n3036 Limassol",
        country="CY",
        vat_number="CY10259033P",
        valid_from=since,
        self_billing_on=since,
    )
    row = terms.enter_tax_data(partner_id=partner.pk, entry=entry, actor=manager)
    terms.confirm_tax_data(
        tax_data_id=row.pk, vat_percent=Decimal(0), vat_note="Exempt: financial services", reason="VIES", actor=finance
    )


def _clicks(partner: Partner) -> None:
    """Counts of three weeks: as many rows as the days would have made, without the visits."""
    today = clock.now().date()
    rows = []
    for index, link in enumerate(PartnerLink.objects.filter(partner=partner).order_by("pk")):
        for back in range(DAYS_OF_CLICKS):
            clicks = 5 + (back * 7 + index * 11) % 23
            rows.append(
                LinkDay(link=link, day=today - timedelta(days=back), clicks=clicks, visitors=clicks - clicks // 4)
            )
    LinkDay.objects.bulk_create(rows)


def _conflict(seeding: Seeding, head: Partner, link: PartnerLink) -> None:
    """A client of another partner, whom the head of the tree claims with the code of the registration."""
    referral = (
        ClientReferral.objects.filter(partner__entity=seeding.entity, validity__endswith__isnull=True)
        .exclude(partner=head)
        .select_related("client")
        .order_by("-pk")
        .first()
    )
    if referral is None:
        return
    at = claims.registered_at(referral.client)
    claims.claim_client(
        client_id=referral.client_id,
        claimed_by_type="partner",
        claimed_by_id=head.pk,
        evidence={"kind": "touch", "touched_at": (at - timedelta(days=6)).isoformat(), "campaign": link.campaign},
        at=at,
        actor=seeding.actor,
    )


def _white_label(seeding: Seeding, manager: Actor) -> None:
    brand = entities.add_brand(
        entity_id=seeding.entity.pk,
        code="orion",
        name="Orion Trading",
        support_email="support@orion.example",
        accent_colour="#7c2d12",
        actor=seeding.actor,
    )
    Brand.objects.filter(pk=brand.pk).update(host=WHITE_LABEL_HOST)
    partner = partners.register_partner(
        entity_id=seeding.entity.pk,
        brand_id=brand.pk,
        name="Orion Trading Partners",
        currency="USD",
        country="CY",
        email="desk@orion.example",
        kind=Partner.Kind.WHITE_LABEL,
        actor=seeding.actor,
    )
    white_labels.give_brand(partner_id=partner.pk, brand_id=brand.pk, reason="Contract of the demo", actor=manager)
    forget_brands()


def _person(seeding: Seeding, role: Role) -> Actor:
    return actor_of_user(User.objects.get(roles=[role.value], entities=seeding.entity, is_service=False))
