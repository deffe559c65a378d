"""Finance's own: manual journals, the revaluation of foreign balances, and what banks and providers say of theirs."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models import EntityBankAccount, LegalEntity
from backoffice.core.triggers import IMMUTABLE_SQLSTATE, never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class ManualJournal(models.Model):
    """A journal that people wrote and a second person approved; its entry is in the ledger. Never changed.

    What was proposed and is not booked is a change request and no journal: a number is given only to what is booked.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=60)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="manual_journals")
    business_day = models.DateField()
    description = models.CharField(max_length=200)
    reason = models.TextField()
    entry = models.OneToOneField("ledger.JournalEntry", on_delete=models.PROTECT, related_name="manual_journal")
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    made_by = models.CharField(max_length=200)
    approved_by = models.CharField(max_length=200)
    change_request_id = models.BigIntegerField(null=True)
    attachments = models.JSONField(default=list, help_text="Public ids of the files that belong to it.")
    booked_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "reference"], name="funding_journal_reference_unique"),
            models.CheckConstraint(condition=~Q(approved_by=F("made_by")), name="funding_journal_by_two_people"),
            models.CheckConstraint(condition=~Q(reason=""), name="funding_journal_reason"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return self.reference

    @property
    def reversal(self) -> ManualJournal | None:
        """The journal that took this one back, if any."""
        return getattr(self, "reversed_by", None)


class RevaluedPosition(models.Model):
    """What is revalued as one: an account of the house, or all accounts of a kind that are kept per client or partner."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="revalued_positions")
    kind = models.CharField(max_length=24)
    currency = CurrencyField()
    account = models.OneToOneField(
        "ledger.LedgerAccount", on_delete=models.PROTECT, null=True, blank=True, related_name="revalued_position"
    )

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "kind", "currency", "account"]
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "kind", "currency", "account"],
                name="funding_position_unique",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.account.name if self.account is not None else f"{self.kind}, {self.currency}"


class RevaluationRun(models.Model):
    """A revaluation of an entity's foreign balances at a business day. Never changed; a later run books the difference."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="revaluations")
    business_day = models.DateField()
    base_currency = CurrencyField()
    entry = models.OneToOneField(
        "ledger.JournalEntry",
        on_delete=models.PROTECT,
        null=True,
        related_name="revaluation",
        help_text="None: nothing moved.",
    )
    actor = models.CharField(max_length=200)
    made_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["entity", "business_day"], name="funding_revaluation_day")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"revaluation {self.business_day}"


class RevaluationLine(models.Model):
    """A position at the day: target minus booked.

    `balance` is signed from the house's side (assets positive, debts negative), in the position's currency. `cost` is what
    it was worth when it came, each day's movement at that day's rate; `value` what it is worth now; both unrounded. `target`
    is the gain that should be booked by then (value less cost, rounded once), `booked_before` what was, `amount` the
    difference, all in the base currency.
    """

    run = models.ForeignKey(RevaluationRun, on_delete=models.PROTECT, related_name="lines")
    position = models.ForeignKey(RevaluedPosition, on_delete=models.PROTECT, related_name="lines")
    balance = AmountField()
    cost = models.DecimalField(max_digits=40, decimal_places=20)
    value = models.DecimalField(max_digits=40, decimal_places=20)
    rate = models.DecimalField(max_digits=40, decimal_places=20)
    rate_source = models.CharField(max_length=60)
    rate_day = models.DateField(help_text="The day on which the rate was fixed.")
    target = AmountField()
    booked_before = AmountField()
    amount = AmountField()

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="funding_revaluationline_unique"),
            models.CheckConstraint(
                condition=Q(amount=F("target") - F("booked_before")), name="funding_revaluationline_difference"
            ),
            models.CheckConstraint(condition=Q(rate__gt=0), name="funding_revaluationline_rate"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.position_id}: {self.amount}"


