"""Rebuilding a broker from its export: into an empty database, all or nothing, and proved before it is kept.

Rows keep their numbers. The ledger's balances are made by its own triggers from the postings; everything else is copied with
the triggers of history at rest, because the history was written once already. What the tables must fulfil is asked of the
database at the end, then every proof of the books.
"""

# ruff: noqa: S608 -- the SQL is built from the models' own names
from __future__ import annotations

import base64
import binascii
import csv
import re
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise
from backoffice.core.books import check_names, verify_books
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied
from backoffice.migration.models import MigrationPackage
from backoffice.migration.package import Package, PackageFile, check_bytes
from backoffice.migration.permissions import GIVE_PACKAGE
from backoffice.migration.services.broker_export import schema
from backoffice.migration.tables import LEDGER, PRIVATE_FILES, Table, loaded_tables, tables
from backoffice.migration.types import BalanceRow, FileCounts, Problems, Report
from ib.engine.partitions import ensure_line_partitions

COPY_CHUNK = 1 << 16
MUST_BE_EMPTY = ("core_legalentity", "core_user", "crm_client", "platform_ops_deal", "ledger_journalentry")
NEED_FILES = ("reports.issued_reports_intact",)
"""Proofs that read private files: a dry run writes none and leaves these out."""

_LINE = re.compile(r"line (\d+)")
_COLUMN = re.compile(r"column (\w+)")
_SAFE_PATH = re.compile(r"[A-Za-z0-9_./@=+ ()-]{1,400}")

crash_points.declare("migration.rebuild.after_ledger", "migration.rebuild.before_commit")


def rebuild_broker(*, package: Package, actor: Actor, is_dry_run: bool) -> Report:
    """Fills an empty database with an exported broker, or says whether it could. Keeps nothing unless all of it holds.

    Raises Conflict (`not_empty`) for a database that has a legal entity, a user, a client, a deal or an entry.
    """
    authorise(actor, GIVE_PACKAGE)
    if not actor.is_system:
        raise Denied("A whole broker is rebuilt by command.")
    started = time.monotonic()
    problems = Problems()
    report = Report(form=package.form, entity=package.entity, digest=package.digest, is_dry_run=is_dry_run)
    report.notes = [str(note) for note in package.manifest.get("notes", [])]
    _require_empty()
    files = _files(package, problems)
    if not problems:
        # Partitions are made ahead, in short transactions of their own: empty ones are no half-applied package.
        ensure_line_partitions(_line_days(package, files))
        with transaction.atomic():
            _rebuild(package, files, report, problems, actor, is_dry_run=is_dry_run)
            if problems or is_dry_run:
                transaction.set_rollback(True)
    report.problems, report.problem_count = problems.kept, problems.count
    report.seconds = str(Decimal(str(time.monotonic() - started)).quantize(Decimal("0.01")))
    return report


def _require_empty() -> None:
    with connection.cursor() as cursor:
        for table in MUST_BE_EMPTY:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
            if cursor.fetchone()[0]:
                raise Conflict(
                    f"The database is not empty ({table} has rows): a whole broker is rebuilt in an empty one only.",
                    code="not_empty",
                )


