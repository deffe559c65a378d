"""Scratch databases: cloned from a migrated template, used for scenarios one at a time, dropped whatever happens.

The template's name holds a digest of the migrations, so it is made once for each state of the code and then only copied.
Each run's databases have names of their own: runs side by side never meet. A database that a killed run left behind is
dropped by a later run, once it is old and nobody is connected.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from django.apps import apps
from django.core.management import call_command
from django.db import connections
from django.db.transaction import atomic
from psycopg2 import sql

from backoffice.kernel.errors import Misconfigured

TEMPLATE_PREFIX = "conformance_template_"
SCRATCH_PREFIX = "conformance_scratch_"
LEFT_BEHIND_SECONDS = 3_600
"""Scratch databases this old, and templates of other states of the code that were not used for so long, are dropped."""
COMMON_DATABASE = "postgres"
_LOCK = 0x636F6E66
_ALIAS = "default"


def template_name() -> str:
    """The template's name for the migrations as they are."""
    digest = hashlib.sha256()
    for config in sorted(apps.get_app_configs(), key=lambda config: config.label):
        folder = Path(config.path) / "migrations"
        for file in sorted(folder.glob("*.py")) if folder.is_dir() else ():
            digest.update(f"{config.label}/{file.name}\0".encode())
            digest.update(file.read_bytes())
    return TEMPLATE_PREFIX + digest.hexdigest()[:16]


def ensure_template() -> str:
    """The name of the migrated template, made first if it is not there. Of several runs one makes it, the others wait.

    They wait in the database that every server has: an advisory lock holds within one database only, and runs of one
    server may be configured for several.
    """
    name = template_name()
    with _maintenance(COMMON_DATABASE) as waiting, _maintenance() as cursor:
        waiting.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            _drop_left_behind(cursor, keep=name)
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [name])
            if cursor.fetchone() is None:
                _make_template(cursor, name)
            used = sql.SQL("COMMENT ON DATABASE {} IS {}")
            cursor.execute(used.format(sql.Identifier(name), sql.Literal(str(int(time.time())))))
        finally:
            waiting.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return name


class Scratch:
    """A copy of the template to which Django is connected; use it as a context, and `begin` before each scenario.

    The copy is dropped when the context ends, however it ends. Between scenarios it is emptied, which is many times faster
    than another copy; a user who may not (it takes a superuser to pass by append-only triggers) gets another copy.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._stack = ExitStack()
        self._is_used = False
        self._kept: dict[str, int] = {}
        self.name = ""

    def __enter__(self) -> Scratch:
        """Makes the copy and connects to it."""
        self._clone()
        return self

    def __exit__(self, *_: object) -> None:
        """Drops it."""
        self._stack.close()

    def begin(self) -> None:
        """Makes the database as it was when it was copied."""
        if self._is_used and not self._emptied():
            self._stack.close()
            self._clone()
        self._is_used = True

    def _clone(self) -> None:
        self.name = f"{SCRATCH_PREFIX}{int(time.time())}_{os.getpid()}_{secrets.token_hex(4)}"
        self._stack = ExitStack()
        cursor = self._stack.enter_context(_maintenance())
        name = sql.Identifier(self.name)
        self._stack.callback(cursor.execute, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(self._template)))
            self._stack.enter_context(_connected_to(self.name))
            self._kept = _filled_tables()
        except BaseException:
            self._stack.close()
            raise

    def _emptied(self) -> bool:
        """Whether every table holds again what the copy held. Tables that migrations filled must be untouched."""
        connection = connections[_ALIAS]
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            if not cursor.fetchone()[0]:
                return False
            filled = _filled_tables()
            with atomic(using=_ALIAS):
                cursor.execute("SET LOCAL session_replication_role = 'replica'")
                for table in filled.keys() - self._kept.keys():
                    cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608 -- names of tables
        return all(filled.get(table) == rows for table, rows in self._kept.items())


def _filled_tables() -> dict[str, int]:
    """Tables that hold anything, with the number of their rows."""
    connection = connections[_ALIAS]
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)))
    with connection.cursor() as cursor:
        names = [connection.ops.quote_name(table) for table in tables]
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT '{table}' WHERE EXISTS (SELECT FROM {name})"  # noqa: S608 -- names of tables
                for table, name in zip(tables, names, strict=True)
            )
        )
        filled = [row[0] for row in cursor.fetchall()]
        counts = {}
        for table in filled:
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608 -- names of tables
            counts[table] = int(cursor.fetchone()[0])
    return counts


def _make_template(cursor: Any, name: str) -> None:
    """Migrates an empty database; only a finished one is marked as a template, so half of one is never copied."""
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    with _connected_to(name):
        call_command("migrate", verbosity=0, interactive=False)
    cursor.execute(sql.SQL("ALTER DATABASE {} WITH is_template true").format(sql.Identifier(name)))


def _drop_left_behind(cursor: Any, *, keep: str) -> None:
    """Databases of killed runs, and templates of other states of the code that nobody has used for as long."""
    oldest = time.time() - LEFT_BEHIND_SECONDS
    for name, _ in _unused(cursor, SCRATCH_PREFIX):
        made = name.removeprefix(SCRATCH_PREFIX).partition("_")[0]
        if made.isdigit() and int(made) < oldest:
            _drop_unless_used(cursor, name)
    for name, used in _unused(cursor, TEMPLATE_PREFIX):
        # half of a template, which a killed run left, has no mark
        if name != keep and (not used.isdigit() or int(used) < oldest):
            cursor.execute(sql.SQL("ALTER DATABASE {} WITH is_template false").format(sql.Identifier(name)))
            _drop_unless_used(cursor, name)


def _unused(cursor: Any, prefix: str) -> list[tuple[str, str]]:
    """Databases of a prefix to which nobody is connected, with the mark of their last use."""
    cursor.execute(
        "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname LIKE %s"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.datid = pg_database.oid)",
        [prefix.replace("_", r"\_") + "%"],
    )
    return list(cursor.fetchall())


def _drop_unless_used(cursor: Any, name: str) -> None:
    """Drops a database unless somebody has come to it just now."""
    with suppress(psycopg2.errors.ObjectInUse):
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


@contextmanager
def _connected_to(name: str) -> Iterator[None]:
    """Has Django's connection, and those that threads open, lead to another database for a while."""
    settings = connections.databases[_ALIAS]
    before = settings["NAME"]
    connections[_ALIAS].close()
    settings["NAME"] = connections[_ALIAS].settings_dict["NAME"] = name
    try:
        yield
    finally:
        connections[_ALIAS].close()
        settings["NAME"] = connections[_ALIAS].settings_dict["NAME"] = before


@contextmanager
def _maintenance(database: str = "") -> Iterator[Any]:
    """A cursor outside any transaction, on the configured database or another one, whose tables it never touches."""
    given = connections[_ALIAS].get_connection_params()
    wanted = {key: given[key] for key in ("dbname", "user", "password", "host", "port") if given.get(key)}
    if database:
        wanted["dbname"] = database
    try:
        connection = psycopg2.connect(**wanted)
    except psycopg2.OperationalError as error:
        raise Misconfigured(f"The database server does not answer: {str(error).strip()}") from error
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            if not cursor.fetchone()[0]:
                raise Misconfigured("The database's user may not create databases, which scenarios are run in.")
            yield cursor
    finally:
        connection.close()
