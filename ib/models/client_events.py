"""What other desks and systems tell about clients: money in and out, bonuses, fees, verification, fraud."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.models import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class ClientEventKind(models.TextChoices):
    """What happened. Kinds with money need an amount; the others take none."""

    REGISTERED = "registered", "Registered"
    KYC_VERIFIED = "kyc_verified", "Identity verified"
    DEPOSIT = "deposit", "Deposit"
    WITHDRAWAL = "withdrawal", "Withdrawal"
    CHARGEBACK = "chargeback", "Chargeback"
    REFUND = "refund", "Refund of a deposit"
    BONUS = "bonus", "Bonus"
    FEE = "fee", "Fee borne by the broker"
    PAYMENT_COST = "payment_cost", "Cost of payment"
    ROYALTY = "royalty", "Royalty or licence cost"
    FRAUD = "fraud", "Fraud"


MONEY_KINDS = (
    ClientEventKind.DEPOSIT,
    ClientEventKind.WITHDRAWAL,
    ClientEventKind.CHARGEBACK,
    ClientEventKind.REFUND,
    ClientEventKind.BONUS,
    ClientEventKind.FEE,
    ClientEventKind.PAYMENT_COST,
    ClientEventKind.ROYALTY,
)


class ClientEvent(models.Model):
    """One fact about a client, told once: the same reference of the same source is the same fact. Never changed.

    What was wrong is taken out by a further event that names it in `reverses`. `at` is when it happened (for fraud: from
    when on), not when it was told. For a chargeback, `disputed_from` is when the disputed deposit was made, if known.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+", db_index=False)
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=14, choices=ClientEventKind.choices)
    amount = AmountField(null=True)
    currency = CurrencyField(blank=True)
    at = models.DateTimeField()
    day = models.DateField(help_text="Business day of `at`.")
    disputed_from = models.DateTimeField(null=True)
    source = models.SlugField(max_length=40, db_index=False, help_text="System that told it, such as funding.")
    reference = models.CharField(max_length=120, help_text="The source's own number of the fact.")
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="reversed_by", help_text="The fact it takes out."
    )
    note = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField(default=clock.now, editable=False)
    recorded_by = models.CharField(max_length=200)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "reference"], name="ib_clientevent_told_once"),
            models.CheckConstraint(condition=~Q(reference=""), name="ib_clientevent_has_reference"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in MONEY_KINDS], amount__gt=0) & ~Q(currency="")
                | Q(kind__in=["registered", "kyc_verified", "fraud"], amount__isnull=True, currency=""),
                name="ib_clientevent_money",
            ),
            models.CheckConstraint(
                condition=Q(disputed_from__isnull=True) | Q(kind="chargeback", disputed_from__lte=F("at")),
                name="ib_clientevent_dispute_begins_before",
            ),
            models.CheckConstraint(condition=~Q(reverses=F("id")), name="ib_clientevent_not_own_reversal"),
        ]
        indexes = [
            models.Index(fields=["client", "kind", "at"], name="ib_clientevent_client"),
            models.Index(fields=["entity", "-at"], name="ib_clientevent_entity"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.source}:{self.reference}"
