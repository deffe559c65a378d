"""The drill: what was backed up is put back on another server, proved equal, and the work goes on there."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, AuditSeal
from backoffice.core.sealing.backup_cipher import open_file, seal_file
from backoffice.core.services import backup
from backoffice.core.services.audit import seal_audit, verify_audit
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured
from ib.models import CommissionLine
from platform_ops.models import BufferedTick, PriceBar, Symbol, TickFile
from platform_ops.services.prices import store
from tests.faults.conftest import own_servers  # noqa: F401 - a fixture
from tests.faults.harness import OwnServers, connected_to, work_until_idle
from tests.faults.world import FaultWorld, assert_books_hold
from tests.platform_ops.prices import world as prices

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def broker(settings: Any, tmp_path: Path) -> FaultWorld:
    """A broker with settled trades, a sealed audit trail and private files in a folder of their own."""
    use_folder(settings, tmp_path / "files")
    settings.TICK_FOLDER = str(tmp_path / "ticks")
    world = FaultWorld()
    world.feed(world.deals())
    work_until_idle()
    default_storage.save("reports/issued.pdf", ContentFile(b"%PDF- an issued document"))
    default_storage.save("reports/deep/er.csv", ContentFile(b"a,b\n"))
    while seal_audit() is not None:
        pass
    return world


def use_folder(settings: Any, folder: Path) -> None:
    """Private files lie there from now on."""
    description = settings.STORAGES["default"]
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**description, "OPTIONS": {**description.get("OPTIONS", {}), "location": str(folder)}},
    }


def scratch(servers: OwnServers, name: str) -> SimpleNamespace:
    """An empty database of another server."""
    servers.execute(f'DROP DATABASE IF EXISTS "{name}"', "postgres")
    servers.execute(f'CREATE DATABASE "{name}"', "postgres")
    return SimpleNamespace(HOST=str(servers.sockets), PORT="", NAME=name, USER="backoffice")


def run(*arguments: object) -> str:
    """What a command prints."""
    output = io.StringIO()
    call_command(*[str(part) for part in arguments], stdout=output, stderr=io.StringIO())
    return output.getvalue().strip()


def with_ticks() -> list[tuple[object, ...]]:
    """Ticks in a file, and one file that is just being written; what is read of them."""
    prices.make_source()
    symbol = prices.make_symbol("TICKED")
    prices.send(symbol, *prices.WORKED)
    BufferedTick.objects.update(received_at=clock.now() - timedelta(minutes=10))
    assert store.flush_ticks().files == 1
    (store.folder() / "half.partial").write_bytes(b"not whole")
    return ticks_of("TICKED")


def ticks_of(code: str) -> list[tuple[object, ...]]:
    symbol = Symbol.objects.get(code=code)
    start, end = prices.MONDAY_NOON, prices.MONDAY_NOON + timedelta(minutes=5)
    return list(store.read_rows(symbol_id=symbol.pk, start=start, end=end))


def test_the_drill(broker: FaultWorld, own_servers: OwnServers, settings: Any, tmp_path: Path) -> None:  # noqa: F811
    # Given a backup, sealed
    settings.BACKUP_KEY = KEY
    ticks = with_ticks()
    made = Path(run("backup", "--to", tmp_path / "backups"))
    names = {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()}
    sealed = {"database.dump.sealed", "files.tar.sealed", "ticks.tar.sealed", "manifest.json"}
    assert names == dict.fromkeys(sealed, 0o600)
    assert json.loads((made / "manifest.json").read_text())["folders"] == {"ticks": {"kept_by": "backup", "count": 1}}
    assert b"issued document" not in b"".join(path.read_bytes() for path in made.iterdir())
    before, state = backup.table_digests(), broker.state()
    # When it is restored on a scratch server
    target = scratch(own_servers, "drill")
    with connected_to(**vars(target)):
        use_folder(settings, tmp_path / "restored")
        with pytest.raises(CommandError, match="tick files is not empty"):
            run("restore", made)
        settings.TICK_FOLDER = str(tmp_path / "restored_ticks")
        said = run("restore", made)
        # Then every table and every file is equal, and books and audit trail prove
        assert "are equal to the backup" in said
        assert "books and audit trail prove" in said
        assert backup.table_digests() == before
        assert (tmp_path / "restored" / "reports" / "issued.pdf").read_bytes() == b"%PDF- an issued document"
        assert (tmp_path / "restored" / "reports" / "deep" / "er.csv").read_bytes() == b"a,b\n"
        assert "ticks: 1 files" in said
        assert ticks_of("TICKED") == ticks
        assert [path.name for path in store.folder().glob("*.partial")] == []
        assert verify_books()["ok"]
        assert verify_audit() == []
        assert broker.state() == state
        # And the work goes on: new deals are paid, and the sealer seals what is written from now on
        seals, lines = AuditSeal.objects.count(), CommissionLine.objects.count()
        broker.feed(broker.deals(first=1001))
        work_until_idle()
        FaultWorld()
        assert CommissionLine.objects.count() == 2 * lines
        last = AuditRecord.objects.order_by("-pk").first()
        assert last is not None
        while seal_audit() is not None:
            pass
        assert AuditSeal.objects.count() > seals
        end = AuditSeal.objects.order_by("-number").first()
        assert end is not None
        assert end.first_xid <= last.xid < end.end_xid
        assert verify_audit() == []
        assert_books_hold()
        # And nothing is ever restored over it
        with pytest.raises(CommandError, match="not_empty"):
            run("restore", made)
    # And the source was not touched
    assert backup.table_digests() == before


def test_ticks_can_be_left_out_and_brought_by_another_way_or_forgotten(
    broker: FaultWorld,
    own_servers: OwnServers,  # noqa: F811
    settings: Any,
    tmp_path: Path,
) -> None:
    ticks = with_ticks()
    made = Path(run("backup", "--to", tmp_path / "backups", "--without", "ticks"))
    assert {path.name for path in made.iterdir()} == {"database.dump", "files.tar", "manifest.json"}
    with pytest.raises(InvalidInput, match="no folder 'tocks'"):
        backup.make_backup(folder=tmp_path / "backups", without=["tocks"])
    # Brought back beforehand, the files are taken as they are
    with connected_to(**vars(scratch(own_servers, "brought"))):
        use_folder(settings, tmp_path / "brought")
        assert "left out" not in run("restore", made)
        assert ticks_of("TICKED") == ticks
        assert store.missing_files() == ([], 0)
    # Into an empty folder, nothing claims to be there that is not
    with connected_to(**vars(scratch(own_servers, "forgotten"))):
        use_folder(settings, tmp_path / "forgotten")
        settings.TICK_FOLDER = str(tmp_path / "no_ticks")
        said = run("restore", made)
        assert "ticks: left out of the backup; 1 rows that named files were removed" in said
        assert "books and audit trail prove" in said
        assert (ticks_of("TICKED"), TickFile.objects.count()) == ([], 0)
        assert PriceBar.objects.filter(symbol__code="TICKED").exists()


def test_nothing_is_restored_over_anything(
    broker: FaultWorld,
    own_servers: OwnServers,  # noqa: F811
    settings: Any,
    tmp_path: Path,
) -> None:
    made = backup.make_backup(folder=tmp_path / "backups")
    before = backup.table_digests()
    with pytest.raises(Conflict, match="holds"):
        backup.restore_backup(folder=made)
    assert backup.table_digests() == before
    with connected_to(**vars(scratch(own_servers, "occupied_folder"))):
        with pytest.raises(Conflict, match="private files is not empty"):
            backup.restore_backup(folder=made)
        assert tables() == 0


def tables() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        return int(cursor.fetchone()[0])


def test_an_altered_or_partial_backup_is_refused_and_nothing_is_written(
    broker: FaultWorld,
    own_servers: OwnServers,  # noqa: F811
    settings: Any,
    tmp_path: Path,
) -> None:
    made = backup.make_backup(folder=tmp_path / "backups")
    dump, manifest = made / "database.dump", made / "manifest.json"
    whole, told = dump.read_bytes(), json.loads(manifest.read_text())
    with connected_to(**vars(scratch(own_servers, "refused"))):
        use_folder(settings, tmp_path / "restored")
        for damage in (whole[:-1], whole[: len(whole) // 2], b"", whole[:500] + b"\0" + whole[501:]):
            dump.write_bytes(damage)
            with pytest.raises(InvalidInput):
                backup.restore_backup(folder=made)
        dump.unlink()
        with pytest.raises(InvalidInput):
            backup.restore_backup(folder=made)
        dump.write_bytes(whole)
        for text in ("", "{}", "[]", json.dumps({**told, "version": 99}), json.dumps({**told, "parts": {}})):
            manifest.write_text(text)
            with pytest.raises(InvalidInput):
                backup.restore_backup(folder=made)
        with pytest.raises(InvalidInput):
            backup.restore_backup(folder=tmp_path / "nowhere")
        assert tables() == 0
        assert not (tmp_path / "restored").exists()
        # A manifest that tells of other rows than the dump holds is noticed after the fact, and said
        name = next(iter(told["tables"]))
        told["tables"][name]["rows"] += 1
        manifest.write_text(json.dumps(told))
        with pytest.raises(Conflict) as refused:
            backup.restore_backup(folder=made)
        assert refused.value.details["tables"] == [name]


def test_transaction_numbers_that_lie_far_behind_are_raised_by_hand_and_the_sealer_goes_on(
    broker: FaultWorld,
    own_servers: OwnServers,  # noqa: F811
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a backup of a server that is far ahead, for which numbers cannot be used up one by one
    monkeypatch.setattr(backup, "MAXIMUM_RAISED", 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        here = int(cursor.fetchone()[0])
    there = int(own_servers.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0])
    if there > here:
        pytest.skip("the scratch server's numbers are ahead already")
    made = backup.make_backup(folder=tmp_path / "backups")
    with connected_to(**vars(scratch(own_servers, "far_behind"))):
        use_folder(settings, tmp_path / "restored")
        with pytest.raises(Conflict, match="pg_resetwal"):
            backup.restore_backup(folder=made)
        # When the operator does as told
        connection.close()
        own_servers.end_postgres(signal.SIGINT)
        reset = [own_servers.program("pg_resetwal"), "--epoch=1", "-D", own_servers.layout.postgres_folder / "data"]
        identity = own_servers.layout.identity
        subprocess.run(
            reset,
            check=True,
            capture_output=True,
            cwd="/",
            user=None if identity is None else identity.uid,
            group=None if identity is None else identity.gid,
            env={**os.environ, "LC_ALL": "C"},
        )
        own_servers.start_postgres()
        # Then nothing more is needed, and the sealer goes on
        assert "raised transaction numbers by 0" in run("restore", made, "--continue")
        FaultWorld()
        assert seal_audit() is not None
        assert verify_audit() == []


def test_a_sealed_file_opens_with_its_key_only_and_whole_only(tmp_path: Path) -> None:
    key, other = bytes(32), bytes([1]) * 32
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        plain.write_bytes(os.urandom(size))
        seal_file(plain, sealed, key)
        open_file(sealed, opened, key)
        assert opened.read_bytes() == plain.read_bytes()
    data = sealed.read_bytes()
    piece = (1 << 20) + 16
    damaged = [
        data[:-1],
        data[: 16 + piece],
        data[: 16 + 2 * piece],
        data + b"\0",
        data[:16] + data[16 + piece : 16 + 2 * piece] + data[16 : 16 + piece] + data[16 + 2 * piece :],
        data[:100] + bytes([data[100] ^ 1]) + data[101:],
        b"",
        data[:10],
        b"X" + data[1:],
    ]
    for text in damaged:
        sealed.write_bytes(text)
        with pytest.raises(InvalidInput):
            open_file(sealed, opened, key)
    sealed.write_bytes(data)
    with pytest.raises(InvalidInput):
        open_file(sealed, opened, other)
    for text in ("", "c2hvcnQ=", "not base64!"):
        with pytest.raises(Misconfigured):
            backup.backup_key(text)
