"""Where statement files are kept: the private storage, named by what is in them, never by what somebody called them."""

from __future__ import annotations

import hashlib
from pathlib import PurePath

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

_KNOWN_ENDINGS = frozenset({".htm", ".html", ".xlsx", ".csv"})
MAX_NAME_LENGTH = 255


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal: what a file is known by."""
    return hashlib.sha256(data).hexdigest()


def clean_name(file_name: str) -> str:
    """The last part of a file's name, as it may be shown."""
    name = PurePath(file_name.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[-MAX_NAME_LENGTH:] or "file"


def keep_file(*, folder: str, server_code: str, file_name: str, data: bytes) -> str:
    """Keeps the bytes and returns their path. The same bytes have the same path; a copy that was cut short is replaced."""
    ending = PurePath(file_name).suffix.lower()
    path = f"{folder}/{server_code}/{digest_of(data)}{ending if ending in _KNOWN_ENDINGS else '.bin'}"
    if default_storage.exists(path):
        if default_storage.size(path) == len(data):
            return path
        default_storage.delete(path)
    return default_storage.save(path, ContentFile(data))


def read_file(path: str) -> bytes:
    """The bytes that `keep_file` kept."""
    with default_storage.open(path, "rb") as file:
        return bytes(file.read())
