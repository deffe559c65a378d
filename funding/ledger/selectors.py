"""What the books say: balances and the trial balance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from funding.ledger.chart import AccountKind
from funding.ledger.models import AccountBalance, JournalEntry, LedgerAccount, Posting
from funding.ledger.types import TrialBalanceRow, TrialBalanceTotal

_ZERO = Value(Decimal(0), output_field=DecimalField(max_digits=24, decimal_places=8))


def balance_of(account: LedgerAccount | int) -> Decimal:
    """The balance of an account in its normal side, as it stands now. Only for use cases that already hold the account."""
    account_id = account if isinstance(account, int) else account.pk
    balance: Decimal = AccountBalance.objects.values_list("balance", flat=True).get(pk=account_id)
    return balance


def available_of(account: LedgerAccount | int) -> Decimal | None:
    """What may still be taken from an account: balance less what is held and less its floor; None without a floor."""
    account_id = account if isinstance(account, int) else account.pk
    found = AccountBalance.objects.get(pk=account_id)
    available: Decimal | None = None if found.floor is None else found.balance - found.held - found.floor
    return available


def balances_as_of(*, entity_id: int, kind: str, day: date) -> list[tuple[int, str, Decimal]]:
    """(account, currency, balance in the normal side) of the accounts of a kind that were not empty after a business day.

    Only for use cases that have authorised the actor for the entity.
    """
    rows = (
        Posting.objects.order_by()
        .filter(account__entity_id=entity_id, account__kind=kind, entry__business_day__lte=day)
        .values("account_id", "account__currency", "account__is_debit_normal")
        .annotate(
            debit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.DEBIT)), _ZERO),
            credit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.CREDIT)), _ZERO),
        )
    )
    found = [
        (
            row["account_id"],
            row["account__currency"],
            (row["debit_sum"] - row["credit_sum"]) * (1 if row["account__is_debit_normal"] else -1),
        )
        for row in rows
    ]
    return sorted(item for item in found if item[2])


def ledger_balances_on(*, account_ids: Iterable[int], day: date) -> dict[int, Decimal]:
    """The balance of accounts after a business day, each in its normal side. Only for use cases, as above."""
    wanted = list(account_ids)
    balances = dict.fromkeys(wanted, Decimal(0))
    rows = (
        Posting.objects.order_by()
        .filter(account_id__in=wanted, entry__business_day__lte=day)
        .values("account_id", "account__is_debit_normal")
        .annotate(
            debit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.DEBIT)), _ZERO),
            credit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.CREDIT)), _ZERO),
        )
    )
    for row in rows:
        difference: Decimal = row["debit_sum"] - row["credit_sum"]
        balances[row["account_id"]] = difference if row["account__is_debit_normal"] else -difference
    return balances


def visible_accounts(actor: Actor) -> QuerySet[LedgerAccount]:
    """The ledger accounts that the actor may see, with their balances."""
    return visible_to(LedgerAccount.objects.select_related("balance", "entity"), actor)


def visible_entries(actor: Actor) -> QuerySet[JournalEntry]:
    """The entries that the actor may see."""
    return visible_to(JournalEntry.objects.select_related("entity"), actor)


def trial_balance(
    *, actor: Actor, entity_id: int | None = None, as_of: date | None = None, currency: str = ""
) -> list[TrialBalanceRow]:
    """Turnover by entity, currency and kind: of all that is booked, or of what is dated up to a business day.

    Only entities that the actor may see. Rows stand in the order of the chart. Raises `Denied` without the capability.
    """
    authorise(actor, "funding.view_trial_balance")
    accounts = visible_to(LedgerAccount.objects.all(), actor)
    if entity_id is not None:
        accounts = accounts.filter(entity_id=entity_id)
    if currency:
        accounts = accounts.filter(currency=currency)
    rows = _turnover_now(accounts) if as_of is None else _turnover_until(accounts, as_of)
    order = {kind.value: position for position, kind in enumerate(AccountKind)}
    found = [
        TrialBalanceRow(
            entity_id=row["entity_id"],
            entity=row["entity_name"],
            kind=AccountKind(row["account_kind"]),
            account_class=row["account_class_"],
            currency=row["account_currency"],
            accounts=row["accounts"],
            debits=row["debit_sum"],
            credits=row["credit_sum"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: (row.entity, row.currency, order[row.kind.value]))


def books_of(*, actor: Actor) -> tuple[list[tuple[int, str]], list[str]]:
    """The legal entities (id and name) whose books the actor sees, and the currencies kept in them."""
    accounts = visible_to(LedgerAccount.objects.order_by(), actor)
    entities = sorted(accounts.values_list("entity_id", "entity__name").distinct(), key=lambda pair: pair[1])
    return entities, sorted(accounts.values_list("currency", flat=True).distinct())


def trial_balance_totals(rows: Iterable[TrialBalanceRow]) -> list[TrialBalanceTotal]:
    """The sums per currency."""
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    for row in rows:
        parts = (row.debits, row.credits, row.debit_balance, row.credit_balance)
        sums[row.currency] = [total + part for total, part in zip(sums[row.currency], parts, strict=True)]
    return [
        TrialBalanceTotal(currency=currency, debits=s[0], credits=s[1], debit_balance=s[2], credit_balance=s[3])
        for currency, s in sorted(sums.items())
    ]


def _turnover_now(accounts: QuerySet[LedgerAccount]) -> Iterable[Any]:
    return (
        accounts.order_by()
        .filter(Q(balance__debits__gt=0) | Q(balance__credits__gt=0))
        .values(
            "entity_id",
            entity_name=F("entity__name"),
            account_kind=F("kind"),
            account_class_=F("account_class"),
            account_currency=F("currency"),
        )
        .annotate(
            accounts=Count("pk"),
            debit_sum=Coalesce(Sum("balance__debits"), _ZERO),
            credit_sum=Coalesce(Sum("balance__credits"), _ZERO),
        )
    )


def _turnover_until(accounts: QuerySet[LedgerAccount], as_of: date) -> Iterable[Any]:
    return (
        Posting.objects.order_by()
        .filter(account__in=accounts, entry__business_day__lte=as_of)
        .values(
            entity_id=F("account__entity_id"),
            entity_name=F("account__entity__name"),
            account_kind=F("account__kind"),
            account_class_=F("account__account_class"),
            account_currency=F("account__currency"),
        )
        .annotate(
            accounts=Count("account_id", distinct=True),
            debit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.DEBIT)), _ZERO),
            credit_sum=Coalesce(Sum("amount", filter=Q(side=Posting.Side.CREDIT)), _ZERO),
        )
    )
