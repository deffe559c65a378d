"""The challenge and response by which server and manager prove to each other that both know the password.

Each side sends sixteen random bytes and gets back the digest of the password's digest with them; the password itself
never travels. MD5 is what the protocol demands, not a choice.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

RANDOM_BYTES = 16
_WORD = b"WebAPI"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def new_challenge() -> str:
    """Sixteen random bytes in hex."""
    return secrets.token_hex(RANDOM_BYTES)


def response_to(challenge: str, password: str) -> str:
    """What somebody who knows *password* answers to *challenge*. Raises ValueError when it is not hex."""
    digest = _md5(_md5(password.encode("utf-16-le")) + _WORD)
    return _md5(digest + bytes.fromhex(challenge)).hex()


def is_right(response: str, challenge: str, password: str) -> bool:
    """Whether *response* proves the password."""
    return hmac.compare_digest(response.lower(), response_to(challenge, password))
