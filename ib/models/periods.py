"""What partners earn by the period: lines, what they are made of, balances of losses, rewards per client, and marks."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.triggers import never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.client_events import ClientEvent
from ib.models.partners import Partner
from ib.models.plans import Plan, PlanRule


class PeriodMark(models.Model):
    """A mark that something changed on which a partner's periods rest, from a day on; triggers write it, whoever writes.

    `client_id` stands for whoever introduced the client and everybody above, `partner_id` for the partner and everybody
    above. A mark that is `spread` names the one partner who is due. Settlement removes, in its own transaction, the marks
    that it has seen. `problem` says why a partner waits.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=63, help_text="Table or event that changed.")
    client_id = models.BigIntegerField(null=True)
    partner_id = models.BigIntegerField(null=True)
    day = models.DateField()
    is_spread = models.BooleanField(default=False, db_default=False)
    problem = models.CharField(max_length=200, blank=True, default="", db_default="")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(client_id__isnull=False) ^ Q(partner_id__isnull=False), name="ib_periodmark_of_one"
            )
        ]
        indexes = [models.Index(fields=["partner_id"], name="ib_periodmark_due", condition=Q(is_spread=True))]

    def __str__(self) -> str:
        return f"{self.source} since {self.day}"


class PeriodSettlement(models.Model):
    """One settlement of a partner's periods that booked something, with its control totals. Never changed."""

    id = models.BigAutoField(primary_key=True)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="period_settlements")
    from_period = models.DateField()
    to_period = models.DateField()
    cause = models.CharField(max_length=80, help_text="What asked for it, such as ib_clientevent or day:2026-03-31.")
    actor = models.CharField(max_length=200)
    lines = models.IntegerField()
    booked = AmountField(help_text="Sum of the lines.")
    currency = CurrencyField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"period settlement {self.pk}"


class PeriodLineKind(models.TextChoices):
    """What a period line pays or takes back."""

    CPA = "cpa", "Reward for a client"
    ACTIVE_CLIENT = "active_client", "Active client"
    NET_REVENUE = "net_revenue", "Share of net revenue"
    OVERRIDE = "override", "Override on partners below"
    CARRY_OVER = "carry_over", "Losses carried"
    RANK_BONUS = "rank_bonus", "Bonus for a rank"
    OVERRIDE_PAID = "override_paid", "Given to a partner above"
    CLAWBACK = "clawback", "Taken back"


