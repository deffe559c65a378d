"""The staging table of a take-over: every row of every file, checked by itself, then against the others in sets.

The table is this connection's own and ends with its transaction. Rows that are wrong stay in it, marked, so that what
refers to them is not called dangling as well.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module and of `formats`
from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.migration.formats import CONTENTS, Content, Reference, Row
from backoffice.migration.package import Package, PackageFile
from backoffice.migration.reading import RawRow, read_rows
from backoffice.migration.types import FileCounts, Problems
from backoffice.migration.values import RefusedValueError, check_amounts, read_value

STAGE = "migration_stage"
SEPARATOR = "\x1f"
"""Between the parts of a key; values never hold it, because control characters are refused."""
COPY_ROWS = 5_000
CHUNK_ROWS = 2_000

_CREATE = f"""
CREATE TEMPORARY TABLE {STAGE} (
    content text NOT NULL, row integer NOT NULL, key text, payload jsonb NOT NULL, is_bad boolean NOT NULL
) ON COMMIT DROP
"""
_COPY = f"COPY {STAGE} (content, row, key, payload, is_bad) FROM STDIN WITH (FORMAT csv)"

IDS: dict[str, str] = {
    "symbol_groups": "SELECT code, id FROM platform_ops_symbolgroup",
    "symbols": "SELECT code, id FROM platform_ops_symbol",
    "servers": "SELECT code, id FROM platform_ops_tradingserver WHERE entity_id = %(entity)s",
    "server_symbols": "SELECT server.code || E'\\x1f' || named.name, named.id FROM platform_ops_serversymbol named"
    " JOIN platform_ops_tradingserver server ON server.id = named.server_id WHERE server.entity_id = %(entity)s",
    "account_types": "SELECT code, id FROM platform_ops_accounttype WHERE entity_id = %(entity)s",
    "account_groups": "SELECT server.code || E'\\x1f' || grouped.name, grouped.id FROM platform_ops_accountgroup grouped"
    " JOIN platform_ops_tradingserver server ON server.id = grouped.server_id WHERE server.entity_id = %(entity)s",
    "accounts": "SELECT server.code || E'\\x1f' || account.login, account.id FROM platform_ops_tradingaccount account"
    " JOIN platform_ops_tradingserver server ON server.id = account.server_id WHERE server.entity_id = %(entity)s",
    "clients": "SELECT external_id, object_id FROM migration_migrationkey"
    " WHERE entity_id = %(entity)s AND content = 'clients'",
    "partners": "SELECT external_id, object_id FROM migration_migrationkey"
    " WHERE entity_id = %(entity)s AND content = 'partners'",
    "plans": "SELECT code, id FROM ib_plan WHERE entity_id = %(entity)s",
    "plan_versions": "SELECT plan.code || E'\\x1f' || version.number, version.id FROM ib_planversion version"
    " JOIN ib_plan plan ON plan.id = version.plan_id WHERE plan.entity_id = %(entity)s",
    "brands": "SELECT code, id FROM core_brand WHERE entity_id = %(entity)s",
    "teams": "SELECT name, id FROM core_team WHERE entity_id = %(entity)s",
    "staff": "SELECT lower(person.email), person.id FROM core_user person JOIN core_user_entities member"
    " ON member.user_id = person.id WHERE member.legalentity_id = %(entity)s AND person.is_active"
    " AND NOT person.roles <@ ARRAY['trader', 'ib']::varchar[]",
    "opening_balances": "SELECT external_id, object_id FROM migration_migrationkey"
    " WHERE entity_id = %(entity)s AND content = 'opening_balances'",
}
"""What the back office has already, by the key with which files name it: (key, id)."""

_TITLES = {"brands": "brand of the entity", "teams": "team of the entity", "staff": "member of staff of the entity"}


def create_stage() -> None:
    """A new, empty staging table."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {STAGE}")
        cursor.execute(_CREATE)


