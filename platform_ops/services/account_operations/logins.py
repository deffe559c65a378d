"""Logins of new accounts. We choose them, so that an opening whose answer is lost is looked up by its login."""

from __future__ import annotations

from django.db import connection

FIRST_LOGIN = 100_000
LARGEST_LOGIN = 9_999_999_999

_HIGHEST = """
SELECT greatest(
    (SELECT max(login::bigint) FROM platform_ops_tradingaccount
      WHERE server_id = %(server)s AND login ~ '^[0-9]{1,10}$'),
    (SELECT max(login::bigint) FROM platform_ops_serveroperation
      WHERE server_id = %(server)s AND kind = 'open_account' AND login ~ '^[0-9]{1,10}$')
)
"""
_STEPS = (1, 2, 4, 10, 100, 1_000, 10_000, 100_000)
"""How far to look onwards when a login is taken: accounts that the server has and we have not heard of come in runs."""


def choose_login(server_id: int) -> str:
    """The login after the highest that we know of. Call it under the lock of the server's openings."""
    with connection.cursor() as cursor:
        cursor.execute(_HIGHEST, {"server": server_id})
        highest = cursor.fetchone()[0]
    return str(max(int(highest or 0) + 1, FIRST_LOGIN))


def next_logins(server_id: int, *, after: str, count: int) -> list[str]:
    """Further candidates after one that is taken, always the same for the same login."""
    first = int(after)
    return [str(first + step) for step in _STEPS[:count] if first + step <= LARGEST_LOGIN]
