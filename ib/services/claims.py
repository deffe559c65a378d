"""Claims on clients. `claim_client` is the one door through which anybody says to have brought a client.

The first claim stands, and a partner's becomes the referral. A second claim pays nobody: it opens a conflict with the
evidence of all, the rule proposes, and a manager decides, also for the past; what that changes is settled as differences.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from ib.models import ClaimConflict, ClientClaim, ClientReferral, Partner
from ib.models.claims import ClaimantType
from ib.permissions import CLAIM_CLIENTS, DECIDE_CLAIMS, NAME_INTRODUCER
from ib.rules.claims import (
    CLIENT_STATEMENT,
    CODE_AT_REGISTRATION,
    REFERRAL,
    ClaimFacts,
    Proposal,
    checked_evidence,
    propose,
)
from ib.services import application_work, claim_letters, links, referrals
from ib.services.validity import check_moment

State = ClientClaim.State
SYSTEM = Actor.system("ib.claims")
AHEAD = timedelta(minutes=10)
"""How far the clock of another system may be ahead of ours."""
STATEMENT_DAYS = 30
"""How long after the registration a client may still name who brought them."""


@transaction.atomic
def claim_client(
    *,
    client_id: int,
    claimed_by_type: str,
    claimed_by_id: int,
    evidence: dict[str, Any],
    at: datetime,
    actor: Actor,
) -> ClientClaim:
    """Somebody says to have brought a client, from *at* on. The first claim stands: a partner's is a referral from then.

    A claim on a client that another one has opens a conflict (or joins the open one). The same claimant again is harmless:
    what stands there is returned. Raises InvalidInput for a claimant of another legal entity, one who claims themselves,
    or evidence that is none.
    """
    authorise(actor, CLAIM_CLIENTS)
    check_moment(at, field="at")
    if at > clock.now() + AHEAD:
        raise InvalidInput("Nobody claims for the future.", field="at", value=at.isoformat())
    kept = checked_evidence(evidence)
    client: Any = referrals.locked_client(client_id, actor)
    name = _claimant(client, claimed_by_type, claimed_by_id, kept)
    standing = _standing(client, at)
    known = ClientClaim.objects.filter(
        client_id=client.pk, claimed_by_type=claimed_by_type, claimed_by_id=claimed_by_id
    ).first()
    if known is not None:
        return known
    claim = ClientClaim.objects.create(
        entity_id=client.entity_id,
        client_id=client.pk,
        claimed_by_type=claimed_by_type,
        claimed_by_id=claimed_by_id,
        claimant=name,
        state=State.STANDING if standing is None else State.CONTESTED,
        evidence=kept,
        at=at,
        made_by=actor.label,
    )
    audit.record(
        actor=actor,
        action="ib.claim_client",
        target=client,
        changes={"claimant": name, "evidence": kept, "at": at.isoformat(), "state": claim.state},
    )
    if standing is not None:
        _contest(client, actor)
    elif claimed_by_type == ClaimantType.PARTNER:
        referrals.refer_client(
            client_id=client.pk, partner_id=claimed_by_id, valid_from=at, actor=SYSTEM, reason=f"Claimed: {name}"
        )
    return claim


def claim_by_code(*, client_id: int, code: str, at: datetime, actor: Actor) -> ClientClaim:
    """A client registered with a code: its partner claims the client at that instant.

    Raises NotFound for a code that is nobody's, InvalidInput for one that had ended by then.
    """
    link = links.find_link(code)
    if link is None:
        raise NotFound("No partner has this code.", code="no_such_code")
    if link.ended_at is not None and link.ended_at <= at:
        raise InvalidInput("This code had ended by then.", code="code_ended", field="code")
    return claim_client(
        client_id=client_id,
        claimed_by_type=ClaimantType.PARTNER,
        claimed_by_id=link.partner_id,
        evidence={"kind": CODE_AT_REGISTRATION, "code": link.code, "campaign": link.campaign},
        at=at,
        actor=actor,
    )


@transaction.atomic
def decide_conflict(
    *, conflict_id: int, winner_claim_id: int, valid_from: datetime, reason: str, actor: Actor
) -> ClaimConflict:
    """Decides whose client it is, from a moment on, also in the past; the days since then are settled again, and only
    differences are booked. Deciding again the same way is harmless.

    Raises IllegalTransition for a conflict that was decided otherwise, InvalidInput for a claim of another client.
    """
    authorise(actor, DECIDE_CLAIMS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    check_moment(valid_from)
    if valid_from > clock.now() + AHEAD:
        raise InvalidInput("A decision counts from now on or from the past.", field="valid_from")
    seen = get_visible(ClaimConflict.objects.all(), actor, pk=conflict_id)
    client: Any = referrals.locked_client(seen.client_id, actor)
    conflict = ClaimConflict.objects.select_for_update(of=("self",)).get(pk=conflict_id)
    if conflict.decided_at is not None:
        if (conflict.winner_id, conflict.valid_from) == (winner_claim_id, valid_from):
            return conflict
        raise IllegalTransition("This conflict was decided before.", code="already_decided")
    rivals = {claim.pk: claim for claim in open_claims(client.pk)}
    winner = rivals.get(winner_claim_id)
    if winner is None:
        raise InvalidInput("This claim does not take part in the conflict.", field="winner_claim_id")
    _give_client(client, winner, valid_from, actor, reason)
    losers = [pk for pk in rivals if pk != winner.pk]
    for claim in ClientClaim.objects.filter(pk__in=losers):
        claim.state = State.LOST
        claim.save(update_fields=["state"])
    winner.state = State.STANDING
    winner.save(update_fields=["state"])
    conflict.winner, conflict.valid_from, conflict.reason = winner, valid_from, reason.strip()[:500]
    conflict.decided_at, conflict.decided_by, conflict.decided_by_user_id = clock.now(), actor.label, actor.user_id
    conflict.save()
    audit.record(
        actor=actor,
        action="ib.decide_conflict",
        target=conflict,
        reason=reason,
        entity_id=conflict.entity_id,
        changes={"winner": winner.claimant, "valid_from": valid_from.isoformat(), "proposed": conflict.proposed_id},
    )
    claim_letters.tell_decided(conflict, list(rivals.values()), client)
    application_work.note_conflict(conflict.pk)
    return conflict


@transaction.atomic
def name_introducer(*, code: str, actor: Actor) -> ClientClaim:
    """A client who forgot the code at the registration says who brought them, within thirty days, once.

    It counts from now on; for the past only if somebody decides so. Raises InvalidInput for a code that is nobody's.
    """
    authorise(actor, NAME_INTRODUCER)
    client: Any = claimable_client(actor)
    if client is None:
        raise NotFound("Your login belongs to no client.")
    if clock.now() > statement_until(client):
        raise Conflict(f"This is possible within {STATEMENT_DAYS} days of the registration.", code="too_late")
    referrals.locked_client(client.pk, actor)
    link = links.find_link(code)
    if link is None or not link.is_active or link.partner.entity_id != client.entity_id:
        raise InvalidInput("We do not know this code. Ask who gave it to you.", code="no_such_code", field="code")
    said = ClientClaim.objects.filter(client_id=client.pk, evidence__kind=CLIENT_STATEMENT).first()
    if said is not None:
        if said.claimed_by_id == link.partner_id:
            return said
        raise Conflict("You have told us before; write to us if it was wrong.", code="said_before")
    return claim_client(
        client_id=client.pk,
        claimed_by_type=ClaimantType.PARTNER,
        claimed_by_id=link.partner_id,
        evidence={"kind": CLIENT_STATEMENT, "code": link.code},
        at=clock.now(),
        actor=SYSTEM,
    )


def claimable_client(actor: Actor) -> Any:
    """The client that the actor's login belongs to; None where it belongs to none."""
    return referrals.all_clients().filter(user_id=actor.user_id).first() if actor.user_id else None


