"""How trades came in: files, batches, and the marks of open positions that a statement printed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from backoffice.core.fields import AmountField, LotsField, PriceField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.accounts import TradingAccount
from platform_ops.models.servers import TradingServer


class StatementImport(models.Model):
    """A statement file that somebody gave us: stored, or refused and kept in quarantine with the reason."""

    class State(models.TextChoices):
        PREVIEWED = "previewed", "Previewed"
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        STORED = "stored", "Stored"
        REFUSED = "refused", "Refused"

    class Format(models.TextChoices):
        MT4_STATEMENT = "mt4_statement", "MT4 statement"
        MT4_DETAILED = "mt4_detailed", "MT4 detailed statement"
        MT5_REPORT = "mt5_report", "MT5 report"
        MT5_HTML = "mt5_html", "MT5 report (HTML)"
        MT5_API_DEALS = "mt5_api_deals", "MT5 deals of the client API"
        MT5_API_ORDERS = "mt5_api_orders", "MT5 orders of the client API"
        DEALS_CSV = "deals_csv", "Deals as CSV"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="imports")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, null=True, related_name="imports")
    file_name = models.CharField(max_length=255)
    stored_path = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    format = models.CharField(max_length=20, choices=Format.choices, blank=True)
    state = models.CharField(max_length=10, choices=State.choices)
    as_of = models.DateTimeField(null=True, help_text="When the server printed the statement.")
    covers_from = models.DateTimeField(null=True, help_text="Time of the first row that moved money.")
    # Which rows the file tells: they decide which of two files knows a row best, whatever order they came in.
    opening_tickets = ArrayField(models.BigIntegerField(), default=list, editable=False)
    closing_tickets = ArrayField(models.BigIntegerField(), default=list, editable=False)
    opening_balance = AmountField(null=True)
    opening_credit = AmountField(null=True)
    stated_balance = AmountField(null=True)
    rows_total = models.IntegerField(default=0)
    rows_done = models.IntegerField(default=0)
    new_deals = models.IntegerField(default=0)
    corrected_deals = models.IntegerField(default=0)
    stale_deals = models.IntegerField(default=0, help_text="Rows that a later source had already told otherwise.")
    matches_statement = models.BooleanField(null=True)
    figures = models.JSONField(default=dict)
    differences = models.JSONField(default=list)
    error = models.JSONField(default=dict)
    repeats = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="repeated_by",
        help_text="The same file, stored before.",
    )
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["server", "sha256"], name="platform_import_digest"),
            models.Index(
                fields=["account", "covers_from"],
                name="platform_import_stored",
                condition=models.Q(state="stored", repeats__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.file_name


class IngestBatch(models.Model):
    """Rows that were committed together; the unit that commission settlement works through. Never changes.

    `changed_operations` counts balance operations, openings included; `changed_positions` open positions.
    """

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT)
    statement = models.ForeignKey(StatementImport, on_delete=models.PROTECT, null=True, related_name="batches")
    source = models.CharField(max_length=40)
    new_deals = models.IntegerField(default=0)
    corrected_deals = models.IntegerField(default=0)
    stale_deals = models.IntegerField(default=0)
    changed_trades = models.IntegerField(default=0)
    changed_positions = models.IntegerField(default=0)
    changed_operations = models.IntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "ingest batches"
        indexes = [models.Index(fields=["server", "-id"], name="platform_batch_server")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"batch {self.pk}"


class OpenPositionMark(models.Model):
    """An open position as a statement printed it: the floating figures at that moment. Evidence, never changed."""

    statement = models.ForeignKey(StatementImport, on_delete=models.CASCADE, related_name="marks")
    ticket = models.BigIntegerField()
    position_ticket = models.BigIntegerField()
    symbol_name = models.CharField(max_length=40)
    side = models.SmallIntegerField()
    volume_lots = LotsField()
    opened_at = models.DateTimeField()
    open_price = PriceField()
    current_price = PriceField()
    swap = AmountField()
    commission = AmountField()
    taxes = AmountField()
    profit = AmountField()

    class Meta:
        ordering = ["statement", "ticket"]
        constraints = [models.UniqueConstraint(fields=["statement", "ticket"], name="platform_mark_unique")]

    def __str__(self) -> str:
        return f"{self.ticket} in {self.statement_id}"
