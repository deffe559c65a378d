"""Deals of a package: handed to the one door through which deals enter, server by server."""

from __future__ import annotations

from datetime import datetime
from tempfile import TemporaryFile
from typing import IO

from django.db import connection, transaction

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.migration.services.targets import Run
from backoffice.migration.staging import STAGE, ids_of
from platform_ops.services.ingest import ingest_csv
from platform_ops.types import DealEntry, DealKind

CONTENT = "deals"

_KINDS = ", ".join(f"('{kind.name.lower()}', {kind.value})" for kind in DealKind)
_ENTRIES = ", ".join(f"('{entry.name.lower()}', {entry.value})" for entry in DealEntry)
# In the order of `platform_ops.services.staging.STAGE_COLUMNS`; the account is named by its login.
_DEALS = f"""
SELECT payload->>'ticket', payload->>'leg', payload->>'login', payload->>'currency', NULL, kinds.number, entries.number,
       payload->>'position', payload->>'order', nullif(payload->>'symbol', ''), payload->>'volume_lots',
       nullif(payload->>'price', ''), payload->>'time', nullif(payload->>'open_price', ''),
       nullif(payload->>'open_time', ''), payload->>'profit', payload->>'swap', payload->>'commission',
       payload->>'fee', nullif(payload->>'comment', '')
FROM {STAGE}
JOIN (VALUES {_KINDS}) AS kinds (name, number) ON kinds.name = payload->>'kind'
LEFT JOIN (VALUES {_ENTRIES}) AS entries (name, number) ON entries.name = payload->>'entry'
WHERE content = %(content)s AND NOT is_bad AND payload->>'server' = %(server)s
ORDER BY row
"""  # noqa: S608 -- constants


def apply_deals(run: Run, *, as_of: datetime | None) -> None:
    """Books the staged deals; those that stand as they say are unchanged, those that differ are corrections."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT payload->>'server', count(*) FROM {STAGE} WHERE content = %s AND NOT is_bad GROUP BY 1 ORDER BY 1",  # noqa: S608 -- a constant table
            [CONTENT],
        )
        servers = cursor.fetchall()
    ids = ids_of("servers", {code for code, _ in servers}, run.entity_id)
    counts = run.counts[CONTENT]
    for code, rows in servers:
        if code not in ids:
            counts.refused += rows
            continue
        try:
            with TemporaryFile(prefix="backoffice-deals-") as file, transaction.atomic():
                _spool(code, file)
                batch = ingest_csv(
                    server_id=ids[code],
                    source=f"package {run.package.digest[:12]}",
                    stream=file,
                    as_of=as_of or clock.now(),
                )
        except InvalidInput as error:
            counts.refused += rows
            run.problems.add(
                counts.file,
                error.code,
                error.message,
                "Correct the deal; the back office takes all deals of a server or none.",
                row=_row_of(code, error),
                field=str(error.details.get("field", "")),
                value=error.details.get("value", ""),
            )
            continue
        counts.created += batch.new_deals
        counts.updated += batch.corrected_deals
        counts.unchanged += rows - batch.new_deals - batch.corrected_deals


def _spool(server: str, file: IO[bytes]) -> None:
    """Writes the server's deals as the door reads them. They leave the database first: a load holds the connection."""
    with connection.cursor() as cursor:
        query = cursor.mogrify(_DEALS, {"content": CONTENT, "server": server}).decode()
        cursor.copy_expert(f"COPY ({query}) TO STDOUT WITH (FORMAT csv)", file)
    file.seek(0)


def _row_of(server: str, error: InvalidInput) -> int | None:
    """The row of the file that the refusal is about: the door counts the server's rows, or names a value."""
    place = error.details.get("row")
    if isinstance(place, int):
        return _first_row(server, "server", server, place - 1)
    if "ticket" in error.details:
        return _first_row(server, "ticket", error.details["ticket"], 0)
    field = str(error.details.get("field", ""))
    return _first_row(server, field, error.details.get("value"), 0) if field in ("currency", "ticket") else None


def _first_row(server: str, column: str, value: object, skipped: int) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT row FROM {STAGE} WHERE content = %s AND NOT is_bad AND payload->>'server' = %s"  # noqa: S608 -- a constant table
            " AND payload->>%s = %s ORDER BY row OFFSET %s LIMIT 1",
            [CONTENT, server, column, str(value), skipped],
        )
        found = cursor.fetchone()
    return int(found[0]) if found else None