def _files(package: Package, problems: Problems) -> dict[str, PackageFile]:
    """The files by content, if digests, tables and columns are those that this installation knows."""
    if package.manifest.get("schema") != schema():
        theirs, ours = package.manifest.get("schema") or {}, schema()
        different = sorted(
            app for app in set(theirs) | set(ours) if isinstance(theirs, dict) and theirs.get(app) != ours.get(app)
        )
        problems.add(
            "manifest.json",
            "other_version",
            f"The export is of another version of the tables ({', '.join(different)}).",
            "Rebuild with the version that exported, then upgrade.",
            field="schema",
        )
        return {}
    files = {file.content: file for file in check_bytes(package, problems)}
    known = {table.name: table for table in tables()}
    for content, file in sorted(files.items()):
        if content == PRIVATE_FILES:
            continue
        if content not in known:
            problems.add(
                file.name, "unknown_content", "No table has this name.", "Rebuild with the version that exported."
            )
            continue
        with package.path_of(file).open("rb") as data:
            header = data.readline(COPY_CHUNK).decode("utf-8", "replace").strip().split(",")
        columns = list(known[content].columns)
        for column in header:
            if column not in columns:
                problems.add(
                    file.name,
                    "unknown_column",
                    "The table has no such column.",
                    "Take the export unchanged.",
                    field=column,
                )
        for column in columns:
            if column not in header:
                problems.add(
                    file.name, "missing_column", "The column is missing.", "Take the export unchanged.", field=column
                )
    if not package.entity:
        for table in loaded_tables():
            if table.name not in files:
                problems.add(f"{table.name}.csv", "missing_file", "The export lacks this table.", "Export again.")
    return files


