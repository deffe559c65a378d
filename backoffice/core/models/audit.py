"""The audit trail: what was done, by whom and why, sealed afterwards into a hash chain."""

from __future__ import annotations

import pgtrigger
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from backoffice.core.fields import CurrentTransactionId, TransactionIdField
from backoffice.core.models.entities import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock


class AuditRecord(models.Model):
    """One privileged act. Appended freely, never changed (a trigger refuses), sealed by the sealer.

    `xid` is the transaction that wrote the record, set by a trigger so that nobody can choose it. The sealer orders
    by it, because ids do not commit in their own order: a record with a lower id may appear after one with a higher.
    """

    id = models.BigAutoField(primary_key=True)
    xid = TransactionIdField(db_default=CurrentTransactionId(), editable=False)
    at = models.DateTimeField(default=clock.now, editable=False)
    actor = models.CharField(max_length=200)
    user_id = models.BigIntegerField(null=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, db_constraint=False)
    action = models.CharField(max_length=80)
    object_type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    changes = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    trace_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="core_audit_object"),
            models.Index(fields=["user_id", "at"], name="core_audit_user"),
            models.Index(fields=["xid"], name="core_audit_xid"),
        ]
        triggers = [
            never_changes(),
            pgtrigger.Trigger(
                name="own_transaction",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func="NEW.xid = pg_current_xact_id(); RETURN NEW;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class AuditSeal(models.Model):
    """A link of the chain over every record whose transaction lies in `first_xid <= xid < end_xid`.

    `manifest` holds, for each record in the order of ids, 8 bytes of id and 32 bytes of SHA-256 of its columns, so
    that a changed record is named and not only missed. `digest` is the SHA-256 of the previous digest, the seal's
    own bounds and the manifest. Seals adjoin: each starts at the `end_xid` of the one before.
    """

    number = models.BigIntegerField(primary_key=True)
    first_xid = TransactionIdField()
    end_xid = TransactionIdField()
    record_count = models.IntegerField()
    manifest = models.BinaryField()
    previous_digest = models.BinaryField()
    digest = models.BinaryField()
    sealed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(first_xid__lt=models.F("end_xid")), name="core_auditseal_covers_something"
            )
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"seal {self.number}"
