"""The signature of a webhook, by the Standard Webhooks scheme (version v1, HMAC-SHA256).

What is signed is `<id>.<timestamp>.<body>`; the header holds one signature for each valid secret, so that a receiver can
change to a new secret at any time while both are valid.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
SECRET_MARK = "whsec_"  # noqa: S105 - the mark, not a secret
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300


def new_secret() -> str:
    """256 random bits, as the scheme writes them."""
    return SECRET_MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature_of(*, secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC."""
    key = base64.b64decode(secret.removeprefix(SECRET_MARK))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def headers_of(*, secret_texts: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a delivery."""
    signatures = [
        signature_of(secret=secret, message_id=message_id, timestamp=timestamp, body=body) for secret in secret_texts
    ]
    return {ID_HEADER: message_id, TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: " ".join(signatures)}


def is_valid(*, secret: str, message_id: str, timestamp: str, signatures: str, body: bytes, now: int) -> bool:
    """What a receiver does: the time is near, and one of the signatures is right. Ours uses it in tests and examples."""
    if not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    wanted = signature_of(secret=secret, message_id=message_id, timestamp=int(timestamp), body=body)
    return any(hmac.compare_digest(given, wanted) for given in signatures.split(" "))
