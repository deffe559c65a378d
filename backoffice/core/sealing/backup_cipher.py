"""Seals a file of any size under a key, so that a backup may lie where others can read.

A sealed file is a header (8 bytes of name, 8 random bytes) and pieces of one megabyte, each with its own AES-256-GCM tag.
A piece is bound to its number and to whether it is the last one: pieces that are missing, added, changed or exchanged
are refused.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backoffice.kernel.errors import InvalidInput, Misconfigured

MAGIC = b"BOBACK01"
SALT_BYTES = 8
PIECE_BYTES = 1 << 20
TAG_BYTES = 16
KEY_BYTES = 32
MAXIMUM_PIECES = 1 << 31


def backup_key(text: str) -> bytes:
    """The key from its base64 text. Raises Misconfigured when it is not 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise Misconfigured("BACKOFFICE_BACKUP_KEY is not base64.") from error
    if len(key) != KEY_BYTES:
        raise Misconfigured("BACKOFFICE_BACKUP_KEY must be 32 bytes, in base64.")
    return key


def seal_file(source: Path, target: Path, key: bytes) -> None:
    """Writes *source* sealed to *target*."""
    salt = os.urandom(SALT_BYTES)
    cipher = AESGCM(key)
    with source.open("rb") as plain, target.open("wb") as sealed:
        sealed.write(MAGIC + salt)
        for number, piece, is_last in _pieces(plain, PIECE_BYTES):
            sealed.write(cipher.encrypt(_nonce(salt, number), piece, _bound(number, is_last)))


def open_file(source: Path, target: Path, key: bytes) -> None:
    """Writes the opened *source* to *target*. Raises InvalidInput when it was altered, cut, or sealed with another key."""
    cipher = AESGCM(key)
    with source.open("rb") as sealed, target.open("wb") as plain:
        head = sealed.read(len(MAGIC) + SALT_BYTES)
        if len(head) != len(MAGIC) + SALT_BYTES or not head.startswith(MAGIC):
            raise InvalidInput(f"{source.name} is no sealed backup.", field="file", value=source.name)
        salt = head[len(MAGIC) :]
        for number, piece, is_last in _pieces(sealed, PIECE_BYTES + TAG_BYTES):
            try:
                plain.write(cipher.decrypt(_nonce(salt, number), piece, _bound(number, is_last)))
            except InvalidTag as error:
                raise InvalidInput(
                    f"{source.name} was altered, or sealed with another key.", field="file", value=source.name
                ) from error


def _pieces(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """(number, piece, whether it is the last); an empty file has one empty piece."""
    piece = stream.read(size)
    for number in range(MAXIMUM_PIECES):
        following = stream.read(size)
        yield number, piece, not following
        if not following:
            return
        piece = following
    raise InvalidInput("The file is too large to seal.", field="file")


def _nonce(salt: bytes, number: int) -> bytes:
    return salt + number.to_bytes(4, "big")


def _bound(number: int, is_last: bool) -> bytes:
    return MAGIC + number.to_bytes(4, "big") + (b"L" if is_last else b"M")
