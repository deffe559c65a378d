"""Packages that were given, and which of the back office's rows stands for which external number."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class MigrationPackage(models.Model):
    """A package, from the moment it was given: refused, checked by a dry run, confirmed by a second person, applied.

    A package of a whole broker has no entity: it is applied by command into an empty database only.
    """

    class Form(models.TextChoices):
        TAKEOVER = "takeover", "Take-over"
        BROKER = "broker", "Whole broker"

    class State(models.TextChoices):
        GIVEN = "given", "Being checked"
        REFUSED = "refused", "Refused"
        CHECKED = "checked", "Checked"
        QUEUED = "queued", "Queued"
        APPLIED = "applied", "Applied"
        FAILED = "failed", "Failed"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="migration_packages")
    form = models.CharField(max_length=8, choices=Form.choices)
    file_name = models.CharField(max_length=255)
    stored_path = models.CharField(max_length=255, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the manifest, which holds those of the files.")
    state = models.CharField(max_length=8, choices=State.choices)
    report = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    rows = models.IntegerField(default=0)
    problems = models.IntegerField(default=0)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: a command."
    )
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    attempt = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    checked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_by__isnull=True) | ~Q(confirmed_by=F("given_by")),
                name="migration_package_four_eyes",
            ),
            models.CheckConstraint(
                condition=Q(form="broker") | Q(entity__isnull=False) | Q(state="refused"),
                name="migration_package_has_entity",
            ),
            models.UniqueConstraint(
                fields=["entity", "digest"],
                name="migration_package_applied_once",
                condition=Q(state__in=["queued", "applied"], form="takeover"),
            ),
        ]

    def __str__(self) -> str:
        return self.file_name


class MigrationKey(models.Model):
    """That a thing of a file (its content and external id) is this row of the back office. Written once."""

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    content = models.CharField(max_length=24)
    external_id = models.CharField(max_length=200)
    object_id = models.BigIntegerField()
    facts = models.JSONField(default=dict, help_text="What a repeat must say again: amount and day of an opening.")
    package = models.ForeignKey(MigrationPackage, on_delete=models.PROTECT, related_name="keys")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "content", "external_id"], name="migration_key_unique"),
        ]
        indexes = [models.Index(fields=["content", "object_id"], name="migration_key_object")]

    def __str__(self) -> str:
        return f"{self.content} {self.external_id}"