@keep_history()
class ExternalAccount(models.Model):
    """An account at a bank, payment provider or liquidity provider, whose statements are compared with the ledger."""

    class Kind(models.TextChoices):
        BANK = "bank", "Bank"
        PSP = "psp", "Payment provider"
        LIQUIDITY_PROVIDER = "liquidity_provider", "Liquidity provider"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="external_accounts")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    name = models.CharField(max_length=120)
    currency = CurrencyField()
    bank_account = models.OneToOneField(
        EntityBankAccount, on_delete=models.PROTECT, null=True, blank=True, related_name="external_account"
    )
    ledger_account = models.OneToOneField(
        "ledger.LedgerAccount", on_delete=models.PROTECT, null=True, related_name="external_account"
    )
    watched_from = models.DateField(help_text="The first business day whose balance is compared.")
    closed_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "kind", "name"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "name"], name="funding_external_name_unique"),
            models.CheckConstraint(
                condition=Q(kind="bank") | Q(bank_account__isnull=True), name="funding_external_bank_account_of_bank"
            ),
            models.CheckConstraint(
                condition=Q(closed_on__isnull=True) | Q(closed_on__gte=F("watched_from")),
                name="funding_external_closed_after",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BalanceStatement(models.Model):
    """What a bank or provider says an account held at the end of a business day. A corrected one is a new revision."""

    class Source(models.TextChoices):
        MANUAL = "manual", "Entered by hand"
        CSV = "csv", "Uploaded file"
        API = "api", "Interface"

    account = models.ForeignKey(ExternalAccount, on_delete=models.PROTECT, related_name="statements")
    business_day = models.DateField()
    revision = models.PositiveIntegerField(default=1)
    amount = AmountField()
    source = models.CharField(max_length=8, choices=Source.choices)
    note = models.CharField(max_length=255, blank=True)
    entered_by = models.CharField(max_length=200)
    entered_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-business_day", "account", "-revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "business_day", "revision"], name="funding_statement_revision_unique"
            )
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.account} {self.business_day}"


_ITEM_STAYS = f"""
IF OLD.withdrawn_at IS NOT NULL OR NEW.withdrawn_at IS NULL OR
   (NEW.id, NEW.statement_id, NEW.amount, NEW.description, NEW.reference, NEW.entered_by, NEW.entered_at)
   IS DISTINCT FROM
   (OLD.id, OLD.statement_id, OLD.amount, OLD.description, OLD.reference, OLD.entered_by, OLD.entered_at)
THEN
    RAISE EXCEPTION 'an explanation is only ever withdrawn' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
END IF;
RETURN NEW;
"""


class DifferenceItem(models.Model):
    """Why a statement and the ledger differ by an amount: positive where the statement holds more. Withdrawn, never changed."""

    statement = models.ForeignKey(BalanceStatement, on_delete=models.PROTECT, related_name="items")
    amount = AmountField()
    description = models.CharField(max_length=255)
    reference = models.CharField(max_length=120, blank=True)
    entered_by = models.CharField(max_length=200)
    entered_at = models.DateTimeField(default=clock.now, editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["statement", "id"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="funding_differenceitem_not_zero")]
        triggers = [
            pgtrigger.Trigger(
                name="item_stays",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func=_ITEM_STAYS,
            ),
            pgtrigger.Protect(name="items_remain", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.description


class Reconciliation(models.Model):
    """That a person compared a statement with the ledger and explained the whole difference. Never changed.

    It counts for its statement's revision and while the ledger's balance of that day is still the one that was compared.
    """

    statement = models.ForeignKey(BalanceStatement, on_delete=models.PROTECT, related_name="reconciliations")
    ledger_balance = AmountField()
    difference = AmountField()
    items = models.JSONField(default=list)
    note = models.TextField(blank=True)
    reconciled_by = models.CharField(max_length=200)
    reconciled_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"reconciliation {self.pk}"