class PeriodLine(models.Model):
    """What a partner earned in a period by one rule for one subject: seq 0 the first booking, later ones differences.

    Everything that explains `target` stands in typed columns, in the immutable rule and in the line's parts; `amount` is
    target minus what the lines before it booked. `quantity` is the base (money of the reward, clients, or the period's
    result), `measure` what the tiers or the balance looked at. A trigger refuses to change or delete it.
    """

    class Subject(models.TextChoices):
        CLIENT = "client", "Client"
        PARTNER = "partner", "Partner"
        EVENT = "event", "Event"
        PLAN = "plan", "Plan"

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    settlement = models.ForeignKey(PeriodSettlement, on_delete=models.PROTECT, related_name="period_lines")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="period_lines", db_index=False)
    kind = models.CharField(max_length=14, choices=PeriodLineKind.choices)
    rule = models.ForeignKey(PlanRule, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    subject_type = models.CharField(max_length=8, choices=Subject.choices)
    subject_id = models.BigIntegerField()
    period = models.DateField(help_text="First day of the period.")
    seq = models.SmallIntegerField()
    level = models.SmallIntegerField(null=True)
    cause_event = models.ForeignKey(ClientEvent, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    earned_at = models.DateTimeField(null=True, help_text="When the reward was earned, or the loss arose.")
    quantity = models.DecimalField(max_digits=38, decimal_places=18)
    measure = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    rate = AmountField(null=True)
    rate_currency = CurrencyField(blank=True)
    fx_rate = models.DecimalField(max_digits=38, decimal_places=24, default=1)
    fx_date = models.DateField(null=True)
    decimals = models.SmallIntegerField()
    rounding = models.CharField(max_length=9)
    target = AmountField()
    amount = AmountField()
    currency = CurrencyField()
    day = models.DateField(help_text="Business day that the line belongs to.")
    booked_day = models.DateField(help_text="Business day of the ledger entry.")
    facts_digest = models.CharField(max_length=64, help_text="SHA-256 of everything that the target follows from.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-period", "partner", "kind", "subject_id", "seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "kind", "rule", "subject_type", "subject_id", "period", "currency", "seq"],
                name="ib_periodline_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(condition=Q(seq__gte=0), name="ib_periodline_seq_not_negative"),
            models.CheckConstraint(condition=Q(fx_rate__gt=0), name="ib_periodline_rate_positive"),
            models.CheckConstraint(condition=Q(period__day=1), name="ib_periodline_period_starts_month"),
            models.CheckConstraint(
                condition=Q(seq__gt=0) | Q(amount=F("target")), name="ib_periodline_first_is_target"
            ),
            models.CheckConstraint(
                condition=~Q(kind="clawback") | Q(cause_event__isnull=False, target__lte=0),
                name="ib_periodline_clawback_has_cause",
            ),
            models.CheckConstraint(
                condition=~Q(kind="override_paid") | Q(target__lte=0), name="ib_periodline_given_is_not_positive"
            ),
        ]
        indexes = [
            models.Index(fields=["period", "partner"], name="ib_periodline_period"),
            models.Index(fields=["subject_id"], name="ib_periodline_client", condition=Q(subject_type="client")),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"period line {self.reference}"

    @property
    def reference(self) -> str:
        """How people call the line: `P-202603-57`."""
        return f"P-{self.period:%Y%m}-{self.pk}"


class PeriodLinePart(models.Model):
    """A part of what a line was computed from: a source of revenue, a cost, a loss set off. Never changed.

    `original` is in `currency`, `amount` in the line's, converted day by day. `unknown` counts what could not be valued
    (trades without a market price): stated, never taken for zero in silence.
    """

    line = models.ForeignKey(PeriodLine, on_delete=models.PROTECT, related_name="parts")
    position = models.SmallIntegerField()
    code = models.CharField(max_length=20)
    subject_id = models.BigIntegerField(null=True, help_text="Partner below or rule that the part is of.")
    original = models.DecimalField(max_digits=38, decimal_places=18)
    currency = CurrencyField(blank=True)
    amount = models.DecimalField(max_digits=38, decimal_places=18)
    count = models.IntegerField(default=0)
    unknown = models.IntegerField(default=0)

    class Meta:
        ordering = ["line", "position"]
        constraints = [models.UniqueConstraint(fields=["line", "position"], name="ib_periodlinepart_unique")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.code} of line {self.line_id}"


class CarryBalance(models.Model):
    """A balance of losses in one period: what it opened with, what happened, what the next one opens with.

    Follows from the lines and is written with them. `plan` is set where each plan has a balance of its own; `vintages` are
    the losses still carried, oldest first, as [first day of their period, negative amount].
    """

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="carry_balances")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, related_name="+")
    period = models.DateField()
    scope = models.CharField(max_length=8)
    opening = AmountField()
    lapsed = AmountField()
    result = AmountField()
    set_off = AmountField()
    carried = AmountField()
    forgiven = AmountField()
    closing = AmountField()
    vintages = models.JSONField(default=list)
    currency = CurrencyField()
    updated_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-period", "partner", "plan"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "plan", "period", "currency"], name="ib_carrybalance_unique", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(
                    opening__lte=0, closing__lte=0, lapsed__lte=0, set_off__gte=0, carried__gte=0, forgiven__gte=0
                ),
                name="ib_carrybalance_signs",
            ),
            models.CheckConstraint(
                condition=Q(closing=F("opening") - F("lapsed") + F("set_off") - F("carried")),
                name="ib_carrybalance_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"losses of {self.partner_id} in {self.period:%Y-%m}"


class CpaClaim(models.Model):
    """How far a client is on the way to the reward that one of the partners above was promised: one for ever.

    The state follows from events, trades and the rule in force at the first deposit; a person may decline it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        QUALIFIED = "qualified", "Qualified"
        EXPIRED = "expired", "Expired"
        DECLINED = "declined", "Declined"
        CLAWED_BACK = "clawed_back", "Taken back"

    client = models.ForeignKey("crm.Client", on_delete=models.PROTECT, related_name="+")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="cpa_claims")
    rule = models.ForeignKey(PlanRule, on_delete=models.PROTECT, related_name="+")
    component = models.CharField(max_length=40)
    level = models.SmallIntegerField()
    state = models.CharField(max_length=12, choices=State.choices)
    first_deposit_at = models.DateTimeField()
    first_deposit = AmountField(help_text="In the rule's currency.")
    qualified_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    reward = AmountField()
    currency = CurrencyField()
    missing = ArrayField(models.CharField(max_length=120), default=list, help_text="What is waited for, in words.")
    reason = models.CharField(max_length=300, blank=True)
    declined_at = models.DateTimeField(null=True)
    declined_by = models.CharField(max_length=200, blank=True)
    declined_reason = models.CharField(max_length=300, blank=True)
    updated_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-first_deposit_at", "client"]
        constraints = [
            models.UniqueConstraint(fields=["client", "component", "level"], name="ib_cpaclaim_once_for_ever"),
            models.CheckConstraint(
                condition=Q(declined_at__isnull=True) | ~Q(declined_reason=""), name="ib_cpaclaim_declined_with_reason"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["qualified", "clawed_back"]) | Q(qualified_at__isnull=False),
                name="ib_cpaclaim_qualified_when",
            ),
        ]
        indexes = [models.Index(fields=["partner", "state"], name="ib_cpaclaim_partner")]

    def __str__(self) -> str:
        return f"reward for client {self.client_id}"
