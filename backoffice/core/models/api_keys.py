"""Keys with which other systems call the API."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from backoffice.core.history import keep_history
from backoffice.core.models.entities import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


@keep_history(exclude=["secret_hash", "last_used_at", "last_used_address"])
class ApiKey(models.Model):
    """A key that acts as its owner, within its own bounds: scopes, legal entities, addresses, an end.

    The secret is shown once and kept only as its SHA-256: it is 256 random bits, which nobody finds by trying, so a
    slow password hash would cost every request and add nothing. `prefix` finds the row and is no secret.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(max_length=80, help_text="What uses the key, such as: reconciliation at the bank.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_hash = models.BinaryField(max_length=32, editable=False)
    scopes = ArrayField(models.CharField(max_length=80), help_text="Capabilities that the key may use, at most.")
    entities = models.ManyToManyField(
        LegalEntity, blank=True, related_name="+", help_text="Only these legal entities of the owner's; none: all."
    )
    addresses = ArrayField(
        models.CharField(max_length=43), default=list, blank=True, help_text="Networks it may call from; none: any."
    )
    expires_at = models.DateTimeField()
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    revoked_reason = models.CharField(max_length=200, blank=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(condition=~Q(scopes=[]), name="core_apikey_has_scopes"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="core_apikey_ends_later"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > clock.now() else "expired"
