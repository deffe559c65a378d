"""Becoming a partner: from the first form to the decision, each step once and on record.

An applicant acts by the secret address of the own application: the page finds it with `application_of` and calls these use
cases as the system, with the applicant's address as what the audit shows. Staff act for somebody the same way, as
themselves; whoever entered an application does not decide it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator, validate_email
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand, LegalEntity, StoredFile
from backoffice.core.services import audit, files
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from ib.locks import limit_waiting
from ib.models import ClientEvent, Partner, PartnerApplication
from ib.models.applications import APPLIED_KINDS
from ib.models.client_events import ClientEventKind
from ib.permissions import DECIDE_APPLICATIONS, ENTER_APPLICATIONS
from ib.rules.claims import country_code
from ib.services import application_letters as letters
from ib.services import application_work, links
from ib.services.terms import agreement_in_force, has_applicant_accepted, write_acceptance
from ib.types import ApplicationDetails, Duplicate

State = PartnerApplication.State
MOST_OPEN = 3
"""Open applications of one mail address at one legal entity."""
MOST_DOCUMENTS = 20
STEPS: Mapping[str, tuple[frozenset[str], str]] = {
    "submit": (frozenset({State.DRAFT}), State.SUBMITTED),
    "take": (frozenset({State.SUBMITTED}), State.IN_REVIEW),
    "ask": (frozenset({State.SUBMITTED, State.IN_REVIEW}), State.INFORMATION),
    "answer": (frozenset({State.INFORMATION}), State.IN_REVIEW),
    "approve": (frozenset({State.SUBMITTED, State.IN_REVIEW}), State.APPROVED),
    "refuse": (frozenset({State.SUBMITTED, State.IN_REVIEW, State.INFORMATION}), State.REFUSED),
    "withdraw": (frozenset({State.DRAFT, State.SUBMITTED, State.IN_REVIEW, State.INFORMATION}), State.WITHDRAWN),
}
"""What may be done from which states, and where it leads."""
_CHANGEABLE = frozenset({State.DRAFT, State.INFORMATION})


def may_step(step: str, state: str) -> bool:
    """Whether a step is possible from a state."""
    return state in STEPS[step][0]


def applicant(application: PartnerApplication) -> Actor:
    """The applicant, who has no login: the system on behalf of the address."""
    return Actor(label=f"applicant:{application.email}"[:200])


def application_of(token: str) -> PartnerApplication:
    """The application of a secret address. Raises NotFound."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    found = PartnerApplication.objects.select_related("brand", "entity").filter(access_digest=digest).first()
    if found is None:
        raise NotFound("No such application.")
    return found


@transaction.atomic
def open_application(
    *, entity_id: int, brand_id: int, details: ApplicationDetails, form_key: UUID, actor: Actor, code: str = ""
) -> PartnerApplication:
    """A draft. The same *form_key* again returns the application that it made. *code* is of the partner who brought them.

    Raises InvalidInput naming the field, and Conflict for the fourth open application of one address.
    """
    authorise(actor, ENTER_APPLICATIONS)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    brand = Brand.objects.filter(pk=brand_id, entity=entity).first()
    if brand is None:
        raise InvalidInput("The brand is not one of this legal entity.", field="brand_id", value=brand_id)
    known = PartnerApplication.objects.filter(form_key=form_key, entity=entity).first()
    if known is not None:
        return known
    checked = _checked(details, entity_id=entity.pk, actor=actor)
    same = PartnerApplication.objects.filter(
        entity=entity, email__iexact=str(checked["email"]), state__in=_open_states()
    )
    if same.count() >= MOST_OPEN:
        raise Conflict("There are open applications of this address already.", code="too_many_open", field="email")
    link = links.find_link(code) if code.strip() else None
    application = PartnerApplication(
        entity=entity,
        brand=brand,
        form_key=form_key,
        parent=link.partner if link is not None and link.is_active and link.partner.entity_id == entity.pk else None,
        entered_by=actor.label,
        entered_by_user_id=actor.user_id,
        **checked,
    )
    application.pk = _next_number()
    application.reference = f"PA-{application.pk:05d}"
    application.access_digest = hashlib.sha256(letters.access_token(application).encode()).hexdigest()
    application.save(force_insert=True)
    _record(application, actor, "open_application", after=str(application))
    letters.tell_applicant(
        application,
        what="Your application was begun. Give us your documents, accept the agreement and submit it on this page:",
        key="opened",
    )
    return application


