"""Messages to people: their templates, the messages themselves, and who does not want which."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q

from backoffice.core.models.entities import Brand, LegalEntity
from backoffice.core.sealing.fields import BlindIndexField, EncryptedTextField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class MessageCategory(models.TextChoices):
    """Why somebody is written to; it decides which refusals count."""

    SECURITY = "security", "Security"
    SERVICE = "service", "Service"
    MARKETING = "marketing", "Marketing"


class MessageTemplateVersion(models.Model):
    """The text of a template for a brand and a language; without a brand or a language, for any.

    A draft is written over; a published version never changes (a trigger refuses), so what was sent can be told.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    code = models.CharField(max_length=60)
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    language = models.CharField(max_length=10, blank=True)
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    subject = models.CharField(max_length=200)
    mjml = models.TextField()
    note = models.CharField(max_length=200, blank=True)
    written_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    written_at = models.DateTimeField(default=clock.now)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    published_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["code", "brand", "language", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "brand", "language", "number"],
                name="core_messagetemplate_number_unique",
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                fields=["code", "brand", "language"],
                condition=Q(state="draft"),
                name="core_messagetemplate_one_draft",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(state="draft", published_at__isnull=True)
                | Q(state="published", published_at__isnull=False),
                name="core_messagetemplate_published_at",
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="published_stays",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Q(old__state="published"),
            )
        ]

    def __str__(self) -> str:
        where = " ".join(filter(None, [self.brand.code if self.brand else "", self.language])) or "any"
        return f"{self.code} ({where}) {self.number}"


class Message(models.Model):
    """One message to one address, from being queued to its end.

    Address and variables are sealed: they hold names, links and codes. The variables of a security message are
    erased when it was sent, because they open doors.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        SUPPRESSED = "suppressed", "Not wanted"
        BOUNCED = "bounced", "Came back"

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    template = models.CharField(max_length=60)
    version = models.ForeignKey(
        MessageTemplateVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    category = models.CharField(max_length=10, choices=MessageCategory.choices)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    language = models.CharField(max_length=10, default="en")
    channel = models.CharField(max_length=10, default="email")
    address = EncryptedTextField()
    address_index = BlindIndexField(source="address", normalise="email")
    variables = EncryptedTextField(blank=True)
    recipient_type = models.CharField(max_length=80, blank=True)
    recipient_id = models.BigIntegerField(null=True, blank=True)
    dedupe_key = models.CharField(max_length=200, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    rounds = models.PositiveIntegerField(default=1)
    lease_owner = models.CharField(max_length=120, blank=True)
    handed_over_at = models.DateTimeField(null=True, blank=True)
    held_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    provider_id = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "sending", "sent", "failed", "suppressed", "bounced"]),
                name="core_message_state_known",
            ),
            models.CheckConstraint(
                condition=Q(category__in=["security", "service", "marketing"]), name="core_message_category_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "sending"], finished_at__isnull=True)
                | Q(state__in=["sent", "failed", "suppressed", "bounced"], finished_at__isnull=False),
                name="core_message_end_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["recipient_type", "recipient_id", "-id"], name="core_message_recipient"),
            models.Index(fields=["entity", "-id"], name="core_message_entity"),
            models.Index(fields=["held_at", "id"], name="core_message_held", condition=Q(held_at__isnull=False)),
            models.Index(fields=["id"], name="core_message_open", condition=Q(state__in=["queued", "sending"])),
            models.Index(fields=["provider_id"], name="core_message_provider", condition=~Q(provider_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.template} {self.public_id}"


class Suppression(models.Model):
    """That an address of an entity's is not to be written to, or may be again; the last entry of a scope counts.

    Appended only. The one column that may be rewritten is the sealed address, when the encryption key changes.
    """

    class Scope(models.TextChoices):
        MARKETING = "marketing", "Marketing"
        ALL = "all", "Every message"

    class Source(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
        BOUNCED = "bounced", "Address does not work"
        COMPLAINED = "complained", "Complaint"
        STAFF = "staff", "Entered by staff"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="+")
    address = EncryptedTextField()
    address_index = BlindIndexField(source="address", normalise="email")
    scope = models.CharField(max_length=10, choices=Scope.choices)
    is_lifted = models.BooleanField(default=False)
    source = models.CharField(max_length=12, choices=Source.choices)
    reason = models.CharField(max_length=300)
    actor = models.CharField(max_length=200)
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        triggers = [
            pgtrigger.ReadOnly(name="only_the_seal_changes", exclude=["address", "address_index"]),
            pgtrigger.Protect(name="never_forgotten", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()}: {'lifted' if self.is_lifted else 'suppressed'}"


class Consent(models.Model):
    """That a person agreed to be written to in a category over a channel, or took it back; the last entry counts."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="+")
    recipient_type = models.CharField(max_length=80)
    recipient_id = models.BigIntegerField()
    category = models.CharField(max_length=10, choices=MessageCategory.choices)
    channel = models.CharField(max_length=10, default="email")
    is_given = models.BooleanField()
    evidence = models.CharField(max_length=300)
    actor = models.CharField(max_length=200)
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["recipient_type", "recipient_id", "category", "channel", "-id"], name="core_consent_person"
            )
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.get_category_display()} by {self.channel}: {'given' if self.is_given else 'withdrawn'}"
