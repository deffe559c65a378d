"""The swap desk's own tables: mark-up rules, sheets with their rows, and what was pushed to which server.

A sheet is a draft until its change request is handed in; from then on its rows never change. What is in force stands in
`SwapRate`; what a server was told, and what it answered when it was read back, stands in `SwapPush`.
"""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.gateways.types import SwapMode
from platform_ops.models.accounts import AccountGroup
from platform_ops.models.servers import TradingServer
from platform_ops.models.swaps import SWAP_DIGITS
from platform_ops.models.symbols import ServerSymbol, Symbol, SymbolGroup

_MODES = [(mode.value, mode.name.lower().replace("_", " ")) for mode in SwapMode]
_NOTHING = Value(0, output_field=models.BigIntegerField())


@keep_history()
class SwapMarkupRule(models.Model):
    """What the desk adds to a provider's rate, and how large a change it wants to be told of.

    One symbol goes before its group, a group before all symbols; a named group of accounts gets rates of its own.
    """

    class Kind(models.TextChoices):
        PERCENT = "percent", "Percent of the rate, against the client"
        ABSOLUTE = "absolute", "Amount as stated, against the client"
        CUSTOM = "custom", "Custom: so many percent of the rate"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    symbol_group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    account_group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERCENT)
    long_value = models.DecimalField(**SWAP_DIGITS, default=0)
    short_value = models.DecimalField(**SWAP_DIGITS, default=0)
    flag_percent = models.DecimalField(
        max_digits=7, decimal_places=2, default=Decimal(10), help_text="A larger change than this is flagged."
    )
    changed_by = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["symbol_group", "symbol", "account_group"]
        verbose_name = "swap mark-up rule"
        constraints = [
            models.UniqueConstraint(
                Coalesce(F("symbol"), _NOTHING),
                Coalesce(F("symbol_group"), _NOTHING),
                Coalesce(F("account_group"), _NOTHING),
                name="platform_swapmarkup_unique",
            ),
            models.CheckConstraint(
                condition=Q(symbol__isnull=True) | Q(symbol_group__isnull=True), name="platform_swapmarkup_one_subject"
            ),
            models.CheckConstraint(
                condition=Q(kind="custom") | (Q(long_value__gte=0) & Q(short_value__gte=0)),
                name="platform_swapmarkup_against_client",
            ),
            models.CheckConstraint(condition=Q(flag_percent__gt=0), name="platform_swapmarkup_flag_positive"),
        ]

    def __str__(self) -> str:
        subject = self.symbol or self.symbol_group or "All symbols"
        return f"{subject} for {self.account_group.name}" if self.account_group else str(subject)


class SwapSheet(models.Model):
    """A liquidity provider's sheet on its way to becoming rates. A refused one keeps its file and what is wrong with it."""

    class State(models.TextChoices):
        REFUSED = "refused", "Refused"
        OPEN = "open", "Being worked on"
        PROPOSED = "proposed", "Proposed"
        DISCARDED = "discarded", "Discarded"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    provider = models.CharField(max_length=80, help_text="Who stated these rates, such as Prime LP.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    file = models.ForeignKey("core.StoredFile", on_delete=models.PROTECT, null=True, related_name="+")
    reading = models.JSONField(default=dict, help_text="How the sheet was read: columns, mode, sign, decimal mark.")
    problems = models.JSONField(default=list, help_text="What is wrong, by row and field.")
    left_out = models.JSONField(default=list, help_text="Names of the sheet that are none of our symbols.")
    change = models.OneToOneField(
        "core.ChangeRequest", on_delete=models.PROTECT, null=True, blank=True, related_name="swap_sheet"
    )
    version = models.PositiveIntegerField(default=0, help_text="Counts the edits, so that two people do not overwrite.")
    made_by = models.CharField(max_length=200)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="proposed", change__isnull=False) | (~Q(state="proposed") & Q(change__isnull=True)),
                name="platform_swapsheet_change",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.created_at:%Y-%m-%d %H:%M}"


