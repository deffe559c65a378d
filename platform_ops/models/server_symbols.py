"""What servers say of symbols: naming rules, the terms each server states, where they drift from the approved ones, imports."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.history import keep_history
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.servers import TradingServer
from platform_ops.models.symbols import ServerSymbol, Symbol


@keep_history()
class SymbolNameRule(models.Model):
    """How a server's names of symbols are read, before the rules of the house; without a server: on every server."""

    class Kind(models.TextChoices):
        SUFFIX = "suffix", "Leave out at the end"
        PREFIX = "prefix", "Leave out at the start"
        REPLACE = "replace", "Replace"
        ALIAS = "alias", "Is another name of"

    server = models.ForeignKey(
        TradingServer, on_delete=models.PROTECT, null=True, blank=True, related_name="symbol_name_rules"
    )
    position = models.PositiveSmallIntegerField(
        help_text="Rules are tried from the lowest; the first that fits decides."
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    pattern = models.CharField(max_length=40, help_text="The characters themselves; letter case does not matter.")
    replacement = models.CharField(max_length=40, blank=True)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="name_rules")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["server", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "position"], name="platform_namerule_position", nulls_distinct=False
            ),
            models.CheckConstraint(condition=~Q(pattern=""), name="platform_namerule_pattern"),
            models.CheckConstraint(
                condition=Q(kind="alias", symbol__isnull=False) | (~Q(kind="alias") & Q(symbol__isnull=True)),
                name="platform_namerule_alias",
            ),
            models.CheckConstraint(
                condition=Q(kind="replace") | Q(replacement=""), name="platform_namerule_replacement"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pattern}"


class ServerSymbolTerms(models.Model):
    """What a server said of a symbol when it was last asked: `SymbolTerms` as plain data, or why they cannot be taken."""

    server_symbol = models.OneToOneField(
        ServerSymbol, on_delete=models.CASCADE, primary_key=True, related_name="stated_terms"
    )
    terms = models.JSONField(default=dict)
    problem = models.CharField(max_length=300, blank=True)
    description = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["server_symbol"]

    def __str__(self) -> str:
        return f"{self.server_symbol} as of {self.seen_at:%Y-%m-%d %H:%M}"


@keep_history()
class SymbolDrift(models.Model):
    """A field of a symbol that a server states otherwise than approved, from when it was found until it was settled."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACCEPTED = "accepted", "Accepted"
        GONE = "gone", "Gone"

    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, related_name="drifts")
    field = models.CharField(max_length=40)
    approved = models.JSONField(null=True)
    stated = models.JSONField(null=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["server_symbol", "field", "-first_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["server_symbol", "field"],
                condition=Q(state__in=["open", "accepted"]),
                name="platform_symboldrift_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state="open", settled_at__isnull=True) | (~Q(state="open") & Q(settled_at__isnull=False)),
                name="platform_symboldrift_settled",
            ),
            models.CheckConstraint(condition=~Q(state="accepted") | ~Q(reason=""), name="platform_symboldrift_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.server_symbol}: {self.field.replace('_', ' ')}"


class SpecificationImport(models.Model):
    """A file of symbol specifications as it was read: each row with what it would change, or why it cannot be taken."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    format = models.CharField(max_length=40)
    file_name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    rows = models.JSONField(default=list)
    imported_by = models.CharField(max_length=200)
    imported_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-imported_at"]
        indexes = [models.Index(fields=["-imported_at"], name="platform_specimport_at")]

    def __str__(self) -> str:
        return f"{self.file_name} {self.imported_at:%Y-%m-%d %H:%M}"
