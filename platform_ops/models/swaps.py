"""Swaps: dated rates, who pays none, dividends, and what every rollover computed for every open position.

`SwapRate`, `SwapFreePolicy` and `DividendEvent` are what people decide. A `SwapRun` is the rollover of a server for one of
its days; its `SwapTerm`s keep all that its positions have in common (value, nights, conversion), so that each `SwapLine`
needs to hold only what is its own and its formula can be shown with the numbers put in. Lines and terms are append-only: a
correction is a further line with the difference.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, LotsField, PriceField
from backoffice.core.history import keep_history
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from platform_ops.gateways.types import SwapMode
from platform_ops.models.accounts import AccountGroup, AccountType, TradingAccount
from platform_ops.models.operations import ServerOperation
from platform_ops.models.servers import TradingServer
from platform_ops.models.symbols import ServerSymbol, Symbol, SymbolGroup
from platform_ops.rules.swap_words import CAUSE_WORDS
from platform_ops.rules.swaps import Cause
from platform_ops.types import DealKind, Side

SWAP_DIGITS: dict[str, Any] = {"max_digits": 20, "decimal_places": 8}
"""How wide a swap value is, in every table that holds one."""


def default_multipliers() -> list[Decimal]:
    """Nights by weekday from Sunday: Wednesday counts three, the weekend none."""
    return [Decimal(nights) for nights in (0, 1, 1, 3, 1, 1, 0)]


@keep_history()
class SwapSetting(models.Model):
    """How the rollover of a server is done. A server without one only has its charged swaps stated."""

    class Mode(models.TextChoices):
        PROVE = "prove", "Prove what the server charges"
        POST = "post", "Charge by ourselves"

    class Cut(models.TextChoices):
        SERVER_MIDNIGHT = "server_midnight", "Midnight of the server's clock"
        NEW_YORK_CLOSE = "new_york_close", "17:00 New York"

    class Channel(models.TextChoices):
        SERVER = "server", "Balance operation on the server"
        BOOKS = "books", "Booked here: the server takes no operations"

    server = models.OneToOneField(
        TradingServer, on_delete=models.PROTECT, primary_key=True, related_name="swap_setting"
    )
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PROVE)
    cut = models.CharField(max_length=16, choices=Cut.choices, default=Cut.SERVER_MIDNIGHT)
    channel = models.CharField(max_length=8, choices=Channel.choices, default=Channel.SERVER)
    starts_on = models.DateField(help_text="First day whose rollover is computed.")
    tolerance = AmountField(
        default=0,
        help_text="Difference per position, in its account's currency, that is no break: servers round variously.",
    )
    rounds_point_value_first = models.BooleanField(
        default=True,
        help_text="Round the value of one point to the account's digits before multiplying, as MetaTrader 5.",
    )
    blocks_day = models.BooleanField(default=False, help_text="The business day waits while breaks are unexplained.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(tolerance__gte=0), name="platform_swapsetting_tolerance"),
        ]

    def __str__(self) -> str:
        return f"swaps of {self.server}"


@keep_history(per_statement=True)
class SwapRate(models.Model):
    """What a night costs or pays in a symbol during a time; negative where the client pays.

    A rate of a group of accounts goes before the symbol's own. `mode` says in what the values are stated (the numbers of
    MetaTrader 5), `multipliers` how many nights each weekday's close counts, from Sunday. `lp_long` and `lp_short` are
    what the liquidity provider charges us, stated in the same way; None where unknown.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="swap_rates")
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="swap_rates")
    validity = DateTimeRangeField()
    mode = models.PositiveSmallIntegerField(
        choices=[(mode.value, mode.name.lower().replace("_", " ")) for mode in SwapMode], default=SwapMode.POINTS.value
    )
    long = models.DecimalField(max_digits=20, decimal_places=8)
    short = models.DecimalField(max_digits=20, decimal_places=8)
    multipliers = ArrayField(models.DecimalField(max_digits=6, decimal_places=2), size=7, default=default_multipliers)
    year_days = models.PositiveSmallIntegerField(default=360, choices=[(360, "360"), (365, "365")])
    considers_holidays = models.BooleanField(default=False)
    lp_long = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    lp_short = models.DecimalField(max_digits=20, decimal_places=8, null=True, blank=True)
    source = models.CharField(max_length=120, blank=True, help_text="Sheet, policy or person that it came from.")
    change = models.ForeignKey(
        "core.ChangeRequest", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["symbol", "group", "validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_swaprate_no_overlap",
                expressions=[
                    ("symbol", RangeOperators.EQUAL),
                    (Coalesce(F("group"), Value(0, output_field=models.BigIntegerField())), RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_swaprate_not_empty"),
            models.CheckConstraint(
                condition=Q(mode__in=[mode.value for mode in SwapMode]), name="platform_swaprate_mode_known"
            ),
            models.CheckConstraint(condition=Q(year_days__in=[360, 365]), name="platform_swaprate_year_days"),
            models.CheckConstraint(condition=Q(multipliers__len=7), name="platform_swaprate_seven_days"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.long.normalize():f} / {self.short.normalize():f}"


@keep_history()
class SwapFreePolicy(models.Model):
    """Who pays no swap, for how long, and what comes instead.

    It speaks of one account, one group or one account type, of one symbol group or of all. The narrower goes before the
    wider: account, group, account type; then a named symbol group before all. A position is free for `grace_nights` nights
    (of the calendar); afterwards the administration fee is charged, or the usual swap, or the position is due to be closed.
    """

    class AfterGrace(models.TextChoices):
        FEE = "fee", "Administration fee"
        SWAP = "swap", "Usual swap"
        CLOSE = "close", "Close the position"

    name = models.CharField(max_length=120)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    symbol_group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    validity = DateTimeRangeField()
    grace_nights = models.PositiveSmallIntegerField(default=0)
    after_grace = models.CharField(max_length=8, choices=AfterGrace.choices, default=AfterGrace.FEE)
    fee_per_lot = AmountField(default=0, help_text="What one lot costs a night after the grace, as a positive amount.")
    fee_currency = CurrencyField(default="USD")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name_plural = "swap-free policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=False, group__isnull=True, account_type__isnull=True)
                | Q(account__isnull=True, group__isnull=False, account_type__isnull=True)
                | Q(account__isnull=True, group__isnull=True, account_type__isnull=False),
                name="platform_swapfree_one_subject",
            ),
            models.CheckConstraint(condition=Q(fee_per_lot__gte=0), name="platform_swapfree_fee_not_negative"),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_swapfree_not_empty"),
            ExclusionConstraint(
                name="platform_swapfree_no_overlap",
                expressions=[
                    (Coalesce(F("account"), Value(0, output_field=models.BigIntegerField())), RangeOperators.EQUAL),
                    (Coalesce(F("group"), Value(0, output_field=models.BigIntegerField())), RangeOperators.EQUAL),
                    (
                        Coalesce(F("account_type"), Value(0, output_field=models.BigIntegerField())),
                        RangeOperators.EQUAL,
                    ),
                    (
                        Coalesce(F("symbol_group"), Value(0, output_field=models.BigIntegerField())),
                        RangeOperators.EQUAL,
                    ),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SwapFreeRevocation(models.Model):
    """A time for which an account is held not to have been swap-free: abuse was found, and swaps apply after all."""

    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, related_name="swap_free_revocations")
    from_day = models.DateField()
    to_day = models.DateField(null=True, blank=True, help_text="Last day; empty until further notice.")
    reason = models.TextField()
    decided_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-from_day", "account"]
        constraints = [
            models.CheckConstraint(
                condition=Q(to_day__isnull=True) | Q(to_day__gte=F("from_day")), name="platform_swaprevoked_order"
            ),
        ]

    def __str__(self) -> str:
        return f"swaps re-applied to {self.account} from {self.from_day}"


@keep_history()
class DividendEvent(models.Model):
    """A dividend of a share or of an index's members, adjusted on the night before its ex-date.

    The amounts are from the client's side: what a long position gains and a short one loses (negative). `PRICE` amounts
    are points of price per unit of the contract and become money of their own; `SWAP` amounts are stated as the swap is,
    and go into that night's swap whole, however many nights it counts.
    """

    class Unit(models.TextChoices):
        PRICE = "price", "Price per contract"
        SWAP = "swap", "As the swap is stated"

    class State(models.TextChoices):
        PROPOSED = "proposed", "Waits for another person"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="dividends")
    ex_date = models.DateField()
    unit = models.CharField(max_length=8, choices=Unit.choices, default=Unit.PRICE)
    amount_long = models.DecimalField(max_digits=20, decimal_places=8)
    amount_short = models.DecimalField(max_digits=20, decimal_places=8)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PROPOSED)
    note = models.CharField(max_length=200, blank=True)
    proposed_by = models.CharField(max_length=200)
    proposed_by_id = models.BigIntegerField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-ex_date", "symbol"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "ex_date", "unit"],
                name="platform_dividend_unique",
                condition=~Q(state="rejected"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} ex {self.ex_date}"


class SwapRun(models.Model):
    """One pass of the rollover over a server's day: the first computes every position, later ones book differences."""

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="swap_runs")
    day = models.DateField(help_text="Day of the server that ended at the cut.")
    number = models.PositiveIntegerField(default=1)
    cut_at = models.DateTimeField()
    mode = models.CharField(max_length=8, choices=SwapSetting.Mode.choices)
    positions = models.PositiveIntegerField(default=0)
    lines = models.PositiveIntegerField(default=0)
    figures = models.JSONField(default=dict)
    actor = models.CharField(max_length=200)
    seconds = models.DecimalField(max_digits=10, decimal_places=3, default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "server", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["server", "day", "number"], name="platform_swaprun_unique"),
        ]

    def __str__(self) -> str:
        return f"rollover of {self.server} {self.day} ({self.number})"


