"""The demo's disputes about commission: one waits for the partner, one ended with goodwill, one has just come."""

from __future__ import annotations

from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import Seeding
from ib.models import CommissionLine, Partner
from ib.services import disputes

WORTH_DISPUTING = Decimal(10)


def write_disputes(seeding: Seeding) -> None:
    """Comes after the history: a dispute is about a line."""
    seeding.say("disputes about commission: one is asked back, one ends with goodwill, one has just come")
    partner = Partner.objects.filter(entity=seeding.entity, user__isnull=False).order_by("pk").first()
    if partner is None or partner.user is None:
        return
    own, manager, finance = (
        actor_of_user(partner.user),
        _person(seeding, Role.PARTNER_MANAGER),
        _person(seeding, Role.FINANCE),
    )
    paid = CommissionLine.objects.filter(partner_id=partner.pk, seq=0, amount__gte=WORTH_DISPUTING)
    lines = list(paid.order_by("-day", "-amount")[:3])
    if len(lines) < 3:
        return
    asked, given, new = (line.reference for line in lines)
    first = disputes.open_dispute(
        subject=asked,
        cause="rate",
        claim="We agreed on one dollar more per lot for this client in spring. Please look at our mails of April.",
        claimed_amount=lines[0].amount + 5,
        actor=own,
    )
    disputes.take_dispute(dispute_id=first.pk, actor=manager)
    disputes.note_dispute(dispute_id=first.pk, note="Nothing of the kind stands in the agreement.", actor=manager)
    disputes.ask_partner(
        dispute_id=first.pk, question="Could you send us the mail in which this was agreed?", actor=manager
    )
    _goodwill(seeding, given, own=own, manager=manager, finance=finance)
    disputes.open_dispute(
        subject=new,
        cause="tree",
        claim="This client came through my own link, not through the partner below me.",
        actor=own,
    )
    disputes.issue_documents()


def _goodwill(seeding: Seeding, line: str, *, own: Actor, manager: Actor, finance: Actor) -> None:
    limit = disputes.request_goodwill_limit(
        entity_id=seeding.entity.pk,
        currency="USD",
        valid_from=seeding.start.date(),
        per_case=Decimal(250),
        per_month=Decimal(2000),
        actor=manager,
        reason="What the board decided in January",
    )
    changes.approve_change(change_id=limit.pk, actor=finance, reason="As decided")
    changes.apply_change(change_id=limit.pk, actor=finance)
    dispute = disputes.open_dispute(
        subject=line,
        cause="conversion",
        claim="Your statement came two days late, and the rate had moved by then.",
        actor=own,
    )
    if dispute.currency != "USD":
        return
    disputes.take_dispute(dispute_id=dispute.pk, actor=manager)
    dispute = disputes.propose_goodwill(
        dispute_id=dispute.pk, amount=Decimal("12.50"), reason="The delay was ours.", actor=manager
    )
    assert dispute.change_request is not None, "goodwill is asked for by a change request"
    changes.approve_change(change_id=dispute.change_request.pk, actor=finance, reason="Within the limit, and fair")
    changes.apply_change(change_id=dispute.change_request.pk, actor=finance)


def _person(seeding: Seeding, role: Role) -> Actor:
    return actor_of_user(User.objects.filter(roles__contains=[role.value], entities=seeding.entity).order_by("pk")[0])
