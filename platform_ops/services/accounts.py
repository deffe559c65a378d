"""Trading accounts: registered when a source first names them, assigned to clients by people."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.events import ACCOUNT_ASSIGNED
from platform_ops.models import TradingAccount
from platform_ops.permissions import ASSIGN_ACCOUNTS

if TYPE_CHECKING:
    from crm.models import Client

INSERT_BATCH_SIZE = 2_000


@transaction.atomic(durable=True)
def assign_account(*, account_id: int, client_id: int, actor: Actor, reason: str) -> TradingAccount:
    """Gives a trading account to a client of the same legal entity; a reason is needed to take it from another one.

    Raises NotFound for an account or client that the actor does not see, Conflict across legal entities.
    """
    authorise(actor, ASSIGN_ACCOUNTS)
    visible = get_visible(TradingAccount.objects.all(), actor, pk=account_id)
    client = _visible_client(client_id, actor)
    account = TradingAccount.objects.select_for_update(of=("self",)).select_related("server").get(pk=visible.pk)
    if account.client_id == client.pk:
        return account
    if account.server.entity_id != client.entity_id:
        raise Conflict(f"{client} and account {account.login} belong to different legal entities.", code="other_entity")
    if account.client_id is not None and not reason.strip():
        raise InvalidInput("Say why the account moves to another client.", field="reason")
    changes = {"client": [account.client_id, client.pk]}
    account.client = client
    account.save(update_fields=["client"])
    audit.record(
        actor=actor,
        action="platform.assign_account",
        target=account,
        reason=reason,
        changes=changes,
        entity_id=account.server.entity_id,
    )
    outbox.publish(topic=ACCOUNT_ASSIGNED, payload={"account_id": account.pk}, shard_key=f"account:{account.pk}")
    return account


def _visible_client(client_id: int, actor: Actor) -> Client:
    """The client, reached through the account's own foreign key: models of other desks are not imported."""
    clients = cast("type[Client]", TradingAccount._meta.get_field("client").related_model)
    return get_visible(clients._default_manager.all(), actor, pk=client_id)


def register_accounts(*, server_id: int, stage: str) -> bool:
    """Registers the unknown logins of a staging table, unassigned. Returns whether its rows name accounts by login.

    Raises InvalidInput when rows name accounts in both ways, name one of another server, or state a currency that the
    account does not have.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT account_id, login, currency FROM {stage} GROUP BY account_id, login, currency")  # noqa: S608 -- a constant table
        named = cursor.fetchall()
    ids = {account_id for account_id, _, _ in named if account_id is not None}
    currencies = {login: currency for account_id, login, currency in named if account_id is None}
    if ids and currencies:
        raise InvalidInput("A batch names its accounts by login or by id, not both.", field="account_id")
    if ids:
        known = set(TradingAccount.objects.filter(server_id=server_id, pk__in=ids).values_list("pk", flat=True))
        if foreign := ids - known:
            raise InvalidInput("The account is not on this server.", field="account_id", value=min(foreign))
        return False
    if len(currencies) != len(named):
        raise InvalidInput("A login stands in the batch with two currencies.", field="currency")
    _register_logins(server_id=server_id, currencies=currencies)
    return True


def _register_logins(*, server_id: int, currencies: dict[str, str | None]) -> None:
    known = dict(
        TradingAccount.objects.filter(server_id=server_id, login__in=currencies).values_list("login", "currency")
    )
    unknown = []
    for login, currency in currencies.items():
        if login in known:
            if currency is not None and Currency.of(currency).code != known[login]:
                raise InvalidInput(
                    f"Account {login} is in {known[login]}, not in {currency}.", field="currency", value=currency
                )
            continue
        if currency is None:
            raise InvalidInput(f"Account {login} is unknown and its currency is missing.", field="currency")
        unknown.append(TradingAccount(server_id=server_id, login=login, currency=Currency.of(currency).code))
    TradingAccount.objects.bulk_create(unknown, batch_size=INSERT_BATCH_SIZE)
