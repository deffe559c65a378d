"""The market when a deal was executed: what the server told beside it, or the last accepted tick before it.

A table of its own beside `Deal`, because most sources tell no market and a million empty columns would cost the load.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.fields import PriceField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from platform_ops.models.servers import TradingServer


class DealMarket(models.Model):
    """Bid and ask when a deal was executed and what the liquidity provider filled at, in one revision.

    Prices are as told, a crossed or a one-sided market too; whoever counts a spread judges. The latest revision counts,
    and revisions are those of this row, not of the deal. A trigger refuses to change or delete it.
    """

    class Source(models.IntegerChoices):
        SERVER = 0, "Told by the server"
        TICK = 1, "Last accepted tick"

    pk = models.CompositePrimaryKey("server_id", "ticket", "leg", "revision")
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    ticket = models.BigIntegerField()
    leg = models.SmallIntegerField(default=0)
    revision = models.SmallIntegerField(default=0)
    source = models.SmallIntegerField(choices=Source.choices, default=Source.SERVER)
    bid = PriceField(null=True)
    ask = PriceField(null=True)
    gateway_price = PriceField(null=True, help_text="What the liquidity provider filled at.")
    quoted_at = models.DateTimeField(null=True, help_text="Time of the tick that stands in for a told market.")
    stated_as_of = models.DateTimeField(help_text="Moment at which the source told it.")
    recorded_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["server_id", "ticket", "leg", "revision"]
        verbose_name = "market of a deal"
        verbose_name_plural = "markets of deals"
        constraints = [
            models.CheckConstraint(
                condition=Q(bid__isnull=False) | Q(ask__isnull=False) | Q(gateway_price__isnull=False),
                name="platform_dealmarket_says_something",
            ),
            models.CheckConstraint(
                condition=(Q(bid__isnull=True) | Q(bid__gt=0))
                & (Q(ask__isnull=True) | Q(ask__gt=0))
                & (Q(gateway_price__isnull=True) | Q(gateway_price__gt=0)),
                name="platform_dealmarket_prices",
            ),
            models.CheckConstraint(
                condition=Q(source=0, quoted_at__isnull=True)
                | Q(source=1, quoted_at__isnull=False, bid__isnull=False, ask__isnull=False),
                name="platform_dealmarket_source",
            ),
        ]
        indexes = [
            # Small: what makes a revision the latest is looked up among the later ones only.
            models.Index(
                fields=["server", "ticket", "leg", "revision"],
                name="platform_dealmarket_later",
                condition=Q(revision__gt=0),
            ),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"market of deal {self.ticket}/{self.leg} rev {self.revision}"
