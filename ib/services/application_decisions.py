"""How an application ends at the desk: a partner with a login, an agreement, a place and a first link, or a letter."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.models import User
from backoffice.core.services import users
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.models import Partner, PartnerApplication
from ib.permissions import DECIDE_APPLICATIONS
from ib.services import application_letters as letters
from ib.services import applications, links, partners, plans, tree
from ib.services.applications import check_step, locked_application, missing_for_approval, refuse_own, take_step

LOGINS = Actor.system("ib.applications")
"""Gives an approved partner the login; only ever the role of an introducing broker."""


@transaction.atomic
def approve_application(
    *,
    application_id: int,
    plan_id: int,
    actor: Actor,
    reason: str,
    valid_from: datetime | None = None,
    under_parent: bool = True,
) -> PartnerApplication:
    """Makes a partner of an applicant: the partner, the login with an invitation, the agreement on a plan, the place below
    who brought them (unless *under_parent* is False), and a first link. All of it or nothing; again is harmless.

    Raises Conflict (`not_ready`) saying what is missing, (`own_application`) for who entered it, (`login_taken`).
    """
    authorise(actor, DECIDE_APPLICATIONS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    application = locked_application(application_id, actor)
    if application.state == applications.State.APPROVED:
        return application
    check_step("approve", application)
    refuse_own(application, actor)
    missing = missing_for_approval(application)
    if missing:
        raise Conflict(" ".join(missing), code="not_ready", missing=missing)
    moment = valid_from or clock.now()
    user = _login(application)
    partner = partners.register_partner(
        entity_id=application.entity_id,
        brand_id=application.brand_id,
        name=application.name,
        currency=application.currency,
        actor=actor,
        email=application.email,
        country=application.country,
        user_id=user.pk,
        kind=application.kind,
        client_id=application.client_id,
    )
    if application.parent_id is not None and under_parent:
        tree.place_partner(
            partner_id=partner.pk,
            parent_id=application.parent_id,
            valid_from=moment,
            actor=actor,
            reason=f"Brought by them ({application.reference})",
        )
    plans.sign_agreement(
        partner_id=partner.pk, plan_id=plan_id, valid_from=moment, actor=actor, reason=application.reference
    )
    link = links.create_link(partner_id=partner.pk, campaign="First link", actor=actor)
    application.partner = partner
    _decide(application, "approve", actor, reason)
    letters.welcome(application, partner=partner, user=user, code=link.code)
    return application


@transaction.atomic
def refuse_application(*, application_id: int, reason: str, letter: str, actor: Actor) -> PartnerApplication:
    """Refuses an application. *reason* stays at the desk; *letter* is what the applicant reads. Again is harmless."""
    authorise(actor, DECIDE_APPLICATIONS)
    for name, text in (("reason", reason), ("letter", letter)):
        if not text.strip():
            raise InvalidInput("This must be filled in.", field=name)
    application = locked_application(application_id, actor)
    if application.state == applications.State.REFUSED:
        return application
    check_step("refuse", application)
    refuse_own(application, actor)
    application.letter = letter.strip()[:2000]
    _decide(application, "refuse", actor, reason)
    letters.tell_applicant(application, what=application.letter, key="refused")
    return application


def _decide(application: PartnerApplication, step: str, actor: Actor, reason: str) -> None:
    application.decided_at, application.decided_by = clock.now(), actor.label
    application.decision_reason = reason.strip()[:500]
    take_step(application, step, actor, reason=reason)


def _login(application: PartnerApplication) -> User:
    """The login of the address: a new one without a password, or the trader's, who becomes an introducing broker too."""
    known = User.objects.filter(email__iexact=application.email).first()
    if known is None:
        return users.create_user(
            email=application.email,
            full_name=(application.contact_name or application.name)[:150],
            roles=[Role.IB],
            entity_codes=[],
            actor=LOGINS,
            language=application.language,
        )
    if known.is_staff or known.is_service or not known.is_active or Partner.objects.filter(user=known).exists():
        raise Conflict("This mail address has a login that cannot be a partner's.", code="login_taken", field="email")
    if Role.IB.value not in known.roles:
        users.change_access(
            user_id=known.pk,
            roles=[*known.roles, Role.IB],
            entity_codes=known.entities.values_list("code", flat=True),
            actor=LOGINS,
            reason=f"Approved as a partner ({application.reference})",
        )
        known.refresh_from_db()
    return known
