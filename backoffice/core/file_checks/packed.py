"""Packed files: what they unpack to is bounded before and while they are unpacked."""

from __future__ import annotations

import gzip
import zlib
from io import BytesIO
from pathlib import PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from backoffice.core.file_checks.types import Refusal

MAX_ENTRIES = 2_000
MAX_RATIO = 200
RATIO_COUNTS_FROM = 1024 * 1024
CHUNK_BYTES = 64 * 1024
_ARCHIVES = frozenset({".zip", ".gz", ".7z", ".rar", ".tar", ".xz", ".bz2", ".zst", ".jar"})
_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER = b"PK\x03\x04"


def check_zip(data: bytes, *, max_bytes: int) -> None:
    """Raises Refusal for a bomb, an archive in an archive, a locked one, or names that lead elsewhere."""
    try:
        # Something in front of the first entry makes it two files at once.
        if not data.startswith(_LOCAL_HEADER):
            raise Refusal("archive_damaged", "The archive does not begin with its first entry.")
        with ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, max_bytes)
            left = max_bytes
            for entry in entries:
                left -= _expanded(archive, entry, left)
    except (BadZipFile, LargeZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise Refusal("archive_damaged", "The archive cannot be read.") from None


def _check_entries(entries: list[ZipInfo], max_bytes: int) -> None:
    if not entries or len(entries) > MAX_ENTRIES:
        raise Refusal("too_many_entries", f"The archive is empty or holds more than {MAX_ENTRIES} entries.")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise Refusal("archive_escapes", "A name in the archive leads out of it.")
        if entry.flag_bits & _ENCRYPTED_FLAG:
            raise Refusal("archive_locked", "The archive is protected by a password.")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Refusal("archive_damaged", "The archive is packed in an unusual way.")
        if path.suffix.lower() in _ARCHIVES:
            raise Refusal("archive_in_archive", "The archive holds another archive.")
        if entry.file_size > RATIO_COUNTS_FROM and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise _bomb()
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise _bomb()


def _expanded(archive: ZipFile, entry: ZipInfo, left: int) -> int:
    """Unpacks into nothing and counts: what an entry claims to hold may be a lie."""
    total = 0
    with archive.open(entry) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            total += len(chunk)
            if total > left:
                raise _bomb()
    return total


def check_workbook(data: bytes, *, max_bytes: int) -> None:
    """An Excel workbook: a bounded archive without macros, embedded objects or outside links."""
    check_zip(data, max_bytes=max_bytes)
    with ZipFile(BytesIO(data)) as archive:
        names = [name.lower() for name in archive.namelist()]
    if any(name.endswith(("vbaproject.bin", ".exe", ".dll", ".js", ".vbs")) for name in names):
        raise Refusal("workbook_has_macros", "The workbook holds macros.")
    if any(name.startswith(("xl/embeddings/", "xl/activex/", "xl/externallinks/")) for name in names):
        raise Refusal("workbook_has_objects", "The workbook holds embedded objects or links to other files.")


def check_gzip(data: bytes, *, max_bytes: int) -> None:
    """A gzip file that unpacks, wholly, to no more than *max_bytes*."""
    total = 0
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                total += len(chunk)
                if total > max_bytes:
                    raise _bomb()
    except (OSError, EOFError, zlib.error):
        raise Refusal("archive_damaged", "The file cannot be unpacked.") from None


def _bomb() -> Refusal:
    return Refusal("unpacks_too_large", "The file unpacks to far more than is accepted.")
