"""What a legal entity keeps: its bank accounts, the terms it trades under, and the numbers of its documents.

The database keeps the numbers gapless, whatever code writes: a counter goes up by one, in the transaction that issues
the number, and by nothing else; an issued number never changes. Published terms never change; only their end is set,
once, by the version that follows.
"""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from backoffice.core.access import ScopedQuerySet
from backoffice.core.fields import CurrencyField
from backoffice.core.history import keep_history
from backoffice.core.models.entities import LegalEntity
from backoffice.core.sealing.fields import BlindIndexField, EncryptedTextField
from backoffice.core.triggers import IMMUTABLE_SQLSTATE, never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7

NUMBERING_SQLSTATE = "BO002"
"""The SQLSTATE with which the database refuses a gap in the numbers of documents."""


@keep_history(exclude=["account_number", "account_number_index"])
class EntityBankAccount(models.Model):
    """An account of the entity at a bank. Its number is encrypted; lists show the last four characters."""

    class Purpose(models.TextChoices):
        CLIENT_MONEY = "client_money", "Client money, segregated"
        OWN_MONEY = "own_money", "Own money"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="bank_accounts")
    name = models.CharField(max_length=120, help_text="What the house calls it.")
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    currency = CurrencyField()
    bank_name = models.CharField(max_length=120)
    bic = models.CharField(max_length=11, blank=True)
    account_number = EncryptedTextField(bound_to="public_id")
    account_number_index = BlindIndexField(source="account_number", normalise="iban")
    number_tail = models.CharField(max_length=4)
    is_iban = models.BooleanField()
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "name"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "name"], name="core_bankaccount_name_unique"),
            models.UniqueConstraint(
                fields=["entity", "currency", "account_number_index"], name="core_bankaccount_number_unique"
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=["client_money", "own_money"]), name="core_bankaccount_purpose_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def masked_number(self) -> str:
        """The account number as lists show it."""
        return f"… {self.number_tail}"


_TERMS_STAY = f"""
IF TG_OP = 'DELETE' THEN
    IF OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION 'published terms never go' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
    END IF;
    RETURN OLD;
END IF;
IF OLD.published_at IS NULL THEN
    RETURN NEW;
END IF;
IF (NEW.id, NEW.public_id, NEW.entity_id, NEW.kind, NEW.language, NEW.number, NEW.title, NEW.body, NEW.sha256,
    NEW.published_at, NEW.published_by)
   IS DISTINCT FROM
   (OLD.id, OLD.public_id, OLD.entity_id, OLD.kind, OLD.language, OLD.number, OLD.title, OLD.body, OLD.sha256,
    OLD.published_at, OLD.published_by)
   OR lower(NEW.validity) IS DISTINCT FROM lower(OLD.validity)
   OR (upper(OLD.validity) IS NOT NULL AND NEW.validity IS DISTINCT FROM OLD.validity)
   OR isempty(NEW.validity)
THEN
    RAISE EXCEPTION 'published terms never change' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';
END IF;
RETURN NEW;
"""


