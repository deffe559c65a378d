"""Payouts of approved statements: where a partner wants the money, what was paid, in which file, and on which paper.

An amount of a statement is in at most one payout that stands: the database adds them up and refuses what is too much.
"""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import AmountField, CurrencyField
from backoffice.core.models import DocumentNumber, EntityBankAccount, LegalEntity, StoredFile
from backoffice.core.sealing.fields import BlindIndexField, EncryptedTextField
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7
from ib.models.partners import Partner
from ib.models.statements import CommissionStatement


class PayoutKind(models.TextChoices):
    """Where money of a statement goes."""

    WALLET = "wallet", "Partner wallet"
    TRADING_ACCOUNT = "trading_account", "Own trading account"
    BANK = "bank", "Bank account"


class PayoutMethod(models.Model):
    """Where a partner wants to be paid from a time on. Without one that is in force, to the wallet.

    A change waits two days from its request and until a member of staff confirmed it; until both, what was in force stays.
    The number of a bank account is encrypted; lists show its last four characters.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", "Waits to be confirmed"
        CONFIRMED = "confirmed", "Confirmed"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Replaced before it was confirmed"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="payout_methods")
    kind = models.CharField(max_length=16, choices=PayoutKind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    account = models.ForeignKey(
        "platform_ops.TradingAccount", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    holder = models.CharField(max_length=70, blank=True, help_text="Whose bank account it is.")
    bank_name = models.CharField(max_length=120, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    account_number = EncryptedTextField(bound_to="public_id", blank=True, default="")
    account_number_index = BlindIndexField(source="account_number", normalise="iban")
    number_tail = models.CharField(max_length=4, blank=True)
    is_iban = models.BooleanField(default=True)
    requested_by = models.CharField(max_length=200)
    requested_by_id = models.BigIntegerField(null=True)
    requested_at = models.DateTimeField(default=clock.now)
    cools_until = models.DateTimeField(help_text="Not used before, whoever confirms it.")
    decided_by = models.CharField(max_length=200, blank=True)
    decided_by_id = models.BigIntegerField(null=True)
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["partner"], name="ib_payoutmethod_one_asked", condition=Q(state="requested")
            ),
            models.CheckConstraint(
                condition=Q(kind="trading_account", account__isnull=False)
                | ~Q(kind="trading_account") & Q(account__isnull=True),
                name="ib_payoutmethod_account",
            ),
            models.CheckConstraint(
                condition=Q(kind="bank") & ~Q(holder="") & ~Q(number_tail="") | ~Q(kind="bank") & Q(number_tail=""),
                name="ib_payoutmethod_bank",
            ),
            models.CheckConstraint(
                condition=~Q(state="confirmed") | Q(decided_at__isnull=False) & ~Q(decided_by=""),
                name="ib_payoutmethod_confirmed_by",
            ),
            models.CheckConstraint(
                condition=Q(decided_by_id__isnull=True)
                | Q(requested_by_id__isnull=True)
                | ~Q(state="confirmed")
                | ~Q(decided_by_id=F("requested_by_id")),
                name="ib_payoutmethod_by_two_people",
            ),
            models.CheckConstraint(condition=Q(cools_until__gte=F("requested_at")), name="ib_payoutmethod_cools"),
        ]

    def __str__(self) -> str:
        if self.kind == PayoutKind.BANK:
            return f"Bank account … {self.number_tail}"
        return self.get_kind_display()


class PaymentFile(models.Model):
    """Payments handed to a bank at once: as pain.001 and as CSV, exported once, with number and digests."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey(EntityBankAccount, on_delete=models.PROTECT, related_name="+")
    number = models.OneToOneField(DocumentNumber, on_delete=models.PROTECT, related_name="+")
    reference = models.CharField(max_length=60, unique=True)
    currency = CurrencyField()
    payments = models.PositiveIntegerField()
    total = AmountField()
    execution_day = models.DateField()
    xml = EncryptedTextField(bound_to="public_id")
    csv = EncryptedTextField(bound_to="public_id")
    xml_digest = models.CharField(max_length=64)
    csv_digest = models.CharField(max_length=64)
    exported_by = models.CharField(max_length=200)
    exported_by_id = models.BigIntegerField(null=True)
    exported_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(payments__gt=0, total__gt=0), name="ib_paymentfile_not_empty"),
            models.UniqueConstraint(fields=["entity", "xml_digest"], name="ib_paymentfile_once"),
        ]

    def __str__(self) -> str:
        return self.reference