@transaction.atomic
def change_application(*, application_id: int, details: ApplicationDetails, actor: Actor) -> PartnerApplication:
    """Changes what the applicant says, while it is a draft or more information is wanted."""
    authorise(actor, ENTER_APPLICATIONS)
    application = locked_application(application_id, actor)
    if application.state not in _CHANGEABLE:
        raise IllegalTransition("This is with us now and is not changed any more.", state=application.state)
    checked = _checked(details, entity_id=application.entity_id, actor=actor)
    changed: dict[str, Any] = {name: [str(getattr(application, name)), str(value)] for name, value in checked.items()}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    for name, value in checked.items():
        setattr(application, name, value)
    application.save()
    _record(application, actor, "change_application", changed=changed)
    return application


def give_document(*, application_id: int, data: bytes, file_name: str, actor: Actor) -> StoredFile:
    """A document of the applicant, kept and checked. Raises Conflict above twenty, InvalidInput for a file that is none."""
    authorise(actor, ENTER_APPLICATIONS)
    application = get_visible(PartnerApplication.objects.all(), actor, pk=application_id)
    if not application.is_open:
        raise IllegalTransition("This application was decided.", state=application.state)
    if documents_of(application).count() >= MOST_DOCUMENTS:
        raise Conflict(f"At most {MOST_DOCUMENTS} documents.", code="too_many_documents", field="file")
    return files.store_file(
        purpose=letters.FILE_PURPOSE,
        data=data,
        file_name=file_name,
        actor=actor,
        entity_id=application.entity_id,
        owner=application,
    )


def documents_of(application: PartnerApplication) -> QuerySet[StoredFile]:
    """The documents of an application, refused ones included."""
    return StoredFile.objects.filter(
        purpose=letters.FILE_PURPOSE, owner_type="ib.partnerapplication", owner_id=application.pk
    ).order_by("pk")


@transaction.atomic
def submit_application(
    *, application_id: int, terms_id: int, sha256: str, actor: Actor, address: str = ""
) -> PartnerApplication:
    """Hands an application in, with the agreement that was read. Again is harmless.

    Raises Conflict (`agreement_changed`) when another version counts by now.
    """
    authorise(actor, ENTER_APPLICATIONS)
    application = locked_application(application_id, actor)
    if application.submitted_at is not None and application.is_open:
        return application
    _check_step("submit", application)
    write_acceptance(application=application, terms_id=terms_id, sha256=sha256, address=address, actor=actor)
    application.submitted_at = clock.now()
    _step(application, "submit", actor)
    letters.tell_applicant(
        application, what="We have received your application and look at it within two working days.", key="submitted"
    )
    return application


@transaction.atomic
def accept_for_applicant(
    *, application_id: int, terms_id: int, sha256: str, actor: Actor, address: str = ""
) -> PartnerApplication:
    """The applicant accepts the agreement, as after a new version came between submission and decision."""
    authorise(actor, ENTER_APPLICATIONS)
    application = locked_application(application_id, actor)
    if not application.is_open:
        raise IllegalTransition("This application was decided.", state=application.state)
    write_acceptance(application=application, terms_id=terms_id, sha256=sha256, address=address, actor=actor)
    return application


@transaction.atomic
def take_application(*, application_id: int, actor: Actor) -> PartnerApplication:
    """Makes the actor the one who looks at it."""
    authorise(actor, DECIDE_APPLICATIONS)
    application = locked_application(application_id, actor)
    if application.state == State.IN_REVIEW and application.owner_id == actor.user_id:
        return application
    if application.state != State.IN_REVIEW:
        _check_step("take", application)
    application.owner_id = actor.user_id
    _step(application, "take", actor)
    return application


@transaction.atomic
def want_information(*, application_id: int, question: str, actor: Actor) -> PartnerApplication:
    """Asks the applicant for more; the application waits for the answer."""
    authorise(actor, DECIDE_APPLICATIONS)
    if not question.strip():
        raise InvalidInput("Ask something.", field="question")
    application = locked_application(application_id, actor)
    _check_step("ask", application)
    application.question, application.answer = question.strip()[:2000], ""
    _step(application, "ask", actor, question=application.question)
    letters.tell_applicant(
        application, what=f"We need more information: {application.question}", key=f"asked {clock.now():%Y%m%d%H%M%S%f}"
    )
    return application


