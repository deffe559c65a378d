"""Live drop copies: where the session with each provider stands, and what was said in it."""

from __future__ import annotations

import pgtrigger
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.triggers import IMMUTABLE_SQLSTATE
from backoffice.kernel import clock
from platform_ops.models.liquidity import LiquidityProvider
from platform_ops.models.servers import TradingServer
from platform_ops.rules.fix_words import kind_words


class DropCopySession(models.Model):
    """The FIX session with a provider: its sequence numbers, written with what came in under them, and its health.

    `next_in` is the number of the message that is expected, `next_out` the one that our next message has. `gap_to` is the
    number up to which messages are missing and were asked for; empty while none is.
    """

    class State(models.TextChoices):
        AWAY = "away", "Away"
        LIVE = "live", "Live"
        FETCHING = "fetching", "Fetching what was missed"
        REFUSED = "refused", "Refused"
        STOPPED = "stopped", "Stopped"

    provider = models.OneToOneField(LiquidityProvider, on_delete=models.PROTECT, related_name="drop_copy")
    server = models.OneToOneField(TradingServer, on_delete=models.PROTECT, related_name="drop_copy")
    sender_comp_id = models.CharField(max_length=64, help_text="Who we are in it (49 of what we send).")
    target_comp_id = models.CharField(max_length=64, help_text="Who the provider is in it.")
    next_in = models.BigIntegerField(default=1, validators=[MinValueValidator(1)])
    next_out = models.BigIntegerField(default=1, validators=[MinValueValidator(1)])
    gap_to = models.BigIntegerField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.AWAY)
    state_since = models.DateTimeField(default=clock.now)
    logged_on_at = models.DateTimeField(null=True, blank=True)
    last_received_at = models.DateTimeField(null=True, blank=True, help_text="The last whole message of any kind.")
    last_execution_at = models.DateTimeField(null=True, blank=True)
    messages = models.PositiveBigIntegerField(default=0, help_text="Messages about orders, each counted once.")
    fills = models.PositiveBigIntegerField(default=0)
    fetched = models.PositiveBigIntegerField(default=0, help_text="Messages that came only when they were asked for.")
    gaps = models.PositiveIntegerField(default=0)
    garbled = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0, help_text="Whole messages with a field that cannot be.")
    rejects = models.PositiveIntegerField(default=0, help_text="Messages of ours that the provider rejected.")
    resets = models.PositiveIntegerField(default=0, help_text="How often the numbers began anew.")
    note = models.CharField(max_length=300, blank=True)
    updated_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["provider__code"]
        verbose_name = "drop copy session"
        constraints = [
            models.CheckConstraint(
                condition=Q(next_in__gte=1) & Q(next_out__gte=1), name="platform_dropcopy_numbers_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_comp_id} to {self.sender_comp_id}"


class DropCopyMessage(models.Model):
    """One message of a session as it went over the wire, also those that keep the session alive. Passwords and names of
    persons are blanked. Rows never change; those past the retention are removed. The messages that executions rest on
    are kept for good as `LiquidityMessage`.
    """

    id = models.BigAutoField(primary_key=True)
    provider = models.ForeignKey(LiquidityProvider, on_delete=models.PROTECT, related_name="session_messages")
    is_incoming = models.BooleanField()
    kind = models.CharField(max_length=8, help_text="Tag 35.")
    sequence = models.BigIntegerField()
    is_repeat = models.BooleanField(default=False, help_text="Sent again (43=Y).")
    order_id = models.CharField(max_length=64, blank=True)
    client_order_id = models.CharField(max_length=64, blank=True)
    exec_id = models.CharField(max_length=64, blank=True)
    symbol = models.CharField(max_length=64, blank=True)
    text = models.TextField()
    at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "message of a session"
        verbose_name_plural = "messages of sessions"
        indexes = [
            models.Index(fields=["provider", "-id"], name="platform_dcmessage_provider"),
            models.Index(fields=["at"], name="platform_dcmessage_at"),
            models.Index(fields=["client_order_id"], name="platform_dcmessage_client"),
            models.Index(fields=["exec_id"], name="platform_dcmessage_exec"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="never_updated",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func=f"RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME "
                f"USING ERRCODE = '{IMMUTABLE_SQLSTATE}';",
            )
        ]

    def __str__(self) -> str:
        return f"{kind_words(self.kind)} {self.sequence:,}"
