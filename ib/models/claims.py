"""Who says to have brought a client, with what evidence, and what was decided where two say so."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class ClaimantType(models.TextChoices):
    """Who may claim a client."""

    PARTNER = "partner", "Partner"
    CAMPAIGN = "campaign", "Campaign"


@keep_history()
class ClientClaim(models.Model):
    """Somebody says to have brought a client. Of a client at most one claim stands; only a partner's is a referral."""

    class State(models.TextChoices):
        STANDING = "standing", "Stands"
        CONTESTED = "contested", "To be decided"
        LOST = "lost", "Does not stand"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, related_name="+", db_index=False)
    claimed_by_type = models.CharField(max_length=8, choices=ClaimantType.choices)
    claimed_by_id = models.PositiveBigIntegerField()
    claimant = models.CharField(max_length=200, help_text="The claimant's name as it was.")
    state = models.CharField(max_length=9, choices=State.choices)
    evidence = models.JSONField(encoder=DjangoJSONEncoder)
    at = models.DateTimeField(help_text="From when on they say to have the client.")
    made_at = models.DateTimeField(default=clock.now, editable=False)
    made_by = models.CharField(max_length=200)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["client", "id"]
        constraints = [
            models.UniqueConstraint(fields=["client"], condition=Q(state="standing"), name="ib_claim_one_stands"),
            models.UniqueConstraint(
                fields=["client", "claimed_by_type", "claimed_by_id"], name="ib_claim_once_by_claimant"
            ),
        ]
        indexes = [models.Index(fields=["claimed_by_type", "claimed_by_id"], name="ib_claim_claimant")]

    def __str__(self) -> str:
        return f"{self.claimant} claims client {self.client_id}"


@keep_history()
class ClaimConflict(models.Model):
    """Two or more claim one client: what the rule proposes, and what a manager decided, from which moment."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, related_name="+", db_index=False)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    proposed = models.ForeignKey(ClientClaim, on_delete=models.PROTECT, null=True, related_name="+")
    proposed_because = models.CharField(max_length=300)
    winner = models.ForeignKey(ClientClaim, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    valid_from = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["decided_at", "-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["client"], condition=Q(decided_at__isnull=True), name="ib_conflict_one_open"
            ),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=True, winner__isnull=True, valid_from__isnull=True)
                | Q(decided_at__isnull=False, winner__isnull=False, valid_from__isnull=False) & ~Q(reason=""),
                name="ib_conflict_decided_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client.reference}, opened {self.opened_at:%Y-%m-%d}"
