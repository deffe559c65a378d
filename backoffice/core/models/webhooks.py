"""What other systems are told: public events in one order, who wants them, and what became of each delivery."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from backoffice.core.history import keep_history
from backoffice.core.models.entities import LegalEntity
from backoffice.core.sealing.fields import EncryptedTextField
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class PublicEvent(models.Model):
    """Something that happened, as other systems read it. `id` is its place in the one order of all public events.

    Places are given under a lock that is held until commit: no event ever appears below one that could be read before,
    so whoever has read up to a place has missed nothing below it. `event_id` is that of the outbox event, and stays
    the same however often the event is delivered or replayed.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True, editable=False)
    topic = models.CharField(max_length=80)
    version = models.PositiveSmallIntegerField()
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="+")
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["created_at"], name="core_publicevent_made")]

    def __str__(self) -> str:
        return f"{self.topic} {self.event_id}"


@keep_history(exclude=["secret", "previous_secret", "failing_since", "resting_until", "last_success_at"])
class WebhookEndpoint(models.Model):
    """An address of another system that wants to be told of topics of one legal entity."""

    class State(models.TextChoices):
        ENABLED = "enabled", "Enabled"
        DISABLED = "disabled", "Disabled"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="webhook_endpoints")
    url = models.CharField(max_length=500)
    description = models.CharField(max_length=120, blank=True)
    topics = ArrayField(models.CharField(max_length=80))
    secret = EncryptedTextField(bound_to="public_id", editable=False)
    previous_secret = EncryptedTextField(
        bound_to="public_id", blank=True, editable=False, help_text="Signs as well until it ends."
    )
    previous_secret_until = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ENABLED)
    disabled_reason = models.CharField(max_length=200, blank=True)
    failing_since = models.DateTimeField(null=True, help_text="First of the failures since the last success.")
    resting_until = models.DateTimeField(null=True, help_text="After a failure nothing is sent before this time.")
    last_success_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(topics=[]), name="core_webhookendpoint_has_topics"),
            models.CheckConstraint(
                condition=Q(state="enabled", disabled_reason="") | (Q(state="disabled") & ~Q(disabled_reason="")),
                name="core_webhookendpoint_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint: pending until it is delivered, or dead after the bounded attempts."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        DELIVERED = "delivered", "Delivered"
        DEAD = "dead", "Dead"

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(PublicEvent, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=9, choices=State.choices, default=State.PENDING)
    attempts = models.IntegerField(default=0, help_text="Of the present round; a retry by hand starts a new one.")
    round = models.PositiveIntegerField(default=1)
    next_attempt_at = models.DateTimeField(null=True)
    last_attempt_at = models.DateTimeField(null=True)
    duration_ms = models.IntegerField(null=True)
    status_code = models.IntegerField(null=True)
    response_excerpt = models.TextField(blank=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="core_webhookdelivery_once"),
            models.CheckConstraint(
                condition=~Q(state="delivered") | Q(delivered_at__isnull=False), name="core_webhookdelivery_when"
            ),
        ]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="core_webhookdelivery_endpoint"),
            models.Index(fields=["event"], name="core_webhookdelivery_dead", condition=Q(state="dead")),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"
