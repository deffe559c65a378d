"""How each trading server is reached, and how far its records were followed."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.history import keep_history
from backoffice.core.sealing.fields import EncryptedTextField
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.servers import TradingServer


@keep_history(exclude=["password"])
class ServerConnection(models.Model):
    """The way to a server: which connector, where, as whom. The password is sealed and never shown again."""

    class Kind(models.TextChoices):
        MT5_WEB = "mt5_web", "MetaTrader 5 Web API"
        REPORT_DATABASE = "report_database", "Report database"
        FIX_DROP_COPY = "fix_drop_copy", "FIX drop copy"
        FILES = "files", "Files in a folder"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    server = models.OneToOneField(TradingServer, on_delete=models.PROTECT, related_name="connection")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    host = models.CharField(max_length=253, blank=True)
    port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    login = models.CharField(max_length=80, blank=True)
    password = EncryptedTextField(blank=True, default="")
    options = models.JSONField(default=dict, blank=True, help_text="What this kind of connector can be told besides.")
    is_enabled = models.BooleanField(default=False, help_text="Whether its records are followed.")
    syncs_orders = models.BooleanField(default=True, help_text="Whether ended orders are kept for execution quality.")
    interval_seconds = models.PositiveIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(3_600)], help_text="How often it is asked."
    )
    overlap_seconds = models.PositiveIntegerField(
        default=300,
        validators=[MinValueValidator(0), MaxValueValidator(86_400)],
        help_text="How much of what was read is read again, for records that come late.",
    )
    started_at = models.DateTimeField(default=clock.now, help_text="From when on deals are fetched.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["server"]
        constraints = [
            models.CheckConstraint(
                condition=Q(port__isnull=True) | Q(port__range=(1, 65_535)), name="platform_connection_port"
            ),
            models.CheckConstraint(
                condition=Q(interval_seconds__range=(1, 3_600)), name="platform_connection_interval"
            ),
            models.CheckConstraint(condition=Q(overlap_seconds__lte=86_400), name="platform_connection_overlap"),
        ]

    def __str__(self) -> str:
        return f"{self.server} by {self.get_kind_display()}"


class ServerSync(models.Model):
    """Where following a server stands. `cursor_at`: everything before it was read; what comes late is in the overlap.

    `changes_at` is the cursor of what the source marks as changed later, whatever its time; empty where it marks nothing.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Not started"
        LIVE = "live", "Live"
        CATCHING_UP = "catching_up", "Catching up"
        UNREACHABLE = "unreachable", "Unreachable"
        CLOCK_OFF = "clock_off", "Held: its clock is off"
        FAILED = "failed", "Held: it answers what cannot be"
        STOPPED = "stopped", "Stopped"

    server = models.OneToOneField(TradingServer, on_delete=models.CASCADE, related_name="sync")
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    state_since = models.DateTimeField(default=clock.now)
    cursor_at = models.DateTimeField(null=True, blank=True)
    changes_at = models.DateTimeField(null=True, blank=True)
    corrected_deals = models.PositiveBigIntegerField(default=0, help_text="Found by the source's marks of change.")
    last_deal_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    lag_seconds = models.PositiveIntegerField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    clock_offset_seconds = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    down_since = models.DateTimeField(null=True, blank=True)
    message = models.CharField(max_length=500, blank=True)
    deals = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["server"]

    def __str__(self) -> str:
        return f"{self.server} {self.get_state_display()}"


class SyncGap(models.Model):
    """A stretch of time in which a server's records were not followed, and how it was filled afterwards."""

    server = models.ForeignKey(TradingServer, on_delete=models.CASCADE, related_name="sync_gaps")
    from_at = models.DateTimeField()
    to_at = models.DateTimeField()
    filled_to = models.DateTimeField(null=True, blank=True)
    cause = models.CharField(max_length=200, blank=True)
    found_at = models.DateTimeField(default=clock.now)
    filled_at = models.DateTimeField(null=True, blank=True)
    deals = models.PositiveIntegerField(default=0)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-found_at", "-pk"]
        indexes = [models.Index(fields=["server"], name="platform_gap_open", condition=Q(filled_at__isnull=True))]
        constraints = [models.CheckConstraint(condition=Q(to_at__gt=F("from_at")), name="platform_gap_forward")]

    def __str__(self) -> str:
        return f"{self.server} {self.from_at:%Y-%m-%d %H:%M} to {self.to_at:%H:%M}"
