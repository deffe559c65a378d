"""The double-entry ledger. It knows accounts, entries and holds, and no desk.

The database itself keeps the books right (triggers in the migrations, whatever code writes): every statement that adds
postings must balance per entry and currency; an entry without postings cannot be committed; postings belong to the
transaction that made their entry; entries and postings are never changed or deleted; balances follow postings and holds
in the same statement and are written by nothing else; a floor (wallets: zero) plus what is held cannot be crossed; a
frozen account takes no debit; books that are closed through a day take no entry dated on or before it, save in days that
were opened again with approval, and such an entry carries the mark of the re-opening.
"""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from operator import or_

import pgtrigger
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField, CurrentTransactionId, TransactionIdField
from backoffice.core.models import LegalEntity
from backoffice.core.triggers import IMMUTABLE_SQLSTATE, never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from funding.ledger.chart import KIND_RULES, AccountClass, AccountKind, is_debit_normal

# NUMERIC knows NaN and sorts it above every number, so "positive" alone would let it in; no column holds as much as this.
BEYOND_ANY_AMOUNT = Decimal(10) ** 16
_IS_AMOUNT = Q(amount__gt=0, amount__lt=BEYOND_ANY_AMOUNT)


def _kinds_agree_with_chart() -> Q:
    """Class and normal side of an account are those that the chart gives its kind."""
    return reduce(
        or_,
        (
            Q(
                account_class=account_class.value,
                is_debit_normal=debit_normal,
                kind__in=sorted(
                    kind.value
                    for kind, rule in KIND_RULES.items()
                    if rule.account_class is account_class and is_debit_normal(kind) is debit_normal
                ),
            )
            for account_class in AccountClass
            for debit_normal in (False, True)
            if any(
                rule.account_class is account_class and is_debit_normal(kind) is debit_normal
                for kind, rule in KIND_RULES.items()
            )
        ),
    )


