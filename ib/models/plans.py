"""Commission plans as data: versions published from a date, rules as sentences, and the agreements that bind partners."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, LotsField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from ib.models.partners import Partner
from ib.models.rule_checks import RULE_CHECKS
from ib.rules.sentences import sentence


# `PlanVersion` is a noun of this desk, so the versions of rows are called otherwise here.
@keep_history(model_name="PlanHistory")
class Plan(models.Model):
    """A named commission plan of an entity."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="plans")
    code = models.SlugField(max_length=40)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "code"]
        constraints = [models.UniqueConstraint(fields=["entity", "code"], name="ib_plan_code_unique")]

    def __str__(self) -> str:
        return self.name


class RoundingStage(models.TextChoices):
    """When an amount is rounded."""

    LINE = "line", "Once, at the end"
    STEP = "step", "After each step"


class RoundingMode(models.TextChoices):
    """How an amount is rounded."""

    HALF_UP = "half_up", "A half away from zero"
    HALF_EVEN = "half_even", "A half to the even digit"
    DOWN = "down", "Towards zero"


class CarryOver(models.TextChoices):
    """Where losses of a period go."""

    NONE = "none", "Forgotten"
    PLAN = "plan", "Carried within the plan"
    PARTNER = "partner", "Carried by the partner"
    GROUP = "group", "Carried by the partner and everybody below"


@keep_history(model_name="PlanVersionHistory")
class PlanVersion(models.Model):
    """A version of a plan. A draft may change; a published one is valid during its range and never changes again.

    It holds the policy of money that its rules share: the currency of the reward, rounding, how many partners above the
    client are paid, and what becomes of losses.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    validity = DateTimeRangeField(null=True, blank=True)  # type: ignore[misc]  # the stubs know no optional range
    reward_currency = CurrencyField(blank=True, default="", help_text="Empty: the partner's own.")
    rounding_stage = models.CharField(max_length=4, choices=RoundingStage.choices, default=RoundingStage.LINE)
    rounding_mode = models.CharField(max_length=9, choices=RoundingMode.choices, default=RoundingMode.HALF_UP)
    rounding_decimals = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Empty: the digits of the currency."
    )
    depth_limit = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Levels that are paid; empty: without limit."
    )
    pays_own_trades = models.BooleanField(default=False, help_text="A partner is paid for own trades.")
    maximum_share_of_revenue = models.DecimalField(
        max_digits=7, decimal_places=4, null=True, blank=True, help_text="Percent of a trade's revenue; a guard."
    )
    carry_over = models.CharField(max_length=8, choices=CarryOver.choices, default=CarryOver.NONE)
    carry_cap = AmountField(null=True, blank=True, help_text="More than this is not carried.")
    carry_reset_months = models.PositiveSmallIntegerField(null=True, blank=True)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="ib_planversion_number_unique"),
            ExclusionConstraint(
                name="ib_planversion_no_overlap",
                expressions=[("plan", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
                condition=Q(state="published"),
            ),
            models.CheckConstraint(
                condition=Q(state="draft", published_at__isnull=True)
                | Q(state="published", published_at__isnull=False, validity__isnull=False),
                name="ib_planversion_published_is_dated",
            ),
            models.CheckConstraint(
                condition=Q(rounding_decimals__isnull=True) | Q(rounding_decimals__lte=8),
                name="ib_planversion_decimals",
            ),
            models.CheckConstraint(
                condition=Q(depth_limit__isnull=True) | Q(depth_limit__gte=1, depth_limit__lte=100),
                name="ib_planversion_depth",
            ),
            models.CheckConstraint(
                condition=Q(maximum_share_of_revenue__isnull=True) | Q(maximum_share_of_revenue__gt=0),
                name="ib_planversion_share_of_revenue",
            ),
            models.CheckConstraint(
                condition=~Q(carry_over="none") | Q(carry_cap__isnull=True, carry_reset_months__isnull=True),
                name="ib_planversion_carry_has_object",
            ),
            models.CheckConstraint(
                condition=Q(carry_cap__isnull=True) | Q(carry_cap__gt=0), name="ib_planversion_carry_cap"
            ),
            models.CheckConstraint(
                condition=Q(carry_reset_months__isnull=True) | Q(carry_reset_months__gte=1),
                name="ib_planversion_carry_reset",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


class PlanRank(models.Model):
    """A rank of a version; `position` counts from the lowest."""

    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="ranks")
    code = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField()
    keep_months = models.PositiveSmallIntegerField(
        default=0, help_text="Months in a row below its conditions for which it is kept before it is lost."
    )

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["version", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "code"], name="ib_planrank_code_unique"),
            models.UniqueConstraint(fields=["version", "position"], name="ib_planrank_position_unique"),
            models.CheckConstraint(condition=Q(keep_months__lte=120), name="ib_planrank_keep_bounded"),
        ]

    def __str__(self) -> str:
        return self.name


class Basis(models.TextChoices):
    """What a rule measures. Those from `net_revenue_share` on are settled by the period, the others by the trade."""

    PER_LOT = "per_lot", "Amount per lot"
    POINTS = "points", "Points"
    SPREAD_SHARE = "spread_share", "Share of the spread"
    MARKUP_SHARE = "markup_share", "Share of the mark-up"
    PLATFORM_COMMISSION_SHARE = "platform_commission_share", "Share of the platform's commission"
    NOTIONAL_PER_MILLION = "notional_per_million", "Amount per million of turnover"
    CLIENT_PROFIT_SHARE = "client_profit_share", "Share of the client's profit"
    NET_REVENUE_SHARE = "net_revenue_share", "Share of net revenue"
    CPA = "cpa", "Reward for a client"
    PER_ACTIVE_CLIENT = "per_active_client", "Amount per active client"
    RANK_BONUS = "rank_bonus", "Bonus for a rank"


class Distribution(models.TextChoices):
    """How a rule's rate is divided with those below and above."""

    ABSOLUTE = "absolute", "In full"
    DIFFERENCE = "difference", "Difference to those below"
    ALLOCATION = "allocation", "Share of the rate of the partner above"
    PASS_UP = "pass_up", "Passed up by the partner below"
    OVERRIDE = "override", "On the commission of those below"


