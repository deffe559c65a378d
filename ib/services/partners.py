"""Partners: registration, state, and the login that belongs to one."""

from __future__ import annotations

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import Brand, LegalEntity, User
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor, Role
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from funding.ledger.chart import AccountKind
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.types import AccountSpec
from ib.locks import limit_waiting, lock_partner
from ib.models import Partner
from ib.services.posting import PARTNER_OWNER

PARTNER_ACCOUNTS = (AccountKind.PARTNER_ACCRUED, AccountKind.PARTNER_PAYABLE, AccountKind.PARTNER_WALLET)


@transaction.atomic
def register_partner(
    *,
    entity_id: int,
    brand_id: int,
    name: str,
    currency: str,
    actor: Actor,
    email: str = "",
    country: str = "",
    user_id: int | None = None,
    kind: str = Partner.Kind.REBATE,
    client_id: int | None = None,
) -> Partner:
    """A new active partner with its three ledger accounts: accrued, payable and wallet, in the partner's currency.

    *client_id* is the client that the partner is; one of kind trader is always a client.
    """
    authorise(actor, "ib.manage_partners")
    if not name.strip():
        raise InvalidInput("A partner needs a name.", field="name")
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if not Brand.objects.filter(pk=brand_id, entity=entity).exists():
        raise InvalidInput("The brand is not one of this legal entity.", field="brand_id", value=brand_id)
    if kind not in Partner.Kind.values or (kind == Partner.Kind.TRADER and client_id is None):
        raise InvalidInput("No such kind of partner, or a client with a rebate without the client.", field="kind")
    partner = Partner.objects.create(
        reference=_next_reference(),
        kind=kind,
        client_id=client_id,
        entity=entity,
        brand_id=brand_id,
        name=name.strip(),
        email=email.strip(),
        country=country.strip().upper(),
        currency=Currency.of(currency).code,
    )
    if user_id is not None:
        _link(partner, user_id)
    get_accounts_bulk(specs=account_specs(partner))
    audit.record(
        actor=actor,
        action="ib.register_partner",
        target=partner,
        changes={"name": partner.name, "currency": partner.currency, "entity": entity.code},
    )
    outbox.publish(topic="ib.partner_registered", payload={"partner_id": partner.pk})
    return partner


@transaction.atomic
def set_partner_status(*, partner_id: int, status: str, reason: str, actor: Actor) -> Partner:
    """Suspends, closes or reactivates a partner. A suspended one still accrues; a closed one never comes back."""
    authorise(actor, "ib.manage_partners")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    wanted = Partner.Status(status) if status in Partner.Status.values else None
    if wanted is None:
        raise InvalidInput("No such status.", field="status", value=status)
    partner = locked_partner(partner_id, actor)
    if partner.status == wanted:
        return partner
    if partner.status == Partner.Status.CLOSED:
        raise IllegalTransition("A closed partner stays closed.", status=partner.status)
    before, partner.status = partner.status, wanted
    partner.save(update_fields=["status"])
    audit.record(
        actor=actor,
        action="ib.set_partner_status",
        target=partner,
        reason=reason,
        changes={"status": [before, wanted.value]},
    )
    return partner


@transaction.atomic
def link_partner_login(*, partner_id: int, user_id: int, actor: Actor) -> Partner:
    """Gives a login the partner's portal. The login must hold the introducing broker's role and no other partner."""
    authorise(actor, "ib.manage_partners")
    partner = locked_partner(partner_id, actor)
    before = partner.user_id
    _link(partner, user_id)
    audit.record(
        actor=actor, action="ib.link_partner_login", target=partner, changes={"user_id": [before, partner.user_id]}
    )
    return partner


def locked_partner(partner_id: int, actor: Actor) -> Partner:
    """The partner, locked, if the actor may see it. Raises NotFound otherwise."""
    limit_waiting()
    visible_id = visible_to(Partner.objects.all(), actor).filter(pk=partner_id).values_list("pk", flat=True).first()
    partner = lock_partner(partner_id) if visible_id is not None else None
    if partner is None:
        raise NotFound("No such partner, or it is not yours to see.", partner_id=partner_id)
    return partner


def account_specs(partner: Partner) -> list[AccountSpec]:
    """The three ledger accounts of a partner."""
    return [
        AccountSpec(
            entity_id=partner.entity_id,
            kind=kind,
            currency=partner.currency,
            owner_type=PARTNER_OWNER,
            owner_id=partner.pk,
            name=f"{kind.label}, {partner.reference}, {partner.currency}",
        )
        for kind in PARTNER_ACCOUNTS
    ]


def _link(partner: Partner, user_id: int) -> None:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or Role.IB.value not in user.roles:
        raise InvalidInput("The login must be active and have the introducing broker's role.", field="user_id")
    if Partner.objects.filter(user=user).exclude(pk=partner.pk).exists():
        raise Conflict("The login belongs to another partner.", code="login_taken", user_id=user_id)
    partner.user = user
    partner.save(update_fields=["user"])


def _next_reference() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('ib_partner_reference')")
        return f"IB-{cursor.fetchone()[0]:04d}"
