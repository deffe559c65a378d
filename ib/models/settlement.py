"""The compiled rate card, settlement batches and commission lines."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, LotsField
from backoffice.kernel import clock
from ib.rules import line_reference


class ConfigChange(models.Model):
    """A mark that the tree, an agreement, a plan version or a rule changed; triggers write it, whoever changes the row.

    The compiler removes the marks it has seen in the transaction that compiles, so a mark that is left means that the
    rate card is out of date. Rows only come and go: no counter row that changes of the set-up would queue for.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=63, help_text="Table that changed.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.source} changed"


class RateCardVersion(models.Model):
    """A compilation of everything dated (tree, agreements, plan versions, rules) into flat rates; one is active.

    `symbol_groups` are the groups it was compiled for and `currency_pairs` the conversions its entries may need.
    """

    digest = models.CharField(max_length=64)
    entries = models.IntegerField()
    symbol_groups = ArrayField(models.BigIntegerField(), default=list)
    currency_pairs = models.JSONField(default=list, help_text="Pairs [rate currency, reward currency].")
    compiled_at = models.DateTimeField(default=clock.now, editable=False)
    is_active = models.BooleanField(default=False)

    objects = ScopedQuerySet.as_manager()

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
    content_key = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of everything below.")
    direct_partner_id = models.BigIntegerField()
    symbol_group_id = models.BigIntegerField()
    beneficiary_id = models.BigIntegerField()
    level = models.PositiveSmallIntegerField()
    path = ArrayField(models.BigIntegerField())
    rule_id = models.BigIntegerField()
    amount_per_lot = AmountField()
    rate_currency = CurrencyField()
    reward_currency = CurrencyField()
    reward_digits = models.PositiveSmallIntegerField(help_text="Decimal places in which the reward is booked.")
    valid_from = models.DateTimeField(null=True)
    valid_to = models.DateTimeField(null=True)
    is_current = models.BooleanField(default=True)

    objects = ScopedQuerySet.as_manager()

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
    day = models.DateField(null=True, help_text="The day that was settled, for a settlement of a day.")
    cause = models.CharField(max_length=80, blank=True, help_text="What asked for it, such as range, referral:12.")
    actor = models.CharField(max_length=200, blank=True)
    card = models.ForeignKey(RateCardVersion, on_delete=models.PROTECT)
    trades = models.IntegerField(default=0)
    lines = models.IntegerField(default=0)
    booked = models.JSONField(default=dict, help_text="Sum of the lines by currency, as decimal text.")
    line_digest = models.CharField(max_length=64, blank=True)
    entity_ids = ArrayField(
        models.BigIntegerField(), default=list, help_text="Legal entities whose partners it paid; it is theirs to see."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "settlement batches"
        constraints = [
            models.UniqueConstraint(fields=["purpose", "scope_key"], name="ib_settlementbatch_scope_unique"),
            models.CheckConstraint(
                condition=Q(purpose="ingest", ingest_batch__isnull=False, day__isnull=True)
                | Q(purpose="range", ingest_batch__isnull=True, day__isnull=False),
                name="ib_settlementbatch_has_scope",
            ),
        ]
        indexes = [
            models.Index(fields=["day"], name="ib_settlementbatch_day", condition=Q(day__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"settlement {self.pk}"


class CommissionLine(models.Model):
    """What a partner earned on a trade: seq 0 the first booking, later ones the differences. Never changed.

    The table is partitioned by `day` (the trade's business day when it was booked); its only index is the key, and
    (partner, trade, day) has its own gapless seq, so a day's partition proves itself. Everything that explains the
    amount is a typed column: `target` = round(base_lots × amount_per_lot × fx_rate, digits of the currency, half away
    from zero), and `amount` = target minus what the lines before it booked. A line without a rule takes back what no
    rule pays any more. A line of zero records that the reason changed and the money did not.
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
    fx_rate = models.DecimalField(max_digits=38, decimal_places=24)
    fx_date = models.DateField(null=True)
    target = AmountField(help_text="What the trade is worth to the partner by this line's rule.")
    amount = AmountField()
    currency = CurrencyField()
    booked_day = models.DateField(help_text="Business day of the ledger entry.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner_id", "day", "trade_id", "seq"]
        constraints = [
            models.CheckConstraint(condition=Q(seq__gte=0), name="ib_line_seq_not_negative"),
            models.CheckConstraint(condition=Q(level__gte=1), name="ib_line_level_positive"),
            models.CheckConstraint(condition=Q(base_lots__gte=0), name="ib_line_lots_not_negative"),
            models.CheckConstraint(condition=Q(fx_rate__gt=0), name="ib_line_rate_positive"),
            models.CheckConstraint(
                condition=Q(rule_id__isnull=False, card_entry_id__isnull=False)
                | Q(rule_id__isnull=True, card_entry_id__isnull=True, target=0),
                name="ib_line_target_has_rule",
            ),
            models.CheckConstraint(
                condition=Q(seq__gt=0) | Q(amount=models.F("target")), name="ib_line_first_books_target"
            ),
        ]

    def __str__(self) -> str:
        return f"line {self.reference}"

    @property
    def reference(self) -> str:
        """How people call the line; `ib.rules.parse_line_reference` reads it back."""
        return line_reference(partner_id=self.partner_id, trade_id=self.trade_id, seq=self.seq, day=self.day)
