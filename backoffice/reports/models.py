"""Issued reports: the bytes that left the house, with their digest and signature; and the schedules that issue them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from backoffice.core.access import ScopedQuerySet
from backoffice.core.models import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class SigningKey(models.Model):
    """The public half of a key that signed reports. Kept for ever, so that old reports can be checked after a change of key."""

    key_id = models.CharField(max_length=16, primary_key=True, help_text="First 16 hex digits of the key's SHA-256.")
    public_key = models.BinaryField(max_length=32, help_text="Raw Ed25519 public key.")
    first_used_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-first_used_at"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return self.key_id


class IssuedReport(models.Model):
    """A report as it was issued. The row never changes; a re-run is a new row, compared by `rows_digest`."""

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        PDF = "pdf", "PDF"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    document_number = models.CharField(
        max_length=60, blank=True, help_text="Its number among the entity's reports, gapless by year."
    )
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="issued_reports")
    definition = models.CharField(max_length=60)
    as_of = models.DateField(help_text="Business day that the report is about.")
    recorded_until = models.DateTimeField(help_text="What was recorded later is not in it.")
    format = models.CharField(max_length=4, choices=Format.choices)
    stored_path = models.CharField(max_length=255)
    file_name = models.CharField(max_length=160)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    signature = models.BinaryField(help_text="Detached Ed25519 signature of the bytes.")
    signing_key_id = models.CharField(max_length=32)
    row_count = models.IntegerField()
    rows_digest = models.CharField(max_length=64)
    issued_at = models.DateTimeField(default=clock.now, editable=False)
    issued_by = models.CharField(max_length=200)
    issued_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "document_number"],
                name="reports_issued_number_unique",
                condition=~models.Q(document_number=""),
            )
        ]
        indexes = [
            models.Index(fields=["definition", "as_of"], name="reports_issued_day"),
            models.Index(fields=["sha256"], name="reports_issued_sha256"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return self.file_name


class ReportSchedule(models.Model):
    """Issue a report in a format after each business day of an entity."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="report_schedules")
    definition = models.CharField(max_length=60)
    format = models.CharField(max_length=4, choices=IssuedReport.Format.choices)
    is_enabled = models.BooleanField(default=True)
    last_business_day = models.DateField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "definition", "format"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "definition", "format"], name="reports_schedule_unique")
        ]

    def __str__(self) -> str:
        return f"{self.definition} {self.format} for {self.entity}"
