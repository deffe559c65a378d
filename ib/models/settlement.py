"""The compiled rate card, settlement batches and commission lines."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
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
    symbols = ArrayField(models.BigIntegerField(), default=list, help_text="Symbols that a rule names.")
    traits = ArrayField(
        models.CharField(max_length=24), default=list, help_text="What its entries ask of a settlement."
    )
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
    """What a beneficiary earns on trades of clients of a direct partner, in a class of symbols and accounts, during a time.

    Entries are content-addressed and never change: a recompilation keeps the rows that are still true (`is_current`),
    so that a line can name its entry for ever. `path` runs from the direct partner up to the beneficiary. A negative
    direct partner stands for that partner's own trades. `symbol_id` is 0 for the symbols of the group that no rule names,
    `account_class_id` 0 for accounts of which no rule asks anything. `terms_rule_id` is the rule whose measure and
    conditions hold, where another's rate is shared. `rate` is the rate that is left to the beneficiary.
    """

    id = models.BigAutoField(primary_key=True)
    content_key = models.BinaryField(max_length=32, unique=True, help_text="SHA-256 of everything below.")
    direct_partner_id = models.BigIntegerField()
    symbol_group_id = models.BigIntegerField()
    symbol_id = models.BigIntegerField(default=0)
    account_class_id = models.BigIntegerField(default=0)
    beneficiary_id = models.BigIntegerField()
    level = models.PositiveSmallIntegerField()
    path = ArrayField(models.BigIntegerField())
    rule_id = models.BigIntegerField(null=True, help_text="Empty: by a negotiated rate alone.")
    terms_rule_id = models.BigIntegerField()
    component = models.CharField(max_length=40, default="main")
    part = models.PositiveSmallIntegerField(default=0)
    basis = models.CharField(max_length=26, default="per_lot")
    rate = models.DecimalField(max_digits=38, decimal_places=24)
    rate_currency = CurrencyField(help_text="Empty: the money of what is measured.")
    weight = models.DecimalField(max_digits=12, decimal_places=6, default=1)
    reward_currency = CurrencyField()
    reward_digits = models.PositiveSmallIntegerField(help_text="Decimal places in which the reward is booked.")
    rounding_mode = models.CharField(max_length=9, default="half_up")
    rounding_stage = models.CharField(max_length=4, default="line")
    needs_period = models.BooleanField(default=False, help_text="Its trades are valued in their order, by the period.")
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


class AccountClass(models.Model):
    """A combination of what published rules ask of accounts; content-addressed, so that it keeps its number for ever."""

    key = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the attributes.")
    attributes = models.JSONField(help_text="Pairs [attribute, value], sorted.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"account class {self.pk}"


class AccountClassSpan(models.Model):
    """During which time an account is of a class. Accounts without a row are of class 0. Derived, and made anew at will."""

    account_id = models.BigIntegerField()
    account_class = models.ForeignKey(AccountClass, on_delete=models.PROTECT, related_name="spans", db_index=False)
    validity = DateTimeRangeField()

    class Meta:
        ordering = ["account_id", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_accountclassspan_no_overlap",
                expressions=[("account_id", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            )
        ]

    def __str__(self) -> str:
        return f"account {self.account_id} is of class {self.account_class_id}"


class TradePeriodMark(models.Model):
    """A mark that trades of a partner's period are to be valued in their order again; settlement of the period removes it."""

    id = models.BigAutoField(primary_key=True)
    partner_id = models.BigIntegerField()
    period = models.DateField(help_text="First day of the month.")
    cause = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["partner_id", "period"], name="ib_tradeperiodmark_due")]

    def __str__(self) -> str:
        return f"partner {self.partner_id} in {self.period:%Y-%m}"


class SettlementBatch(models.Model):
    """One unit of settlement that was booked, with its control totals; unique by what it settled and for which purpose."""

    class Purpose(models.TextChoices):
        INGEST = "ingest", "Accrual of an ingest batch"
        RANGE = "range", "Settlement of a day"
        PERIOD = "period", "Settlement of a partner's period"

    id = models.BigAutoField(primary_key=True)
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    scope_key = models.CharField(max_length=80)
    ingest_batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, null=True)
    day = models.DateField(null=True, help_text="The day that was settled, or the first of the period.")
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
                | Q(purpose__in=["range", "period"], ingest_batch__isnull=True, day__isnull=False),
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
    (partner, trade, part, day) has its own gapless seq, so a day's partition proves itself; `part` numbers the components
    of a plan. Everything that explains the amount is a typed column: `target` is quantity × factor × rate × fx_rate (a
    hundredth of it for shares) rounded as the plan says and at most `cap_left`, and `amount` = target minus what the
    lines before it booked. `quantity` counts what the basis measures: lots, money of the trade, millions. With tiers,
    `tier_before` is the measure before this trade and `rate` what its volume earned on average. A line without a card
    entry takes back what no rule pays any more. A line of zero records that the reason changed and the money did not.
    """

    pk = models.CompositePrimaryKey("partner_id", "trade_id", "part", "seq", "day")
    partner_id = models.BigIntegerField()
    trade_id = models.BigIntegerField()
    part = models.SmallIntegerField(default=0)
    seq = models.SmallIntegerField()
    day = models.DateField()
    batch_id = models.BigIntegerField()
    card_entry_id = models.BigIntegerField(null=True)
    rule_id = models.BigIntegerField(null=True)
    level = models.SmallIntegerField()
    quantity = models.DecimalField(max_digits=36, decimal_places=12)
    rate = models.DecimalField(max_digits=38, decimal_places=24)
    rate_currency = CurrencyField()
    factor = models.DecimalField(max_digits=24, decimal_places=12, null=True, help_text="Empty: one.")
    tier_before = models.DecimalField(max_digits=36, decimal_places=12, null=True)
    cap_left = AmountField(null=True, help_text="The narrowest cap had this left before the trade.")
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
            models.CheckConstraint(condition=Q(level__gte=0), name="ib_line_level_positive"),
            models.CheckConstraint(condition=Q(part__gte=0), name="ib_line_part_not_negative"),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="ib_line_lots_not_negative"),
            models.CheckConstraint(condition=Q(fx_rate__gt=0), name="ib_line_rate_positive"),
            models.CheckConstraint(
                condition=Q(card_entry_id__isnull=False)
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
        return line_reference(
            partner_id=self.partner_id, trade_id=self.trade_id, part=self.part, seq=self.seq, day=self.day
        )
