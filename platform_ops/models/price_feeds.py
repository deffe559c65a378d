"""Feeds of prices: sources, the settings of the filter, ticks with their verdicts, what was rejected, and bars.

Prices of ticks are whole points with the number of digits beside them, so that a tick reads back exactly as it came.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from backoffice.core.fields import PriceField
from backoffice.core.history import keep_history
from backoffice.kernel import clock
from platform_ops.models.symbols import Symbol
from platform_ops.rules.price_filter import FIRST_REJECTED, FilterLevels, Verdict

VERDICTS = [(verdict.value, verdict.words) for verdict in Verdict]


@keep_history()
class PriceSource(models.Model):
    """Who sends prices: a liquidity provider, a bridge, a trading server.

    Of the sources that are alive, the one with the lowest `priority` makes the price. One that sent nothing for
    `silence_seconds` while its market is open is silent; above `storm_ticks` a second it storms.
    """

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    priority = models.PositiveSmallIntegerField(default=100)
    is_enabled = models.BooleanField(default=True)
    silence_seconds = models.PositiveIntegerField(default=60)
    storm_ticks = models.PositiveIntegerField(default=500)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["priority", "code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(silence_seconds__gt=0) & Q(storm_ticks__gt=0), name="platform_pricesource_bounds"
            )
        ]

    def __str__(self) -> str:
        return self.name


class PriceFilterSetting(models.Model):
    """The levels of the filter during a time, of a symbol and a source; none of one means all of them.

    The setting of symbol and source counts before that of the symbol, then of the source, then of all.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="filter_settings")
    source = models.ForeignKey(
        PriceSource, on_delete=models.PROTECT, null=True, blank=True, related_name="filter_settings"
    )
    validity = DateTimeRangeField()
    soft_points = models.PositiveIntegerField(default=0)
    soft_ticks = models.PositiveIntegerField(default=0)
    hard_points = models.PositiveIntegerField(default=0)
    hard_ticks = models.PositiveIntegerField(default=0)
    discard_points = models.PositiveIntegerField(default=0)
    spread_minimum = models.PositiveIntegerField(default=0)
    spread_maximum = models.PositiveIntegerField(default=0)
    allows_locked = models.BooleanField(default=False)
    break_seconds = models.PositiveIntegerField(default=0)
    ahead_milliseconds = models.PositiveIntegerField(default=0)
    spike_multiple = models.PositiveIntegerField(default=0)
    frozen_ticks = models.PositiveIntegerField(default=0)
    stale_seconds = models.PositiveIntegerField(default=0)
    stale_points = models.PositiveIntegerField(default=0)
    cross_source_spreads = models.PositiveIntegerField(default=0)
    cross_source_deviations = models.PositiveIntegerField(default=0)
    consensus_seconds = models.PositiveIntegerField(default=10)
    big_figure_points = models.PositiveIntegerField(default=0)
    catches_ten_fold = models.BooleanField(default=False)
    change_reference = models.CharField(max_length=40, blank=True)
    set_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["symbol__code", "source__code", "-validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_filtersetting_no_overlap",
                expressions=[
                    (Func(F("symbol"), Value(0), function="coalesce"), RangeOperators.EQUAL),
                    (Func(F("source"), Value(0), function="coalesce"), RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_filtersetting_not_empty"),
            models.CheckConstraint(
                condition=(Q(hard_points=0) | Q(hard_points__gte=F("soft_points")))
                & (
                    Q(discard_points=0)
                    | (Q(discard_points__gte=F("soft_points")) & Q(discard_points__gte=F("hard_points")))
                ),
                name="platform_filtersetting_levels_rise",
            ),
            models.CheckConstraint(
                condition=Q(spread_maximum=0) | Q(spread_maximum__gte=F("spread_minimum")),
                name="platform_filtersetting_spreads",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol or 'all symbols'} of {self.source or 'all sources'}"

    def levels(self) -> FilterLevels:
        """The levels that the filter reads."""
        return FilterLevels(**{name: getattr(self, name) for name in FilterLevels.__dataclass_fields__})


class SymbolPriceState(models.Model):
    """What the filter remembers of a symbol, so that any process can take it up again. Its row is the symbol's lock."""

    symbol = models.OneToOneField(Symbol, on_delete=models.CASCADE, primary_key=True, related_name="price_state")
    digits = models.PositiveSmallIntegerField()
    sources = models.JSONField(default=dict)
    updated_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"state of {self.symbol_id}"


class PriceFeed(models.Model):
    """How a source does in a symbol: its last tick, its last good one, and the counts of the business day."""

    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, related_name="feeds")
    source = models.ForeignKey(PriceSource, on_delete=models.CASCADE, related_name="feeds")
    first_tick_at = models.DateTimeField()
    last_tick_at = models.DateTimeField()
    last_received_at = models.DateTimeField()
    last_verdict = models.PositiveSmallIntegerField(choices=VERDICTS)
    accepted_at = models.DateTimeField(null=True, blank=True)
    bid = PriceField(null=True, blank=True)
    ask = PriceField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    business_day = models.DateField()
    ticks = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)
    rejected_in_a_row = models.PositiveIntegerField(default=0)
    minute = models.DateTimeField()
    minute_ticks = models.PositiveIntegerField(default=0)
    minute_rejected = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["symbol__code", "source__priority"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "source"], name="platform_pricefeed_unique"),
            models.CheckConstraint(condition=Q(rejected__lte=F("ticks")), name="platform_pricefeed_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} from {self.source}"


class TickBatch(models.Model):
    """A batch of ticks that was taken in, so that its second delivery is known as one."""

    source = models.ForeignKey(PriceSource, on_delete=models.CASCADE, related_name="batches")
    digest = models.BinaryField(max_length=32)
    received_at = models.DateTimeField()
    ticks = models.PositiveIntegerField()
    figures = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="platform_tickbatch_unique")]
        indexes = [models.Index(fields=["received_at"], name="platform_tickbatch_received")]

    def __str__(self) -> str:
        return f"{self.ticks} ticks of {self.source_id}"


