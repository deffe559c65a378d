"""The database in which a bench works: empty of any broker before, and left as it was found after.

A bench fills and empties tables that otherwise only grow. So it refuses a database that holds a legal entity other than
its own, remembers (in a schema of its own) which tables were empty, and in the end empties exactly those; a bench that
was killed is tidied up by the next one. Emptying goes past the append-only triggers, which needs a superuser: the
embedded server has one, a production role has not.
"""

# ruff: noqa: S608 -- names of tables come from the catalogue or from the benches' own constants, quoted
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from backoffice.core.locks import advisory_key, release_session_lock, try_session_lock
from backoffice.core.models import LegalEntity
from backoffice.kernel.errors import Conflict

BENCH_ENTITY = "bench"
SCHEMA = "bench"

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') ORDER BY c.relispartition, c.relname
"""

# A number from 0 to just below 1 that looks random and depends only on the row's number and the seed.
_CHANCE = f"""
CREATE FUNCTION {SCHEMA}.chance(number bigint, seed bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(number, seed) & 2147483647) / 2147483648.0
"""

_REFERRED_TO_BY_KEPT = f"""
SELECT DISTINCT referred.relname
FROM pg_constraint AS key
JOIN pg_class AS referring ON referring.oid = key.conrelid
JOIN pg_class AS referred ON referred.oid = key.confrelid
JOIN {SCHEMA}.found AS kept ON kept.name = referring.relname AND NOT kept.was_empty
JOIN {SCHEMA}.found AS emptied ON emptied.name = referred.relname AND emptied.was_empty
WHERE key.contype = 'f'
"""


@contextmanager
def own_database() -> Iterator[None]:
    """Makes the current database the bench's own while the block runs; its scratch tables live in the schema `bench`.

    Raises Conflict when the database holds a legal entity that is not the bench's, or another bench is at work.
    """
    others = LegalEntity.objects.exclude(code=BENCH_ENTITY).values_list("code", flat=True)[:3]
    if names := ", ".join(others):
        raise Conflict(
            f"This database holds a broker ({names}); a bench works only in an empty one, such as `make bench` starts.",
            code="bench_database_in_use",
        )
    key = advisory_key("core", "bench", BENCH_ENTITY)
    if not try_session_lock(key):
        raise Conflict("Another bench is at work in this database.", code="bench_database_in_use")
    try:
        _tidy_up()
        _remember()
        try:
            yield
        finally:
            _tidy_up()
    finally:
        release_session_lock(key)


def bench_entity() -> LegalEntity:
    """The legal entity to which everything of a bench belongs."""
    entity, _ = LegalEntity.objects.get_or_create(
        code=BENCH_ENTITY, defaults={"name": "Bench", "country": "CY", "base_currency": "USD"}
    )
    return entity


@transaction.atomic
def empty_tables(tables: Iterable[str]) -> None:
    """Empties tables with everything that refers to them, past the triggers that refuse it; numbering starts anew."""
    names = ", ".join(connection.ops.quote_name(name) for name in tables)
    if names:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = 'replica'")
            cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")


@transaction.atomic
def fill_tables(statements: Iterable[str], parameters: Mapping[str, Any]) -> None:
    """Runs statements that generate rows, without triggers and foreign key checks: the rows are right by construction.

    `bench.chance(number, seed)` gives them what looks like chance and is the same on every machine.
    """
    run_sql("SET LOCAL session_replication_role = 'replica'")
    for statement in statements:
        run_sql(statement, parameters)


def run_sql(statement: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Runs one statement and returns how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def fetch_all(statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """The rows of one query."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def settle_down(tables: Iterable[str] = ()) -> None:
    """What a database that has been up for a while has done already: statistics, hint bits, a checkpoint."""
    with connection.cursor() as cursor:
        for name in tables:
            cursor.execute(f"VACUUM (ANALYZE) {connection.ops.quote_name(name)}")
        cursor.execute("CHECKPOINT")


def wal_position() -> int:
    """Bytes of write-ahead log written so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        return int(cursor.fetchone()[0])


@transaction.atomic
def _remember() -> None:
    names = [name for (name,) in fetch_all(_TABLES)]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        cursor.execute(_CHANCE)
        cursor.execute(f"CREATE TABLE {SCHEMA}.found (name text PRIMARY KEY, was_empty boolean NOT NULL)")
        cursor.executemany(
            f"INSERT INTO {SCHEMA}.found VALUES (%s, %s)", [(name, not _holds_rows(name)) for name in names]
        )


@transaction.atomic
def _tidy_up() -> None:
    """Empties what was empty, removes what was not there; nothing to do where no bench has worked."""
    if fetch_all(f"SELECT to_regclass('{SCHEMA}.found') IS NULL") == [(True,)]:
        return
    found = dict(fetch_all(f"SELECT name, was_empty FROM {SCHEMA}.found"))
    for (name,) in fetch_all(_TABLES):
        if name not in found:
            run_sql(f"DROP TABLE {connection.ops.quote_name(name)}")
    # A table that held rows before is never emptied, so what it refers to is deleted from and not truncated.
    referred = {name for (name,) in fetch_all(_REFERRED_TO_BY_KEPT)}
    run_sql("SET LOCAL session_replication_role = 'replica'")
    for name in sorted(referred):
        run_sql(f"DELETE FROM {connection.ops.quote_name(name)}")
    emptied = [name for name, was_empty in found.items() if was_empty and name not in referred]
    run_sql(f"TRUNCATE {', '.join(map(connection.ops.quote_name, emptied))} RESTART IDENTITY")
    run_sql(f"DROP SCHEMA {SCHEMA} CASCADE")


def _holds_rows(table: str) -> bool:
    return bool(fetch_all(f"SELECT 1 FROM {connection.ops.quote_name(table)} LIMIT 1"))
