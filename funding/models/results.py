"""What funding books from trading: one line per account, day and component, always target minus booked."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock


class TradingResultRun(models.Model):
    """One posting of a server's trading results, up to and including a business day. Never changed.

    The latest `business_day` of a server's runs is the day through which its results are booked.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey("platform_ops.TradingServer", on_delete=models.PROTECT, related_name="+")
    business_day = models.DateField()
    actor = models.CharField(max_length=200)
    started_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["server", "business_day"], name="funding_resultrun_day")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"results through {self.business_day}"


class BookedBatch(models.Model):
    """An ingest batch whose rows a run has seen. Accounts that only later batches touched wait for the next run."""

    batch = models.OneToOneField(
        "platform_ops.IngestBatch", on_delete=models.PROTECT, primary_key=True, related_name="+"
    )
    run = models.ForeignKey(TradingResultRun, on_delete=models.PROTECT, related_name="batches")

    class Meta:
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"batch {self.pk}"


class TradingResultLine(models.Model):
    """What was booked of an account's trading day. The sum over `seq` is what the books hold; the sum must equal the target.

    `amount` is signed from the client's side: positive means the client gained. `book` says which house book stands on
    the other side of a result; other components have none. `entry` is empty only where everything that a run booked for
    a day and currency cancelled out, so that nothing moved. Never changed.
    """

    class Component(models.TextChoices):
        PROFIT = "profit", "Realised profit and loss"
        SWAP = "swap", "Swap"
        COMMISSION = "commission", "Commission"
        FEE = "fee", "Fees and taxes"
        DEPOSIT = "deposit", "Deposits and withdrawals"
        CREDIT = "credit", "Credit"
        BONUS = "bonus", "Bonus"
        AGENT = "agent", "Agent commission paid on the server"
        DIVIDEND = "dividend", "Dividends"
        INTEREST = "interest", "Interest"
        CORRECTION = "correction", "Corrections and compensation"
        OPENING = "opening", "Opening balance"
        OPENING_CREDIT = "opening_credit", "Opening credit"

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("platform_ops.TradingAccount", on_delete=models.PROTECT, db_index=False)
    business_day = models.DateField()
    component = models.CharField(max_length=16, choices=Component.choices)
    book = models.CharField(max_length=1, blank=True)
    seq = models.PositiveIntegerField()
    amount = AmountField()
    currency = CurrencyField()
    run = models.ForeignKey(TradingResultRun, on_delete=models.PROTECT, related_name="lines")
    entry = models.ForeignKey(
        "ledger.JournalEntry", on_delete=models.PROTECT, null=True, related_name="trading_result_lines"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["business_day", "account", "component", "seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "business_day", "component", "seq"], name="funding_resultline_unique"
            ),
            models.CheckConstraint(condition=~Q(amount=0), name="funding_resultline_not_zero"),
            models.CheckConstraint(
                condition=Q(component__in=["profit", "dividend"], book__in=["A", "B"])
                | (~Q(component__in=["profit", "dividend"]) & Q(book="")),
                name="funding_resultline_book",
            ),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.account_id} {self.business_day} {self.component} {self.amount}"