class BufferedTick(models.Model):
    """A tick that no file of the store holds yet. `is_leading` says that it made the price."""

    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, related_name="+")
    source = models.ForeignKey(PriceSource, on_delete=models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    bid = models.BigIntegerField()
    ask = models.BigIntegerField()
    digits = models.PositiveSmallIntegerField()
    verdict = models.PositiveSmallIntegerField(choices=VERDICTS)
    is_leading = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "source", "at", "bid", "ask", "digits"], name="platform_bufferedtick_unique"
            )
        ]
        indexes = [models.Index(fields=["symbol", "at"], name="platform_bufferedtick_time")]

    def __str__(self) -> str:
        return f"{self.symbol_id} {self.at:%H:%M:%S.%f}"


class TickFile(models.Model):
    """A Parquet file of the tick store: the ticks of one symbol and UTC day that were moved out of the buffer at once."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="tick_files")
    day = models.DateField(help_text="UTC day of the ticks.")
    name = models.CharField(max_length=200, unique=True)
    ticks = models.PositiveIntegerField()
    leading = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)
    written_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-day", "symbol"]
        indexes = [models.Index(fields=["symbol", "day"], name="platform_tickfile_day")]

    def __str__(self) -> str:
        return self.name


class RejectionEpisode(models.Model):
    """Ticks of a feed that were rejected for one reason without a pause of a minute; the count is exact."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="rejections")
    source = models.ForeignKey(PriceSource, on_delete=models.PROTECT, related_name="rejections")
    verdict = models.PositiveSmallIntegerField(choices=VERDICTS)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    ticks = models.PositiveIntegerField()
    largest_move_points = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-last_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(verdict__gte=FIRST_REJECTED), name="platform_episode_rejected"),
            models.CheckConstraint(
                condition=Q(last_at__gte=F("first_at")) & Q(ticks__gt=0), name="platform_episode_sane"
            ),
        ]
        indexes = [models.Index(fields=["symbol", "-last_at"], name="platform_episode_time")]

    def __str__(self) -> str:
        return f"{self.symbol}: {self.ticks} × {self.get_verdict_display()}"


class RejectedTick(models.Model):
    """A rejected tick with what it was measured by. Of a long episode only the first ones stand here; the store has all."""

    episode = models.ForeignKey(RejectionEpisode, on_delete=models.CASCADE, related_name="rejected_ticks")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+", db_index=False)
    source = models.ForeignKey(PriceSource, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    verdict = models.PositiveSmallIntegerField(choices=VERDICTS)
    bid = PriceField(null=True, blank=True)
    ask = PriceField(null=True, blank=True)
    raw = models.CharField(max_length=120, blank=True, help_text="What came, where it is no price.")
    last_bid = PriceField(null=True, blank=True)
    last_ask = PriceField(null=True, blank=True)
    move_points = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(verdict__gte=FIRST_REJECTED), name="platform_rejectedtick_rejected")
        ]
        indexes = [models.Index(fields=["symbol", "at"], name="platform_rejectedtick_time")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.bid}/{self.ask}"


class PriceBar(models.Model):
    """Open, high, low and close of the bid during a minute, an hour or a business day, from the ticks that made the price."""

    class Period(models.TextChoices):
        MINUTE = "M1", "1 minute"
        HOUR = "H1", "1 hour"
        DAY = "D1", "Business day"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="bars")
    period = models.CharField(max_length=2, choices=Period.choices)
    opens_at = models.DateTimeField()
    open = PriceField()
    high = PriceField()
    low = PriceField()
    close = PriceField()
    close_ask = PriceField()
    closed_by_at = models.DateTimeField(help_text="The time of the last tick.")
    ticks = models.PositiveIntegerField()
    widest_spread = PriceField()

    class Meta:
        ordering = ["symbol", "period", "-opens_at"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "period", "opens_at"], name="platform_pricebar_unique"),
            models.CheckConstraint(
                condition=Q(low__gt=0)
                & Q(low__lte=F("open"))
                & Q(low__lte=F("close"))
                & Q(high__gte=F("open"))
                & Q(high__gte=F("close"))
                & Q(close_ask__gte=F("close"))
                & Q(ticks__gt=0),
                name="platform_pricebar_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.period} {self.opens_at:%Y-%m-%d %H:%M}"


def verdict_words(number: Any) -> str:
    """The words of a stored verdict."""
    return Verdict(number).words