class SwapTerm(models.Model):
    """What a run's positions of one symbol, side and kind of account have in common. A trigger refuses to change it.

    Per line: swap = R(lots × unit [× open price] × weight ÷ divisor), fee = −R(lots × fee_unit),
    dividend = R(lots × dividend_unit), with R half away from zero to `digits`; `rounds_unit_first` rounds lots × unit too.
    """

    class Applies(models.IntegerChoices):
        NEVER = 0, "never"
        ALWAYS = 1, "always"
        AFTER_GRACE = 2, "to positions opened before the grace"

    run = models.ForeignKey(SwapRun, on_delete=models.PROTECT, related_name="terms")
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, db_index=False)
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, null=True, db_index=False)
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, db_index=False)
    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, null=True, db_index=False)
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, null=True, db_index=False)
    currency = CurrencyField()
    side = models.SmallIntegerField(choices=[(side.value, side.name.lower()) for side in Side])
    digits = models.PositiveSmallIntegerField()
    mode = models.PositiveSmallIntegerField()
    value = models.DecimalField(max_digits=20, decimal_places=8, help_text="Swap of one night as the rate states it.")
    nights = models.DecimalField(max_digits=8, decimal_places=2)
    dividend_in_swap = models.DecimalField(max_digits=20, decimal_places=8, default=0)
    weight = models.DecimalField(max_digits=24, decimal_places=10)
    lp_weight = models.DecimalField(max_digits=24, decimal_places=10, null=True)
    unit = models.DecimalField(max_digits=44, decimal_places=20)
    divisor = models.PositiveIntegerField(default=1)
    uses_open_price = models.BooleanField(default=False)
    rounds_unit_first = models.BooleanField(default=False)
    swap_applies = models.PositiveSmallIntegerField(choices=Applies.choices, default=Applies.ALWAYS)
    fee_applies = models.PositiveSmallIntegerField(choices=Applies.choices, default=Applies.NEVER)
    grace_start = models.DateTimeField(null=True)
    fee_unit = models.DecimalField(max_digits=44, decimal_places=20, default=0)
    dividend_unit = models.DecimalField(max_digits=44, decimal_places=20, default=0)
    cause = models.CharField(max_length=12)
    rate = models.ForeignKey(SwapRate, on_delete=models.DO_NOTHING, null=True, db_index=False, db_constraint=False)
    policy = models.ForeignKey(
        SwapFreePolicy, on_delete=models.DO_NOTHING, null=True, db_index=False, db_constraint=False
    )
    inputs = models.JSONField(default=dict, help_text="Contract size, point, price and conversion that the unit is of.")

    class Meta:
        ordering = ["pk"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"terms {self.pk}"


class SwapLine(models.Model):
    """The swap of one position for one day: the first line (`seq` 0), or a later correction with the difference.

    Negative where the client pays. A trigger refuses to change or delete it.
    """

    pk = models.CompositePrimaryKey("day", "account_id", "position_ticket", "seq")
    day = models.DateField()
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    position_ticket = models.BigIntegerField()
    seq = models.SmallIntegerField(default=0)
    run = models.ForeignKey(SwapRun, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    term = models.ForeignKey(SwapTerm, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    volume_lots = LotsField()
    open_price = PriceField()
    opened_at = models.DateTimeField()
    swap = AmountField(default=0)
    dividend = AmountField(default=0)
    fee = AmountField(default=0)
    lp_swap = AmountField(null=True)
    cause = models.CharField(max_length=12)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "account_id", "position_ticket", "seq"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"swap of {self.position_ticket} on {self.day}"

    @property
    def cause_words(self) -> str:
        """Why the line is what it is, in words."""
        return CAUSE_WORDS[Cause(self.cause)]


class SwapCharge(models.Model):
    """What an account is charged (or paid) by us for a day, as one operation: target minus what was charged before.

    On channel `server` it is handed over, once, to an `operation` on the server, whose own reference travels in the
    comment and is looked up before any repeat, so that a lost answer never charges twice; the charge ends as that does.
    On channel `books` the deal is booked here at once.
    """

    class State(models.TextChoices):
        DUE = "due", "Due"
        SENDING = "sending", "Sending"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"

    run = models.ForeignKey(SwapRun, on_delete=models.PROTECT, related_name="charges")
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False)
    day = models.DateField()
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in DealKind])
    seq = models.PositiveSmallIntegerField(default=0)
    amount = AmountField()
    currency = CurrencyField()
    reference = models.CharField(max_length=32, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.DUE)
    operation = models.OneToOneField(
        ServerOperation, on_delete=models.PROTECT, null=True, blank=True, related_name="swap_charge"
    )
    deal_ticket = models.BigIntegerField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "account", "kind", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["account", "day", "kind", "seq"], name="platform_swapcharge_unique"),
            models.CheckConstraint(condition=~Q(amount=0), name="platform_swapcharge_not_zero"),
            # Nothing is under way without what carries it out, and what waits was handed to nobody.
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(operation__isnull=False), name="platform_swapcharge_sending_has_one"
            ),
            models.CheckConstraint(
                condition=~Q(state="due") | Q(operation__isnull=True), name="platform_swapcharge_due_has_none"
            ),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(deal_ticket__isnull=False), name="platform_swapcharge_done_has_deal"
            ),
        ]
        indexes = [
            models.Index(fields=["run"], name="platform_swapcharge_open", condition=Q(state__in=["due", "sending"])),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.amount.normalize():f} {self.currency}"


