"""Doing a thing exactly once: idempotency records for what comes in, the outbox for what goes out."""

from __future__ import annotations

from django.db import models

from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class IdempotencyRecord(models.Model):
    """The outcome of a request that carried a key; the same key with other input is refused."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=200)
    request_hash = models.BinaryField(max_length=32)
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="core_idempotency_key_unique")]

    def __str__(self) -> str:
        return f"{self.scope}:{self.key}"


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction that made it happen and delivered afterwards.

    Delivery is at least once per subscriber; handlers are idempotent by `public_id`. After the bounded number of
    attempts the event is dead (`dead_at`) and stays visible until somebody retries it.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    topic = models.CharField(max_length=80)
    shard_key = models.CharField(max_length=80, blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    run_after = models.DateTimeField(default=clock.now)
    attempts = models.IntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    dead_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["run_after", "id"],
                name="core_outbox_due",
                condition=models.Q(delivered_at__isnull=True, dead_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.public_id}"
