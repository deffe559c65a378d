"""Deals as servers report them, and what follows from them: positions, trades, balance operations.

`Deal` is the source: append-only, a correction is a new revision of the same (server, ticket, leg). The other three
are current-state projections of the latest revisions; `rebuild_projections` makes them anew and `verify_books`
proves them equal.

`Deal` and `Trade` carry no foreign keys in the database: they are filled by joins with the tables that they point to,
a million rows at a time, and four key checks per row would cost more than the rest of the load.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, LotsField, PriceField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from platform_ops.models.accounts import TradingAccount
from platform_ops.models.servers import TradingServer
from platform_ops.models.symbols import ServerSymbol
from platform_ops.types import DealEntry, DealKind, Side

CLOSED_BY = Q(entry=DealEntry.OUT_BY.value) | Q(leg=1, comment__iregex=r"(close hedge by #|partial close)")
"""A closing against an opposite position: an MT5 deal says so itself, an MT4 ticket in its comment."""


class Deal(models.Model):
    """One row of a server's deal history, in one revision. A trigger refuses to change or delete it.

    MT5 deals have leg 0. An MT4 ticket becomes leg 0 (opening, no money) and, once closed, leg 1 (all its money).
    `CurrentDeal` shows the latest revision of each.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    ticket = models.BigIntegerField()
    leg = models.SmallIntegerField(default=0)
    revision = models.IntegerField(default=0)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, db_index=False, db_constraint=False)
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in DealKind])
    entry = models.SmallIntegerField(null=True, choices=[(entry.value, entry.name.lower()) for entry in DealEntry])
    position_ticket = models.BigIntegerField(default=0)
    order_ticket = models.BigIntegerField(default=0)
    server_symbol = models.ForeignKey(
        ServerSymbol, on_delete=models.PROTECT, null=True, db_index=False, db_constraint=False
    )
    volume_lots = LotsField(default=0)
    price = PriceField(null=True)
    at = models.DateTimeField()
    open_price = PriceField(null=True)
    opened_at = models.DateTimeField(null=True)
    profit = AmountField(default=0)
    swap = AmountField(default=0)
    commission = AmountField(default=0)
    fee = AmountField(default=0)
    comment = models.CharField(max_length=255, blank=True)
    stated_as_of = models.DateTimeField(help_text="Moment at which the source printed this revision.")
    recorded_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "ticket", "leg", "revision"], name="platform_deal_revision_unique"
            ),
            models.CheckConstraint(condition=Q(volume_lots__gte=0), name="platform_deal_volume_not_negative"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind.value for kind in DealKind]), name="platform_deal_kind_known"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "position_ticket"], name="platform_deal_position"),
            # Small: what makes a revision the latest is looked up among corrections only.
            models.Index(
                fields=["server", "ticket", "leg", "revision"],
                name="platform_deal_corrections",
                condition=Q(revision__gt=0),
            ),
            # Small: the closings whose trade can only be told by walking the whole position.
            models.Index(
                fields=["account", "position_ticket"],
                name="platform_deal_walked",
                condition=Q(entry=DealEntry.INOUT.value) | Q(entry__gt=0, open_price__isnull=True),
            ),
            # Small: the closings against an opposite position, which most plans do not pay.
            models.Index(fields=["server", "ticket", "leg"], name="platform_deal_close_by", condition=CLOSED_BY),
            BrinIndex(fields=["at"], name="platform_deal_time"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"deal {self.ticket}/{self.leg} rev {self.revision}"


class CurrentDeal(models.Model):
    """A view of `Deal`: the latest revision of each (server, ticket, leg). This is what is true now."""

    id = models.BigIntegerField(primary_key=True)
    server = models.ForeignKey(TradingServer, on_delete=models.DO_NOTHING, related_name="+")
    ticket = models.BigIntegerField()
    leg = models.SmallIntegerField()
    revision = models.IntegerField()
    account = models.ForeignKey(TradingAccount, on_delete=models.DO_NOTHING, related_name="+")
    batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.DO_NOTHING, related_name="+")
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in DealKind])
    entry = models.SmallIntegerField(null=True, choices=[(entry.value, entry.name.lower()) for entry in DealEntry])
    position_ticket = models.BigIntegerField()
    order_ticket = models.BigIntegerField()
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.DO_NOTHING, null=True, related_name="+")
    volume_lots = LotsField()
    price = PriceField(null=True)
    at = models.DateTimeField()
    open_price = PriceField(null=True)
    opened_at = models.DateTimeField(null=True)
    profit = AmountField()
    swap = AmountField()
    commission = AmountField()
    fee = AmountField()
    comment = models.CharField(max_length=255)
    stated_as_of = models.DateTimeField()
    recorded_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "platform_ops_currentdeal"
        ordering = ["-at", "-id"]
        verbose_name = "deal"

    def __str__(self) -> str:
        return f"deal {self.ticket}/{self.leg}"


