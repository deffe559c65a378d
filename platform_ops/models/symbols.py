"""Symbols: the canonical ones of the house, what each server calls them, and their dated specifications."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Case, F, Q, Value, When

from backoffice.core.fields import CurrencyField, LotsField, PriceField
from backoffice.core.history import keep_history
from backoffice.kernel import clock
from platform_ops.gateways.types import CalculationMode, SwapMode, TradeMode
from platform_ops.models.accounts import AccountGroup
from platform_ops.models.servers import TradingServer
from platform_ops.rules.sessions import working_week
from platform_ops.rules.specifications import MAX_DIGITS, MAX_LEVERAGE, YEAR_DAYS, choice_in_words

ZONE_CODES = r"^(EET_US|EET_EU|UTC|FIXED[+-][0-9]{2}:[0-9]{2})$"


class SymbolGroup(models.Model):
    """A family of symbols that commissions, reports and limits speak of, such as Majors or Metals."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Symbol(models.Model):
    """What is traded, under the house's own name, whatever a server calls it."""

    class AssetClass(models.TextChoices):
        FOREX = "forex", "Forex"
        METAL = "metal", "Metal"
        ENERGY = "energy", "Energy"
        INDEX = "index", "Index"
        SHARE = "share", "Share"
        CRYPTO = "crypto", "Crypto"

    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=120, blank=True)
    asset_class = models.CharField(max_length=8, choices=AssetClass.choices)
    group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, related_name="symbols")
    base_asset = models.CharField(
        max_length=16, help_text="Currency or asset that a lot consists of, such as EUR, XAU, US500."
    )
    profit_currency = CurrencyField()

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


@keep_history(per_statement=True)
class ServerSymbol(models.Model):
    """A symbol as one server names it (`EURUSD.m`). Without a canonical symbol its trades wait, stored and counted."""

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="symbols")
    name = models.CharField(max_length=40)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, blank=True, related_name="server_symbols")
    mapped_by = models.CharField(
        max_length=200, blank=True, help_text="The naming rule that found the symbol, or who mapped it."
    )
    mapped_at = models.DateTimeField(null=True, blank=True)
    first_seen_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["server", "name"]
        constraints = [models.UniqueConstraint(fields=["server", "name"], name="platform_serversymbol_unique")]
        indexes = [models.Index(fields=["server"], name="platform_symbol_unmapped", condition=Q(symbol__isnull=True))]

    def __str__(self) -> str:
        return f"{self.name} on {self.server}"


def _or_none(field: str, lookup: str, value: Any) -> Q:
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__{lookup}": value})


def default_swap_multipliers() -> list[Decimal]:
    """Nights by weekday from Sunday: Wednesday counts three, the weekend none."""
    return [Decimal(nights) for nights in (0, 1, 1, 3, 1, 1, 0)]


def _choices(numbers: type[IntEnum]) -> list[tuple[int, str]]:
    return [(item.value, choice_in_words(numbers, item.value)) for item in numbers]


def _mode_field(numbers: type[IntEnum], default: IntEnum | None = None) -> models.PositiveSmallIntegerField[Any, Any]:
    given = {"null": True, "blank": True} if default is None else {"default": default.value}
    return models.PositiveSmallIntegerField(choices=_choices(numbers), **given)


def _one_of(field: str, numbers: type[IntEnum]) -> Q:
    return Q(**{f"{field}__in": [item.value for item in numbers]})


MONEY: dict[str, Any] = {"max_digits": 24, "decimal_places": 8}
SWAP: dict[str, Any] = {"max_digits": 20, "decimal_places": 8}
_FUTURES = [CalculationMode.FUTURES.value, CalculationMode.EXCHANGE_FUTURES.value]
_FOREX = [CalculationMode.FOREX.value, CalculationMode.FOREX_NO_LEVERAGE.value]


