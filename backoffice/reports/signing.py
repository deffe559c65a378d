"""The key that signs issued reports (Ed25519), and the checking of signatures.

The key comes from BACKOFFICE_SIGNING_KEY (base64 of its 32-byte seed). Without it one is made once and kept in the private
files, readable by their owner only: good for a demo, refused by `check --deploy`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage

from backoffice.kernel.errors import InvalidInput, Misconfigured

SEED_BYTES = 32
KEY_ID_LENGTH = 16
KEY_FILE = "signing/report-signing.key"


@dataclass(frozen=True, slots=True)
class Signer:
    """The private key with its public half and id."""

    private_key: Ed25519PrivateKey
    public_key: bytes
    key_id: str

    def sign(self, data: bytes) -> bytes:
        """The detached signature: 64 bytes."""
        return self.private_key.sign(data)


def current_signer() -> Signer:
    """The key of this installation. Raises `Misconfigured` when it cannot be read."""
    private_key = Ed25519PrivateKey.from_private_bytes(_seed_from_settings() or _seed_from_file())
    public_key = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signer(private_key, public_key, key_id_of(public_key))


def key_id_of(public_key: bytes) -> str:
    """First 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(public_key).hexdigest()[:KEY_ID_LENGTH]


def is_valid_signature(*, data: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the signature is that of the data by the key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def public_key_pem(public_key: bytes) -> str:
    """The public key as PEM, as openssl reads it."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key_from_pem(pem: bytes) -> bytes:
    """The raw public key of a PEM. Raises `InvalidInput` for anything but an Ed25519 public key."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidInput("This is no public key in PEM.", field="public_key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("The public key is not an Ed25519 key.", field="public_key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _seed_from_settings() -> bytes | None:
    text = str(getattr(settings, "REPORT_SIGNING_KEY", ""))
    if not text:
        return None
    try:
        seed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Misconfigured("BACKOFFICE_SIGNING_KEY is not base64.") from error
    if len(seed) != SEED_BYTES:
        raise Misconfigured(f"BACKOFFICE_SIGNING_KEY must be base64 of {SEED_BYTES} bytes, not of {len(seed)}.")
    return seed


def _seed_from_file() -> bytes:
    """The seed in the private files, made at the first call; two processes that both make one agree on the first."""
    if not isinstance(default_storage, FileSystemStorage) and not hasattr(default_storage, "location"):
        raise Misconfigured(
            "Set BACKOFFICE_SIGNING_KEY: without private files on this machine there is no place for a key."
        )
    path = Path(default_storage.path(KEY_FILE))
    if not path.exists():
        _make_key_file(path)
    seed = path.read_bytes()
    if len(seed) != SEED_BYTES:
        raise Misconfigured(f"The key file {path} is damaged: {len(seed)} bytes instead of {SEED_BYTES}.")
    return seed


def _make_key_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it readable by the owner only; the link appears whole or not at all.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SEED_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
