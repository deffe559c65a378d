"""Trading accounts, how they are catalogued, and the dimensions that other desks write on them."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import LegalEntity
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from platform_ops.models.servers import TradingServer


@keep_history()
class AccountType(models.Model):
    """A product of the catalogue, such as Standard, ECN, Cent or Islamic; in which currencies and groups says `AccountOffer`.

    `leverage_choices` is what a client may ask for; of them at most `leverage_by_class` of the client's class, where the
    class is named there. A type without `client_classes` is open to every class.
    """

    class Kind(models.TextChoices):
        STANDARD = "standard", "Standard"
        ECN = "ecn", "ECN"
        CENT = "cent", "Cent"
        ISLAMIC = "islamic", "Islamic"

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="account_types")
    code = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.STANDARD)
    is_swap_free = models.BooleanField(default=False)
    leverage_choices = ArrayField(models.PositiveIntegerField(), default=list, blank=True)
    leverage_by_class = models.JSONField(default=dict, blank=True, help_text="Highest leverage by class of client.")
    client_classes = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    commission_text = models.CharField(max_length=200, blank=True, help_text="As it is told to clients.")
    mark_up_text = models.CharField(max_length=200, blank=True, help_text="As it is told to clients.")
    is_offered = models.BooleanField(default=False, help_text="Accounts of it may be opened from here.")

    class Meta:
        ordering = ["entity", "code"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "code"], name="platform_accounttype_unique"),
            models.CheckConstraint(
                condition=Q(is_offered=False) | ~Q(leverage_choices=[]), name="platform_accounttype_offers_leverage"
            ),
            models.CheckConstraint(
                condition=~Q(kind="islamic") | Q(is_swap_free=True), name="platform_accounttype_islamic_has_no_swap"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AccountGroup(models.Model):
    """A group on a server, such as `real\\standard-usd`."""

    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="groups")
    name = models.CharField(max_length=120)
    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, null=True, blank=True)
    currency = CurrencyField()
    is_demo = models.BooleanField(default=False)
    position_mode = models.CharField(
        max_length=8, choices=[("hedging", "Hedging"), ("netting", "Netting")], default="hedging"
    )

    class Meta:
        ordering = ["server", "name"]
        constraints = [models.UniqueConstraint(fields=["server", "name"], name="platform_accountgroup_unique")]

    def __str__(self) -> str:
        return self.name


@keep_history()
class AccountOffer(models.Model):
    """An account type in one currency: the groups in which its accounts are opened, and what the client brings.

    Amounts are in the offer's currency; a cent account's are in cents (100.00 USC is one dollar).
    """

    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, related_name="offers")
    currency = CurrencyField()
    live_group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    demo_group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    minimum_deposit = AmountField(default=0)
    demo_balance = AmountField(default=0, help_text="What a demo account begins with.")

    class Meta:
        ordering = ["account_type", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["account_type", "currency"], name="platform_offer_unique"),
            models.CheckConstraint(
                condition=Q(minimum_deposit__gte=0, demo_balance__gte=0), name="platform_offer_amounts_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(live_group__isnull=False) | Q(demo_group__isnull=False), name="platform_offer_has_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_type} in {self.currency}"


@keep_history(per_statement=True)
class TradingAccount(models.Model):
    """An account on a server. Without a client it waits in the queue of unassigned accounts."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        READ_ONLY = "read_only", "Read only"
        CLOSED = "closed", "Closed"

    class PositionMode(models.TextChoices):
        HEDGING = "hedging", "Hedging"
        NETTING = "netting", "Netting"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    server = models.ForeignKey(TradingServer, on_delete=models.PROTECT, related_name="accounts")
    login = models.CharField(max_length=32)
    client = models.ForeignKey(
        "crm.Client", on_delete=models.PROTECT, null=True, blank=True, related_name="trading_accounts"
    )
    group = models.ForeignKey(AccountGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="accounts")
    account_type = models.ForeignKey(AccountType, on_delete=models.PROTECT, null=True, blank=True)
    name = models.CharField(max_length=160, blank=True)
    currency = CurrencyField()
    leverage = models.PositiveIntegerField(null=True, blank=True)
    position_mode = models.CharField(max_length=8, choices=PositionMode.choices, default=PositionMode.HEDGING)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    is_demo = models.BooleanField(default=False)
    opened_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["server", "login"]
        constraints = [models.UniqueConstraint(fields=["server", "login"], name="platform_account_login_unique")]
        indexes = [
            models.Index(
                fields=["server", "login"],
                name="platform_account_unassigned",
                condition=Q(client__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.login} ({self.currency})"


class AccountDimension(models.Model):
    """A dated fact that exposure, plans and reports group by: A/B book, client class, partner path, campaign code.

    Each desk writes its own dimension; of one dimension an account has one value at a time.
    """

    account = models.ForeignKey(TradingAccount, on_delete=models.CASCADE, related_name="dimensions")
    dimension = models.CharField(max_length=40)
    value = models.CharField(max_length=160)
    validity = DateTimeRangeField()

    class Meta:
        ordering = ["account", "dimension", "validity"]
        constraints = [
            ExclusionConstraint(
                name="platform_dimension_no_overlap",
                expressions=[
                    ("account", RangeOperators.EQUAL),
                    ("dimension", RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(validity__isempty=False), name="platform_dimension_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.dimension} {self.value} of {self.account}"