@keep_history(per_statement=True, exclude=["profit_mode"])
class SymbolSpec(models.Model):
    """How a symbol is traded during a time, as the house approved it: every term of a MetaTrader-like symbol.

    Fields are those of `SymbolTerms`, with the pip size and the highest leverage beside them. A group's own terms
    (`GroupSymbolOverride`) come before these, and a dated `SwapRate` before the swap of either. What the database can hold
    is a constraint here or (weekday numbers, sessions) in the migration that made the columns.
    """

    class ProfitMode(models.TextChoices):
        FOREX = "forex", "Forex"
        CFD = "cfd", "CFD"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="specs")
    validity = DateTimeRangeField()
    digits = models.PositiveSmallIntegerField()
    contract_size = models.DecimalField(max_digits=20, decimal_places=8)
    pip_size = PriceField()
    calculation_mode = _mode_field(CalculationMode, CalculationMode.FOREX)
    profit_mode = models.GeneratedField(
        expression=Case(When(calculation_mode__in=_FOREX, then=Value("forex")), default=Value("cfd")),
        output_field=models.CharField(max_length=8, choices=ProfitMode.choices),
        db_persist=True,
    )
    trade_mode = _mode_field(TradeMode, TradeMode.FULL)
    tick_size = PriceField(default=0)
    tick_value = models.DecimalField(default=0, **MONEY)
    spread_points = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    stops_level_points = models.PositiveIntegerField(default=0)
    freeze_level_points = models.PositiveIntegerField(default=0)
    converts_by_market = models.BooleanField(default=False)
    face_value = models.DecimalField(default=0, **MONEY)
    accrued_interest = models.DecimalField(default=0, **MONEY)
    expires_on = models.DateField(null=True, blank=True)
    isin = models.CharField(max_length=12, blank=True)
    lots_minimum = LotsField(default="0.01")
    lots_maximum = LotsField(default="100")
    lots_step = LotsField(default="0.01")
    lots_limit = LotsField(default=0)
    margin_currency = CurrencyField()
    leverage_maximum = models.PositiveIntegerField(null=True, blank=True)
    margin_initial = models.DecimalField(default=0, **MONEY)
    margin_maintenance = models.DecimalField(default=0, **MONEY)
    margin_hedged = models.DecimalField(default=0, **MONEY)
    margin_rate_buy = models.DecimalField(default=1, **SWAP)
    margin_rate_sell = models.DecimalField(default=1, **SWAP)
    is_hedged_by_larger_leg = models.BooleanField(default=False)
    swap_mode = _mode_field(SwapMode, SwapMode.POINTS)
    swap_long = models.DecimalField(default=0, **SWAP)
    swap_short = models.DecimalField(default=0, **SWAP)
    swap_multipliers = ArrayField(
        models.DecimalField(max_digits=6, decimal_places=2), size=7, default=default_swap_multipliers
    )
    swap_year_days = models.PositiveSmallIntegerField(default=360)
    swap_considers_holidays = models.BooleanField(default=False)
    filter_soft_points = models.PositiveIntegerField(default=0)
    filter_soft_ticks = models.PositiveIntegerField(default=0)
    filter_hard_points = models.PositiveIntegerField(default=0)
    filter_hard_ticks = models.PositiveIntegerField(default=0)
    filter_discard_points = models.PositiveIntegerField(default=0)
    filter_spread_minimum_points = models.PositiveIntegerField(default=0)
    filter_spread_maximum_points = models.PositiveIntegerField(default=0)
    gap_points = models.PositiveIntegerField(default=0)
    gap_ticks = models.PositiveIntegerField(default=0)
    sessions_zone = models.CharField(max_length=20, default="EET_US")
    quote_sessions = models.JSONField(default=working_week)
    trade_sessions = models.JSONField(default=working_week)

    class Meta:
        ordering = ["symbol", "validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_symbolspec_no_overlap",
                expressions=[("symbol", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(contract_size__gt=0), name="platform_symbolspec_contract_positive"),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_symbolspec_not_empty"),
            models.CheckConstraint(condition=Q(digits__lte=MAX_DIGITS), name="platform_symbolspec_digits"),
            models.CheckConstraint(condition=Q(pip_size__gt=0), name="platform_symbolspec_pip_positive"),
            models.CheckConstraint(
                condition=_one_of("calculation_mode", CalculationMode)
                & _one_of("trade_mode", TradeMode)
                & _one_of("swap_mode", SwapMode),
                name="platform_symbolspec_modes",
            ),
            models.CheckConstraint(
                condition=Q(tick_size__gte=0, tick_value__gte=0)
                & (
                    ~Q(calculation_mode__in=[*_FUTURES, CalculationMode.CFD_INDEX.value])
                    | Q(tick_size__gt=0, tick_value__gt=0)
                ),
                name="platform_symbolspec_ticks",
            ),
            models.CheckConstraint(
                condition=Q(lots_minimum__gt=0, lots_step__gt=0, lots_maximum__gte=F("lots_minimum"))
                & (Q(lots_limit=0) | Q(lots_limit__gte=F("lots_minimum"))),
                name="platform_symbolspec_lots",
            ),
            models.CheckConstraint(
                condition=Q(margin_initial__gte=0, margin_maintenance__gte=0, margin_hedged__gte=0)
                & Q(margin_rate_buy__gt=0, margin_rate_sell__gt=0)
                & (~Q(calculation_mode__in=_FUTURES) | Q(margin_initial__gt=0)),
                name="platform_symbolspec_margin",
            ),
            models.CheckConstraint(
                condition=Q(leverage_maximum__isnull=True) | Q(leverage_maximum__range=(1, MAX_LEVERAGE)),
                name="platform_symbolspec_leverage",
            ),
            models.CheckConstraint(
                condition=Q(face_value__gte=0, accrued_interest__gte=0)
                & (~Q(calculation_mode=CalculationMode.EXCHANGE_BONDS.value) | Q(face_value__gt=0)),
                name="platform_symbolspec_bond",
            ),
            models.CheckConstraint(condition=Q(swap_year_days__in=YEAR_DAYS), name="platform_symbolspec_year_days"),
            models.CheckConstraint(
                condition=Q(spread_points__gte=0)
                & (
                    Q(filter_spread_maximum_points=0)
                    | Q(filter_spread_maximum_points__gte=F("filter_spread_minimum_points"))
                ),
                name="platform_symbolspec_spread",
            ),
            models.CheckConstraint(
                condition=(Q(filter_hard_points=0) | Q(filter_hard_points__gte=F("filter_soft_points")))
                & (Q(filter_discard_points=0) | Q(filter_discard_points__gte=F("filter_hard_points")))
                & (Q(filter_discard_points=0) | Q(filter_discard_points__gte=F("filter_soft_points"))),
                name="platform_symbolspec_filter",
            ),
            models.CheckConstraint(condition=Q(sessions_zone__regex=ZONE_CODES), name="platform_symbolspec_zone"),
        ]

    def __str__(self) -> str:
        start = self.validity.lower
        return f"{self.symbol} from {start:%Y-%m-%d %H:%M}" if start else f"{self.symbol} from the beginning"


@keep_history(per_statement=True)
class GroupSymbolOverride(models.Model):
    """What a group of accounts trades a symbol by, where that differs from the symbol's specification; None: it does not.

    Dated, one at a time for a group and symbol. Set by an approved change request only.
    """

    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, related_name="symbol_overrides")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="group_overrides")
    validity = DateTimeRangeField()
    trade_mode = _mode_field(TradeMode)
    spread_points = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    stops_level_points = models.PositiveIntegerField(null=True, blank=True)
    freeze_level_points = models.PositiveIntegerField(null=True, blank=True)
    lots_minimum = LotsField(null=True, blank=True)
    lots_maximum = LotsField(null=True, blank=True)
    lots_step = LotsField(null=True, blank=True)
    lots_limit = LotsField(null=True, blank=True)
    leverage_maximum = models.PositiveIntegerField(null=True, blank=True)
    margin_initial = models.DecimalField(null=True, blank=True, **MONEY)
    margin_maintenance = models.DecimalField(null=True, blank=True, **MONEY)
    margin_hedged = models.DecimalField(null=True, blank=True, **MONEY)
    margin_rate_buy = models.DecimalField(null=True, blank=True, **SWAP)
    margin_rate_sell = models.DecimalField(null=True, blank=True, **SWAP)
    swap_mode = _mode_field(SwapMode)
    swap_long = models.DecimalField(null=True, blank=True, **SWAP)
    swap_short = models.DecimalField(null=True, blank=True, **SWAP)
    swap_multipliers = ArrayField(models.DecimalField(max_digits=6, decimal_places=2), size=7, null=True, blank=True)
    swap_year_days = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["symbol", "group", "validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_symboloverride_no_overlap",
                expressions=[
                    ("group", RangeOperators.EQUAL),
                    ("symbol", RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_symboloverride_not_empty"),
            models.CheckConstraint(
                condition=_or_none("trade_mode", "in", [item.value for item in TradeMode])
                & _or_none("swap_mode", "in", [item.value for item in SwapMode])
                & _or_none("swap_year_days", "in", YEAR_DAYS)
                & _or_none("spread_points", "gte", 0)
                & _or_none("leverage_maximum", "range", (1, MAX_LEVERAGE)),
                name="platform_symboloverride_values",
            ),
            models.CheckConstraint(
                condition=_or_none("lots_minimum", "gt", 0)
                & _or_none("lots_maximum", "gt", 0)
                & _or_none("lots_step", "gt", 0)
                & _or_none("lots_limit", "gte", 0)
                & (
                    Q(lots_minimum__isnull=True) | Q(lots_maximum__isnull=True) | Q(lots_maximum__gte=F("lots_minimum"))
                ),
                name="platform_symboloverride_lots",
            ),
            models.CheckConstraint(
                condition=_or_none("margin_initial", "gte", 0)
                & _or_none("margin_maintenance", "gte", 0)
                & _or_none("margin_hedged", "gte", 0)
                & _or_none("margin_rate_buy", "gt", 0)
                & _or_none("margin_rate_sell", "gt", 0),
                name="platform_symboloverride_margin",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} for {self.group}"
