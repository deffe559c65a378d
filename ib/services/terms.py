"""What partners agree to, and their tax data: entered by them or for them, confirmed by another person, dated.

The text is core's `TermsVersion` of kind partner agreement: versioned by entity and language, never changed once published.
An acceptance keeps the digest of the very text that was shown, the moment and the network address.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import TermsVersion, User
from backoffice.core.services import audit
from backoffice.core.services.terms import terms_in_force
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from ib import tax_papers
from ib.models import Partner, PartnerApplication, PartnerTaxData, TermsAcceptance
from ib.permissions import ACCEPT_AGREEMENT, CONFIRM_TAX_DATA, ENTER_TAX_DATA
from ib.rules.claims import country_code
from ib.services import application_work
from ib.services.partners import locked_partner

KIND = TermsVersion.Kind.PARTNER_AGREEMENT
DEFAULT_LANGUAGE = "en"


def agreement_in_force(*, entity_id: int, language: str) -> TermsVersion | None:
    """The agreement that counts today, in the language or else in English; None where none is published."""
    today = clock.now().date()
    for code in dict.fromkeys([language.partition("-")[0].lower(), DEFAULT_LANGUAGE]):
        found = terms_in_force(entity_id=entity_id, kind=KIND, on=today, language=code)
        if found is not None:
            return found
    return None


def agreement_wanted(partner: Partner) -> TermsVersion | None:
    """The version that the partner has still to accept; None when they accepted what counts, or nothing is published."""
    language = DEFAULT_LANGUAGE
    if partner.user_id:
        language = User.objects.filter(pk=partner.user_id).values_list("language", flat=True).get() or DEFAULT_LANGUAGE
    terms = agreement_in_force(entity_id=partner.entity_id, language=language)
    return None if terms is None or has_accepted(partner, terms) else terms


def has_accepted(partner: Partner, terms: TermsVersion) -> bool:
    """Whether the partner agreed to this version, now or when they applied."""
    own = Q(partner=partner) | Q(application__partner=partner)
    return TermsAcceptance.objects.filter(own, terms=terms).exists()


def has_applicant_accepted(application: PartnerApplication, terms: TermsVersion) -> bool:
    """Whether the applicant agreed to this version."""
    return TermsAcceptance.objects.filter(application=application, terms=terms).exists()


@transaction.atomic
def accept_agreement(*, terms_id: int, sha256: str, actor: Actor, address: str = "") -> TermsAcceptance:
    """The actor's own partner agrees to a version of the agreement, by the digest of the text they read. Once: again is
    harmless. Raises Conflict when another version counts by now."""
    authorise(actor, ACCEPT_AGREEMENT)
    partner = Partner.objects.filter(user_id=actor.user_id).first() if actor.user_id else None
    if partner is None:
        raise NotFound("Your login belongs to no partner.")
    terms = checked_terms(terms_id=terms_id, sha256=sha256, entity_id=partner.entity_id)
    acceptance, is_new = TermsAcceptance.objects.get_or_create(
        terms=terms,
        partner=partner,
        defaults={"sha256": terms.sha256, "accepted_by": actor.label, "address": address or None},
    )
    if is_new:
        audit.record(actor=actor, action="ib.accept_agreement", target=partner, changes=_accepted(terms))
    return acceptance


def write_acceptance(
    *, application: PartnerApplication, terms_id: int, sha256: str, address: str, actor: Actor
) -> TermsAcceptance:
    """An applicant agrees. In the caller's transaction, which has authorised."""
    terms = checked_terms(terms_id=terms_id, sha256=sha256, entity_id=application.entity_id)
    acceptance, is_new = TermsAcceptance.objects.get_or_create(
        terms=terms,
        application=application,
        defaults={"sha256": terms.sha256, "accepted_by": application.email, "address": address or None},
    )
    if is_new:
        audit.record(actor=actor, action="ib.accept_agreement", target=application, changes=_accepted(terms))
    return acceptance


def checked_terms(*, terms_id: int, sha256: str, entity_id: int) -> TermsVersion:
    """The version, if it counts today and has this digest. Raises Conflict (`agreement_changed`) otherwise."""
    today = clock.now().date()
    terms = TermsVersion.objects.filter(
        pk=terms_id, entity_id=entity_id, kind=KIND, published_at__isnull=False, validity__contains=today
    ).first()
    if terms is None or terms.sha256 != sha256:
        raise Conflict("The agreement was replaced meanwhile: read the new one.", code="agreement_changed")
    return terms


def _accepted(terms: TermsVersion) -> dict[str, object]:
    return {"terms": str(terms), "sha256": terms.sha256}


# Tax data


@dataclass(frozen=True, slots=True)
class TaxEntry:
    """What somebody says of a partner's tax. *self_billing_on*: when they agreed that we write their invoices."""

    legal_name: str
    address: str
    country: str
    valid_from: date
    vat_number: str = ""
    self_billing_on: date | None = None