class LedgerAccount(models.Model):
    """An account of the chart, of one entity, in one currency, perhaps of one owner."""

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="ledger_accounts")
    kind = models.CharField(max_length=24, choices=AccountKind.choices)
    account_class = models.CharField(max_length=10, choices=AccountClass.choices)
    currency = CurrencyField()
    owner_type = models.CharField(
        max_length=24, blank=True, help_text="Such as trading_account, client, partner, bank."
    )
    owner_id = models.BigIntegerField(default=0)
    name = models.CharField(max_length=160)
    is_debit_normal = models.BooleanField()
    is_frozen = models.BooleanField(default=False, help_text="A frozen account takes no debit until it is released.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "kind", "currency", "owner_type", "owner_id"]
        constraints = [
            models.CheckConstraint(condition=_kinds_agree_with_chart(), name="ledger_account_follows_chart"),
            models.CheckConstraint(
                condition=Q(owner_type="", owner_id=0) | (~Q(owner_type="") & Q(owner_id__gt=0)),
                name="ledger_account_owner_whole",
            ),
            models.UniqueConstraint(
                fields=["entity", "kind", "currency", "owner_type", "owner_id"], name="ledger_account_unique"
            ),
        ]
        indexes = [models.Index(fields=["owner_type", "owner_id"], name="ledger_account_owner")]

    def __str__(self) -> str:
        return self.name

    @property
    def owner_title(self) -> str:
        """Whose it is, in words; empty for an account of the house."""
        return f"{self.owner_type.replace('_', ' ')} {self.owner_id}" if self.owner_type else ""


class AccountBalance(models.Model):
    """The running balance in the account's normal side, kept by trigger from postings and holds."""

    account = models.OneToOneField(LedgerAccount, on_delete=models.PROTECT, primary_key=True, related_name="balance")
    balance = AmountField(default=0)
    held = AmountField(default=0)
    floor = AmountField(null=True)
    debits = AmountField(default=0)
    credits = AmountField(default=0)
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(floor__isnull=True) | Q(balance__gte=F("floor") + F("held")),
                name="ledger_balance_floor",
            ),
            models.CheckConstraint(condition=Q(held__gte=0), name="ledger_balance_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.balance}"


class JournalEntry(models.Model):
    """One balanced booking, dated to a business day, with the key that makes a repeat harmless."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"
        TRANSFER = "transfer", "Transfer"
        BALANCE_OPERATION = "balance_operation", "Balance operation"
        TRADING_RESULT = "trading_result", "Trading result"
        COMMISSION = "commission", "Commission"
        ADJUSTMENT = "adjustment", "Adjustment"
        REVERSAL = "reversal", "Reversal"
        MANUAL = "manual", "Manual journal"
        REVALUATION = "revaluation", "Currency revaluation"

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="journal_entries")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    business_day = models.DateField()
    refers_to_day = models.DateField(null=True, help_text="The closed day that an adjustment concerns.")
    description = models.CharField(max_length=255)
    idempotency_key = models.CharField(max_length=160, unique=True)
    input_hash = models.BinaryField(max_length=32)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversed_by")
    reopening = models.ForeignKey(
        "PeriodReopening",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="entries",
        help_text="Set where the entry stands in days that were closed and opened again.",
    )
    reason = models.TextField(blank=True)
    actor = models.CharField(max_length=200)
    source_type = models.CharField(max_length=40, blank=True)
    source_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    made_in = TransactionIdField(db_default=CurrentTransactionId(), editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "journal entries"
        constraints = [
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="ledger_entry_has_key"),
            models.CheckConstraint(
                condition=Q(reverses__isnull=True) | ~Q(reason=""), name="ledger_entry_reversal_reason"
            ),
            models.CheckConstraint(
                condition=Q(refers_to_day__isnull=True) | Q(refers_to_day__lt=F("business_day")),
                name="ledger_entry_refers_back",
            ),
        ]
        indexes = [
            models.Index(fields=["entity", "business_day"], name="ledger_entry_day"),
            models.Index(fields=["source_type", "source_id"], name="ledger_entry_source"),
        ]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"entry {self.pk}: {self.description}"

    @property
    def reversal(self) -> JournalEntry | None:
        """The entry that reversed this one, if any."""
        return getattr(self, "reversed_by", None)


class Posting(models.Model):
    """One side of an entry on one account; the amount is positive, the side says debit or credit."""

    class Side(models.TextChoices):
        DEBIT = "D", "Debit"
        CREDIT = "C", "Credit"

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, related_name="postings", db_index=False)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="postings", db_index=False)
    currency = CurrencyField()
    side = models.CharField(max_length=1, choices=Side.choices)
    amount = AmountField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "account"], name="ledger_posting_once_per_account"),
            models.CheckConstraint(condition=_IS_AMOUNT, name="ledger_posting_amount_positive"),
            models.CheckConstraint(condition=Q(side__in=["D", "C"]), name="ledger_posting_side_known"),
        ]
        indexes = [models.Index(fields=["account", "id"], name="ledger_posting_account")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.side} {self.amount} {self.currency}"

    @property
    def debit(self) -> Decimal | None:
        """The amount if it is a debit."""
        return self.amount if self.side == self.Side.DEBIT else None

    @property
    def credit(self) -> Decimal | None:
        """The amount if it is a credit."""
        return self.amount if self.side == self.Side.CREDIT else None


class Hold(models.Model):
    """Money set aside on an account before an outside call: pending, then posted, voided or expired."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        POSTED = "posted", "Posted"
        VOIDED = "voided", "Voided"
        EXPIRED = "expired", "Expired"

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="holds", db_index=False)
    amount = AmountField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    idempotency_key = models.CharField(max_length=160, unique=True)
    input_hash = models.BinaryField(max_length=32)
    reason = models.CharField(max_length=255)
    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, null=True, related_name="holds")
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=_IS_AMOUNT, name="ledger_hold_amount_positive"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "posted", "voided", "expired"]),
                name="ledger_hold_state_known",
            ),
            models.CheckConstraint(condition=~Q(state="posted") | Q(entry__isnull=False), name="ledger_hold_posted_by"),
        ]
        indexes = [
            models.Index(fields=["account"], name="ledger_hold_pending", condition=Q(state="pending")),
            models.Index(fields=["expires_at"], name="ledger_hold_due", condition=Q(state="pending")),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk} {self.amount} {self.state}"


_REOPENING_STAYS = f"""
PERFORM pg_advisory_xact_lock(ledger_books_lock_key(NEW.entity_id));
IF TG_OP = 'INSERT' THEN
    IF NEW.reclosed_at IS NOT NULL THEN
        RAISE EXCEPTION 'a re-opening begins open' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger_closedday WHERE entity_id = NEW.entity_id AND business_day >= NEW.through_day
    ) THEN
        RAISE EXCEPTION 'the books of entity % are not closed through %', NEW.entity_id, NEW.through_day
            USING ERRCODE = '23L11';
    END IF;
    RETURN NEW;
END IF;
IF OLD.reclosed_at IS NOT NULL OR NEW.reclosed_at IS NULL OR
   (NEW.id, NEW.entity_id, NEW.from_day, NEW.through_day, NEW.reason, NEW.requested_by, NEW.approved_by,
    NEW.change_request_id, NEW.opened_at)
   IS DISTINCT FROM
   (OLD.id, OLD.entity_id, OLD.from_day, OLD.through_day, OLD.reason, OLD.requested_by, OLD.approved_by,
    OLD.change_request_id, OLD.opened_at)
THEN
    RAISE EXCEPTION 'a re-opening is only ever closed again' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
END IF;
RETURN NEW;
"""  # noqa: S608 - built of constants only


