"""The handshake's arithmetic: each side proves that it knows the manager's password without sending it. Pure.

An answer to a random challenge is `md5(md5(md5(utf-16le(password)) + "WebAPI") + challenge)`, all of it over raw bytes.
The server challenges us, and we challenge the server: a peer that cannot answer is not the server.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

CHALLENGE_BYTES = 16
_WORD = b"WebAPI"
_HEX = re.compile(r"[0-9A-Fa-f]{32}")


def new_challenge() -> bytes:
    """Sixteen random bytes."""
    return secrets.token_bytes(CHALLENGE_BYTES)


def parse_challenge(text: str) -> bytes:
    """The bytes of a challenge or of an answer to one. Raises ValueError unless it is 32 hexadecimal digits."""
    if _HEX.fullmatch(text) is None:
        raise ValueError("it is not 32 hexadecimal digits")
    return bytes.fromhex(text)


def answer_challenge(*, password: str, challenge: bytes) -> str:
    """The answer to a challenge, as hexadecimal digits."""
    return _md5(_md5(_md5(password.encode("utf-16-le")) + _WORD) + challenge).hex()


def is_answer(text: str, *, password: str, challenge: bytes) -> bool:
    """Whether *text* answers our challenge, compared in constant time."""
    try:
        given = parse_challenge(text)
    except ValueError:
        return False
    return hmac.compare_digest(given, bytes.fromhex(answer_challenge(password=password, challenge=challenge)))


def _md5(data: bytes) -> bytes:
    # The protocol names MD5; nothing of ours rests on it.
    return hashlib.md5(data, usedforsecurity=False).digest()
