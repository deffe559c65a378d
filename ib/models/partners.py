"""Partners, the dated tree they form, and the dated referral of clients to them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import Brand, LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


@keep_history()
class Partner(models.Model):
    """An introducing broker. Three ledger accounts belong to it: accrued, payable and wallet."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=20, unique=True, help_text="Number shown to people, such as IB-0007.")
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="partners")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="partners")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="partner"
    )
    name = models.CharField(max_length=160)
    email = models.EmailField(blank=True)
    country = models.CharField(max_length=2, blank=True)
    currency = CurrencyField(help_text="Currency in which commissions are booked and paid.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["reference"]

    def __str__(self) -> str:
        return f"{self.reference} {self.name}"


@keep_history()
class PartnerEdge(models.Model):
    """Who stands directly above a partner, and when. A partner has at most one parent at a time, never itself or a descendant."""

    child = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="parent_edges")
    parent = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="child_edges")
    validity = DateTimeRangeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["child", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_edge_no_overlap",
                expressions=[("child", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=~Q(child=F("parent")), name="ib_edge_not_own_parent"),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_edge_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.child_id} under {self.parent_id}"


@keep_history(per_statement=True)
class ClientReferral(models.Model):
    """Which partner introduced a client, and when that counts."""

    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, related_name="referrals")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="referrals")
    validity = DateTimeRangeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["client", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_referral_no_overlap",
                expressions=[("client", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_referral_not_empty"),
        ]

    def __str__(self) -> str:
        return f"client {self.client_id} by {self.partner_id}"
