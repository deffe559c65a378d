"""Checking that a file is a report that this house issued, unaltered."""

from __future__ import annotations

import hashlib

from backoffice.kernel.errors import NotFound
from backoffice.reports.models import IssuedReport, SigningKey
from backoffice.reports.signing import is_valid_signature, key_id_of
from backoffice.reports.types import Verification


def verify_file(*, data: bytes) -> Verification:
    """Looks the bytes up among the issued reports by their SHA-256 and checks the signature that was kept.

    An altered file is not found: its digest is another one.
    """
    digest = hashlib.sha256(data).hexdigest()
    issued = IssuedReport.objects.filter(sha256=digest).order_by("pk").first()
    if issued is None:
        message = "No report with exactly these bytes was issued here: the file was altered, or it is not ours."
        return Verification(False, digest, "", message)
    key = SigningKey.objects.filter(pk=issued.signing_key_id).first()
    if key is None:
        raise NotFound("The key that signed this report is not known any more.", key_id=issued.signing_key_id)
    valid = is_valid_signature(data=data, signature=bytes(issued.signature), public_key=bytes(key.public_key))
    message = (
        f"Issued {issued.issued_at:%Y-%m-%d %H:%M:%S} UTC by {issued.issued_by}; the signature is valid."
        if valid
        else "The digest is known, but the signature that was kept does not fit it."
    )
    return Verification(valid, digest, issued.signing_key_id, message, report=issued.file_name)


def verify_signature(*, data: bytes, signature: bytes, public_key: bytes) -> Verification:
    """Checks a detached signature with a public key, without any database."""
    valid = is_valid_signature(data=data, signature=signature, public_key=public_key)
    message = "The signature is valid for this file." if valid else "The signature does not fit this file."
    return Verification(valid, hashlib.sha256(data).hexdigest(), key_id_of(public_key), message)