def stage_file(package: Package, file: PackageFile, problems: Problems) -> FileCounts:
    """Reads, checks and stages one file; its counts and control totals are compared with the manifest."""
    content = CONTENTS[file.content]
    counts = FileCounts(file=file.name, content=file.content)
    totals: dict[str, Decimal] = {}
    before = problems.count
    lines: list[tuple[int, str | None, str, bool]] = []
    for raw in read_rows(package.path_of(file), content, file.delimiter, problems):
        counts.rows = raw.number
        row, is_bad = _checked(file.name, content, raw, problems)
        key = _key(content, row)
        lines.append((raw.number, key, json.dumps(row) if not is_bad else "{}", is_bad))
        if not is_bad:
            _add_totals(totals, content, row)
        if len(lines) >= COPY_ROWS:
            _copy(content.name, lines)
            lines.clear()
    _copy(content.name, lines)
    if counts.rows != file.rows:
        problems.add(
            file.name,
            "count_differs",
            f"The file has {counts.rows} rows; the manifest states {file.rows}.",
            "The file was cut, or the manifest is of another one.",
            field="rows",
            value=counts.rows,
        )
    if content.total and problems.count == before:
        _compare_totals(file, totals, problems)
    return counts


def _checked(name: str, content: Content, raw: RawRow, problems: Problems) -> tuple[Row, bool]:
    """The row in canonical text, and whether something is wrong with it; then only good values are in it."""
    row: Row = {}
    is_bad = not raw.values
    for column in content.columns:
        text = raw.values.get(column.name, "")
        if is_bad and not raw.values:
            break
        try:
            row[column.name] = read_value(column, text)
        except RefusedValueError as error:
            is_bad = True
            problems.add(name, error.code, error.message, error.mend, row=raw.number, field=column.name, value=text)
    if is_bad:
        return row, True
    for field, refused in check_amounts(content.columns, row):
        is_bad = True
        problems.add(name, refused.code, refused.message, refused.mend, row=raw.number, field=field, value=row[field])
    for field, code, message, mend in content.rule(row) if content.rule else ():
        is_bad = True
        problems.add(name, code, message, mend, row=raw.number, field=field, value=row[field])
    return row, is_bad


def _key(content: Content, row: Row) -> str | None:
    return SEPARATOR.join(row[name] for name in content.key) if all(name in row for name in content.key) else None


def _add_totals(totals: dict[str, Decimal], content: Content, row: Row) -> None:
    if content.total:
        columns, currency = content.total
        amount = sum((Decimal(row[column]) for column in columns), Decimal(0))
        totals[row[currency]] = totals.get(row[currency], Decimal(0)) + amount


def _compare_totals(file: PackageFile, totals: dict[str, Decimal], problems: Problems) -> None:
    for currency in sorted(set(totals) | set(file.totals)):
        found, stated = totals.get(currency), file.totals.get(currency)
        if found != stated:
            problems.add(
                file.name,
                "total_differs",
                f"The rows in {currency} add up to {_plain(found)}; the manifest states {_plain(stated)}.",
                "Compare with the control total of the system you leave; a row is missing, doubled or altered.",
                field="totals",
                value=_plain(found),
            )


def _plain(amount: Decimal | None) -> str:
    return "nothing" if amount is None else f"{amount:f}"


def _copy(content: str, lines: list[tuple[int, str | None, str, bool]]) -> None:
    if not lines:
        return
    text = io.StringIO()
    writer = csv.writer(text)
    for number, key, payload, is_bad in lines:
        writer.writerow([content, number, "" if key is None else key, payload, "t" if is_bad else "f"])
    text.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(_COPY, text)