class TermsVersion(models.Model):
    """A version of a document that clients or partners agree to. A draft may change; once published it stands as it is.

    `validity` begins on the day from which it counts and ends where the next version begins.
    """

    class Kind(models.TextChoices):
        TERMS_OF_BUSINESS = "terms_of_business", "Terms of business"
        RISK_DISCLOSURE = "risk_disclosure", "Risk disclosure"
        ORDER_EXECUTION = "order_execution", "Order execution policy"
        PRIVACY = "privacy", "Privacy notice"
        PARTNER_AGREEMENT = "partner_agreement", "Partner agreement"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="terms")
    kind = models.CharField(max_length=24, choices=Kind.choices)
    language = models.CharField(max_length=8, default="en")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=160)
    body = models.TextField()
    sha256 = models.CharField(max_length=64, help_text="Of the text as UTF-8; what somebody agreed to is named by it.")
    validity = DateRangeField(null=True, blank=True)  # type: ignore[misc]  # the stubs know no optional range
    drafted_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "kind", "language", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["entity", "kind", "language", "number"], name="core_terms_number_unique"),
            models.CheckConstraint(
                condition=Q(published_at__isnull=True, validity__isnull=True)
                | Q(published_at__isnull=False, validity__isnull=False, validity__startswith__isnull=False),
                name="core_terms_published_with_validity",
            ),
            ExclusionConstraint(
                name="core_terms_no_overlap",
                expressions=[
                    ("entity", RangeOperators.EQUAL),
                    ("kind", RangeOperators.EQUAL),
                    ("language", RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
                condition=Q(published_at__isnull=False),
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="published_terms_stay",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete,
                func=_TERMS_STAY,
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number} ({self.language})"


@keep_history()
class DocumentSeries(models.Model):
    """How an entity numbers a kind of document. A new pattern counts for numbers issued from then on."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="document_series")
    kind = models.CharField(max_length=60)
    pattern = models.CharField(max_length=80)
    is_yearly = models.BooleanField(default=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["entity", "kind"]
        verbose_name_plural = "document series"
        constraints = [models.UniqueConstraint(fields=["entity", "kind"], name="core_documentseries_unique")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.pattern}"


_COUNTS_BY_ONE = f"""
IF TG_OP = 'INSERT' THEN
    IF NEW.last_number <> 0 THEN
        RAISE EXCEPTION 'a counter begins at zero' USING ERRCODE = '{NUMBERING_SQLSTATE}';
    END IF;
ELSIF NEW.last_number <> OLD.last_number + 1 OR (NEW.series_id, NEW.year) IS DISTINCT FROM (OLD.series_id, OLD.year) THEN
    RAISE EXCEPTION 'a counter goes up by one' USING ERRCODE = '{NUMBERING_SQLSTATE}';
END IF;
RETURN NEW;
"""
_NUMBER_IS_ISSUED = f"""
IF NOT EXISTS (
    SELECT FROM core_documentnumber WHERE counter_id = NEW.id AND number = NEW.last_number
) THEN
    RAISE EXCEPTION 'number % of counter % was counted and not issued', NEW.last_number, NEW.id
        USING ERRCODE = '{NUMBERING_SQLSTATE}';
END IF;
RETURN NULL;
"""
_IS_THE_NEXT = f"""
IF NEW.number IS DISTINCT FROM (SELECT last_number FROM core_documentcounter WHERE id = NEW.counter_id) THEN
    RAISE EXCEPTION 'number % is not the next of counter %', NEW.number, NEW.counter_id
        USING ERRCODE = '{NUMBERING_SQLSTATE}';
END IF;
RETURN NEW;
"""  # noqa: S608 - built of constants only


class DocumentCounter(models.Model):
    """The last number of a series in a year (year 0: a series that never begins anew). Locked by who issues the next."""

    series = models.ForeignKey(DocumentSeries, on_delete=models.PROTECT, related_name="counters")
    year = models.PositiveSmallIntegerField(default=0)
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["series", "-year"]
        constraints = [models.UniqueConstraint(fields=["series", "year"], name="core_documentcounter_unique")]
        triggers = [
            pgtrigger.Trigger(
                name="counts_by_one",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=_COUNTS_BY_ONE,
            ),
            pgtrigger.Trigger(
                name="number_is_issued",
                level=pgtrigger.Row,
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                timing=pgtrigger.Deferred,
                func=_NUMBER_IS_ISSUED,
            ),
            pgtrigger.Protect(name="counters_stay", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.series_id}/{self.year}: {self.last_number}"


class DocumentNumber(models.Model):
    """A number that was issued, and what it was issued for. Never changed."""

    id = models.BigAutoField(primary_key=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="document_numbers")
    counter = models.ForeignKey(DocumentCounter, on_delete=models.PROTECT, related_name="numbers")
    kind = models.CharField(max_length=60)
    number = models.PositiveIntegerField()
    reference = models.CharField(max_length=60)
    subject = models.CharField(max_length=160, help_text="What carries the number.")
    issued_at = models.DateTimeField(default=clock.now, editable=False)
    issued_by = models.CharField(max_length=200)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["counter", "number"], name="core_documentnumber_unique"),
            models.UniqueConstraint(
                fields=["entity", "kind", "reference"], name="core_documentnumber_reference_unique"
            ),
        ]
        triggers = [
            never_changes(),
            pgtrigger.Trigger(
                name="is_the_next",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func=_IS_THE_NEXT,
            ),
        ]

    def __str__(self) -> str:
        return self.reference
