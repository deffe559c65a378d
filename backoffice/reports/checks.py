"""The reports' share of `verify_books`, and what a deployment must have set."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from backoffice.core.books import CheckOutcome
from backoffice.kernel.errors import DomainError
from backoffice.reports.models import IssuedReport, SigningKey
from backoffice.reports.selectors import issued_bytes
from backoffice.reports.signing import is_valid_signature

NEWEST_REPORTS_READ = 200


def issued_reports_intact() -> CheckOutcome:
    """The files of the newest reports have the digest they were issued with, and the signature fits the bytes."""
    keys = {key.pk: bytes(key.public_key) for key in SigningKey.objects.all()}
    contradictions: list[dict[str, Any]] = []
    for report in IssuedReport.objects.order_by("-id")[:NEWEST_REPORTS_READ]:
        problem = _problem(report, keys)
        if problem:
            contradictions.append({"report": report.pk, "file": report.file_name, "problem": problem})
    return CheckOutcome.of(contradictions)


def _problem(report: IssuedReport, keys: dict[str, bytes]) -> str:
    try:
        data = issued_bytes(report)
    except DomainError as error:
        return error.message
    key = keys.get(report.signing_key_id)
    if key is None:
        return f"The signing key {report.signing_key_id} is not known."
    if not is_valid_signature(data=data, signature=bytes(report.signature), public_key=key):
        return "The signature does not fit the bytes."
    return ""


@register(Tags.security, deploy=True)
def signing_key_is_set(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A deployment brings its own signing key; one made on the spot is for demonstrations."""
    if getattr(settings, "REPORT_SIGNING_KEY", ""):
        return []
    return [
        Error(
            "Reports would be signed with a key made on this machine.",
            hint="Set BACKOFFICE_SIGNING_KEY to the base64 of 32 random bytes, kept outside of this machine too.",
            id="reports.E001",
        )
    ]
