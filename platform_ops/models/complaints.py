"""Price complaints: what a client says of a trade's price, the evidence, the decision, and what followed from it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, PriceField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.accounts import TradingAccount
from platform_ops.models.operations import ServerOperation, choices_of
from platform_ops.models.servers import TradingServer
from platform_ops.models.trading import Trade
from platform_ops.rules.complaints import Cause, ComplaintState, Decision, Disputed

_DECIDED = Q(state__in=["approved", "closed"])


@keep_history()
class PriceComplaint(models.Model):
    """A complaint about the price of one trade, from its receipt to the letter.

    `decision`, `amount` (in the account's currency, what the client is given; negative where a cancelled trade was won) and
    `cause` are a proposal until another person approves them.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=60, unique=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="complaints")
    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, null=True, related_name="price_complaints")
    trade = models.ForeignKey(Trade, on_delete=models.PROTECT, db_constraint=False, related_name="complaints")
    disputed = models.CharField(max_length=8, choices=choices_of(Disputed))
    claim = models.TextField(max_length=2000, help_text="In the client's words.")
    claimed_price = PriceField(null=True)
    state = models.CharField(max_length=12, choices=choices_of(ComplaintState), default=ComplaintState.OPEN.value)
    evidence = models.JSONField(default=dict)
    evidence_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=12, choices=choices_of(Decision), blank=True)
    cause = models.CharField(max_length=20, choices=choices_of(Cause), blank=True)
    correct_price = PriceField(null=True)
    amount = AmountField(null=True)
    currency = CurrencyField()
    reasoning = models.TextField(max_length=2000, blank=True, help_text="Why it was decided so; the letter says it.")
    change_request = models.OneToOneField(
        "core.ChangeRequest", on_delete=models.PROTECT, null=True, related_name="price_complaint"
    )
    operation = models.OneToOneField(ServerOperation, on_delete=models.PROTECT, null=True, related_name="complaint")
    letter = models.ForeignKey("core.StoredFile", on_delete=models.PROTECT, null=True, related_name="+")
    message = models.ForeignKey("core.Message", on_delete=models.PROTECT, null=True, related_name="+")
    opened_by = models.CharField(max_length=200)
    opened_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    investigated_by = models.CharField(max_length=200, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField(default=clock.now)
    due_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[item.value for item in ComplaintState]), name="platform_complaint_state_known"
            ),
            models.CheckConstraint(
                condition=~_DECIDED
                | (~Q(decision="") & ~Q(cause="") & Q(decided_at__isnull=False, change_request__isnull=False)),
                name="platform_complaint_decided_whole",
            ),
            models.CheckConstraint(
                condition=~Q(decision__in=["compensate", "cancel"]) | Q(amount__isnull=False),
                name="platform_complaint_has_amount",
            ),
            models.CheckConstraint(
                condition=~Q(decision="compensate") | Q(amount__gt=0), name="platform_complaint_compensates"
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False) | (~Q(state="closed") & Q(closed_at__isnull=True)),
                name="platform_complaint_closed_has_end",
            ),
            models.CheckConstraint(
                condition=~(
                    Q(state="closed", decision__in=["compensate", "cancel"]) & ~Q(amount=0) & Q(operation__isnull=True)
                ),
                name="platform_complaint_paid_has_operation",
            ),
            models.UniqueConstraint(
                fields=["trade", "disputed"],
                name="platform_complaint_one_open",
                condition=~Q(state="closed"),
            ),
        ]
        indexes = [models.Index(fields=["state", "due_at"], name="platform_complaint_due")]

    def __str__(self) -> str:
        return self.reference


class TradeCancellation(models.Model):
    """A trade that the house took back: it counts as nothing, and neither does the correction that undid its money.

    The server keeps both deals; together they are zero there, as they are in the books. Only the commission and what is
    counted by trades follows from it.
    """

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="+")
    ticket = models.BigIntegerField()
    leg = models.SmallIntegerField(default=0)
    correction_ticket = models.BigIntegerField(null=True, help_text="Empty where the trade had moved no money.")
    complaint = models.OneToOneField(PriceComplaint, on_delete=models.PROTECT, related_name="cancellation")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["server", "ticket", "leg"], name="platform_cancellation_unique"),
            models.UniqueConstraint(fields=["server", "correction_ticket"], name="platform_cancellation_correction"),
            models.CheckConstraint(
                condition=Q(correction_ticket__isnull=True) | ~Q(correction_ticket=F("ticket")),
                name="platform_cancellation_two_deals",
            ),
        ]

    def __str__(self) -> str:
        return f"trade {self.ticket}"
