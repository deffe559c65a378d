"""Opening a package: a folder, or a zip that is taken apart within bounds; its manifest, counts and digests.

A package that cannot be trusted (a path that leads outside, a bomb, a manifest that is not one) raises `InvalidInput`; what
is wrong with single files becomes problems of the report. Never writes outside of the folder that it was given.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backoffice.kernel.errors import InvalidInput
from backoffice.migration.formats import CONTENTS
from backoffice.migration.types import BROKER, FORMAT_NAME, FORMAT_VERSION, TAKEOVER, Problems

MANIFEST = "manifest.json"
MAXIMUM_MANIFEST_BYTES = 4 * 1024 * 1024
MAXIMUM_MEMBERS = 400
MAXIMUM_TOTAL_BYTES = 8 * 1024**3
MAXIMUM_ZIP_TOTAL_BYTES = 2 * 1024**3
MAXIMUM_RATIO = 200
"""How many times larger a member of a zip may be than it is packed; text of tables packs 5 to 30 times."""
RATIO_FROM_BYTES = 1024 * 1024
CHUNK = 1024 * 1024
MAXIMUM_NAME = 100
ENDINGS = (".csv", ".jsonl")
DELIMITERS = (",", ";")

_MANIFEST_KEYS = {"format", "version", "form", "entity", "created_at", "as_of", "files", "schema", "sequences", "notes"}
_FILE_KEYS = {"name", "content", "rows", "sha256", "totals", "delimiter"}


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file as the manifest states it."""

    name: str
    content: str
    rows: int
    sha256: str
    totals: dict[str, Decimal] = field(default_factory=dict)
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was opened: where its files lie and what its manifest says."""

    folder: Path
    form: str
    entity: str
    digest: str
    as_of: datetime | None
    files: tuple[PackageFile, ...]
    manifest: dict[str, Any]
    size_bytes: int

    def path_of(self, file: PackageFile) -> Path:
        """Where the file lies."""
        return self.folder / file.name


@contextmanager
def open_package(source: Path, *, most_bytes: int = MAXIMUM_ZIP_TOTAL_BYTES) -> Iterator[Package]:
    """The package of a folder or zip file, while the block runs. Raises InvalidInput with code and what is wrong.

    *most_bytes* bounds what a zip may unpack to.
    """
    if source.is_dir():
        yield read_package(source)
        return
    if not source.is_file():
        raise InvalidInput(f"There is no package at {source.name}.", code="no_package", field="package")
    with TemporaryDirectory(prefix="backoffice-package-") as folder:
        unpack(source, Path(folder), most_bytes=most_bytes)
        yield read_package(Path(folder))


def unpack(source: Path, folder: Path, *, most_bytes: int = MAXIMUM_ZIP_TOTAL_BYTES) -> None:
    """Takes a zip apart into the folder: flat names only, no links, within the bounds of count, size and ratio."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > MAXIMUM_MEMBERS:
                raise _bad_zip(f"The zip has {len(members)} members; at most {MAXIMUM_MEMBERS} are read.")
            seen: set[str] = set()
            left = most_bytes
            for member in members:
                _check_member(member, seen)
                left -= _extract(archive, member, folder, left)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise _bad_zip("This is not a zip file that can be read.") from error
    except Exception as error:  # zlib and lzma complain each in a class of its own
        if isinstance(error, InvalidInput):
            raise
        if type(error).__module__ not in ("zlib", "lzma", "_lzma", "bz2", "struct"):
            raise
        raise _bad_zip("The zip is damaged.") from error


def _check_member(member: zipfile.ZipInfo, seen: set[str]) -> None:
    name = member.filename
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode) or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        raise _bad_zip(f"{name[:MAXIMUM_NAME]!r} is a link or another special file.", code="zip_link")
    if not _is_plain_name(name):
        raise _bad_zip(f"{name[:MAXIMUM_NAME]!r} is not a plain file name.", code="zip_path")
    if name.lower() in seen:
        raise _bad_zip(f"{name!r} stands in the zip twice.", code="zip_twice")
    if member.flag_bits & 0x1:
        raise _bad_zip(f"{name!r} is encrypted.", code="zip_encrypted")
    seen.add(name.lower())