class SwapSheetRow(models.Model):
    """One row of the grid: a symbol, for everybody or for one group of accounts.

    `lp_long` and `lp_short` are the sheet's figures, `expected_*` what the mark-up rules made of them, `long` and `short`
    what is proposed; empty figures are still missing. `explanation` is why a suspicious figure is right.
    """

    sheet = models.ForeignKey(SwapSheet, on_delete=models.CASCADE, related_name="rows")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    line = models.PositiveIntegerField(null=True, help_text="Row of the sheet; empty where the sheet has none.")
    sheet_name = models.CharField(max_length=40, blank=True)
    mode = models.PositiveSmallIntegerField(choices=_MODES, default=SwapMode.POINTS.value)
    lp_long = models.DecimalField(**SWAP_DIGITS, null=True)
    lp_short = models.DecimalField(**SWAP_DIGITS, null=True)
    expected_long = models.DecimalField(**SWAP_DIGITS, null=True)
    expected_short = models.DecimalField(**SWAP_DIGITS, null=True)
    long = models.DecimalField(**SWAP_DIGITS, null=True)
    short = models.DecimalField(**SWAP_DIGITS, null=True)
    markup = models.CharField(max_length=120, blank=True)
    flag_percent = models.DecimalField(max_digits=7, decimal_places=2, default=Decimal(10))
    explanation = models.CharField(max_length=400, blank=True)
    edited_by = models.CharField(max_length=200, blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["sheet", "symbol__code", "group__name"]
        constraints = [
            models.UniqueConstraint(
                F("sheet"), F("symbol"), Coalesce(F("group"), _NOTHING), name="platform_swapsheetrow_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} for {self.group.name}" if self.group else str(self.symbol)


class SwapPush(models.Model):
    """What one server is to be told about one of its symbols, and what it says when it is read back.

    `before_*` is what the server had when it was first asked; a reversal puts that back. A newer push of the same symbol
    supersedes one that has not arrived. The rate of a group is set as the group's own; `follows` says that the group had none
    before and followed the symbol, and of a reversal, that it is to follow again.
    """

    class Direction(models.TextChoices):
        APPLY = "apply", "Apply"
        REVERT = "revert", "Revert"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        SENDING = "sending", "Being sent"
        UNCERTAIN = "uncertain", "Answer lost"
        UNREACHABLE = "unreachable", "Server does not answer"
        VERIFIED = "verified", "On the server"
        DIFFERS = "differs", "Server says otherwise"
        REFUSED = "refused", "Refused by the server"
        BY_HAND = "by_hand", "To be set by hand"
        DONE_BY_HAND = "done_by_hand", "Set by hand"
        SUPERSEDED = "superseded", "Superseded"

    OPEN_STATES = (State.QUEUED, State.SENDING, State.UNCERTAIN, State.UNREACHABLE)
    FAILED_STATES = (State.DIFFERS, State.REFUSED)
    FINAL_STATES = (State.VERIFIED, State.DONE_BY_HAND, State.SUPERSEDED)

    change = models.ForeignKey("core.ChangeRequest", on_delete=models.PROTECT, related_name="swap_pushes")
    direction = models.CharField(max_length=6, choices=Direction.choices, default=Direction.APPLY)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="swap_pushes")
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, related_name="swap_pushes")
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    digits = models.PositiveSmallIntegerField(
        help_text="Digits that the figures are stated for, where they are points."
    )
    mode = models.PositiveSmallIntegerField(choices=_MODES)
    long = models.DecimalField(**SWAP_DIGITS)
    short = models.DecimalField(**SWAP_DIGITS)
    before_mode = models.PositiveSmallIntegerField(choices=_MODES, null=True)
    before_long = models.DecimalField(**SWAP_DIGITS, null=True)
    before_short = models.DecimalField(**SWAP_DIGITS, null=True)
    follows = models.BooleanField(default=False)
    read_mode = models.PositiveSmallIntegerField(choices=_MODES, null=True)
    read_long = models.DecimalField(**SWAP_DIGITS, null=True)
    read_short = models.DecimalField(**SWAP_DIGITS, null=True)
    due_at = models.DateTimeField(default=clock.now, help_text="Not before the rates are in force.")
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True, blank=True)
    message = models.CharField(max_length=400, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-change", "server__code", "server_symbol__name", "pk"]
        verbose_name_plural = "swap pushes"
        constraints = [
            models.UniqueConstraint(
                F("change"), F("direction"), F("server_symbol"), Coalesce(F("group"), _NOTHING),
                name="platform_swappush_unique",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["server", "id"],
                name="platform_swappush_open",
                condition=Q(state__in=["queued", "sending", "uncertain", "unreachable"]),
            ),
            models.Index(fields=["server_symbol", "-id"], name="platform_swappush_symbol"),
        ]

    def __str__(self) -> str:
        return f"{self.server_symbol.name} on {self.server}"
