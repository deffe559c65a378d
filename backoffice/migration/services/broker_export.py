"""The whole broker as a package: one snapshot, streamed table by table, the same bytes for the same books.

Only the manifest holds the moment of writing. Memory does not grow with the broker: the server streams each table, which is
hashed while it is written.
"""

# ruff: noqa: S608 -- the SQL is built from the models' own names
from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity, User
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.migration.package import MANIFEST
from backoffice.migration.permissions import EXPORT_BROKER
from backoffice.migration.tables import FILE_PATHS, PRIVATE_FILES, Table, project_apps, scope_of, tables
from backoffice.migration.types import BROKER, FORMAT_NAME, FORMAT_VERSION
from ib.engine.booking import LINE_HASH

PART_BYTES = 24 * 1024
"""Bytes of a private file in one line of the export."""
MAXIMUM_FILES = 1_000_000


class _HashingFile:
    """A file that is hashed and counted while it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Writes on."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def close(self) -> str:
        """Closes; the digest of everything written."""
        self._file.close()
        return self._hash.hexdigest()


def export_broker(*, folder: Path, actor: Actor, entity_code: str = "", with_files: bool = True) -> dict[str, Any]:
    """Writes the broker, or one legal entity of it, into an empty folder; returns figures.

    Users come without secrets. Raises Conflict for a folder that holds something, InvalidInput where it cannot be made.
    """
    authorise(actor, EXPORT_BROKER)
    entity = get_visible(LegalEntity.objects.all(), actor, code=entity_code) if entity_code else None
    _prepare(folder)
    started = time.monotonic()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL bytea_output = 'hex'")
        cursor.execute("SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL statement_timeout = 0")
        files, notes, size = [], [], 0
        for table in tables():
            where = scope_of(table.model) if entity else "TRUE"
            if where is None:
                notes.append(f"{table.name}: belongs to no legal entity, left out")
                continue
            stated, written = _write_table(cursor, folder, table, where, entity)
            files.append(stated)
            size += written
        if with_files:
            stated, written = _write_private_files(cursor, folder, entity, notes)
            files.append(stated)
            size += written
        manifest = {
            "format": FORMAT_NAME,
            "version": FORMAT_VERSION,
            "form": BROKER,
            "entity": entity.code if entity else "",
            "created_at": clock.now().isoformat(),
            "schema": schema(),
            "sequences": _sequences(cursor),
            "notes": notes + _unfinished(cursor),
            "files": files,
        }
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    figures = {
        "folder": str(folder),
        "entity": manifest["entity"],
        "digest": digest,
        "tables": len(files),
        "rows": sum(file["rows"] for file in files),
        "bytes": size,
        "notes": manifest["notes"],
        "seconds": str(Decimal(str(time.monotonic() - started)).quantize(Decimal("0.01"))),
    }
    _note(actor, entity, figures)
    return figures


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(f"The folder {folder.name} is not empty.", code="folder_not_empty")
        folder.chmod(0o700)
    except OSError as error:
        raise InvalidInput(f"The folder cannot be made: {error.strerror}.", field="out") from error


def schema() -> dict[str, str]:
    """The last migration of each app that stands in the database, as this code names it.

    What an older installation ran step by step counts as the one migration that those steps were folded into.
    """
    loader, ours = MigrationLoader(connection), project_apps()
    last = sorted(key for key in loader.graph.leaf_nodes() if key[0] in ours)
    return {app: name for app, name in last if (app, name) in loader.applied_migrations}


def _write_table(
    cursor: Any, folder: Path, table: Table, where: str, entity: LegalEntity | None
) -> tuple[dict[str, Any], int]:
    parameters = {"entity": entity.pk} if entity else {}
    source = f"{table.name} AS exported"
    expressions = dict(table.expressions)
    if entity is not None:
        expressions |= _own_users(table)
        if table.label == "ib.SettlementBatch":
            source, more = _own_settlements()
            expressions |= more
    # Dots: a column of the table itself, whatever a joined one calls its own.
    columns = ", ".join(expressions.get(column, f'exported."{column}"') for column in table.columns)
    chosen = f"(SELECT * FROM {table.name} WHERE {where})" if source.startswith(table.name) else f"({source})"
    select = cursor.mogrify(f"SELECT {columns} FROM {chosen} AS exported ORDER BY {table.order}", parameters).decode()
    name = f"{table.name}.csv"
    file = _HashingFile(folder / name)
    cursor.copy_expert(f"COPY ({select}) TO STDOUT WITH (FORMAT csv, HEADER)", file)
    rows = int(cursor.rowcount)
    stated: dict[str, Any] = {"name": name, "content": table.name, "rows": rows, "sha256": file.close()}
    if table.has_totals:
        cursor.execute(
            f"SELECT currency, sum(amount)::text FROM (SELECT * FROM {table.name} WHERE {where}) AS summed"
            " GROUP BY currency ORDER BY currency",
            parameters,
        )
        stated["totals"] = dict(cursor.fetchall())
    return stated, file.size


def _own_users(table: Table) -> dict[str, str]:
    """An entity's export names no login of another entity's staff: such a link is left empty where it may be."""
    scope = scope_of(User)
    return {
        part.column: f'CASE WHEN exported."{part.column}" IN (SELECT id FROM core_user WHERE {scope})'
        f' THEN exported."{part.column}" END AS "{part.column}"'
        for part in table.model._meta.concrete_fields
        if isinstance(part, models.ForeignKey) and part.related_model is User and part.null
    }


def _own_settlements() -> tuple[str, dict[str, str]]:
    """Settlements that paid partners of several entities, with the control totals of this entity's lines."""
    own = "SELECT id FROM ib_partner WHERE entity_id = %(entity)s"
    source = f"""
        SELECT batch.*, own.own_lines, own.own_booked, own.own_digest
        FROM ib_settlementbatch batch
        LEFT JOIN (
            SELECT part.batch_id, sum(part.lines) AS own_lines, sum(part.digest)::text AS own_digest,
                   jsonb_object_agg(part.currency, part.amount::text) AS own_booked
            FROM (SELECT l.batch_id, l.currency, count(*) AS lines, sum(l.amount) AS amount,
                         sum({LINE_HASH.format("l")}) AS digest
                  FROM ib_commissionline AS l WHERE l.partner_id IN ({own}) GROUP BY l.batch_id, l.currency) AS part
            GROUP BY part.batch_id
        ) own ON own.batch_id = batch.id
        WHERE %(entity)s = ANY (batch.entity_ids) OR batch.ingest_batch_id IN (
            SELECT ingest.id FROM platform_ops_ingestbatch ingest
            JOIN platform_ops_tradingserver server ON server.id = ingest.server_id WHERE server.entity_id = %(entity)s)
    """
    return source, {
        "lines": "coalesce(exported.own_lines, 0) AS lines",
        "booked": "coalesce(exported.own_booked, '{}'::jsonb) AS booked",
        "line_digest": "CASE WHEN exported.line_digest = '' THEN '' ELSE coalesce(exported.own_digest, '0') END"
        " AS line_digest",
        "entity_ids": "CASE WHEN exported.own_lines > 0 THEN ARRAY[%(entity)s]::bigint[] ELSE '{}' END AS entity_ids",
    }