@keep_history(model_name="PlanRuleHistory")
class PlanRule(models.Model):
    """One sentence of a plan: on what it is paid, how much, to whom, and under which conditions.

    Rules of one component compete: the first whose selectors match wins, by `position`. Components add up. Selectors that
    are empty match everything. Level 1 is the partner who introduced the client, level 2 the partner above, and so on. A
    rate of zero is a rule too: it keeps later ones from paying. Shares are percent: 20 is a fifth.
    """

    class Side(models.TextChoices):
        BUY = "buy", "Buy"
        SELL = "sell", "Sell"

    class OverrideOf(models.TextChoices):
        DIRECT = "direct", "The next one below who is paid"
        ALL = "all", "Everybody below"

    class FundedBy(models.TextChoices):
        BROKER = "broker", "The broker"
        DOWNLINE = "downline", "Those below"

    class BonusFor(models.TextChoices):
        REACHED = "reached", "Reaching it, once"
        KEPT = "kept", "Each month that earns or keeps it"

    class SpreadSides(models.TextChoices):
        ENTRY = "entry", "At the opening"
        HALF_HALF = "half_half", "Half at the opening, half at the closing"

    class TierMeasure(models.TextChoices):
        LOTS = "lots", "Lots"
        NOTIONAL = "notional", "Turnover"
        REVENUE = "revenue", "Revenue"
        ACTIVE_CLIENTS = "active_clients", "Active clients"
        DEPOSITS = "deposits", "Deposits"

    class TierMode(models.TextChoices):
        MARGINAL = "marginal", "Only what lies above"
        RETROACTIVE = "retroactive", "Everything"

    class TierWindow(models.TextChoices):
        THIS = "this", "This period"
        PRIOR = "prior", "The period before"

    class TierScope(models.TextChoices):
        OWN = "own", "Own clients"
        TEAM = "team", "Own clients and those of everybody below"

    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="rules")
    component = models.SlugField(max_length=40, default="main")
    position = models.PositiveIntegerField(help_text="Within the component; the first match wins.")

    symbol = models.ForeignKey(
        "platform_ops.Symbol", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    symbol_group = models.ForeignKey("platform_ops.SymbolGroup", on_delete=models.PROTECT, null=True, blank=True)
    account_group = models.ForeignKey(
        "platform_ops.AccountGroup", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    account_type = models.ForeignKey(
        "platform_ops.AccountType", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    country = models.CharField(max_length=2, blank=True, default="")
    campaign = models.CharField(max_length=160, blank=True, default="")
    dimension = models.CharField(max_length=40, blank=True, default="")
    dimension_value = models.CharField(max_length=160, blank=True, default="")
    level = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Empty: every level.")
    rank = models.SlugField(max_length=40, blank=True, default="", db_index=False, help_text="Code; empty: every rank.")

    basis = models.CharField(max_length=26, choices=Basis.choices, default=Basis.PER_LOT)
    rate = AmountField(help_text="An amount, or percent for a share.")
    currency = CurrencyField(blank=True, help_text="Of the amount; empty for shares and points.")
    distribution = models.CharField(max_length=10, choices=Distribution.choices, default=Distribution.ABSOLUTE)
    cumulative = models.BooleanField(default=False, help_text="Rates of the ranks are added up from the lowest.")
    override_of = models.CharField(max_length=6, choices=OverrideOf.choices, blank=True, default="")
    funded_by = models.CharField(max_length=8, choices=FundedBy.choices, blank=True, default="")
    same_rank_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True, blank=True)

    bonus_for = models.CharField(max_length=7, choices=BonusFor.choices, blank=True, default="")

    spread_sides = models.CharField(max_length=9, choices=SpreadSides.choices, blank=True, default="")
    spread_cap_points = AmountField(null=True, blank=True)
    average_spread_points = AmountField(
        null=True, blank=True, help_text="Above it the reward is reduced by average ÷ current."
    )

    minimum_hold_seconds = models.PositiveIntegerField(null=True, blank=True)
    maximum_hold_seconds = models.PositiveIntegerField(null=True, blank=True)
    minimum_points = AmountField(null=True, blank=True)
    minimum_lots = LotsField(null=True, blank=True)
    side = models.CharField(max_length=4, choices=Side.choices, blank=True, default="")
    only_profitable = models.BooleanField(default=False)
    pays_close_by = models.BooleanField(default=False)
    hedged_once = models.BooleanField(default=False, help_text="Of a client's buys and sells the larger side is paid.")
    pays_negative_balance = models.BooleanField(default=True)
    uses_credit_coefficient = models.BooleanField(default=False)

    cap_per_order = AmountField(null=True, blank=True)
    cap_client_day = AmountField(null=True, blank=True)
    cap_client_lifetime = AmountField(null=True, blank=True)
    cap_partner_period = AmountField(null=True, blank=True)
    base_cap = AmountField(null=True, blank=True)
    minimum_amount = AmountField(null=True, blank=True)

    window_hours = models.PositiveIntegerField(null=True, blank=True, help_text="What counts as the first deposit.")
    minimum_deposit = AmountField(null=True, blank=True)
    minimum_lots_total = LotsField(null=True, blank=True)
    minimum_revenue = AmountField(null=True, blank=True)
    qualify_days = models.PositiveIntegerField(null=True, blank=True)
    clawback_days = models.PositiveIntegerField(null=True, blank=True)
    minimum_active_clients = models.PositiveIntegerField(null=True, blank=True)

    tier_measure = models.CharField(max_length=14, choices=TierMeasure.choices, blank=True, default="")
    tier_mode = models.CharField(max_length=11, choices=TierMode.choices, blank=True, default="")
    tier_window = models.CharField(max_length=5, choices=TierWindow.choices, blank=True, default="")
    tier_scope = models.CharField(max_length=4, choices=TierScope.choices, blank=True, default="")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["version", "component", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "component", "position"], name="ib_planrule_unique"),
            *RULE_CHECKS,
        ]

    def __str__(self) -> str:
        return sentence(self, tiers=list(self.tiers.all()) if self.tier_measure and self.pk else [])