@transaction.atomic
def answer_application(*, application_id: int, answer: str, actor: Actor) -> PartnerApplication:
    """The applicant's answer; the application is in review again. Again is harmless."""
    authorise(actor, ENTER_APPLICATIONS)
    if not answer.strip():
        raise InvalidInput("Write an answer.", field="answer")
    application = locked_application(application_id, actor)
    if application.state == State.IN_REVIEW and application.answer == answer.strip()[:2000]:
        return application
    _check_step("answer", application)
    application.answer = answer.strip()[:2000]
    _step(application, "answer", actor, answer=application.answer)
    return application


@transaction.atomic
def decide_identity(*, application_id: int, is_verified: bool, reason: str, actor: Actor) -> PartnerApplication:
    """Staff say that they know who this is, or that they do not, and why. Not for who entered the application."""
    authorise(actor, DECIDE_APPLICATIONS)
    if not reason.strip():
        raise InvalidInput("Say by what you know.", field="reason")
    application = locked_application(application_id, actor)
    if not application.is_open:
        raise IllegalTransition("This application was decided.", state=application.state)
    refuse_own(application, actor)
    wanted = PartnerApplication.Identity.VERIFIED if is_verified else PartnerApplication.Identity.REJECTED
    application.identity, application.identity_reason = wanted, reason.strip()[:300]
    application.identity_by, application.identity_at = actor.label, clock.now()
    application.save()
    _record(application, actor, "decide_identity", reason=reason, identity=wanted.value)
    return application


@transaction.atomic
def withdraw_application(*, application_id: int, actor: Actor, reason: str = "") -> PartnerApplication:
    """Ends it on the applicant's wish. Again is harmless."""
    authorise(actor, ENTER_APPLICATIONS)
    application = locked_application(application_id, actor)
    if application.state == State.WITHDRAWN:
        return application
    _check_step("withdraw", application)
    application.decision_reason = reason.strip()[:500]
    _step(application, "withdraw", actor)
    return application


def identity_of(application: PartnerApplication) -> tuple[bool, str]:
    """Whether it is known who this is, and by what: a fact about the client, else the decision of staff."""
    if application.client_id is not None:
        fact = ClientEvent.objects.filter(
            client_id=application.client_id,
            kind=ClientEventKind.KYC_VERIFIED,
            reverses__isnull=True,
            reversed_by__isnull=True,
        ).first()
        if fact is not None:
            return True, f"Verified as a client on {fact.at:%Y-%m-%d} (told by {fact.source})"
    match application.identity:
        case PartnerApplication.Identity.VERIFIED:
            return True, f"Verified by {application.identity_by}: {application.identity_reason}"
        case PartnerApplication.Identity.REJECTED:
            return False, f"Not accepted by {application.identity_by}: {application.identity_reason}"
    return False, "Nobody decided yet"


def duplicates_of(application: PartnerApplication) -> list[Duplicate]:
    """Partners and applications of the same legal entity with the same mail address or company number."""
    partners = Partner.objects.filter(entity_id=application.entity_id, email__iexact=application.email)
    found = [
        Duplicate(str(partner), "same e-mail", partner.get_status_display(), partner_id=partner.pk)
        for partner in partners.exclude(pk=application.partner_id or 0)[:10]
    ]
    same = Q(email__iexact=application.email)
    if application.company_number:
        same |= Q(company_number__iexact=application.company_number)
    others = PartnerApplication.objects.filter(same, entity_id=application.entity_id).exclude(pk=application.pk)
    for other in others[:20]:
        is_mail = other.email.lower() == application.email.lower()
        found.append(
            Duplicate(
                str(other),
                "same e-mail" if is_mail else "same company number",
                other.get_state_display(),
                application_id=other.pk,
            )
        )
    return found


def missing_for_approval(application: PartnerApplication) -> list[str]:
    """What stands against an approval, in words; empty when nothing does."""
    missing = []
    is_known, why = identity_of(application)
    if not is_known:
        missing.append(f"The identity is not verified: {why[:1].lower()}{why[1:]}.")
    terms = agreement_in_force(entity_id=application.entity_id, language=application.language)
    if terms is None:
        missing.append("No partner agreement is published: publish one at Terms.")
    elif not has_applicant_accepted(application, terms):
        missing.append(f"The applicant has not accepted version {terms.number} of the agreement.")
    return missing


