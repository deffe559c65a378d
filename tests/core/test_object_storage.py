"""Private files in an S3 bucket: the settings' own storage, by the real client, over a socket that speaks S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from pytest_django import Settings

from backoffice.core.services import file_sweep, files
from backoffice.kernel.errors import NotFound
from backoffice.settings.environment import private_storage
from tests.core.test_file_checks import picture
from tests.core.test_files import SYSTEM, keep

pytestmark = pytest.mark.django_db


class Bucket(BaseHTTPRequestHandler):
    """The five requests of S3 that the store needs."""

    objects: dict[str, bytes] = {}
    headers_seen: list[dict[str, str]] = []
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/private/").removeprefix("/private")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(body)
        Bucket.objects[self._key()] = body
        Bucket.headers_seen.append({name.lower(): value for name, value in self.headers.items()})
        self._answer(200, ETag='"0"')

    def do_HEAD(self) -> None:
        self._read()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if not self._key():
            prefix = query.get("prefix", [""])[0]
            found = "".join(
                f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size>"
                f"<LastModified>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
                for name, data in sorted(Bucket.objects.items())
                if name.startswith(prefix)
            )
            page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
            return self._answer(200, page.encode(), Content_Type="application/xml")
        return self._read()

    def _read(self) -> None:
        data = Bucket.objects.get(self._key())
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, data, ETag='"0"', Last_Modified="Wed, 01 Jan 2025 00:00:00 GMT")

    def do_DELETE(self) -> None:
        Bucket.objects.pop(self._key(), None)
        self._answer(204)


def _unchunked(body: bytes) -> bytes:
    out = b""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        out, body = out + rest[:size], rest[size + 2 :]
    return out


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "BACKOFFICE_S3_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "BACKOFFICE_S3_REGION": "eu-central-1",
        "BACKOFFICE_S3_ACCESS_KEY": "key",
        "BACKOFFICE_S3_SECRET_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = {**settings.STORAGES, "default": private_storage(folder="/nowhere", bucket="private")}
    Bucket.objects, Bucket.headers_seen = {}, []
    yield Bucket
    server.shutdown()
    server.server_close()


@pytest.mark.django_db(transaction=True)
def test_a_file_lives_in_the_bucket_private_and_encrypted(bucket: type[Bucket]) -> None:
    stored = keep(picture())

    assert list(bucket.objects) == [files.object_name(stored, "files")]
    assert all(each.get("x-amz-acl") == "private" for each in bucket.headers_seen)
    assert all(each.get("x-amz-server-side-encryption") == "AES256" for each in bucket.headers_seen)
    assert len(files.read_file(file_id=stored.pk, actor=SYSTEM)[1]) == stored.size_bytes
    assert file_sweep.missing_bytes() == []

    bucket.objects.clear()
    assert [row["problem"] for row in file_sweep.missing_bytes()] == ["missing"]
    with pytest.raises(NotFound):
        files.read_file(file_id=stored.pk, actor=SYSTEM)


def test_without_a_bucket_files_stay_in_the_folder() -> None:
    assert private_storage(folder="/srv/files", bucket="") == {
        "BACKEND": "backoffice.core.files.storage.PrivateFolderStorage",
        "OPTIONS": {"location": "/srv/files"},
    }
