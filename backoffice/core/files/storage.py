"""The private folder: where files are kept when no S3 bucket is configured.

Every file is written beside its place, flushed to the disk and then given its name in one step, so that a name never
stands for half a file, whatever dies. Nobody but the owner of the process can read the folder, and no URL leads there.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage, storages

from backoffice.kernel.errors import NotFound

FILE_MODE = 0o600
FOLDER_MODE = 0o700
UNFINISHED_PREFIX = ".unfinished-"
STORE_ALIAS = "default"


class PrivateFolderStorage(FileSystemStorage):
    """Django's folder storage with private modes and writes that happen wholly or not at all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("file_permissions_mode", FILE_MODE)
        kwargs.setdefault("directory_permissions_mode", FOLDER_MODE)
        super().__init__(*args, **kwargs)

    def _save(self, name: str, content: File) -> str:
        """Writes, flushes, links. A name that was taken in the meantime is left alone; another one is found."""
        while True:
            path = Path(self.path(name))
            folder = path.parent
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            unfinished = folder / f"{UNFINISHED_PREFIX}{secrets.token_hex(8)}"
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            try:
                with os.fdopen(descriptor, "wb") as target:
                    for chunk in content.chunks():
                        target.write(chunk)
                    target.flush()
                    os.fsync(target.fileno())
                try:
                    os.link(unfinished, path)
                except FileExistsError:
                    name = self.get_available_name(name)
                    content.seek(0)
                    continue
                _flush_folder(folder)
                return str(name).replace("\\", "/")
            finally:
                unfinished.unlink(missing_ok=True)

    def url(self, name: str | None) -> str:
        """There is none, on purpose."""
        raise ValueError("Private files have no URL.")


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Something that lies in the store: its name, size and when it was last written."""

    name: str
    size: int
    modified: datetime


def store() -> Storage:
    """The storage that the settings name: the private folder, or an S3 bucket."""
    return storages[STORE_ALIAS]


def write_object(name: str, data: bytes) -> None:
    """Keeps the bytes under a name of ours. The same name again replaces what was there: it was the same bytes."""
    if store().exists(name):
        store().delete(name)
    store().save(name, ContentFile(data))


def read_object(name: str) -> bytes:
    """The bytes under a name. Raises NotFound when they are gone."""
    try:
        with store().open(name, "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise NotFound("The bytes of this file are not in the store.", code="file_missing") from None


def delete_object(name: str) -> None:
    """Forgets the bytes under a name; what is not there is no mistake."""
    store().delete(name)


def objects_below(folder: str) -> Iterator[StoredObject]:
    """Everything below a folder of the store, unfinished writes included."""
    found = store()
    bucket = getattr(found, "bucket", None)
    if bucket is not None:
        prefix = found._normalize_name(f"{folder}/")  # type: ignore[attr-defined]
        for item in bucket.objects.filter(Prefix=prefix):
            name = item.key[len(prefix) - len(f"{folder}/") :]
            yield StoredObject(name=name, size=item.size, modified=item.last_modified.astimezone(UTC))
        return
    root = Path(found.path(""))
    for path in sorted((root / folder).rglob("*")):
        try:
            state = path.stat()
        except FileNotFoundError:  # finished or deleted since the folder was listed
            continue
        if path.is_file():
            at = datetime.fromtimestamp(state.st_mtime, tz=UTC)
            yield StoredObject(name=path.relative_to(root).as_posix(), size=state.st_size, modified=at)
