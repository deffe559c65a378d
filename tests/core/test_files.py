"""Private files: quarantine, verdict, who may look, what is written down, and what is left when a process dies."""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from backoffice.core.files.kinds import CSV, JPEG, PDF, PNG, FilePurpose, file_purposes, register_file_purpose
from backoffice.core.files.storage import write_object
from backoffice.core.models import AuditRecord, Job, StoredFile
from backoffice.core.services import file_sweep, files, jobs, virus_scan
from backoffice.core.services.files import erase_file, read_file, read_upload, shown_name, store_file
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, Misconfigured, NotFound, Retryable
from crm.models import Client
from crm.services.clients import register_client
from tests.core.test_file_checks import document, picture
from tests.logins import log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")
PURPOSE, BRIEF = "test.paper", "test.brief"
if PURPOSE not in {purpose.purpose for purpose in file_purposes()}:
    register_file_purpose(
        FilePurpose(
            PURPOSE, "Paper", frozenset({JPEG, PNG, PDF, CSV}), "crm.view_clients", max_bytes=200_000, max_pixels=10_000
        )
    )
    register_file_purpose(FilePurpose(BRIEF, "Brief", frozenset({CSV}), "core.view_files", retain_days=7))


def make_client(code: str = "nova") -> Client:
    from backoffice.core.models import Brand

    entity = make_entity(code)
    brand, _ = Brand.objects.get_or_create(code=code, defaults={"entity": entity, "name": code})
    return register_client(
        entity_id=entity.pk,
        brand_id=brand.pk,
        full_name="Anna Lindqvist",
        email=f"anna-{code}@example.com",
        country="SE",
        language="en",
        actor=SYSTEM,
    )


def keep(data: bytes, name: str = "scan.jpg", *, client: Client | None = None, purpose: str = PURPOSE) -> StoredFile:
    client = client or Client.objects.first() or make_client()
    return store_file(
        purpose=purpose, data=data, file_name=name, actor=SYSTEM, entity_id=client.entity_id, owner=client
    )


def place_of(stored: StoredFile, folder: str) -> Path:
    return Path(default_storage.path(files.object_name(stored, folder)))