def check_sets(package: Package, entity_id: int, problems: Problems) -> None:
    """What only all rows together show: repeated keys, dangling references, validities that overlap, early referrals."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX ON {STAGE} (content, key)")
        cursor.execute(f"CREATE INDEX ON {STAGE} (content, row)")
        cursor.execute(f"ANALYZE {STAGE}")
    for file in package.files:
        content = CONTENTS[file.content]
        _check_repetitions(file, content, problems)
        for reference in content.references:
            _check_reference(file, content, reference, entity_id, problems)
        if content.dated_by:
            _check_overlaps(file, content, problems)
    names = {file.content: file.name for file in package.files}
    _check_brands(names, entity_id, problems)
    if "client_referrals" in names:
        _check_early_referrals(names["client_referrals"], entity_id, problems)
    if "plan_versions" in names:
        _check_empty_versions(names["plan_versions"], entity_id, problems)


def _check_repetitions(file: PackageFile, content: Content, problems: Problems) -> None:
    query = f"""
        SELECT row, first, key FROM (
            SELECT row, key, min(row) OVER (PARTITION BY key) AS first FROM {STAGE} WHERE content = %s AND key IS NOT NULL
        ) keyed WHERE row > first ORDER BY row
    """
    for row, first, key in _found(query, [content.name]):
        problems.add(
            file.name,
            "duplicate_key",
            f"Row {first} has the same {' + '.join(content.key)}.",
            "Keep one of the two.",
            row=row,
            field=content.key[0],
            value=key.replace(SEPARATOR, " "),
        )
        _mark(content.name, row)


def _check_reference(
    file: PackageFile, content: Content, reference: Reference, entity_id: int, problems: Problems
) -> None:
    named = " || E'\\x1f' || ".join(f"(payload->>'{column}')" for column in reference.columns)
    given = " AND ".join(f"payload->>'{column}' <> ''" for column in reference.columns)
    query = f"""
        SELECT named.row, named.key FROM (
            SELECT row, {named} AS key FROM {STAGE} WHERE content = %(content)s AND NOT is_bad AND {given}
        ) named
        WHERE NOT EXISTS (SELECT FROM {STAGE} target WHERE target.content = %(target)s AND target.key = named.key)
          AND named.key NOT IN (SELECT known.key FROM ({IDS[reference.content]}) AS known (key, id) WHERE key IS NOT NULL)
        ORDER BY named.row
    """
    title = _TITLES.get(reference.content, f"row of {reference.content}")
    for row, key in _found(query, {"content": content.name, "target": reference.content, "entity": entity_id}):
        problems.add(
            file.name,
            "dangling_reference",
            f"There is no {title} named {key.replace(SEPARATOR, ' ')}.",
            f"Add it to the file of {reference.content}, or correct the name here."
            if reference.content in CONTENTS
            else "Set it up on the desk first, or correct the name here.",
            row=row,
            field=reference.columns[-1],
            value=key.replace(SEPARATOR, " "),
        )
        _mark(content.name, row)


def _check_overlaps(file: PackageFile, content: Content, problems: Problems) -> None:
    owner = " || E'\\x1f' || ".join(f"(payload->>'{column}')" for column in content.dated_by)
    query = f"""
        SELECT row, earlier, starts FROM (
            SELECT row, payload->>'valid_from' AS starts,
                   lag(row) OVER sequence AS earlier,
                   max(coalesce(nullif(payload->>'valid_to', ''), 'infinity')::timestamptz) OVER (
                       PARTITION BY {owner} ORDER BY (payload->>'valid_from')::timestamptz, row
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM {STAGE} WHERE content = %s AND NOT is_bad
            WINDOW sequence AS (PARTITION BY {owner} ORDER BY (payload->>'valid_from')::timestamptz, row)
        ) dated WHERE starts::timestamptz < reached ORDER BY row
    """
    for row, earlier, starts in _found(query, [content.name]):
        problems.add(
            file.name,
            "overlapping_validity",
            f"Row {earlier} is still valid when this row begins.",
            "End the earlier row when the later one begins: valid_to is the first moment that no longer counts.",
            row=row,
            field="valid_from",
            value=starts,
        )
        _mark(content.name, row)


def _check_brands(names: dict[str, str], entity_id: int, problems: Problems) -> None:
    """A row without a brand needs an entity that has exactly one."""
    brands = len(_found(f"SELECT 1 FROM ({IDS['brands']}) AS known (key, id)", {"entity": entity_id}))
    for content in ("clients", "partners"):
        if content not in names or brands == 1:
            continue
        query = f"SELECT row FROM {STAGE} WHERE content = %s AND NOT is_bad AND payload->>'brand' = '' ORDER BY row"
        for (row,) in _found(query, [content]):
            problems.add(
                names[content],
                "missing_value",
                f"The legal entity has {brands} brands, and the row names none.",
                "Name the brand by its code.",
                row=row,
                field="brand",
            )
            _mark(content, row)


def _check_early_referrals(name: str, entity_id: int, problems: Problems) -> None:
    query = f"""
        SELECT referral.row, referral.payload->>'valid_from', coalesce(staged.registered, known.registered_at)
        FROM {STAGE} referral
        LEFT JOIN LATERAL (
            SELECT nullif(client.payload->>'registered_at', '')::timestamptz AS registered FROM {STAGE} client
            WHERE client.content = 'clients' AND client.key = referral.payload->>'client' AND NOT client.is_bad LIMIT 1
        ) staged ON TRUE
        LEFT JOIN migration_migrationkey keyed ON keyed.entity_id = %(entity)s AND keyed.content = 'clients'
            AND keyed.external_id = referral.payload->>'client'
        LEFT JOIN crm_client known ON known.id = keyed.object_id
        WHERE referral.content = 'client_referrals' AND NOT referral.is_bad
          AND (referral.payload->>'valid_from')::timestamptz < coalesce(staged.registered, known.registered_at)
        ORDER BY referral.row
    """
    for row, starts, registered in _found(query, {"entity": entity_id}):
        problems.add(
            name,
            "referral_before_registration",
            f"The client registered on {registered:%Y-%m-%d %H:%M}, after the referral begins.",
            "Begin the referral at the registration, or correct registered_at.",
            row=row,
            field="valid_from",
            value=starts,
        )
        _mark("client_referrals", row)


def _check_empty_versions(name: str, entity_id: int, problems: Problems) -> None:
    query = f"""
        SELECT version.row, version.key FROM {STAGE} version
        WHERE version.content = 'plan_versions' AND NOT version.is_bad
          AND NOT EXISTS (SELECT FROM {STAGE} rule WHERE rule.content = 'plan_rules'
                           AND rule.key LIKE replace(replace(version.key, '\\', '\\\\'), '_', '\\_') || E'\\x1f%%')
          AND version.key NOT IN (SELECT known.key FROM ({IDS["plan_versions"]}) AS known (key, id))
        ORDER BY version.row
    """
    for row, key in _found(query, {"entity": entity_id}):
        problems.add(
            name,
            "version_without_rules",
            "A version without rules would pay nobody.",
            "Add its rules to plan_rules, or take the version out.",
            row=row,
            field="number",
            value=key.replace(SEPARATOR, " "),
        )


def _found(query: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def _mark(content: str, row: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {STAGE} SET is_bad = TRUE WHERE content = %s AND row = %s", [content, row])


def mark_bad(content: str, rows: list[int]) -> None:
    """Marks rows that a later step refused."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {STAGE} SET is_bad = TRUE WHERE content = %s AND row = ANY(%s)", [content, rows])