class Trade(models.Model):
    """A closed round trip: what one closing deal closed. The unit that commissions and statistics count.

    `business_day` is the day of the close (closes 17:00 New York). `batch` is the batch that last changed the trade.
    A cancelled trade keeps its row with `is_cancelled` and counts as nothing.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    ticket = models.BigIntegerField()
    leg = models.SmallIntegerField()
    deal_revision = models.IntegerField()
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, db_index=False, db_constraint=False)
    first_batch = models.ForeignKey(
        "platform_ops.IngestBatch",
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="+",
        help_text="Batch that made this row. While it is the last one too, nobody can have settled the trade before.",
    )
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    position_ticket = models.BigIntegerField()
    side = models.SmallIntegerField(choices=[(side.value, side.name.lower()) for side in Side])
    volume_lots = LotsField()
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField()
    open_price = PriceField(null=True)
    close_price = PriceField()
    profit = AmountField()
    swap = AmountField()
    commission = AmountField(help_text="Commission of the closing deal; opening deals carry theirs on themselves.")
    fee = AmountField()
    currency = CurrencyField()
    business_day = models.DateField()
    is_cancelled = models.BooleanField(default=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-closed_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["server", "ticket", "leg"], name="platform_trade_unique"),
        ]
        indexes = [
            models.Index(fields=["batch"], name="platform_trade_batch"),
            models.Index(fields=["business_day", "account"], name="platform_trade_day"),
            models.Index(fields=["account", "-closed_at"], name="platform_trade_account"),
        ]

    def __str__(self) -> str:
        return f"trade {self.ticket}"


class Position(models.Model):
    """What is open now: one row per position, volume and weighted price from its deals."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False)
    position_ticket = models.BigIntegerField()
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT)
    side = models.SmallIntegerField(choices=[(side.value, side.name.lower()) for side in Side])
    volume_lots = LotsField()
    open_price = PriceField()
    opened_at = models.DateTimeField()
    batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, db_index=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["account", "position_ticket"]
        constraints = [
            models.UniqueConstraint(fields=["account", "position_ticket"], name="platform_position_unique"),
            models.CheckConstraint(condition=Q(volume_lots__gt=0), name="platform_position_volume_positive"),
        ]

    def __str__(self) -> str:
        return f"position {self.position_ticket}"


class BalanceOperation(models.Model):
    """Money on an account that no trade made: deposits, withdrawals, credit, dividends, interest, corrections.

    An opening (`is_opening`) stands for history that no file has told yet: one of the balance, and one of the credit
    if there was any. An earlier file replaces it, which leaves the row as cancelled.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, db_index=False)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False)
    ticket = models.BigIntegerField(null=True, help_text="Empty for an opening.")
    leg = models.SmallIntegerField(default=0)
    deal_revision = models.IntegerField(default=0)
    statement = models.ForeignKey(
        "platform_ops.StatementImport",
        on_delete=models.PROTECT,
        null=True,
        help_text="File whose history starts here.",
    )
    batch = models.ForeignKey("platform_ops.IngestBatch", on_delete=models.PROTECT, db_index=False)
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in DealKind])
    is_opening = models.BooleanField(default=False)
    is_cancelled = models.BooleanField(default=False)
    at = models.DateTimeField()
    amount = AmountField()
    currency = CurrencyField()
    business_day = models.DateField()
    comment = models.CharField(max_length=255, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "ticket", "leg"],
                name="platform_operation_ticket_unique",
                condition=Q(is_opening=False),
            ),
            models.UniqueConstraint(
                fields=["statement", "kind"], name="platform_operation_opening_unique", condition=Q(is_opening=True)
            ),
            models.CheckConstraint(
                condition=Q(is_opening=True, ticket__isnull=True, statement__isnull=False)
                | Q(is_opening=False, ticket__isnull=False),
                name="platform_operation_has_source",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "at"], name="platform_operation_account"),
            models.Index(fields=["business_day", "account"], name="platform_operation_day"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount.normalize():f} {self.currency}"