def locked_application(application_id: int, actor: Actor) -> PartnerApplication:
    """The application, locked, if the actor may see it."""
    limit_waiting()
    get_visible(PartnerApplication.objects.all(), actor, pk=application_id)
    rows = PartnerApplication.objects.select_for_update(of=("self",)).select_related("brand", "entity", "parent")
    return rows.get(pk=application_id)


def refuse_own(application: PartnerApplication, actor: Actor) -> None:
    """Raises Conflict (`own_application`) for who entered the application for somebody."""
    if application.entered_by_user_id is not None and application.entered_by_user_id == actor.user_id:
        raise Conflict("You entered this application: a colleague decides it.", code="own_application")


def check_step(step: str, application: PartnerApplication) -> None:
    """Raises IllegalTransition when the step is not possible now."""
    _check_step(step, application)


def take_step(application: PartnerApplication, step: str, actor: Actor, *, reason: str = "", **changes: object) -> None:
    """Writes a step with its audit and its work item. In the caller's transaction, which has checked."""
    _step(application, step, actor, reason=reason, **changes)


def _check_step(step: str, application: PartnerApplication) -> None:
    if not may_step(step, application.state):
        raise IllegalTransition(
            f"{application.reference} is {application.get_state_display().lower()}: this is not possible now.",
            state=application.state,
        )


def _step(application: PartnerApplication, step: str, actor: Actor, *, reason: str = "", **changes: object) -> None:
    before, application.state = application.state, STEPS[step][1]
    application.save()
    _record(application, actor, f"{step}_application", reason=reason, state=[before, application.state], **changes)
    application_work.note_application(application.pk)


def _record(application: PartnerApplication, actor: Actor, action: str, *, reason: str = "", **changes: object) -> None:
    audit.record(actor=actor, action=f"ib.{action}", target=application, reason=reason, changes=dict(changes))


def _open_states() -> list[str]:
    return [state for state in State.values if state not in {State.APPROVED, State.REFUSED, State.WITHDRAWN}]


def _checked(details: ApplicationDetails, *, entity_id: int, actor: Actor) -> dict[str, object]:
    """What was said, in its form. Raises InvalidInput naming the field."""
    given: dict[str, Any] = {
        name: value.strip() if isinstance(value, str) else value for name, value in asdict(details).items()
    }
    if not given["name"]:
        raise InvalidInput("Give the name of the person or company.", field="name")
    if given["applicant"] not in PartnerApplication.Applicant.values:
        raise InvalidInput("A person or a company.", field="applicant", value=given["applicant"])
    if given["applicant"] == PartnerApplication.Applicant.COMPANY and not given["contact_name"]:
        raise InvalidInput("Say who speaks for the company.", field="contact_name")
    if given["kind"] not in {value for value, _ in APPLIED_KINDS}:
        raise InvalidInput("No such kind of partner.", field="kind", value=given["kind"])
    try:
        validate_email(given["email"])
    except ValidationError:
        raise InvalidInput("This is no mail address.", field="email") from None
    if given["website"]:
        try:
            URLValidator(schemes=["http", "https"])(given["website"])
        except ValidationError:
            raise InvalidInput("This is no address of a web site.", field="website") from None
    for name, limit in {"name": 160, "contact_name": 160, "company_number": 60, "phone": 32, "promotion": 2000}.items():
        if len(given[name]) > limit:
            raise InvalidInput(f"At most {limit} letters.", field=name)
    if given["promised_clients"] < 0 or given["promised_clients"] > 1_000_000:
        raise InvalidInput("A number of clients in a month.", field="promised_clients")
    if not 0 <= given["promised_lots"] <= 100_000_000:
        raise InvalidInput("A number of lots in a month.", field="promised_lots")
    given["country"] = country_code(given["country"])
    given["currency"] = Currency.of(given["currency"].upper()).code
    given["email"] = given["email"].lower()
    if given["client_id"] is not None:
        client = get_visible(apps.get_model("crm", "Client")._default_manager.all(), actor, pk=given["client_id"])
        if client.entity_id != entity_id:  # type: ignore[attr-defined]
            raise InvalidInput("The client belongs to another legal entity.", field="client_id")
    return given


def _next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('ib_partnerapplication', 'id'))")
        return int(cursor.fetchone()[0])
