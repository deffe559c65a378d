"""Opening an account: demo or live, as the catalogue offers it."""

from __future__ import annotations

from typing import Any, cast

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible, holds
from backoffice.core.locks import advisory_key
from backoffice.core.services.entities import require_permitted_currency
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.account_permissions import OPEN_ACCOUNTS, OWN_ACCOUNTS
from platform_ops.models import AccountOffer, ServerOperation, TradingAccount
from platform_ops.rules.operations import OperationKind
from platform_ops.selectors.account_catalogue import class_of_client, leverage_allowed, offers_open_to
from platform_ops.services.account_operations.common import write_request
from platform_ops.services.account_operations.logins import choose_login

MAX_DEMO_ACCOUNTS = 5
MAX_LIVE_ACCOUNTS = 50
ENDED_STAGES = frozenset({"closed"})
LIVE_STAGES = frozenset({"verified", "funded", "active", "dormant"})


@transaction.atomic
def request_account_opening(
    *,
    client_id: int,
    offer_id: int,
    is_demo: bool,
    leverage: int,
    actor: Actor,
    reason: str,
    idempotency_key: str,
    name: str = "",
) -> ServerOperation:
    """Writes down that an account is to be opened for a client; `carry_out` opens it.

    A client opens demo accounts for themselves. Raises InvalidInput for a leverage, a class or a currency that is not
    offered, Conflict for too many accounts, another legal entity, or a live account of a client who is not verified.
    """
    client = _client(client_id, actor, is_demo=is_demo)
    offer = _offer(offer_id, actor)
    group = offer.demo_group if is_demo else offer.live_group
    if group is None:
        raise InvalidInput(f"{offer} is not offered as a {'demo' if is_demo else 'live'} account.", field="offer")
    if client.entity_id != offer.account_type.entity_id:
        raise Conflict("The client belongs to another legal entity.", code="other_entity")
    _check_client(client, offer, is_demo=is_demo)
    allowed = leverage_allowed(offer.account_type, class_of_client(client_id=client.pk))
    if leverage not in allowed:
        raise InvalidInput(
            f"Leverage is one of {', '.join(f'1:{choice}' for choice in allowed) or 'none'}.",
            code="leverage_not_offered",
            field="leverage",
            value=leverage,
        )
    require_permitted_currency(entity_id=client.entity_id, currency=offer.currency)
    _lock_openings(group.server_id)
    operation = ServerOperation(
        entity_id=group.server.entity_id,
        server_id=group.server_id,
        client_id=client.pk,
        login=choose_login(group.server_id),
        kind=OperationKind.OPEN_ACCOUNT.value,
        group=group,
        account_type_id=offer.account_type_id,
    )
    request = {
        "offer": offer.pk,
        "group": group.name,
        "is_demo": is_demo,
        "leverage": leverage,
        "name": (name.strip() or client.full_name)[:64],
        "email": client.email,
        "country": client.country,
    }
    made, _ = write_request(
        operation=operation, request=request, idempotency_key=idempotency_key, actor=actor, reason=reason
    )
    return made


def _client(client_id: int, actor: Actor, *, is_demo: bool) -> Any:
    clients = cast(Any, TradingAccount._meta.get_field("client").related_model)._default_manager.all()
    client = get_visible(clients, actor, pk=client_id)
    if holds(actor, OPEN_ACCOUNTS):
        return client
    authorise(actor, OWN_ACCOUNTS)
    if client.user_id != actor.user_id:
        raise Denied("You open accounts for yourself alone.", capability=OPEN_ACCOUNTS)
    if not is_demo:
        raise Denied("A live account is opened by us; ask for it.", code="live_by_desk")
    return client


def _offer(offer_id: int, actor: Actor) -> AccountOffer:
    offer = (
        AccountOffer.objects.select_related("account_type", "demo_group__server", "live_group__server")
        .filter(pk=offer_id, account_type__is_offered=True)
        .first()
    )
    if offer is None:
        raise InvalidInput("This is not offered.", field="offer", value=offer_id)
    return offer


def _check_client(client: Any, offer: AccountOffer, *, is_demo: bool) -> None:
    if client.stage in ENDED_STAGES:
        raise Conflict("The client's relation has ended.", code="client_closed")
    if not is_demo and client.stage not in LIVE_STAGES:
        raise Conflict("A live account needs a verified client.", code="client_not_verified")
    if offer not in offers_open_to(client_id=client.pk, entity_id=client.entity_id, is_demo=is_demo):
        raise InvalidInput(
            f"{offer.account_type} is not open to clients of this class.", code="class_not_offered", field="offer"
        )
    standing = TradingAccount.objects.filter(client=client.pk, is_demo=is_demo).exclude(status="closed").count()
    waiting = ServerOperation.objects.filter(
        client=client.pk, kind=OperationKind.OPEN_ACCOUNT.value, finished_at__isnull=True, group__is_demo=is_demo
    ).count()
    most = MAX_DEMO_ACCOUNTS if is_demo else MAX_LIVE_ACCOUNTS
    if standing + waiting >= most:
        raise Conflict(f"A client has at most {most} such accounts.", code="too_many_accounts")


def _lock_openings(server_id: int) -> None:
    """One opening at a time chooses its login on a server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("platform", "openings", str(server_id))])