# What was paid for a statement, added up behind the statement's own lock. Its refusals are violations of integrity.
_NEVER_TOO_MUCH = """
IF NEW.state NOT IN ('under_way', 'paid') THEN
    RETURN NEW;
END IF;
SELECT payable INTO allowed FROM ib_commissionstatement
WHERE id = NEW.statement_id AND partner_id = NEW.partner_id AND currency = NEW.currency AND state = 'approved'
FOR NO KEY UPDATE;
SELECT coalesce(sum(amount), 0) INTO taken FROM ib_payout
WHERE statement_id = NEW.statement_id AND id <> NEW.id AND state IN ('under_way', 'paid');
IF allowed IS NULL OR taken + NEW.amount > allowed THEN
    RAISE EXCEPTION 'statement % would be paid more than it made payable', NEW.statement_id
        USING ERRCODE = '23P01';
END IF;
IF NEW.state = 'paid' AND NEW.file_id IS NOT NULL THEN
    SELECT exported_by_id INTO exporter FROM ib_paymentfile WHERE id = NEW.file_id;
    IF exporter = NEW.paid_by_id THEN
        RAISE EXCEPTION 'who exported a payment file does not mark it paid' USING ERRCODE = '23P01';
    END IF;
END IF;
RETURN NEW;
"""

_ORDER_STAYS = """
IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'a payout is never deleted' USING ERRCODE = 'BO001';
END IF;
IF (OLD.statement_id, OLD.partner_id, OLD.kind, OLD.amount, OLD.currency, OLD.idempotency_key, OLD.public_id)
   IS DISTINCT FROM
   (NEW.statement_id, NEW.partner_id, NEW.kind, NEW.amount, NEW.currency, NEW.idempotency_key, NEW.public_id)
   OR OLD.state IN ('failed', 'returned') OR (OLD.state = 'paid' AND NEW.state NOT IN ('paid', 'returned'))
   OR (OLD.file_id IS NOT NULL AND NEW.file_id IS DISTINCT FROM OLD.file_id) THEN
    RAISE EXCEPTION 'a payout goes on, and what it pays stays' USING ERRCODE = 'BO001';
END IF;
RETURN NEW;
"""