class SwapObservation(models.Model):
    """What a server stated as the swap accrued on an open position after a day's cut."""

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, db_index=False)
    day = models.DateField()
    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False)
    position_ticket = models.BigIntegerField()
    accrued = AmountField()
    observed_at = models.DateTimeField()

    class Meta:
        ordering = ["-day", "account", "position_ticket"]
        constraints = [
            models.UniqueConstraint(
                fields=["server", "day", "account", "position_ticket"], name="platform_swapobservation_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position_ticket} {self.accrued}"


class SwapBreak(models.Model):
    """A position whose swap on the server is not what its lines add up to. It goes when the difference goes, or is accepted."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACCEPTED = "accepted", "Accepted"
        CLEARED = "cleared", "Cleared"

    account = models.ForeignKey(TradingAccount, on_delete=models.PROTECT, db_index=False)
    position_ticket = models.BigIntegerField()
    server_symbol = models.ForeignKey(ServerSymbol, on_delete=models.PROTECT, db_index=False)
    day = models.DateField(help_text="Day at whose proof it was last seen.")
    first_day = models.DateField()
    nights = models.DecimalField(max_digits=10, decimal_places=2)
    ours = AmountField()
    theirs = AmountField()
    currency = CurrencyField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    reason = models.TextField(blank=True)
    decided_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    changed_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "account", "position_ticket"]
        constraints = [
            models.UniqueConstraint(fields=["account", "position_ticket"], name="platform_swapbreak_unique"),
        ]
        indexes = [
            models.Index(fields=["account"], name="platform_swapbreak_open", condition=Q(state="open")),
        ]

    def __str__(self) -> str:
        return f"swap of {self.position_ticket}: {self.ours.normalize():f} here, {self.theirs.normalize():f} there"

    @property
    def difference(self) -> Decimal:
        """What the server charged beyond our lines; negative: more from the client."""
        return self.theirs - self.ours
