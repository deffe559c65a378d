"""The audit trail: what was done, by whom and why, sealed afterwards into a hash chain."""

from __future__ import annotations

from django.db import models

from backoffice.core.models.entities import LegalEntity
from backoffice.kernel import clock


class AuditRecord(models.Model):
    """One privileged act. Appended freely, never changed (a trigger refuses), sealed by the sealer."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=clock.now, editable=False)
    actor = models.CharField(max_length=200)
    user_id = models.BigIntegerField(null=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, db_constraint=False)
    action = models.CharField(max_length=80)
    object_type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    changes = models.JSONField(default=dict)
    trace_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="core_audit_object"),
            models.Index(fields=["user_id", "at"], name="core_audit_user"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class AuditSeal(models.Model):
    """A link of the chain: digest = SHA-256 of the previous digest and the digest of the records it covers.

    A seal covers every record with `first_record_id <= id <= last_record_id`; `record_count` tells a removed one.
    """

    number = models.BigIntegerField(primary_key=True)
    first_record_id = models.BigIntegerField()
    last_record_id = models.BigIntegerField()
    record_count = models.IntegerField()
    previous_digest = models.BinaryField()
    digest = models.BinaryField()
    sealed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"seal {self.number}"