class PlanTier(models.Model):
    """From which measure on a rule has another rate; below the lowest its own."""

    rule = models.ForeignKey(PlanRule, on_delete=models.CASCADE, related_name="tiers")
    from_value = models.DecimalField(max_digits=24, decimal_places=8)
    rate = AmountField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["rule", "from_value"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "from_value"], name="ib_plantier_unique"),
            models.CheckConstraint(condition=Q(from_value__gt=0), name="ib_plantier_begins_above_zero"),
            models.CheckConstraint(condition=Q(rate__gte=0), name="ib_plantier_rate_not_negative"),
        ]

    def __str__(self) -> str:
        return f"from {self.from_value.normalize():f}: {self.rate.normalize():f}"


class PlanWeight(models.Model):
    """By how much volume in a symbol group, or of an account group, counts: 0.5 is half."""

    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="weights")
    symbol_group = models.ForeignKey(
        "platform_ops.SymbolGroup", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    account_group = models.ForeignKey(
        "platform_ops.AccountGroup", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    weight = models.DecimalField(max_digits=12, decimal_places=6)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["version", "symbol_group", "account_group"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "symbol_group", "account_group"],
                name="ib_planweight_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(symbol_group__isnull=False) ^ Q(account_group__isnull=False), name="ib_planweight_of_one"
            ),
            models.CheckConstraint(condition=Q(weight__gte=0), name="ib_planweight_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol_group or self.account_group} counts {self.weight.normalize():f}"


@keep_history()
class Agreement(models.Model):
    """A plan that binds a partner during a time; one at a time."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="agreements")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="agreements")
    validity = DateTimeRangeField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["partner", "validity"]
        constraints = [
            ExclusionConstraint(
                name="ib_agreement_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("validity", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="ib_agreement_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.partner} on {self.plan}"