def _is_plain_name(name: str) -> bool:
    """Whether a name stays in its folder: no path, no drive, nothing hidden, an ending that is read."""
    return (
        0 < len(name) <= MAXIMUM_NAME
        and name.isascii()
        and name.isprintable()
        and not name.startswith(".")
        and not any(mark in name for mark in '/\\:*?"<>|')
        and (name == MANIFEST or name.endswith(ENDINGS))
    )


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Writes a member, counting what really comes out, whatever the zip states of itself."""
    written = 0
    with archive.open(member) as packed, (folder / member.filename).open("wb") as file:
        while chunk := packed.read(CHUNK):
            written += len(chunk)
            if written > left:
                raise _bad_zip("The zip unpacks to more than is read at once.", code="zip_bomb")
            if written > RATIO_FROM_BYTES and written > MAXIMUM_RATIO * max(member.compress_size, 1):
                raise _bad_zip(
                    f"{member.filename!r} unpacks to more than {MAXIMUM_RATIO} times its size.", code="zip_bomb"
                )
            file.write(chunk)
    return written


def _bad_zip(message: str, *, code: str = "bad_zip") -> InvalidInput:
    return InvalidInput(message, code=code, field="package")


def read_package(folder: Path) -> Package:
    """The package that lies in a folder, its manifest checked; the files are not read yet."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise _bad_manifest(f"The package has no {MANIFEST}.", code="no_manifest")
    if path.stat().st_size > MAXIMUM_MANIFEST_BYTES:
        raise _bad_manifest(f"{MANIFEST} is larger than {MAXIMUM_MANIFEST_BYTES} bytes.")
    data = path.read_bytes()
    try:
        manifest = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repetition, parse_float=str)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise _bad_manifest(f"{MANIFEST} is not JSON: {error}.") from error
    if not isinstance(manifest, dict):
        raise _bad_manifest(f"{MANIFEST} is not an object.")
    if manifest.get("format") != FORMAT_NAME:
        raise _bad_manifest(f'{MANIFEST} must say "format": "{FORMAT_NAME}".')
    if manifest.get("version") != FORMAT_VERSION:
        raise _bad_manifest(
            f"The package is of version {manifest.get('version')!r}; this installation reads version {FORMAT_VERSION}.",
            code="unknown_version",
        )
    if unknown := sorted(map(str, set(manifest) - _MANIFEST_KEYS)):
        raise _bad_manifest(f"{MANIFEST} says something unknown: {', '.join(unknown)}.")
    form = manifest.get("form")
    if form not in (TAKEOVER, BROKER):
        raise _bad_manifest(f'{MANIFEST} must say "form": "{TAKEOVER}" or "{BROKER}".')
    entity = manifest.get("entity", "")
    if not isinstance(entity, str) or (form == TAKEOVER and not entity):
        raise _bad_manifest(f"{MANIFEST} names no entity.")
    files = _files(manifest, form)
    return Package(
        folder=folder,
        form=form,
        entity=entity,
        digest=hashlib.sha256(data).hexdigest(),
        as_of=_as_of(manifest),
        files=files,
        manifest=manifest,
        size_bytes=sum(_size(folder / file.name) for file in files) + len(data),
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in one object twice")
    return found


def _as_of(manifest: dict[str, Any]) -> datetime | None:
    text = manifest.get("as_of", "")
    if not text:
        return None
    try:
        value = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise _bad_manifest(f'"as_of" of {MANIFEST} is not a moment with a time zone.', code="bad_date")
    return value


def _files(manifest: dict[str, Any], form: str) -> tuple[PackageFile, ...]:
    listed = manifest.get("files")
    if not isinstance(listed, list) or not listed or len(listed) > MAXIMUM_MEMBERS:
        raise _bad_manifest(f"{MANIFEST} lists no files, or more than {MAXIMUM_MEMBERS}.")
    files = [_file(item, form) for item in listed]
    for label, values in (("file", [f.name for f in files]), ("content", [f.content for f in files])):
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise _bad_manifest(f"{MANIFEST} lists the {label} {twice[0]} twice.", code="listed_twice")
    return tuple(files)


def _file(item: Any, form: str) -> PackageFile:
    if not isinstance(item, dict) or not {"name", "content", "rows", "sha256"} <= set(item) <= _FILE_KEYS:
        raise _bad_manifest(f"A file of {MANIFEST} has name, content, rows, sha256, and perhaps totals and delimiter.")
    name, content, rows, sha256 = item["name"], item["content"], item["rows"], item["sha256"]
    if not isinstance(name, str) or name == MANIFEST or not _is_plain_name(name):
        raise _bad_manifest(f"{str(name)[:MAXIMUM_NAME]!r} is not a plain name of a .csv or .jsonl file.", code="path")
    if not isinstance(content, str) or (form == TAKEOVER and content not in CONTENTS):
        raise _bad_manifest(
            f"{name} holds {content!r}, which is not one of: {', '.join(CONTENTS)}.", code="unknown_content"
        )
    if type(rows) is not int or rows < 0:
        raise _bad_manifest(f"The number of rows of {name} is not a whole number.")
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise _bad_manifest(f"The SHA-256 of {name} is not 64 hexadecimal digits.")
    delimiter = item.get("delimiter", "")
    if delimiter not in ("", *DELIMITERS):
        raise _bad_manifest(f"{name}: a delimiter is a comma or a semicolon.")
    return PackageFile(name, content, rows, sha256.lower(), _totals(name, item.get("totals", {})), delimiter)


def _totals(name: str, stated: Any) -> dict[str, Decimal]:
    if not isinstance(stated, dict):
        raise _bad_manifest(f"The control totals of {name} are not an object of currency and amount.")
    totals = {}
    for currency, amount in stated.items():
        try:
            value = Decimal(amount) if isinstance(amount, str) else None
        except InvalidOperation:
            value = None
        if value is None or not value.is_finite():
            raise _bad_manifest(f"The control total of {name} in {currency} is not a decimal in quotes.")
        totals[currency] = value
    return totals


def _bad_manifest(message: str, *, code: str = "bad_manifest") -> InvalidInput:
    return InvalidInput(message, code=code, field="package")


def check_bytes(package: Package, problems: Problems) -> list[PackageFile]:
    """The files that are there and can be read on; what is missing, altered or not listed becomes a problem."""
    readable = []
    if package.size_bytes > MAXIMUM_TOTAL_BYTES:
        raise InvalidInput(f"The package is larger than {MAXIMUM_TOTAL_BYTES} bytes.", code="too_large")
    listed = {file.name for file in package.files}
    for path in sorted(package.folder.iterdir()):
        if path.name not in listed and path.name != MANIFEST:
            problems.add(
                path.name,
                "not_listed",
                "The manifest does not list this file.",
                "List it, or take it out of the package.",
            )
    for file in package.files:
        path = package.path_of(file)
        if path.is_symlink() or not path.is_file():
            problems.add(
                file.name, "missing_file", "The file is not in the package.", "Put it in, or out of the manifest."
            )
            continue
        with path.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
        if found != file.sha256:
            problems.add(
                file.name,
                "digest_differs",
                "The bytes of the file are not those that the manifest states.",
                "Write the manifest after the last change of the file, and carry both over unchanged.",
                field="sha256",
                value=found,
            )
        readable.append(file)
    return readable


def free_space(folder: Path) -> int:
    """Bytes that are free where the folder lies."""
    return shutil.disk_usage(folder).free
