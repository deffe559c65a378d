"""Terms: the documents that clients and partners agree to, in versions that count from a day on and never change."""

from __future__ import annotations

import hashlib
from datetime import date

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Max

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity, TermsVersion
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput, NotFound

MANAGE = "core.manage_terms"
MAXIMUM_BODY = 500_000
"""Upper bound of characters of a document."""


@transaction.atomic
def draft_terms(
    *, entity_id: int, kind: str, title: str, body: str, actor: Actor, language: str = "en"
) -> TermsVersion:
    """A new draft, numbered after the last version of the entity's document in that language."""
    authorise(actor, MANAGE)
    get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if kind not in TermsVersion.Kind.values:
        raise InvalidInput("No such kind of document.", field="kind", value=kind)
    if not language.isascii() or not 2 <= len(language) <= 8:
        raise InvalidInput("A language is a code such as en.", field="language", value=language)
    _check_text(title, body)
    # Drafts of one entity wait for each other, so that two do not take one number.
    LegalEntity.objects.select_for_update(no_key=True).get(pk=entity_id)
    same = TermsVersion.objects.filter(entity_id=entity_id, kind=kind, language=language)
    terms = TermsVersion.objects.create(
        entity_id=entity_id,
        kind=kind,
        language=language,
        number=(same.aggregate(last=Max("number"))["last"] or 0) + 1,
        title=title.strip(),
        body=body,
        sha256=_digest(body),
        drafted_by=actor.label,
    )
    audit.record(actor=actor, action="core.draft_terms", target=terms, changes={"sha256": terms.sha256})
    return terms


@transaction.atomic
def change_draft(*, terms_id: int, title: str, body: str, actor: Actor) -> TermsVersion:
    """Changes a draft. Raises `IllegalTransition` once it is published."""
    authorise(actor, MANAGE)
    _check_text(title, body)
    terms = _locked(terms_id, actor)
    if terms.published_at is not None:
        raise IllegalTransition("Published terms never change; draft the next version.")
    before = terms.sha256
    terms.title, terms.body, terms.sha256 = title.strip(), body, _digest(body)
    terms.save(update_fields=["title", "body", "sha256"])
    audit.record(actor=actor, action="core.change_terms", target=terms, changes={"sha256": [before, terms.sha256]})
    return terms


@transaction.atomic
def publish_terms(*, terms_id: int, valid_from: date, actor: Actor, reason: str) -> TermsVersion:
    """Publishes a draft from a day on, today at the earliest; the version before it ends there.

    Publishing it again from the same day changes nothing. Raises `Conflict` when a version is published from that day or
    a later one, or when the draft is older than what is published.
    """
    authorise(actor, MANAGE)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    terms = _locked(terms_id, actor)
    if terms.published_at is not None:
        if terms.validity.lower == valid_from:
            return terms
        raise IllegalTransition("The version is published already.", valid_from=str(terms.validity.lower))
    if valid_from < clock.now().date():
        raise InvalidInput("Terms are not published for the past.", field="valid_from", value=str(valid_from))
    published = TermsVersion.objects.select_for_update().filter(
        entity_id=terms.entity_id, kind=terms.kind, language=terms.language, published_at__isnull=False
    )
    last = published.order_by("-validity__startswith").first()
    if last is not None:
        begins = last.validity.lower
        if begins is None or begins >= valid_from:
            raise Conflict(f"Version {last.number} counts from {begins}.", code="later_version", field="valid_from")
        if last.number > terms.number:
            raise Conflict(f"Version {last.number} is published already.", code="later_version")
        last.validity = DateRange(begins, valid_from)
        last.save(update_fields=["validity"])
    terms.validity, terms.published_at, terms.published_by = DateRange(valid_from, None), clock.now(), actor.label
    terms.save(update_fields=["validity", "published_at", "published_by"])
    audit.record(
        actor=actor,
        action="core.publish_terms",
        target=terms,
        reason=reason.strip(),
        changes={"valid_from": valid_from.isoformat(), "sha256": terms.sha256},
    )
    return terms


def terms_in_force(*, entity_id: int, kind: str, on: date, language: str = "en") -> TermsVersion | None:
    """The version that counts on a day, or None."""
    return TermsVersion.objects.filter(
        entity_id=entity_id, kind=kind, language=language, published_at__isnull=False, validity__contains=on
    ).first()


def _locked(terms_id: int, actor: Actor) -> TermsVersion:
    seen = get_visible(TermsVersion.objects.all(), actor, pk=terms_id)
    # One order for drafting and publishing: the entity first.
    LegalEntity.objects.select_for_update(no_key=True).get(pk=seen.entity_id)
    terms = TermsVersion.objects.select_for_update().filter(pk=terms_id).first()
    if terms is None:
        raise NotFound("No such version.", terms_id=terms_id)
    return terms


def _check_text(title: str, body: str) -> None:
    if not title.strip():
        raise InvalidInput("A document has a title.", field="title")
    if not body.strip() or len(body) > MAXIMUM_BODY:
        raise InvalidInput(f"A document has 1 to {MAXIMUM_BODY} characters.", field="body")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
