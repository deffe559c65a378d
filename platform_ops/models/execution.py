"""How clients' orders were executed: one row for each ended order of a server, as the server tells it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import LotsField, PriceField
from backoffice.kernel import clock
from platform_ops.gateways.types import DealReason, OrderState
from platform_ops.models.accounts import TradingAccount
from platform_ops.models.servers import TradingServer
from platform_ops.models.symbols import ServerSymbol
from platform_ops.types import Side


class OrderExecution(models.Model):
    """An ended order. Slippage is points to the client's favour (below zero: against them), and only known for a filled
    order with a price asked for; fill time is known for a market order, from the server's taking it to its being done.

    `hour` is the hour of the day (UTC) in which it was placed. Rows follow from the server's orders and are made
    again by reading them again.
    """

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="executions")
    order_ticket = models.BigIntegerField()
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="executions")
    symbol = models.CharField(max_length=40, help_text="As the server names it.")
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    type = models.SmallIntegerField(help_text="0 and 1 at the market, 2 to 7 waiting orders, 8 close-by.")
    side = models.SmallIntegerField(choices=[(side.value, side.name.capitalize()) for side in Side])
    state = models.SmallIntegerField(
        choices=[(state.value, state.name.replace("_", " ").capitalize()) for state in OrderState]
    )
    reason = models.SmallIntegerField(
        null=True, choices=[(reason.value, reason.name.replace("_", " ").capitalize()) for reason in DealReason]
    )
    volume_lots = LotsField()
    filled_lots = LotsField()
    requested_price = PriceField(null=True)
    filled_price = PriceField(null=True)
    slippage_points = models.DecimalField(max_digits=16, decimal_places=2, null=True)
    fill_milliseconds = models.IntegerField(null=True)
    requotes = models.PositiveSmallIntegerField(default=0)
    reject_reason = models.CharField(max_length=64, blank=True)
    placed_at = models.DateTimeField()
    done_at = models.DateTimeField()
    hour = models.PositiveSmallIntegerField()
    recorded_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-done_at", "-id"]
        verbose_name = "order"
        constraints = [
            models.UniqueConstraint(fields=["server", "order_ticket"], name="platform_execution_unique"),
            models.CheckConstraint(
                condition=Q(volume_lots__gte=0) & Q(filled_lots__gte=0) & Q(filled_lots__lte=F("volume_lots")),
                name="platform_execution_volumes",
            ),
            models.CheckConstraint(
                condition=Q(fill_milliseconds__isnull=True) | Q(fill_milliseconds__gte=0),
                name="platform_execution_fill_time",
            ),
            models.CheckConstraint(condition=Q(done_at__gte=F("placed_at")), name="platform_execution_times"),
            models.CheckConstraint(condition=Q(hour__lte=23), name="platform_execution_hour"),
        ]
        indexes = [
            models.Index(fields=["server", "done_at"], name="platform_execution_done"),
            models.Index(fields=["account", "-done_at"], name="platform_execution_account"),
        ]

    def __str__(self) -> str:
        return f"Order {self.order_ticket} on {self.server}"