@transaction.atomic
def enter_tax_data(*, partner_id: int, entry: TaxEntry, actor: Actor) -> PartnerTaxData:
    """Tax data from a day on, entered by the partner or by staff; they count once another person confirmed them.

    What waits is replaced by what is entered now. Raises InvalidInput naming the field.
    """
    authorise(actor, ENTER_TAX_DATA)
    partner = locked_partner(partner_id, actor)
    if not actor.is_staff and partner.user_id != actor.user_id:
        raise NotFound("No such partner, or it is not yours to see.", partner_id=partner_id)
    today = clock.now().date()
    for name in ("legal_name", "address"):
        if not getattr(entry, name).strip():
            raise InvalidInput("This must be filled in.", field=name)
    if not actor.is_staff and entry.valid_from < today:
        raise InvalidInput("From today on; ask your manager for an earlier day.", field="valid_from")
    if entry.self_billing_on and entry.self_billing_on > today:
        raise InvalidInput("Nobody agreed in the future.", field="self_billing_on")
    PartnerTaxData.objects.filter(partner=partner, state=PartnerTaxData.State.WAITING).update(
        state=PartnerTaxData.State.REFUSED,
        decided_by=actor.label,
        decided_at=clock.now(),
        decision_reason="Replaced by a later entry.",
    )
    row = PartnerTaxData.objects.create(
        partner=partner,
        legal_name=entry.legal_name.strip(),
        address=entry.address.strip(),
        country=country_code(entry.country),
        vat_number=entry.vat_number.strip().upper(),
        self_billing_on=entry.self_billing_on,
        validity=DateRange(entry.valid_from, None),
        entered_by=actor.label,
        entered_by_user_id=actor.user_id,
    )
    audit.record(
        actor=actor, action="ib.enter_tax_data", target=partner, changes={"valid_from": entry.valid_from.isoformat()}
    )
    application_work.note_tax_data(partner.pk)
    return row


@transaction.atomic
def confirm_tax_data(
    *, tax_data_id: int, actor: Actor, reason: str, vat_percent: Decimal = Decimal(0), vat_note: str = ""
) -> PartnerTaxData:
    """Lets tax data count from their day on; those before end there. Not for who entered them."""
    authorise(actor, CONFIRM_TAX_DATA)
    row = _waiting(tax_data_id, actor, reason)
    if not 0 <= vat_percent < 100:
        raise InvalidInput("A rate of tax lies between 0 and 100.", field="vat_percent")
    begin = row.validity.lower
    for earlier in PartnerTaxData.objects.filter(
        partner=row.partner, state=PartnerTaxData.State.CONFIRMED, validity__overlap=row.validity
    ):
        if earlier.validity.lower is None or begin is None or earlier.validity.lower >= begin:
            raise Conflict(
                f"Tax data from {earlier.validity.lower} are confirmed already: enter these from a later day.",
                code="later_tax_data",
            )
        earlier.validity = DateRange(earlier.validity.lower, begin)
        earlier.save(update_fields=["validity"])
    row.vat_percent, row.vat_note = vat_percent, vat_note.strip()
    return _decide(row, PartnerTaxData.State.CONFIRMED, actor, reason)


@transaction.atomic
def refuse_tax_data(*, tax_data_id: int, actor: Actor, reason: str) -> PartnerTaxData:
    """Turns tax data down; what counted before goes on."""
    authorise(actor, CONFIRM_TAX_DATA)
    return _decide(_waiting(tax_data_id, actor, reason), PartnerTaxData.State.REFUSED, actor, reason)


def _waiting(tax_data_id: int, actor: Actor, reason: str) -> PartnerTaxData:
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    seen = get_visible(PartnerTaxData.objects.all(), actor, pk=tax_data_id)
    locked_partner(seen.partner_id, actor)
    row = PartnerTaxData.objects.select_for_update(of=("self",)).select_related("partner").get(pk=tax_data_id)
    if row.state != PartnerTaxData.State.WAITING:
        raise IllegalTransition("These tax data were decided before.")
    if row.entered_by_user_id is not None and row.entered_by_user_id == actor.user_id:
        raise Denied("Whoever entered tax data does not confirm them; ask a colleague.", code="own_entry")
    return row


def _decide(row: PartnerTaxData, state: str, actor: Actor, reason: str) -> PartnerTaxData:
    row.state, row.decided_by, row.decided_at = state, actor.label, clock.now()
    row.decision_reason = reason.strip()[:300]
    row.save()
    audit.record(
        actor=actor,
        action=f"ib.{'confirm' if state == PartnerTaxData.State.CONFIRMED else 'refuse'}_tax_data",
        target=row.partner,
        reason=reason,
        changes={"tax_data": row.pk},
    )
    application_work.note_tax_data(row.partner_id)
    return row


def tax_profile(partner_id: int, on: date) -> PartnerTaxData | None:
    """The confirmed tax data of a partner on a day; None where there are none."""
    return PartnerTaxData.objects.filter(
        partner_id=partner_id, state=PartnerTaxData.State.CONFIRMED, validity__contains=on
    ).first()


def paper_profile(partner_id: int, on: date) -> tax_papers.TaxProfile | None:
    """The same as invoices print it."""
    row = tax_profile(partner_id, on)
    if row is None:
        return None
    return tax_papers.TaxProfile(
        is_self_billing=row.self_billing_on is not None and row.self_billing_on <= on,
        address=f"{row.legal_name}\n{row.address}\n{row.country}",
        tax_number=row.vat_number,
        rate_percent=row.vat_percent,
        note=row.vat_note,
    )


def register() -> None:
    """Names this room as the one that keeps tax data. Called once, when the process starts."""
    tax_papers.use_tax_profiles(paper_profile)