def staged_chunks(content: str) -> Iterator[list[tuple[int, str, Row]]]:
    """The good rows of a content in order, some at a time: (row, key, values)."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT row, key, payload::text FROM {STAGE} WHERE content = %s AND row > %s AND NOT is_bad"
                " ORDER BY row LIMIT %s",
                [content, last, CHUNK_ROWS],
            )
            found = [(row, key, json.loads(payload)) for row, key, payload in cursor.fetchall()]
        if not found:
            return
        last = found[-1][0]
        yield found


def ids_of(content: str, keys: set[str], entity_id: int) -> dict[str, int]:
    """The ids of things that the back office has, by their keys."""
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT key, id FROM ({IDS[content]}) AS known (key, id) WHERE key = ANY(%(keys)s)",
            {"entity": entity_id, "keys": sorted(keys)},
        )
        return dict(cursor.fetchall())


def first_rows_by(content: str, column: str) -> list[tuple[str, int]]:
    """Each value of a column among the good rows, with the first row that holds it."""
    query = f"SELECT payload->>%s, min(row) FROM {STAGE} WHERE content = %s AND NOT is_bad GROUP BY 1 ORDER BY 1"
    return [(str(value), int(row)) for value, row in _found(query, [column, content])]


def rows_of(content: str, column: str, values: list[str]) -> list[tuple[str, int]]:
    """The good rows whose column holds one of the values."""
    query = f"SELECT payload->>%s, row FROM {STAGE} WHERE content = %s AND payload->>%s = ANY(%s) AND NOT is_bad ORDER BY row"
    return [(str(value), int(row)) for value, row in _found(query, [column, content, column, values])]


def bad_rows() -> dict[str, int]:
    """How many rows of each content are refused."""
    query = f"SELECT content, count(*) FROM {STAGE} WHERE is_bad GROUP BY content"
    return {str(content): int(count) for content, count in _found(query, [])}