class PeriodReopening(models.Model):
    """Closed days of an entity that take entries again, by the approval of a second person, until they are closed again.

    Only these days open: what was closed after them stays closed. Several re-openings may follow each other, never at once
    over the same day.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="period_reopenings")
    from_day = models.DateField()
    through_day = models.DateField()
    reason = models.TextField()
    requested_by = models.CharField(max_length=200)
    approved_by = models.CharField(max_length=200)
    change_request_id = models.BigIntegerField(null=True)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    reclosed_at = models.DateTimeField(null=True)
    reclosed_by = models.CharField(max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(from_day__lte=F("through_day")), name="ledger_reopening_days_in_order"),
            models.CheckConstraint(condition=~Q(reason=""), name="ledger_reopening_reason"),
            models.CheckConstraint(condition=~Q(approved_by=F("requested_by")), name="ledger_reopening_by_two_people"),
            ExclusionConstraint(
                name="ledger_reopening_once_at_a_time",
                expressions=[
                    ("entity", RangeOperators.EQUAL),
                    (
                        Func(
                            "from_day",
                            "through_day",
                            Value("[]"),
                            function="daterange",
                            output_field=DateRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(reclosed_at__isnull=True),
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="reopening_stays",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=_REOPENING_STAYS,
            ),
            pgtrigger.Protect(name="reopenings_remain", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.from_day} to {self.through_day}"

    @property
    def is_open(self) -> bool:
        """Whether its days take entries now."""
        return self.reclosed_at is None


_MONTH_STAYS = f"""
IF TG_OP = 'INSERT' THEN
    IF NEW.reopened_by_id IS NOT NULL THEN
        RAISE EXCEPTION 'a month begins closed' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
    END IF;
    RETURN NEW;
END IF;
IF OLD.reopened_by_id IS NOT NULL OR NEW.reopened_by_id IS NULL OR
   (NEW.id, NEW.entity_id, NEW.month, NEW.through_day, NEW.checklist, NEW.figures, NEW.figures_sha256, NEW.closed_by,
    NEW.closed_at)
   IS DISTINCT FROM
   (OLD.id, OLD.entity_id, OLD.month, OLD.through_day, OLD.checklist, OLD.figures, OLD.figures_sha256, OLD.closed_by,
    OLD.closed_at)
THEN
    RAISE EXCEPTION 'a closed month is only ever opened again' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
END IF;
RETURN NEW;
"""


class ClosedMonth(models.Model):
    """A month that was closed with its checklist done. `figures` is what moved in it, by kind and currency, as text.

    It counts while `reopened_by` is empty; after a re-opening the month is closed again by a new row.
    """

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="closed_months")
    month = models.DateField(help_text="Its first calendar day.")
    through_day = models.DateField(help_text="Its last business day.")
    checklist = models.JSONField(default=list)
    figures = models.JSONField(default=list)
    figures_sha256 = models.CharField(max_length=64)
    closed_by = models.CharField(max_length=200)
    closed_at = models.DateTimeField(default=clock.now, editable=False)
    reopened_by = models.ForeignKey(
        PeriodReopening, on_delete=models.PROTECT, null=True, blank=True, related_name="months"
    )

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-month", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "month"], name="ledger_closedmonth_unique", condition=Q(reopened_by__isnull=True)
            )
        ]
        triggers = [
            pgtrigger.Trigger(
                name="month_stays",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=_MONTH_STAYS,
            ),
            pgtrigger.Protect(name="months_remain", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.month:%B %Y}"


class ClosedDay(models.Model):
    """A day through which an entity's books are closed; what concerns it later is an adjustment in the first open day."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="closed_days")
    business_day = models.DateField()
    closed_at = models.DateTimeField(default=clock.now, editable=False)
    closed_by = models.CharField(max_length=200)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-business_day"]
        constraints = [models.UniqueConstraint(fields=["entity", "business_day"], name="ledger_closedday_unique")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.entity_id} {self.business_day}"