def test_a_sound_picture_leaves_quarantine_written_anew() -> None:
    given = picture()

    stored = keep(given)

    assert (stored.state, stored.content_type, stored.width, stored.height) == ("clean", "image/jpeg", 60, 40)
    assert stored.given_size == len(given)
    data = place_of(stored, "files").read_bytes()
    assert len(data) == stored.size_bytes
    assert stat.S_IMODE(os.stat(place_of(stored, "files")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(place_of(stored, "files").parent).st_mode) == 0o700


def test_what_was_named_never_becomes_a_path() -> None:
    stored = keep(picture(), "../../../etc/pass\u202ewd\x00\n.jpg")

    assert stored.original_name == "passwd.jpg"
    assert "pass" not in files.object_name(stored, "files")
    assert shown_name("C:\\scans\\a.pdf") == "a.pdf"
    assert shown_name("..") == "file" or "/" not in shown_name("..")


@pytest.mark.django_db(transaction=True)
def test_quarantined_bytes_go_when_the_file_is_clean_and_stay_when_refused() -> None:
    clean, refused = keep(picture()), keep(b"%PDF-1.4 nothing", "x.pdf")

    assert not place_of(clean, "quarantine").exists()
    assert place_of(clean, "files").exists()
    assert (refused.state, refused.reason_code) == ("refused", "pdf_damaged")
    assert place_of(refused, "quarantine").read_bytes() == b"%PDF-1.4 nothing"
    assert not place_of(refused, "files").exists()
    assert refused.keep_until is not None


def test_a_refused_or_waiting_file_is_never_handed_out() -> None:
    refused = keep(b"<html></html>", "x.csv")
    assert refused.state == "refused"

    with pytest.raises(Conflict) as error:
        read_file(file_id=refused.pk, actor=SYSTEM)

    assert error.value.code == "file_not_clean"
    assert not AuditRecord.objects.filter(action="core.view_file").exists()


@pytest.mark.parametrize("data", [b"", b"x" * 200_001])
def test_nothing_is_kept_of_an_empty_or_too_large_file(data: bytes) -> None:
    client = make_client()
    before = {found.name for found in file_sweep.objects_below("quarantine")}

    with pytest.raises(InvalidInput):
        keep(data, "a.csv", client=client)

    assert not StoredFile.objects.exists()
    assert {found.name for found in file_sweep.objects_below("quarantine")} == before


def test_an_upload_is_read_no_further_than_allowed() -> None:
    class Endless(SimpleUploadedFile):
        taken = 0

        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            while True:
                Endless.taken += 1
                yield b"x" * 50_000

    with pytest.raises(InvalidInput, match="larger"):
        read_upload(Endless("a.csv", b"x"), purpose=PURPOSE)
    assert Endless.taken == 5


def test_looking_is_written_down_each_time() -> None:
    stored = keep(picture())
    viewer = make_actor(make_user("c@example.com", Role.COMPLIANCE.value, entities=(make_entity(),)))

    for _ in range(2):
        found, data = read_file(file_id=stored.public_id, actor=viewer)
        assert (found.pk, len(data)) == (stored.pk, stored.size_bytes)

    records = AuditRecord.objects.filter(action="core.view_file", object_id=str(stored.pk))
    assert [record.actor for record in records] == ["c@example.com", "c@example.com"]


def test_bytes_altered_in_the_store_are_not_handed_out() -> None:
    stored = keep(picture())
    place_of(stored, "files").write_bytes(picture("PNG"))

    with pytest.raises(Conflict) as error:
        read_file(file_id=stored.pk, actor=SYSTEM)
    assert error.value.code == "file_altered"


def test_who_may_look() -> None:
    ours, theirs = make_client("nova"), make_client("other")
    mine, foreign = keep(picture(), client=ours), keep(picture(), client=theirs)
    compliance = make_actor(make_user("c@example.com", Role.COMPLIANCE.value, entities=(ours.entity,)))
    sales = make_actor(make_user("s@example.com", Role.SALES.value, entities=(ours.entity,)))

    assert read_file(file_id=mine.pk, actor=compliance)[0].pk == mine.pk
    for actor, file in ((compliance, foreign), (sales, mine), (sales, foreign)):
        with pytest.raises(NotFound):
            read_file(file_id=file.pk, actor=actor)
    assert files.files_of(owner=ours, actor=sales).count() == 0
    assert [row.pk for row in files.files_of(owner=ours, actor=compliance)] == [mine.pk]
    assert AuditRecord.objects.filter(action="core.view_file").count() == 1


def test_who_may_put_a_file_where() -> None:
    ours, theirs = make_client("nova"), make_client("other")
    staff = make_actor(make_user("c@example.com", Role.COMPLIANCE.value, entities=(ours.entity,)))

    with pytest.raises(NotFound):
        store_file(
            purpose=PURPOSE, data=picture(), file_name="a", actor=staff, entity_id=theirs.entity_id, owner=theirs
        )
    with pytest.raises(InvalidInput):
        store_file(purpose=PURPOSE, data=picture(), file_name="a", actor=staff, entity_id=theirs.entity_id, owner=ours)
    with pytest.raises(Denied):
        store_file(purpose=PURPOSE, data=picture(), file_name="a", actor=staff, entity_id=theirs.entity_id)
    assert not StoredFile.objects.exists()


def test_the_view_hands_out_pictures_safely(client: Browser) -> None:
    stored = keep(picture(), 'a"; filename=evil.html\r\nX: y.jpg')
    user = make_user("c@example.com", Role.COMPLIANCE.value, entities=(make_entity(),))
    log_in(client, user)

    shown = client.get(reverse("stored_file", args=[stored.public_id]) + "?show=1")
    saved = client.get(reverse("stored_file", args=[stored.public_id]))

    assert (shown.status_code, shown["Content-Type"]) == (200, "image/jpeg")
    assert shown["Content-Disposition"].startswith("inline")
    assert saved["Content-Type"] == "application/octet-stream"
    assert saved["Content-Disposition"].startswith("attachment")
    for answer in (shown, saved):
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer["Content-Security-Policy"]
        assert "default-src 'none'" in answer["Content-Security-Policy"]
        assert answer["Cache-Control"] == "private, no-store"
        assert "X" not in answer.headers


def test_a_document_is_saved_never_shown(client: Browser) -> None:
    stored = keep(document(), "contract.pdf")
    log_in(client, make_user("c@example.com", Role.COMPLIANCE.value, entities=(make_entity(),)))

    answer = client.get(reverse("stored_file", args=[stored.public_id]) + "?show=1")

    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="contract.pdf"'


def test_the_view_finds_no_file_of_other_people(client: Browser) -> None:
    stored = keep(picture(), client=make_client("other"))
    url = reverse("stored_file", args=[stored.public_id])
    user = make_user("c@example.com", Role.COMPLIANCE.value, entities=(make_entity(),))

    assert client.get(url).status_code == 302
    log_in(client, user, second_factor=False)
    assert client.get(url).status_code == 404
    log_in(client, user)
    assert client.get(url).status_code == 404
    assert client.get(reverse("stored_file", args=["00000000-0000-7000-8000-000000000000"])).status_code == 404
    assert client.post(url).status_code in (403, 405)
    assert not AuditRecord.objects.filter(action="core.view_file").exists()


def test_a_trader_opens_papers_of_his_own_only(client: Browser) -> None:
    own, other = make_client("nova"), make_client("other")
    purpose = "test.own_paper"
    if purpose not in {each.purpose for each in file_purposes()}:
        from backoffice.core.access import declare_capability

        declare_capability("test.view_own_paper", [Role.TRADER, Role.COMPLIANCE])
        register_file_purpose(FilePurpose(purpose, "Own", frozenset({JPEG}), "test.view_own_paper"))
    own.user = make_user("t@example.com", Role.TRADER.value)
    own.save()
    mine, theirs = keep(picture(), client=own, purpose=purpose), keep(picture(), client=other, purpose=purpose)
    log_in(client, own.user, second_factor=False)

    assert client.get(reverse("stored_file", args=[mine.public_id])).status_code == 200
    assert client.get(reverse("stored_file", args=[theirs.public_id])).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_erasing_takes_the_bytes_and_leaves_the_row() -> None:
    stored = keep(picture())
    officer = make_actor(make_user("c@example.com", Role.COMPLIANCE.value, entities=(make_entity(),)))

    for _ in range(2):
        erase_file(file_id=stored.pk, actor=officer, reason="Asked for by the client")

    stored.refresh_from_db()
    assert stored.erased_at is not None
    assert not place_of(stored, "files").exists()
    with pytest.raises(NotFound):
        read_file(file_id=stored.pk, actor=officer)
    assert AuditRecord.objects.filter(action="core.erase_file").count() == 1
    assert file_sweep.missing_bytes() == []


@pytest.mark.django_db(transaction=True)
def test_what_is_kept_long_enough_is_erased() -> None:
    stored, refused = keep(b"a;b\n", "a.csv", purpose=BRIEF), keep(b"<html>", "a.csv", purpose=BRIEF)
    assert files.erase_expired() == 0

    StoredFile.objects.update(keep_until=clock.now() - timedelta(seconds=1))
    assert files.erase_expired() == 2

    assert not place_of(stored, "files").exists()
    assert not place_of(refused, "quarantine").exists()


def test_the_sweep_removes_strays_and_names_what_is_missing() -> None:
    stored = keep(picture())
    stray, young = "files/aa/bb/0123456789abcdef0123456789abcdef", "quarantine/aa/bb/.unfinished-1"
    write_object(stray, b"x")
    Path(default_storage.path(young)).parent.mkdir(parents=True, exist_ok=True)
    Path(default_storage.path(young)).write_bytes(b"x")
    old = time.time() - 2 * 86_400
    os.utime(default_storage.path(stray), (old, old))
    os.utime(place_of(stored, "files"), (old, old))

    assert file_sweep.sweep(dry_run=True).strays == 1
    assert default_storage.exists(stray)
    found = file_sweep.sweep()

    assert found.strays == 1
    assert not default_storage.exists(stray)
    assert default_storage.exists(young)
    default_storage.delete(young)
    assert place_of(stored, "files").exists()
    assert found.missing == []
    place_of(stored, "files").unlink()
    assert [row["problem"] for row in file_sweep.missing_bytes()] == ["missing"]


def test_a_write_that_fails_leaves_no_half_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    client = make_client()
    with pytest.raises(OSError, match="space"):
        keep(picture(), client=client)

    assert not StoredFile.objects.exists()
    assert not [name for name in Path(default_storage.path("quarantine")).rglob(".unfinished-*") if name.is_file()]


def test_the_database_keeps_verdicts_whole() -> None:
    stored = keep(picture())
    for wrong in ({"state": "clean", "sha256": ""}, {"state": "refused", "reason_code": ""}, {"state": "odd"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            StoredFile.objects.filter(pk=stored.pk).update(**wrong)


def test_an_unknown_content_cannot_be_a_purpose() -> None:
    with pytest.raises(Misconfigured):
        register_file_purpose(FilePurpose("test.svg", "Drawing", frozenset({"image/svg+xml"}), "core.view_files"))


@contextmanager
def scanner(answer: bytes, folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """A socket that speaks clamd's INSTREAM."""
    path, received = str(folder / "clamd.sock"), []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(4)

    def exactly(connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += connection.recv(count - len(data))
        return data

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                assert exactly(connection, 10) == b"zINSTREAM\0"
                body = b""
                while size := struct.unpack("!L", exactly(connection, 4))[0]:
                    body += exactly(connection, size)
                received.append(body)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"unix://{path}", received
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "state", "code"),
    [(b"stream: OK\0", "clean", ""), (b"stream: Eicar-Test-Signature FOUND\0", "refused", "virus_found")],
)
def test_a_scanner_decides_before_anybody_opens_the_file(
    answer: bytes, state: str, code: str, settings: Settings, tmp_path: Path
) -> None:
    given = picture(size=(90, 90))
    with scanner(answer, tmp_path) as (address, received):
        settings.FILE_SCANNER = address
        stored = keep(given)
        assert stored.state == "quarantined"
        with pytest.raises(Conflict):
            read_file(file_id=stored.pk, actor=SYSTEM)

        assert jobs.run_ready(kind=files.CHECK_JOB_KIND, owner="test") == 1

    stored.refresh_from_db()
    assert (stored.state, stored.reason_code, received) == (state, code, [given])


def test_a_scanner_that_is_away_keeps_the_file_in_quarantine(settings: Settings, tmp_path: Path) -> None:
    settings.FILE_SCANNER = f"unix://{tmp_path}/nobody.sock"
    stored = keep(picture())

    assert jobs.run_ready(kind=files.CHECK_JOB_KIND, owner="test") == 0

    stored.refresh_from_db()
    assert stored.state == "quarantined"
    assert Job.objects.get(kind=files.CHECK_JOB_KIND).state == Job.State.READY
    with pytest.raises(Retryable):
        virus_scan.scan(b"x")


def test_a_scanner_that_answers_nonsense_is_no_verdict(settings: Settings, tmp_path: Path) -> None:
    with scanner(b"INSTREAM size limit exceeded. ERROR\0", tmp_path) as (address, _):
        settings.FILE_SCANNER = address
        with pytest.raises(Retryable):
            virus_scan.scan(b"x")