def statement_until(client: Any) -> datetime:
    """Until when the client may name who brought them."""
    return registered_at(client) + timedelta(days=STATEMENT_DAYS)


def registered_at(client: Any) -> datetime:
    """When the client registered."""
    moment: datetime = client.registered_at or client.created_at
    return moment


def open_claims(client_id: int) -> list[ClientClaim]:
    """The claims on a client that stand or wait for a decision, in the order in which they were made."""
    return list(ClientClaim.objects.filter(client_id=client_id).exclude(state=State.LOST).order_by("pk"))


def proposal_for(client: Any) -> Proposal:
    """What the rule prefers now."""
    facts = [ClaimFacts(claim.pk, claim.claimant, claim.evidence, claim.at) for claim in open_claims(client.pk)]
    return propose(facts, registered_at=registered_at(client), window_days=settings.IB_ATTRIBUTION_DAYS)


def _claimant(client: Any, claimed_by_type: str, claimed_by_id: int, evidence: dict[str, Any]) -> str:
    """The claimant's name. Raises InvalidInput for one who cannot claim this client."""
    if claimed_by_type not in ClaimantType.values:
        raise InvalidInput("Partners and campaigns claim clients.", field="claimed_by_type", value=claimed_by_type)
    if claimed_by_type == ClaimantType.CAMPAIGN:
        if claimed_by_id <= 0:
            raise InvalidInput("Name the campaign.", field="claimed_by_id")
        return str(evidence.get("campaign") or f"Campaign {claimed_by_id}")[:200]
    partner = Partner.objects.filter(pk=claimed_by_id, entity_id=client.entity_id).first()
    if partner is None:
        raise InvalidInput("No such partner of the client's legal entity.", field="claimed_by_id", value=claimed_by_id)
    if partner.status == Partner.Status.CLOSED:
        raise InvalidInput("A closed partner introduces nobody.", field="claimed_by_id")
    if partner.client_id == client.pk or (partner.user_id is not None and partner.user_id == client.user_id):
        raise InvalidInput("Nobody introduces themselves.", code="own_claim", field="claimed_by_id")
    return str(partner)


