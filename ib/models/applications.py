"""Those who want to become partners, from the first form to the decision; and brands that belong to a partner."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import Brand, LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.partners import Partner

APPLIED_KINDS = tuple(choice for choice in Partner.Kind.choices if choice[0] != Partner.Kind.TRADER)
"""What somebody may apply for. A client with a rebate is made from a client, not from an application."""


@keep_history()
class PartnerApplication(models.Model):
    """Somebody asks to become a partner. The applicant reads and answers it by a secret address, of which a digest is kept.

    Identity is known from the client's facts where the applicant is a client, else from a decision of staff.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"
        IN_REVIEW = "in_review", "In review"
        INFORMATION = "information", "More information wanted"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Applicant(models.TextChoices):
        PERSON = "person", "Person"
        COMPANY = "company", "Company"

    class Identity(models.TextChoices):
        UNKNOWN = "unknown", "Not decided"
        VERIFIED = "verified", "Verified"
        REJECTED = "rejected", "Rejected"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=40, unique=True, help_text="Number shown to people, such as PA-00012.")
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="+", help_text="Under which they applied.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    applicant = models.CharField(max_length=8, choices=Applicant.choices)
    name = models.CharField(max_length=160, help_text="Of the person, or of the company.")
    contact_name = models.CharField(max_length=160, blank=True, help_text="Who speaks for a company.")
    company_number = models.CharField(max_length=60, blank=True)
    email = models.EmailField()
    phone = models.CharField(max_length=32, blank=True)
    country = models.CharField(max_length=2)
    language = models.CharField(max_length=8, default="en")
    website = models.URLField(max_length=300, blank=True)
    kind = models.CharField(max_length=16, choices=APPLIED_KINDS)
    currency = CurrencyField(default="USD")
    promised_clients = models.PositiveIntegerField(default=0, help_text="New clients in a month.")
    promised_lots = AmountField(default=0, help_text="Lots in a month.")
    promotion = models.TextField(max_length=2000, blank=True, help_text="How they win clients.")
    parent = models.ForeignKey(
        Partner, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Who brought them."
    )
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    identity = models.CharField(max_length=8, choices=Identity.choices, default=Identity.UNKNOWN)
    identity_reason = models.CharField(max_length=300, blank=True)
    identity_by = models.CharField(max_length=200, blank=True)
    identity_at = models.DateTimeField(null=True)
    form_key = models.UUIDField(unique=True, editable=False, help_text="The same form sent twice is one application.")
    access_digest = models.CharField(max_length=64, unique=True, editable=False)
    entered_by = models.CharField(max_length=200)
    entered_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", help_text="Empty: themselves."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    submitted_at = models.DateTimeField(null=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    question = models.TextField(max_length=2000, blank=True)
    answer = models.TextField(max_length=2000, blank=True)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decision_reason = models.CharField(max_length=500, blank=True, help_text="For the desk.")
    letter = models.TextField(max_length=2000, blank=True, help_text="What the applicant was told.")
    partner = models.OneToOneField(
        Partner, on_delete=models.PROTECT, null=True, related_name="application", help_text="Who came of it."
    )

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["entity", "state", "created_at"], name="ib_application_board"),
            models.Index(fields=["entity", "email"], name="ib_application_email"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="approved", partner__isnull=False) | ~Q(state="approved") & Q(partner__isnull=True),
                name="ib_application_approved_is_a_partner",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "refused"]) | Q(decided_at__isnull=False) & ~Q(decided_by=""),
                name="ib_application_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state="refused") | ~Q(letter="") & ~Q(decision_reason=""),
                name="ib_application_refused_with_letter",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "withdrawn"]) | Q(submitted_at__isnull=False),
                name="ib_application_submitted_once_seen",
            ),
            models.CheckConstraint(
                condition=Q(identity="unknown", identity_at__isnull=True)
                | ~Q(identity="unknown") & Q(identity_at__isnull=False) & ~Q(identity_reason=""),
                name="ib_application_identity_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.name}"

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it."""
        return self.state not in {self.State.APPROVED, self.State.REFUSED, self.State.WITHDRAWN}


@keep_history()
class WhiteLabel(models.Model):
    """A brand that belongs to a partner: whoever stands below sees it on its host."""

    partner = models.OneToOneField(Partner, on_delete=models.PROTECT, related_name="white_label")
    brand = models.OneToOneField(Brand, on_delete=models.PROTECT, related_name="white_label")
    since = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner"]

    def __str__(self) -> str:
        return f"{self.brand} of {self.partner}"