def _line_days(package: Package, files: dict[str, PackageFile]) -> list[date]:
    file = files.get("ib_commissionline")
    if file is None:
        return []
    days: set[str] = set()
    with package.path_of(file).open(encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        place = next(reader, ["day"]).index("day")
        days.update(row[place] for row in reader)
    return sorted(date.fromisoformat(day) for day in days)


def _rebuild(
    package: Package,
    files: dict[str, PackageFile],
    report: Report,
    problems: Problems,
    actor: Actor,
    *,
    is_dry_run: bool,
) -> None:
    quiet = [table for table in loaded_tables() if table.name not in LEDGER]
    try:
        with transaction.atomic():
            _rest_triggers(quiet, files)
            for table in loaded_tables():
                if table.name in files:
                    report.files.append(_load(package, files[table.name], table))
            crash_points.reach("migration.rebuild.after_ledger")
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                for table in quiet:
                    cursor.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            _set_sequences(package.manifest.get("sequences") or {})
            _analyze(files)
    except DatabaseFailure as error:
        _explain(error, report, problems)
        return
    _compare(files, report, problems)
    if not problems and not is_dry_run and PRIVATE_FILES in files:
        report.files.append(_load_private_files(package, files[PRIVATE_FILES], problems))
    if not problems:
        _prove(report, problems, is_dry_run=is_dry_run)
    if not problems and not is_dry_run:
        _keep(package, report, actor)


def _rest_triggers(quiet: list[Table], files: dict[str, PackageFile]) -> None:
    """Row history, marks and guards rest while rows are copied; what a migration put into a table makes room first."""
    with connection.cursor() as cursor:
        for table in quiet:
            cursor.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
        for table in reversed(quiet):
            if table.name in files:
                cursor.execute(f"DELETE FROM {table.name}")


def _load(package: Package, file: PackageFile, table: Table) -> FileCounts:
    """Copies one table; the ledger's accounts and holds need two steps (see below)."""
    counts = FileCounts(file=file.name, content=table.name)
    with connection.cursor() as cursor, package.path_of(file).open("rb") as data:
        if table.name == "ledger_hold":
            counts.created = _load_holds(cursor, table, data)
        elif table.name == "ledger_ledgeraccount":
            _stage(cursor, table, data)
            # A frozen account takes no debit, not even those that it took before it was frozen.
            chosen = _columns(table, {"is_frozen": "false"})
            cursor.execute(f"INSERT INTO {table.name} ({_names(table)}) SELECT {chosen} FROM loaded_rows")
            counts.created = cursor.rowcount
            cursor.execute(
                "CREATE TEMPORARY TABLE loaded_frozen ON COMMIT DROP AS SELECT id FROM loaded_rows WHERE is_frozen"
            )
        elif table.translated or table.constants:
            _stage(cursor, table, data)
            more = "".join(f', "{column}"' for column in table.constants)
            values = "".join(f", {text}" for text in table.constants.values())
            chosen = _columns(table, {column: text.format(f'"{column}"') for column, text in table.translated.items()})
            cursor.execute(f"INSERT INTO {table.name} ({_names(table)}{more}) SELECT {chosen}{values} FROM loaded_rows")
            counts.created = cursor.rowcount
        else:
            with connection.wrap_database_errors:
                cursor.copy_expert(_copy(table.name, table), data, COPY_CHUNK)
            counts.created = cursor.rowcount
        if table.name == "ledger_posting":
            cursor.execute(
                "UPDATE ledger_ledgeraccount SET is_frozen = TRUE WHERE id IN (SELECT id FROM loaded_frozen)"
            )
    counts.rows = counts.created
    return counts


def _copy(name: str, table: Table) -> str:
    return f"COPY {name} ({_names(table)}) FROM STDIN WITH (FORMAT csv, HEADER MATCH)"


def _names(table: Table) -> str:
    return ", ".join(f'"{column}"' for column in table.columns)


def _columns(table: Table, instead: dict[str, str]) -> str:
    return ", ".join(instead.get(column, f'"{column}"') for column in table.columns)


def _stage(cursor: Any, table: Table, data: Any) -> None:
    cursor.execute("DROP TABLE IF EXISTS loaded_rows")
    cursor.execute(
        f"CREATE TEMPORARY TABLE loaded_rows ON COMMIT DROP AS SELECT {_columns(table, _as_text(table))} FROM {table.name}"
        " WITH NO DATA"
    )
    with connection.wrap_database_errors:
        cursor.copy_expert(_copy("loaded_rows", table), data, COPY_CHUNK)


def _as_text(table: Table) -> dict[str, str]:
    return {column: f'"{column}"::text AS "{column}"' for column in table.translated}


def _load_holds(cursor: Any, table: Table, data: Any) -> int:
    """Ended holds are copied with the ledger's triggers at rest, as they hold nothing; pending ones are placed."""
    _stage(cursor, table, data)
    cursor.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
    cursor.execute(
        f"INSERT INTO {table.name} ({_names(table)}) SELECT {_names(table)} FROM loaded_rows WHERE state <> 'pending'"
    )
    ended = int(cursor.rowcount)
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    cursor.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
    cursor.execute(
        f"INSERT INTO {table.name} ({_names(table)}) SELECT {_names(table)} FROM loaded_rows WHERE state = 'pending'"
    )
    return ended + int(cursor.rowcount)


def _set_sequences(sequences: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'")
        known = {row[0] for row in cursor.fetchall()}
        for name, value in sorted(sequences.items()):
            if name in known and isinstance(value, int):
                cursor.execute("SELECT setval(%s::regclass, %s)", [f'public."{name}"', value])


def _analyze(files: dict[str, PackageFile]) -> None:
    with connection.cursor() as cursor:
        for table in loaded_tables():
            if table.name in files:
                cursor.execute(f"ANALYZE {table.name}")


def _explain(error: DatabaseFailure, report: Report, problems: Problems) -> None:
    """The database's complaint as a problem that names file, row and field."""
    diagnosis = getattr(error.__cause__, "diag", None)
    context = getattr(diagnosis, "context", None) or ""
    line, column = _LINE.search(context), _COLUMN.search(context)
    said = getattr(diagnosis, "message_primary", None) or str(error).splitlines()[0]
    detail = getattr(diagnosis, "message_detail", None) or ""
    named = getattr(diagnosis, "table_name", None) or _table_after(report)
    problems.add(
        f"{named}.csv",
        "refused_by_the_database",
        f"The database refused the table: {said} {detail}".strip(),
        "Take the export unchanged; if it is, the two installations differ.",
        row=int(line.group(1)) - 1 if line else None,
        field=column.group(1) if column else "",
    )


def _table_after(report: Report) -> str:
    names = [table.name for table in loaded_tables()]
    return names[min(len(report.files), len(names) - 1)]


def _compare(files: dict[str, PackageFile], report: Report, problems: Problems) -> None:
    """Counts and control totals of what stands in the tables now, against the manifest."""
    loaded = {counts.content: counts for counts in report.files}
    for table in loaded_tables():
        file = files.get(table.name)
        if file is None:
            continue
        if loaded[table.name].rows != file.rows:
            problems.add(
                file.name,
                "count_differs",
                f"{loaded[table.name].rows} rows were loaded; the manifest states {file.rows}.",
                "Take the export unchanged.",
                field="rows",
            )
        if table.has_totals:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT currency, sum(amount) FROM {table.name} GROUP BY currency")
                totals = dict(cursor.fetchall())
            if totals != file.totals:
                problems.add(
                    file.name,
                    "total_differs",
                    "The amounts add up to other control totals than the manifest states.",
                    "Take the export unchanged.",
                    field="totals",
                )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account.kind, account.currency, sum(balance.balance) FROM ledger_ledgeraccount account"
            " JOIN ledger_accountbalance balance ON balance.account_id = account.id GROUP BY 1, 2 ORDER BY 1, 2"
        )
        report.balances = [
            BalanceRow(kind, currency, "0", f"{after.normalize():f}")
            for kind, currency, after in cursor.fetchall()
            if after
        ]


def _load_private_files(package: Package, file: PackageFile, problems: Problems) -> FileCounts:
    """Writes the private files back under their paths. A file that stands already with the same bytes is left alone."""
    counts = FileCounts(file=file.name, content=PRIVATE_FILES)
    for path, data in _private_files(package, file, counts):
        parts = path.split("/")
        if not _SAFE_PATH.fullmatch(path) or path.startswith("/") or ".." in parts:
            problems.add(
                file.name,
                "path",
                "The path leads out of the private storage.",
                "Take the export unchanged.",
                value=path,
            )
            return counts
        if data is None:
            problems.add(file.name, "bad_file", "The file's text is damaged.", "Take the export unchanged.", value=path)
            return counts
        if default_storage.exists(path):
            with default_storage.open(path, "rb") as stored:
                if stored.read() == data:
                    counts.unchanged += 1
                    continue
            default_storage.delete(path)
        default_storage.save(path, ContentFile(data))
        counts.created += 1
    return counts


def _private_files(package: Package, file: PackageFile, counts: FileCounts) -> Iterator[tuple[str, bytes | None]]:
    with package.path_of(file).open(encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        next(reader, None)
        path, held = "", BytesIO()
        for row in reader:
            counts.rows += 1
            if len(row) != 3:
                yield path, None
                return
            if row[1] == "0" and path:
                yield path, held.getvalue()
                held = BytesIO()
            path = row[0]
            try:
                held.write(base64.b64decode(row[2], validate=True))
            except binascii.Error:
                yield path, None
                return
        if path:
            yield path, held.getvalue()


def _prove(report: Report, problems: Problems, *, is_dry_run: bool) -> None:
    names = [name for name in check_names() if not (is_dry_run and name in NEED_FILES)]
    outcome = verify_books(only=names)
    report.checks = [check["name"] for check in outcome["checks"]]
    for check in outcome["checks"]:
        if not check["ok"]:
            problems.add(
                "",
                "books_do_not_hold",
                f"The proof {check['name']} finds {check['count']} contradictions: {check['rows'][:1]}",
                "Run verify_books where the export was made: the same contradictions stand there.",
                field=check["name"],
            )


def _keep(package: Package, report: Report, actor: Actor) -> None:
    record = MigrationPackage.objects.create(
        form=package.form,
        file_name=package.folder.name[:255],
        size_bytes=package.size_bytes,
        digest=package.digest,
        state=MigrationPackage.State.APPLIED,
        report=report.as_dict(),
        rows=sum(counts.rows for counts in report.files),
        checked_at=clock.now(),
        finished_at=clock.now(),
    )
    audit.record(
        actor=actor,
        action="migration.rebuild_broker",
        target=record,
        changes={"digest": package.digest, "rows": record.rows},
    )
    crash_points.reach("migration.rebuild.before_commit")