def _standing(client: Any, at: datetime) -> ClientClaim | None:
    """The claim that stands, brought to the referral that counts: a referral made without a claim is one too."""
    claim = ClientClaim.objects.filter(client_id=client.pk, state=State.STANDING).first()
    counts = ClientReferral.objects.filter(client_id=client.pk).filter(
        Q(validity__contains=at) | Q(validity__startswith__gt=at)
    )
    referral = counts.select_related("partner").order_by("validity").first()
    if referral is None:
        if claim is not None and claim.claimed_by_type == ClaimantType.PARTNER:
            _set_state(claim, State.LOST)  # its referral was ended by hand
            return None
        return claim
    if claim is not None:
        if (claim.claimed_by_type, claim.claimed_by_id) == (ClaimantType.PARTNER, referral.partner_id):
            return claim
        _set_state(claim, State.LOST)  # somebody gave the client to another partner since
    begin = referral.validity.lower or registered_at(client)
    implied, is_new = ClientClaim.objects.get_or_create(
        client_id=client.pk,
        claimed_by_type=ClaimantType.PARTNER,
        claimed_by_id=referral.partner_id,
        defaults={
            "entity_id": client.entity_id,
            "claimant": str(referral.partner),
            "state": State.STANDING,
            "evidence": {"kind": REFERRAL, "since": begin.isoformat()},
            "at": begin,
            "made_by": SYSTEM.label,
        },
    )
    if not is_new:
        _set_state(implied, State.STANDING)
    return implied


def _set_state(claim: ClientClaim, state: str) -> None:
    claim.state = state
    claim.save(update_fields=["state"])


def _contest(client: Any, actor: Actor) -> None:
    """Opens the conflict of a client or brings the open one up to date."""
    proposal = proposal_for(client)
    conflict, is_new = ClaimConflict.objects.get_or_create(
        client_id=client.pk,
        decided_at=None,
        defaults={
            "entity_id": client.entity_id,
            "proposed_id": proposal.claim_id,
            "proposed_because": proposal.because[:300],
        },
    )
    if not is_new:
        conflict.proposed_id, conflict.proposed_because = proposal.claim_id, proposal.because[:300]
        conflict.save(update_fields=["proposed", "proposed_because"])
    audit.record(
        actor=actor,
        action="ib.open_conflict",
        target=conflict,
        entity_id=conflict.entity_id,
        changes={"proposed": proposal.because},
    )
    claim_letters.tell_opened(conflict, open_claims(client.pk), client)
    application_work.note_conflict(conflict.pk)


def _give_client(client: Any, winner: ClientClaim, valid_from: datetime, actor: Actor, reason: str) -> None:
    """Makes the referrals what the decision says. Where they are so already, nothing is written."""
    rows = ClientReferral.objects.filter(client_id=client.pk)
    since = rows.filter(Q(validity__endswith__gt=valid_from) | Q(validity__endswith__isnull=True))
    if winner.claimed_by_type == ClaimantType.CAMPAIGN:
        if since.exists():
            referrals.end_referral(client_id=client.pk, valid_from=valid_from, actor=actor, reason=reason)
        return
    standing = list(since)
    if len(standing) == 1 and standing[0].partner_id == winner.claimed_by_id:
        begin = standing[0].validity.lower
        if (begin is None or begin <= valid_from) and standing[0].validity.upper is None:
            return
    referrals.refer_client(
        client_id=client.pk, partner_id=winner.claimed_by_id, valid_from=valid_from, actor=actor, reason=reason
    )
