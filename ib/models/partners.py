"""Partners, the dated tree they form, and the dated referral of clients to them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import Brand, LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


@keep_history()
class Partner(models.Model):
    """An introducing broker. Three ledger accounts belong to it: accrued, payable and wallet.

    A client who gets a rebate is one of kind trader: a node below the introducer that counts as no level. `client` is the
    client that the partner is; trades of its accounts are the partner's own.
    """

    class Kind(models.TextChoices):
        REBATE = "rebate", "Introducing broker"
        CUSTOMER_SERVICE = "customer_service", "Customer service"
        SIGNAL = "signal", "Signal provider"
        SOCIAL_MEDIA = "social_media", "Social media"
        AFFILIATE = "affiliate", "Affiliate"
        MASTER = "master", "Master"
        WHITE_LABEL = "white_label", "White label"
        TRADER = "trader", "Client with a rebate"

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
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.REBATE)
    client = models.ForeignKey(
        "crm.Client",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The client they are.",
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["reference"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind="trader") | Q(client__isnull=False), name="ib_partner_trader_is_a_client"
            )
        ]

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


@keep_history()
class PartnerRank(models.Model):
    """Which rank a partner holds, and when; given by a rule for ranks or by hand, then with a reason."""

    class Source(models.TextChoices):
        AUTOMATIC = "automatic", "By the rules of the plan"
        MANUAL = "manual", "By hand"

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="ranks")
    rank = models.SlugField(max_length=40, db_index=False, help_text="Code of the rank in the partner's plan.")
    validity = DateTimeRangeField()
    source = models.CharField(max_length=9, choices=Source.choices)
    reason = models.CharField(max_length=300, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_partnerrank_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_partnerrank_not_empty"),
            models.CheckConstraint(
                condition=Q(source="automatic") | ~Q(reason=""), name="ib_partnerrank_by_hand_with_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner_id} is {self.rank}"


@keep_history()
class NegotiatedRate(models.Model):
    """What a partner (or a client with a rebate) gets instead of the plan's rate, out of the rate of the partner above.

    Either an amount or percent in the basis of the rule above, or a part of that rate. More than the rate of the partner
    above is never paid, whatever stands here.
    """

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="negotiated_rates")
    component = models.SlugField(max_length=40, default="main")
    rate = AmountField(null=True, blank=True)
    allocation_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)
    set_by = models.ForeignKey(
        Partner, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: the desk."
    )
    validity = DateTimeRangeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "component", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_negotiatedrate_no_overlap",
                expressions=[
                    ("partner", RangeOperators.EQUAL),
                    ("component", RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_negotiatedrate_not_empty"),
            models.CheckConstraint(
                condition=Q(rate__isnull=False, rate__gte=0, allocation_percent__isnull=True)
                | Q(rate__isnull=True, allocation_percent__gte=0, allocation_percent__lte=100),
                name="ib_negotiatedrate_one_of_both",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner_id} on {self.component}"