class Payout(models.Model):
    """One payment of a statement, or of a part of it. Written down before anything moves; the money is held meanwhile.

    under way → paid, or failed (it never left, the money is payable again); paid → returned (the bank sent it back).
    """

    class State(models.TextChoices):
        UNDER_WAY = "under_way", "Under way"
        PAID = "paid", "Paid"
        FAILED = "failed", "Not paid"
        RETURNED = "returned", "Returned"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    statement = models.ForeignKey(CommissionStatement, on_delete=models.PROTECT, related_name="payouts")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="payouts")
    number = models.PositiveSmallIntegerField(help_text="Counts the payouts of the statement.")
    kind = models.CharField(max_length=16, choices=PayoutKind.choices)
    method = models.ForeignKey(PayoutMethod, on_delete=models.PROTECT, null=True, related_name="payouts")
    account = models.ForeignKey("platform_ops.TradingAccount", on_delete=models.PROTECT, null=True, related_name="+")
    amount = AmountField()
    currency = CurrencyField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.UNDER_WAY)
    idempotency_key = models.CharField(max_length=160, unique=True)
    hold = models.OneToOneField("ledger.Hold", on_delete=models.PROTECT, null=True, related_name="+")
    operation = models.OneToOneField(
        "platform_ops.ServerOperation", on_delete=models.PROTECT, null=True, related_name="+"
    )
    file = models.ForeignKey(PaymentFile, on_delete=models.PROTECT, null=True, related_name="payouts")
    bank_reference = models.CharField(max_length=100, blank=True)
    value_date = models.DateField(null=True)
    requested_by = models.CharField(max_length=200)
    requested_by_id = models.BigIntegerField(null=True)
    requested_at = models.DateTimeField(default=clock.now)
    paid_by = models.CharField(max_length=200, blank=True)
    paid_by_id = models.BigIntegerField(null=True)
    paid_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When it failed or came back.")
    problem = models.CharField(max_length=500, blank=True, help_text="Why it failed, came back, or waits.")

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["statement", "number"], name="ib_payout_number_unique"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="ib_payout_positive"),
            models.CheckConstraint(
                condition=Q(kind="wallet", hold__isnull=True, operation__isnull=True, file__isnull=True)
                | Q(kind="trading_account", hold__isnull=False, account__isnull=False, file__isnull=True)
                | Q(kind="bank", hold__isnull=False, method__isnull=False, operation__isnull=True),
                name="ib_payout_by_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["paid", "returned"], paid_at__isnull=False)
                | Q(state__in=["under_way", "failed"], paid_at__isnull=True),
                name="ib_payout_paid_when",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "returned"]) | Q(ended_at__isnull=False) & ~Q(problem=""),
                name="ib_payout_ended_why",
            ),
            models.CheckConstraint(
                condition=~Q(kind="bank", state="paid")
                | Q(file__isnull=False, value_date__isnull=False) & ~Q(bank_reference=""),
                name="ib_payout_bank_paid_is_whole",
            ),
        ]
        indexes = [models.Index(fields=["kind", "id"], name="ib_payout_under_way", condition=Q(state="under_way"))]
        triggers = [
            pgtrigger.Trigger(
                name="never_too_much",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                declare=[("allowed", "numeric"), ("taken", "numeric"), ("exporter", "bigint")],
                func=_NEVER_TOO_MUCH,
            ),
            pgtrigger.Trigger(
                name="order_stays",
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete,
                func=_ORDER_STAYS,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.statement.number}-{self.number} of {self.partner}"


_PAPER_STAYS = """
IF TG_OP = 'DELETE' OR OLD.file_id IS NOT NULL OR NEW.file_id IS NULL
   OR (OLD.statement_id, OLD.kind, OLD.reference, OLD.body, OLD.issued_at, OLD.number_id, OLD.refers_to_id)
   IS DISTINCT FROM
   (NEW.statement_id, NEW.kind, NEW.reference, NEW.body, NEW.issued_at, NEW.number_id, NEW.refers_to_id) THEN
    RAISE EXCEPTION 'an issued paper stays as it is' USING ERRCODE = 'BO001';
END IF;
RETURN NEW;
"""


class StatementPaper(models.Model):
    """A paper about a paid statement: what it says as JSON, and the PDF that was made of it, once.

    With a self-billing agreement it is an invoice of the partner to the house, numbered without gaps; without tax data a
    commission statement. A credit note takes back an invoice whose payment came back.
    """

    class Kind(models.TextChoices):
        COMMISSION_STATEMENT = "commission_statement", "Commission statement"
        INVOICE = "invoice", "Self-billing invoice"
        CREDIT_NOTE = "credit_note", "Credit note"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    statement = models.ForeignKey(CommissionStatement, on_delete=models.PROTECT, related_name="papers")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    number = models.OneToOneField(DocumentNumber, on_delete=models.PROTECT, related_name="+")
    reference = models.CharField(max_length=60)
    refers_to = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="taken_back_by")
    body = models.JSONField(help_text="Everything that the paper says.")
    file = models.OneToOneField(StoredFile, on_delete=models.PROTECT, null=True, related_name="+")
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the PDF as it was issued.")
    issued_at = models.DateTimeField(default=clock.now)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="credit_note", refers_to__isnull=False)
                | ~Q(kind="credit_note") & Q(refers_to__isnull=True),
                name="ib_statementpaper_takes_back",
            ),
            models.CheckConstraint(
                condition=Q(file__isnull=True, digest="") | Q(file__isnull=False) & ~Q(digest=""),
                name="ib_statementpaper_digest",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="paper_stays",
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete,
                func=_PAPER_STAYS,
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}"
