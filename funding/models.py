"""What funding books from trading: one line per account, day and component, always target minus booked."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.fields import AmountField, CurrencyField
from backoffice.kernel import clock


class TradingResultLine(models.Model):
    """What was booked of an account's trading day. The sum over `seq` is what the books hold; the sum must equal the target.

    `amount` is signed from the client's side: positive means the client gained.
    """

    class Component(models.TextChoices):
        PROFIT = "profit", "Realised profit and loss"
        SWAP = "swap", "Swap"
        COMMISSION = "commission", "Commission"
        FEE = "fee", "Fees and taxes"
        DEPOSIT = "deposit", "Deposits and withdrawals"
        CREDIT = "credit", "Credit"
        DIVIDEND = "dividend", "Dividends"
        INTEREST = "interest", "Interest"
        CORRECTION = "correction", "Corrections and compensation"
        OPENING = "opening", "Opening balance"

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("platform_ops.TradingAccount", on_delete=models.PROTECT, db_index=False)
    business_day = models.DateField()
    component = models.CharField(max_length=12, choices=Component.choices)
    seq = models.PositiveIntegerField()
    amount = AmountField()
    currency = CurrencyField()
    entry = models.ForeignKey("ledger.JournalEntry", on_delete=models.PROTECT, related_name="trading_result_lines")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["business_day", "account", "component", "seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "business_day", "component", "seq"], name="funding_resultline_unique"
            ),
            models.CheckConstraint(condition=~Q(amount=0), name="funding_resultline_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.business_day} {self.component} {self.amount}"
