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
from platform_ops.services import work

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
    work.note_unassigned_accounts(server_id=account.server_id)
    outbox.publish(topic=ACCOUNT_ASSIGNED, payload={"account_id": account.pk}, shard_key=f"account:{account.pk}")
    return account


def _visible_client(client_id: int, actor: Actor) -> Client:
    """The client, reached through the account's own foreign key: models of other desks are not imported."""
    clients = cast("type[Client]", TradingAccount._meta.get_field("client").related_model)
    return get_visible(clients._default_manager.all(), actor, pk=client_id)


def register_accounts(*, server_id: int, stage: str) -> bool:
    """Registers the unknown logins of a staging table, unassigned. Returns whether its rows name accounts by login.

    Only what the books do not have leaves the database: a file of a busy server names tens of thousands of known logins.
    Raises InvalidInput when rows name accounts in both ways, name one of another server, or state a currency that the
    account does not have.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT bool_or(account_id IS NOT NULL), bool_or(account_id IS NULL) FROM {stage}")  # noqa: S608 -- a constant table
        by_id, by_login = cursor.fetchone()
        if by_id and by_login:
            raise InvalidInput("A batch names its accounts by login or by id, not both.", field="account_id")
        if by_id:
            cursor.execute(_FOREIGN_ACCOUNT.format(stage=stage), {"server": server_id})
            if foreign := cursor.fetchone():
                raise InvalidInput("The account is not on this server.", field="account_id", value=foreign[0])
            return False
        cursor.execute(_UNKNOWN_LOGINS.format(stage=stage), {"server": server_id})
        named = cursor.fetchall()
    _register_logins(server_id=server_id, named=named)
    return True


_FOREIGN_ACCOUNT = """
SELECT min(staged.account_id) FROM {stage} AS staged
 WHERE NOT EXISTS (SELECT 1 FROM platform_ops_tradingaccount AS account
                    WHERE account.server_id = %(server)s AND account.id = staged.account_id)
HAVING count(*) > 0
"""
_UNKNOWN_LOGINS = """
SELECT DISTINCT staged.login, staged.currency, account.currency
  FROM {stage} AS staged
  LEFT JOIN platform_ops_tradingaccount AS account ON account.server_id = %(server)s AND account.login = staged.login
 WHERE account.id IS NULL OR staged.currency <> account.currency
 ORDER BY staged.login, staged.currency
"""


def _register_logins(*, server_id: int, named: list[tuple[str, str | None, str | None]]) -> None:
    """Each of *named* is a login, the currency its rows state, and the currency of the account where there is one."""
    unknown: dict[str, TradingAccount] = {}
    for login, stated, known in named:
        if known is not None:
            if stated is not None and Currency.of(stated).code != known:
                raise InvalidInput(f"Account {login} is in {known}, not in {stated}.", field="currency", value=stated)
            continue
        if login in unknown:
            raise InvalidInput(f"Login {login} stands in the batch with two currencies.", field="currency")
        if stated is None:
            raise InvalidInput(f"Account {login} is unknown and its currency is missing.", field="currency")
        unknown[login] = TradingAccount(server_id=server_id, login=login, currency=Currency.of(stated).code)
    if unknown:
        TradingAccount.objects.bulk_create(unknown.values(), batch_size=INSERT_BATCH_SIZE)
        work.note_unassigned_accounts(server_id=server_id)
