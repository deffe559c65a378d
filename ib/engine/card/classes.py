"""Account classes: what published and drafted rules ask of accounts, by account and time.

Derived from the accounts' own history, their clients and their dimensions, and made anew at will. While no rule asks
anything there are no classes, and settlement does not look for them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import datetime
from itertools import pairwise

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from ib.engine.card.snapshot import (
    ACCOUNT_GROUP,
    ACCOUNT_TYPE,
    CAMPAIGN,
    COUNTRY,
    DIMENSION,
    MAXIMUM,
    MINIMUM,
    Attributes,
    named_attributes,
)
from ib.models import AccountClass, AccountClassSpan

CAMPAIGN_DIMENSION = "campaign"
"""The account dimension in which campaign codes stand."""

Held = tuple[datetime, datetime, tuple[str, str]]

# The group and the type an account had are in its history; the first known ones count for the time before.
_ACCOUNTS = """
SELECT version.id, CASE WHEN version.place = 1 THEN NULL ELSE version.pgh_created_at END, version.until,
       version.group_id, version.account_type_id
FROM (
    SELECT id, pgh_created_at, group_id, account_type_id, row_number() OVER history AS place,
           lead(pgh_created_at) OVER history AS until
    FROM (
        SELECT id, pgh_id, pgh_created_at, group_id, account_type_id,
               (group_id, account_type_id) IS DISTINCT FROM (
                   lag(group_id) OVER earlier, lag(account_type_id) OVER earlier) OR lag(pgh_id) OVER earlier IS NULL
                   AS is_change
        FROM platform_ops_tradingaccountversion WHERE pgh_label <> 'delete'
        WINDOW earlier AS (PARTITION BY id ORDER BY pgh_id)
    ) AS changed
    WHERE is_change
    WINDOW history AS (PARTITION BY id ORDER BY pgh_id)
) AS version
WHERE version.group_id = ANY(%(groups)s) OR version.account_type_id = ANY(%(types)s)
"""
_COUNTRIES = """
SELECT account.id, client.country FROM platform_ops_tradingaccount AS account
JOIN crm_client AS client ON client.id = account.client_id WHERE client.country = ANY(%(countries)s)
"""
_DIMENSIONS = """
SELECT account_id, dimension, value, lower(validity), upper(validity) FROM platform_ops_accountdimension
WHERE dimension = ANY(%(dimensions)s)
"""


def refresh_classes() -> tuple[list[tuple[int, Attributes]], list[int]]:
    """Brings the classes up to date: those that exist, and the accounts that are of another class than before at some time."""
    named = named_attributes()
    wanted = _spans(named) if named else {}
    combinations = {attributes for spans in wanted.values() for _, _, attributes in spans}
    numbers = {attributes: _class_of(attributes) for attributes in combinations}
    target = {
        account: [(since, until, numbers[attributes]) for since, until, attributes in spans]
        for account, spans in wanted.items()
    }
    standing: dict[int, list[tuple[datetime, datetime, int]]] = defaultdict(list)
    for span in AccountClassSpan.objects.order_by("account_id", "validity"):
        validity = span.validity
        standing[span.account_id].append((validity.lower or MINIMUM, validity.upper or MAXIMUM, span.account_class_id))
    changed = sorted(
        account for account in target.keys() | standing.keys() if target.get(account, []) != standing.get(account, [])
    )
    if changed:
        AccountClassSpan.objects.filter(account_id__in=changed).delete()
        AccountClassSpan.objects.bulk_create(
            [
                AccountClassSpan(
                    account_id=account,
                    account_class_id=number,
                    validity=DateTimeTZRange(None if since == MINIMUM else since, None if until == MAXIMUM else until),
                )
                for account in changed
                for since, until, number in target.get(account, [])
            ],
            batch_size=5_000,
        )
    return sorted((number, attributes) for attributes, number in numbers.items()), changed


def names_accounts() -> bool:
    """Whether any rule asks something of accounts; from then on changes of accounts are marked."""
    return bool(named_attributes())


def _class_of(attributes: Attributes) -> int:
    pairs = sorted([list(pair) for pair in attributes])
    key = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
    return AccountClass.objects.get_or_create(key=key, defaults={"attributes": pairs})[0].pk


def _spans(named: Attributes) -> dict[int, list[tuple[datetime, datetime, Attributes]]]:
    """By account, during which time it has which of the named attributes; times without any are left out."""
    held: dict[int, list[Held]] = defaultdict(list)
    for account, since, until, pair in _held(named):
        held[account].append((since or MINIMUM, until or MAXIMUM, pair))
    found = {}
    for account, items in held.items():
        moments = sorted({moment for since, until, _ in items for moment in (since, until)})
        spans: list[tuple[datetime, datetime, Attributes]] = []
        for start, end in pairwise(moments):
            attributes = frozenset(pair for since, until, pair in items if since <= start < until)
            if not attributes:
                continue
            if spans and spans[-1][1] == start and spans[-1][2] == attributes:
                spans[-1] = (spans[-1][0], end, attributes)
            else:
                spans.append((start, end, attributes))
        found[account] = spans
    return found


def _held(named: Attributes) -> list[tuple[int, datetime | None, datetime | None, tuple[str, str]]]:
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in named:
        values[name].append(value)
    found: list[tuple[int, datetime | None, datetime | None, tuple[str, str]]] = []
    with connection.cursor() as cursor:
        if values[ACCOUNT_GROUP] or values[ACCOUNT_TYPE]:
            cursor.execute(
                _ACCOUNTS, {"groups": [*map(int, values[ACCOUNT_GROUP])], "types": [*map(int, values[ACCOUNT_TYPE])]}
            )
            for account, since, until, group, kind in cursor.fetchall():
                pairs = ((ACCOUNT_GROUP, str(group)), (ACCOUNT_TYPE, str(kind)))
                found += [(account, since, until, pair) for pair in pairs if pair in named]
        if values[COUNTRY]:
            cursor.execute(_COUNTRIES, {"countries": values[COUNTRY]})
            found += [(account, None, None, (COUNTRY, country)) for account, country in cursor.fetchall()]
        dimensions = [name.removeprefix(f"{DIMENSION} ") for name in values if name.startswith(f"{DIMENSION} ")]
        if dimensions or values[CAMPAIGN]:
            cursor.execute(_DIMENSIONS, {"dimensions": [*dimensions, CAMPAIGN_DIMENSION]})
            for account, dimension, value, since, until in cursor.fetchall():
                names = [f"{DIMENSION} {dimension}", *([CAMPAIGN] if dimension == CAMPAIGN_DIMENSION else [])]
                found += [(account, since, until, (name, value)) for name in names if (name, value) in named]
    return found
