"""Clients and what is known of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from guardian.models import UserObjectPermissionBase

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.core.models import Brand, LegalEntity, Team
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


# The registration form, imports and segment jobs change many clients at a time.
@keep_history(per_statement=True)
class Client(models.Model):
    """A person (or company) from the first contact on; the stage tells how far they have come."""

    class Stage(models.TextChoices):
        LEAD = "lead", "Lead"
        REGISTERED = "registered", "Registered"
        VERIFIED = "verified", "Verified"
        FUNDED = "funded", "Funded"
        ACTIVE = "active", "Active"
        DORMANT = "dormant", "Dormant"
        CLOSED = "closed", "Closed"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=20, unique=True, help_text="Number shown to people, such as C-000123.")
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="clients")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="clients")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="client"
    )
    full_name = models.CharField(max_length=160)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)
    country = models.CharField(max_length=2, blank=True)
    language = models.CharField(max_length=10, default="en")
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.LEAD)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="clients")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="owned_clients",
    )
    registered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["reference"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    stage__in=["lead", "registered", "verified", "funded", "active", "dormant", "closed"]
                ),
                name="crm_client_stage_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.full_name}"


class ClientUserObjectPermission(UserObjectPermissionBase):
    """A named exception: this person may see this client, whatever their team (a direct-FK table, quick to join)."""

    content_object = models.ForeignKey(Client, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"{self.user} may {self.permission.codename} {self.content_object}"


class ClientFact(models.Model):
    """What a desk knows of a client, written down for the Client 360 and for segments; one row per fact."""

    client = models.ForeignKey(Client, on_delete=models.CASCADE, related_name="facts")
    fact = models.CharField(max_length=60)
    value = models.JSONField()
    as_of = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["client", "fact"]
        constraints = [models.UniqueConstraint(fields=["client", "fact"], name="crm_clientfact_unique")]

    def __str__(self) -> str:
        return f"{self.client_id} {self.fact}"
