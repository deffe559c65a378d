"""Files that people gave us: what they are, who may see them, and whether they were found harmless."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from backoffice.core.models.entities import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class StoredFile(models.Model):
    """A file in the private storage, known by a number of ours and by what is in it.

    The name that somebody gave it is data to show, never a path. A file waits in quarantine until its content was
    checked; only a clean one is ever handed out. Erasing takes the bytes and leaves the row.
    """

    class State(models.TextChoices):
        QUARANTINED = "quarantined", "Waiting for its check"
        CLEAN = "clean", "Checked"
        REFUSED = "refused", "Refused"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    purpose = models.CharField(max_length=60)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    owner_type = models.CharField(max_length=80, blank=True)
    owner_id = models.BigIntegerField(null=True, blank=True)
    original_name = models.CharField(max_length=255)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUARANTINED)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    # What was given, and what is kept of it: a picture is written anew, so the two differ.
    given_sha256 = models.CharField(max_length=64)
    given_size = models.BigIntegerField()
    content_type = models.CharField(max_length=100, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    width = models.IntegerField(null=True, blank=True)
    height = models.IntegerField(null=True, blank=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True)
    keep_until = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["quarantined", "clean", "refused"]), name="core_storedfile_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="clean")
                | (Q(size_bytes__isnull=False, checked_at__isnull=False) & ~Q(content_type="") & ~Q(sha256="")),
                name="core_storedfile_clean_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="refused") | (~Q(reason_code="") & Q(checked_at__isnull=False)),
                name="core_storedfile_refused_says_why",
            ),
            models.CheckConstraint(
                condition=Q(owner_type="", owner_id__isnull=True) | (~Q(owner_type="") & Q(owner_id__isnull=False)),
                name="core_storedfile_owner_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["owner_type", "owner_id", "-id"], name="core_storedfile_owner"),
            models.Index(fields=["id"], name="core_storedfile_waiting", condition=Q(state="quarantined")),
            models.Index(fields=["keep_until"], name="core_storedfile_retention", condition=Q(erased_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.original_name} ({self.get_state_display().lower()})"
