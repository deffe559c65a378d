"""What partners agreed to, and their tax data."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.core.models import TermsVersion
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.applications import PartnerApplication
from ib.models.partners import Partner


class TermsAcceptance(models.Model):
    """Somebody agreed to a published version of the partner agreement: when, from where, to which very text. For good."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    terms = models.ForeignKey(TermsVersion, on_delete=models.PROTECT, related_name="+")
    application = models.ForeignKey(PartnerApplication, on_delete=models.PROTECT, null=True, related_name="acceptances")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, null=True, related_name="acceptances")
    sha256 = models.CharField(max_length=64, help_text="Of the text that was shown.")
    accepted_at = models.DateTimeField(default=clock.now, editable=False)
    accepted_by = models.CharField(max_length=200)
    address = models.GenericIPAddressField(null=True, help_text="Network address; empty where none is known.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-accepted_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(application__isnull=False, partner__isnull=True)
                | Q(application__isnull=True, partner__isnull=False),
                name="ib_acceptance_of_one",
            ),
            models.UniqueConstraint(fields=["terms", "application"], name="ib_acceptance_once_by_applicant"),
            models.UniqueConstraint(fields=["terms", "partner"], name="ib_acceptance_once_by_partner"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.accepted_by} to {self.terms}"


@keep_history()
class PartnerTaxData(models.Model):
    """What invoices to or from a partner say, from a day on. It counts once staff confirmed it."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for confirmation"
        CONFIRMED = "confirmed", "Confirmed"
        REFUSED = "refused", "Refused"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="tax_data")
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    legal_name = models.CharField(max_length=160)
    address = models.TextField(max_length=500)
    country = models.CharField(max_length=2)
    vat_number = models.CharField(max_length=30, blank=True)
    vat_percent = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    vat_note = models.CharField(max_length=200, blank=True, help_text="Printed under the tax, such as Reverse charge.")
    self_billing_on = models.DateField(null=True, help_text="When they agreed that we write their invoices.")
    validity = DateRangeField()
    entered_by = models.CharField(max_length=200)
    entered_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    entered_at = models.DateTimeField(default=clock.now, editable=False)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.CharField(max_length=300, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "-entered_at", "-id"]
        verbose_name = "tax data"
        verbose_name_plural = "tax data"
        constraints = [
            ExclusionConstraint(
                name="ib_taxdata_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
                condition=Q(state="confirmed"),
            ),
            models.CheckConstraint(condition=Q(validity__startswith__isnull=False), name="ib_taxdata_begins"),
            models.CheckConstraint(
                condition=Q(vat_percent__gte=0, vat_percent__lt=100), name="ib_taxdata_percent_possible"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | ~Q(state="waiting") & Q(decided_at__isnull=False) & ~Q(decided_by=""),
                name="ib_taxdata_decided_by_somebody",
            ),
            models.UniqueConstraint(fields=["partner"], condition=Q(state="waiting"), name="ib_taxdata_one_waits"),
        ]

    def __str__(self) -> str:
        return f"{self.legal_name} from {self.validity.lower}"
