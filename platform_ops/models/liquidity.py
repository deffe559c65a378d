"""What liquidity providers tell over FIX: every message as it came, and the executions that follow from them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import PriceField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.symbols import Symbol
from platform_ops.types import Side


@keep_history()
class LiquidityProvider(models.Model):
    """A counterparty that fills what the broker hedges, and how its drop copy is reached.

    `units_per_quantity` is what one of its stated quantity means in units of the base asset (1, or 10 000 where a
    provider counts contracts), unless the mapping of a symbol says otherwise.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="liquidity_providers")
    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=160)
    comp_id = models.CharField(max_length=64, help_text="SenderCompID of its messages (tag 49).")
    states_own_side = models.BooleanField(
        default=False, help_text="Tag 54 is the provider's own side: what it bought, the house sold."
    )
    units_per_quantity = models.DecimalField(max_digits=20, decimal_places=8, default=1)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(condition=Q(units_per_quantity__gt=0), name="platform_provider_units_positive"),
            models.UniqueConstraint(fields=["entity", "comp_id"], name="platform_provider_comp_id"),
        ]

    def __str__(self) -> str:
        return self.code


@keep_history()
class LiquiditySymbol(models.Model):
    """An instrument as a provider names it: its text (tag 55), or its number (48) of a source (22)."""

    provider = models.ForeignKey(LiquidityProvider, on_delete=models.PROTECT, related_name="symbols")
    name = models.CharField(max_length=64)
    id_source = models.CharField(
        max_length=8, blank=True, help_text="Tag 22; empty where `name` is the text of tag 55."
    )
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    units_per_quantity = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    first_seen_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "name"]
        verbose_name = "name at a provider"
        verbose_name_plural = "names at providers"
        constraints = [
            models.UniqueConstraint(fields=["provider", "id_source", "name"], name="platform_lpsymbol_unique"),
            models.CheckConstraint(
                condition=Q(units_per_quantity__isnull=True) | Q(units_per_quantity__gt=0),
                name="platform_lpsymbol_units_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.provider}"


class LiquidityMessage(models.Model):
    """A FIX message as it came, each once. Never changes; what it means is worked out anew from all of an order."""

    id = models.BigAutoField(primary_key=True)
    provider = models.ForeignKey(LiquidityProvider, on_delete=models.PROTECT, related_name="messages")
    digest = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, help_text="Tag 35.")
    order_id = models.CharField(max_length=64, blank=True)
    exec_id = models.CharField(max_length=64, blank=True)
    exec_type = models.CharField(max_length=4, blank=True)
    client_order_id = models.CharField(max_length=64, blank=True, help_text="Tag 11.")
    symbol = models.CharField(max_length=64, blank=True, help_text="Tag 55, or the number in tag 48.")
    sequence = models.BigIntegerField()
    sent_at = models.DateTimeField()
    text = models.TextField(help_text="The message with | between its fields; names of persons are blanked.")
    received_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "FIX message"
        constraints = [models.UniqueConstraint(fields=["provider", "digest"], name="platform_lpmessage_once")]
        indexes = [
            models.Index(fields=["provider", "order_id"], name="platform_lpmessage_order"),
            models.Index(fields=["client_order_id"], name="platform_lpmessage_client"),
            models.Index(fields=["exec_id"], name="platform_lpmessage_exec"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"Message {self.sequence} of {self.provider}"


class LiquidityFill(models.Model):
    """One execution at a provider, in one revision. A correction or bust is a new revision; nothing is overwritten.

    (`order_id`, `number`) names the execution: the n-th of its order. `quantity` is as the provider counts, `units` in
    the base asset. `CurrentFill` shows the latest revisions.
    """

    class State(models.TextChoices):
        DONE = "done", "Executed"
        CORRECTED = "corrected", "Corrected"
        BUSTED = "busted", "Busted"

    id = models.BigAutoField(primary_key=True)
    provider = models.ForeignKey(LiquidityProvider, on_delete=models.PROTECT, related_name="fills")
    order_id = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State.choices)
    client_order_id = models.CharField(max_length=64, blank=True)
    exec_id = models.CharField(max_length=64, blank=True)
    account = models.CharField(max_length=64, blank=True)
    lp_symbol = models.ForeignKey(LiquiditySymbol, on_delete=models.PROTECT, related_name="fills")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, related_name="+")
    side = models.SmallIntegerField(choices=[(side.value, side.name.lower()) for side in Side])
    quantity = models.DecimalField(max_digits=24, decimal_places=8)
    units = models.DecimalField(max_digits=28, decimal_places=8)
    price = PriceField()
    is_price_derived = models.BooleanField(
        default=False, help_text="Worked out from average prices: no report told it."
    )
    cumulative = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=8, blank=True)
    executed_at = models.DateTimeField()
    trade_date = models.DateField(null=True)
    settlement_date = models.DateField(null=True)
    parties = models.JSONField(default=list)
    reports = models.PositiveIntegerField(default=1, help_text="How many messages told of it.")
    message = models.ForeignKey(LiquidityMessage, on_delete=models.PROTECT, related_name="fills")
    recorded_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-executed_at", "-id"]
        verbose_name = "revision of an execution"
        verbose_name_plural = "revisions of executions"
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "order_id", "number", "revision"], name="platform_lpfill_revision_unique"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="platform_lpfill_quantity_positive"),
            models.CheckConstraint(condition=Q(units__gt=0), name="platform_lpfill_units_positive"),
        ]
        indexes = [
            models.Index(fields=["provider", "-executed_at"], name="platform_lpfill_time"),
            models.Index(fields=["symbol", "-executed_at"], name="platform_lpfill_symbol"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.order_id}/{self.number} rev {self.revision}"


class CurrentFill(models.Model):
    """A view of `LiquidityFill`: the latest revision of each execution, busted ones left out. This is what is true now."""

    id = models.BigIntegerField(primary_key=True)
    provider = models.ForeignKey(LiquidityProvider, on_delete=models.DO_NOTHING, related_name="+")
    order_id = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    revision = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=LiquidityFill.State.choices)
    client_order_id = models.CharField(max_length=64)
    exec_id = models.CharField(max_length=64)
    account = models.CharField(max_length=64)
    lp_symbol = models.ForeignKey(LiquiditySymbol, on_delete=models.DO_NOTHING, related_name="+")
    symbol = models.ForeignKey(Symbol, on_delete=models.DO_NOTHING, null=True, related_name="+")
    side = models.SmallIntegerField(choices=[(side.value, side.name.lower()) for side in Side])
    quantity = models.DecimalField(max_digits=24, decimal_places=8)
    units = models.DecimalField(max_digits=28, decimal_places=8)
    price = PriceField()
    is_price_derived = models.BooleanField()
    cumulative = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=8)
    executed_at = models.DateTimeField()
    trade_date = models.DateField(null=True)
    settlement_date = models.DateField(null=True)
    reports = models.PositiveIntegerField()
    recorded_at = models.DateTimeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "platform_ops_currentfill"
        ordering = ["-executed_at", "-id"]
        verbose_name = "execution at a provider"
        verbose_name_plural = "executions at providers"

    def __str__(self) -> str:
        return f"{self.order_id}/{self.number}"


class LiquidityOrderProblem(models.Model):
    """Something about an order that a person must look at: a bust of an unknown fill, quantities that do not add up."""

    provider = models.ForeignKey(LiquidityProvider, on_delete=models.PROTECT, related_name="problems")
    order_id = models.CharField(max_length=64)
    problem = models.CharField(max_length=300)
    found_at = models.DateTimeField(default=clock.now)
    settled_at = models.DateTimeField(null=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "order_id"],
                condition=Q(settled_at__isnull=True),
                name="platform_lpproblem_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.problem}"
