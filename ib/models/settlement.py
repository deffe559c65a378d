"""The compiled rate card, settlement batches and commission lines."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from backoffice.core.fields import AmountField, CurrencyField, LotsField, PriceField
from backoffice.kernel import clock


class RateCardVersion(models.Model):
    """A compilation of everything dated (tree, agreements, plan versions, rules) into flat rates; one is active."""

    digest = models.CharField(max_length=64)
    entries = models.IntegerField()
    compiled_at = models.DateTimeField(default=clock.now, editable=False)
    is_active = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["is_active"], condition=Q(is_active=True), name="ib_ratecard_one_active")
        ]

    def __str__(self) -> str:
        return f"rate card {self.pk}"


class RateCardEntry(models.Model):
    """What a beneficiary earns per lot on trades of clients of a direct partner, in a symbol group, during a time.

    Entries are content-addressed and never change: a recompilation keeps the rows that are still true (`is_current`),
    so that a line can name its entry for ever. `path` runs from the direct partner up to the beneficiary.
    """

    id = models.BigAutoField(primary_key=True)
    direct_partner_id = models.BigIntegerField()
    symbol_group_id = models.BigIntegerField()
    beneficiary_id = models.BigIntegerField()
    level = models.PositiveSmallIntegerField()
    path = ArrayField(models.BigIntegerField())
    rule_id = models.BigIntegerField()
    amount_per_lot = AmountField()
    rate_currency = CurrencyField()
    reward_currency = CurrencyField()
    valid_from = models.DateTimeField(null=True)
    valid_to = models.DateTimeField(null=True)
    is_current = models.BooleanField(default=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["direct_partner_id", "symbol_group_id"],
                name="ib_ratecard_lookup",
                condition=Q(is_current=True),
            )
        ]

    def __str__(self) -> str:
        return f"rate {self.pk}"


class SettlementBatch(models.Model):
    """One unit of settlement that was booked, with its control totals; unique by what it settled and for which purpose."""

    class Purpose(models.TextChoices):
        INGEST = "ingest", "Accrual of an ingest batch"
        RANGE = "range", "Settlement of a day"

    id = models.BigAutoField(primary_key=True)
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    scope_key = models.CharField(max_length=80)
    ingest_batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, null=True)
    card = models.ForeignKey(RateCardVersion, on_delete=models.PROTECT)
    trades = models.IntegerField(default=0)
    lines = models.IntegerField(default=0)
    booked = models.JSONField(default=dict, help_text="Sum of the lines by currency, as decimal text.")
    line_digest = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "settlement batches"
        constraints = [models.UniqueConstraint(fields=["purpose", "scope_key"], name="ib_settlementbatch_scope_unique")]

    def __str__(self) -> str:
        return f"settlement {self.pk}"


class CommissionLine(models.Model):
    """What a partner earned on a trade: seq 0 the first booking, later ones the differences. Never changed.

    The table is partitioned by `day` (the trade's business day); its only index is the key. Everything that explains the
    amount is a typed column: amount = round(base_lots × amount_per_lot × fx_rate, digits of the currency, half away
    from zero) for the target, and target minus booked for a difference.
    """

    pk = models.CompositePrimaryKey("partner_id", "trade_id", "seq", "day")
    partner_id = models.BigIntegerField()
    trade_id = models.BigIntegerField()
    seq = models.SmallIntegerField()
    day = models.DateField()
    batch_id = models.BigIntegerField()
    card_entry_id = models.BigIntegerField(null=True)
    rule_id = models.BigIntegerField(null=True)
    level = models.SmallIntegerField()
    base_lots = LotsField()
    amount_per_lot = AmountField()
    rate_currency = CurrencyField()
    fx_rate = PriceField()
    fx_date = models.DateField(null=True)
    target = AmountField(help_text="What the trade is worth to the partner by this line's rule.")
    amount = AmountField()
    currency = CurrencyField()
    booked_day = models.DateField(help_text="Business day of the ledger entry.")

    class Meta:
        ordering = ["partner_id", "day", "trade_id", "seq"]

    def __str__(self) -> str:
        return f"line {self.partner_id}/{self.trade_id}/{self.seq}"
