"""Doing a thing exactly once: idempotency records for what comes in, the outbox for what goes out."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class IdempotencyRecord(models.Model):
    """The outcome of a request that carried a key; the same key with other input is refused."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=200)
    request_hash = models.BinaryField(max_length=32)
    executed = models.BooleanField(default=False)
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="core_idempotency_key_unique")]
        indexes = [models.Index(fields=["created_at"], name="core_idempotency_made")]

    def __str__(self) -> str:
        return f"{self.scope}:{self.key}"


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction that made it happen and delivered afterwards.

    Each subscriber handles it in a transaction of its own, in which its name joins `handled_by`; so what it writes
    to the database happens once. Events with the same `shard_key` are handled in their order. After the bounded
    number of attempts the event is dead (`dead_at`) and stays visible until somebody retries it.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    topic = models.CharField(max_length=80)
    shard_key = models.CharField(max_length=80, blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    run_after = models.DateTimeField(default=clock.now)
    attempts = models.IntegerField(default=0)
    handled_by = ArrayField(models.CharField(max_length=80), default=list, blank=True)
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
            ),
            models.Index(
                fields=["shard_key", "id"],
                name="core_outbox_shard",
                condition=models.Q(delivered_at__isnull=True, dead_at__isnull=True) & ~models.Q(shard_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.public_id}"