def _write_private_files(
    cursor: Any, folder: Path, entity: LegalEntity | None, notes: list[str]
) -> tuple[dict[str, Any], int]:
    """The files that exported rows name, in lines of path, part and base64 text."""
    name = f"{PRIVATE_FILES}.csv"
    file = _HashingFile(folder / name)
    file.write(b"path,part,data\n")
    rows = missing = 0
    for path in _paths(cursor, entity):
        if not default_storage.exists(path):
            missing += 1
            continue
        with default_storage.open(path, "rb") as stored:
            part = 0
            while (data := stored.read(PART_BYTES)) or part == 0:
                quoted = path.replace('"', '""')
                file.write(f'"{quoted}",{part},{base64.b64encode(data).decode()}\n'.encode())
                rows += 1
                part += 1
    if missing:
        notes.append(f"{missing} private files that rows name were not in the storage")
    return {"name": name, "content": PRIVATE_FILES, "rows": rows, "sha256": file.close()}, file.size


def _paths(cursor: Any, entity: LegalEntity | None) -> Iterator[str]:
    queries = []
    for table in tables():
        where = scope_of(table.model) if entity else "TRUE"
        if where is None or table.is_evidence:
            continue
        queries += [
            f'SELECT "{column}"::text AS path FROM {table.name} WHERE "{column}" <> \'\' AND ({where})'
            for column in table.columns
            if column in FILE_PATHS and isinstance(table.model._meta.get_field(column), models.CharField)
        ]
    query = f'SELECT DISTINCT path COLLATE "C" FROM ({" UNION ALL ".join(queries)}) AS named ORDER BY 1 LIMIT %(limit)s'
    cursor.execute(query, {"entity": entity.pk if entity else None, "limit": MAXIMUM_FILES})
    return iter([row[0] for row in cursor.fetchall()])


def _sequences(cursor: Any) -> dict[str, int]:
    """Where every sequence stands, so that no number is given twice."""
    cursor.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
        " AND sequencename NOT LIKE 'django_%' AND sequencename NOT LIKE 'auth_%' ORDER BY 1"
    )
    left = ("core_auditrecord", "core_job", "core_outboxevent", "core_apikey", "core_webhook")
    return {name: value for name, value in cursor.fetchall() if not name.startswith(left)}


def _unfinished(cursor: Any) -> list[str]:
    """What was under way and is not taken along."""
    cursor.execute(
        "SELECT (SELECT count(*) FROM core_outboxevent WHERE delivered_at IS NULL AND dead_at IS NULL),"
        " (SELECT count(*) FROM core_job WHERE state IN ('ready', 'leased'))"
    )
    events, jobs = cursor.fetchone()
    found = []
    if events:
        found.append(f"{events} events were not delivered yet; run the business day after rebuilding")
    if jobs:
        found.append(f"{jobs} jobs were not finished; run the business day after rebuilding")
    return found


@transaction.atomic
def _note(actor: Actor, entity: LegalEntity | None, figures: dict[str, Any]) -> None:
    target = entity or LegalEntity.objects.order_by("pk").first()
    if target is None:
        return
    audit.record(
        actor=actor,
        action="migration.export_broker",
        target=target,
        changes={name: figures[name] for name in ("digest", "tables", "rows", "bytes", "entity")},
        entity_id=entity.pk if entity else None,
    )
