"""Reads of funding: the facts of servers and accounts that bookings need, and how far results are booked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import Max, QuerySet

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from funding.models import TradingResultLine, TradingResultRun

_SERVER = "SELECT id, code, entity_id FROM platform_ops_tradingserver WHERE id = %s"
_ACCOUNT = """
SELECT account.id, account.login, account.currency, server.entity_id
FROM platform_ops_tradingaccount account JOIN platform_ops_tradingserver server ON server.id = account.server_id
WHERE account.id = %s
"""
_ACCOUNT_ID = """
SELECT account.id FROM platform_ops_tradingaccount account
JOIN platform_ops_tradingserver server ON server.id = account.server_id
WHERE server.code = %s AND account.login = %s
"""
_UNFINISHED_SERVERS = """
SELECT count(*) FROM platform_ops_tradingserver server
WHERE server.entity_id = %(entity)s
  AND EXISTS (SELECT 1 FROM platform_ops_tradingaccount account WHERE account.server_id = server.id)
  AND NOT EXISTS (
      SELECT 1 FROM platform_ops_businessday done
      WHERE done.server_id = server.id AND done.day = %(day)s AND done.state = 'closed'
  )
  AND NOT coalesce((SELECT min(first.day) > %(day)s FROM platform_ops_businessday first WHERE first.server_id = server.id), false)
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A trading server and whose it is."""

    pk: int
    code: str
    entity_id: int


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """A trading account, its currency and whose server it is on."""

    pk: int
    login: str
    currency: str
    entity_id: int


def require_server(server_id: int, *, actor: Actor) -> ServerFacts:
    """The server, if it is of an entity of the actor. Raises `NotFound` otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(_SERVER, [server_id])
        row = cursor.fetchone()
    if row is None or not _is_of(actor, row[2]):
        raise NotFound("No such trading server, or it is not yours to see.", server_id=server_id)
    return ServerFacts(*row)


def require_account(account_id: int, *, actor: Actor) -> AccountFacts:
    """The trading account, if it is of an entity of the actor. Raises `NotFound` otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNT, [account_id])
        row = cursor.fetchone()
    if row is None or not _is_of(actor, row[3]):
        raise NotFound("No such trading account, or it is not yours to see.", account_id=account_id)
    return AccountFacts(*row)


def require_account_by_login(*, server_code: str, login: str, actor: Actor) -> AccountFacts:
    """Like `require_account`, for people who know the server's code and the login."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNT_ID, [server_code.strip(), login.strip()])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("No such trading account, or it is not yours to see.", field="login", value=login)
    return require_account(row[0], actor=actor)


def booked_through(*, server_id: int) -> date | None:
    """The day through which a server's results are booked, or None before the first posting."""
    last: date | None = TradingResultRun.objects.filter(server_id=server_id).aggregate(day=Max("business_day"))["day"]
    return last


def all_servers_closed(*, entity_id: int, day: date) -> bool:
    """Whether every server of the entity that has accounts has closed the day.

    A server counts from its first business day on: one that joins today keeps no earlier day open.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNFINISHED_SERVERS, {"entity": entity_id, "day": day})
        return bool(cursor.fetchone()[0] == 0)


def visible_result_lines(actor: Actor) -> QuerySet[TradingResultLine]:
    """The booked results that the actor may see."""
    return visible_to(TradingResultLine.objects.select_related("account", "entry"), actor)


def _is_of(actor: Actor, entity_id: int) -> bool:
    return actor.is_system or entity_id in actor.entity_ids
