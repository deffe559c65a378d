"""Secrets at rest: AES-256-GCM under keys of their own, never derived from Django's SECRET_KEY.

A sealed text names its key, so that keys can be changed: new texts use the first key of settings.ENCRYPTION_KEYS,
old ones are opened with the key they name. The *purpose* (table and column) is bound into the seal, so that a text
copied from one column into another does not open there.
"""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from backoffice.kernel.errors import Misconfigured

KEY_BYTES = 32
NONCE_BYTES = 12
_VERSION = "v1"


def parse_keys(text: str) -> dict[str, bytes]:
    """Keys by id from `id:base64,id:base64`, the current one first. Raises Misconfigured for anything else."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not key_id.isalnum() or len(key) != KEY_BYTES or key_id in keys:
            raise Misconfigured(
                "An encryption key is written as id:base64 with 32 bytes and an id of its own.", key_id=key_id
            )
        keys[key_id] = key
    if not keys:
        raise Misconfigured("There is no encryption key.")
    return keys


def seal(text: str, *, purpose: str) -> str:
    """The text, encrypted with the current key, as `v1:key id:base64`."""
    key_id, key = next(iter(parse_keys(settings.ENCRYPTION_KEYS).items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), _bound(key_id, purpose))
    return f"{_VERSION}:{key_id}:{base64.b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, purpose: str) -> str:
    """The text that was sealed for this purpose. Raises Misconfigured if its key is gone or it was tampered with."""
    version, key_id, encoded = [*sealed.split(":", 2), "", ""][:3]
    key = parse_keys(settings.ENCRYPTION_KEYS).get(key_id)
    if version != _VERSION or key is None:
        raise Misconfigured("A stored secret names an encryption key that is not configured.", key_id=key_id)
    try:
        raw = base64.b64decode(encoded, validate=True)
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(key_id, purpose)).decode()
    except (InvalidTag, ValueError):
        raise Misconfigured("A stored secret was altered, or was sealed for another purpose.", key_id=key_id) from None


def current_key_id() -> str:
    """The id of the key with which new texts are sealed."""
    return next(iter(parse_keys(settings.ENCRYPTION_KEYS)))


def key_of(sealed: str) -> str:
    """The id of the key that a sealed text names; empty for what is no sealed text."""
    version, key_id, encoded = [*sealed.split(":", 2), "", ""][:3]
    return key_id if version == _VERSION and key_id and encoded else ""


def _bound(key_id: str, purpose: str) -> bytes:
    return f"{_VERSION}:{key_id}:{purpose}".encode()
