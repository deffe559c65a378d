"""What banks, payment providers and liquidity providers say an account holds, compared with the ledger.

A statement balance is entered by hand, by file or by interface, once per account and business day; a corrected one is a
new revision. The difference (statement less ledger) is explained item by item; a person reconciles the day when the items
add up to it. A reconciliation counts while the ledger still says what was compared.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.db.models import Max, Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import EntityBankAccount, LegalEntity
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput
from funding.events import BALANCE_DIFFERS
from funding.ledger.chart import AccountKind
from funding.ledger.rules import has_more_digits
from funding.ledger.selectors import ledger_balances_on
from funding.ledger.services.accounts import get_account
from funding.models import BalanceStatement, DifferenceItem, ExternalAccount, Reconciliation

MANAGE = "funding.manage_external_accounts"
ENTER = "funding.enter_balances"
RECONCILE = "funding.reconcile_balances"
OWNER = "external_account"
MAXIMUM_ROWS = 5_000
MAXIMUM_FILE_BYTES = 1_000_000
MAXIMUM_ITEMS = 500
LARGEST_BALANCE = Decimal(10) ** 15
CSV_COLUMNS = ("account", "business_day", "balance", "note")

_LEDGER_KINDS = {
    ExternalAccount.Kind.BANK.value: AccountKind.BANK,
    ExternalAccount.Kind.PSP.value: AccountKind.PSP,
    ExternalAccount.Kind.LIQUIDITY_PROVIDER.value: AccountKind.LIQUIDITY_PROVIDER,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A statement beside the ledger: the difference, what of it is explained, and whether a person settled it."""

    statement: BalanceStatement
    ledger_balance: Decimal
    explained: Decimal
    reconciliation: Reconciliation | None

    @property
    def difference(self) -> Decimal:
        """What the statement holds more than the ledger."""
        return self.statement.amount - self.ledger_balance

    @property
    def unexplained(self) -> Decimal:
        """What no item explains yet."""
        return self.difference - self.explained

    @property
    def is_reconciled(self) -> bool:
        """Whether a reconciliation stands for this revision and this ledger balance."""
        return self.reconciliation is not None and self.reconciliation.ledger_balance == self.ledger_balance

    @property
    def state(self) -> str:
        """In a word: reconciled, moved since, agrees, explained or differs."""
        if self.is_reconciled:
            return "reconciled"
        if self.reconciliation is not None:
            return "moved since"
        if self.unexplained:
            return "differs"
        return "explained" if self.difference else "agrees"


@transaction.atomic
def open_external_account(
    *,
    entity_id: int,
    kind: str,
    name: str,
    currency: str,
    watched_from: date,
    actor: Actor,
    bank_account_id: int | None = None,
    is_main: bool = False,
) -> ExternalAccount:
    """An account of the entity outside the house, with a ledger account of its own.

    With *is_main* it stands for the account of its kind and currency to which deposits and withdrawals are booked.
    """
    authorise(actor, MANAGE)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if kind not in _LEDGER_KINDS:
        raise InvalidInput("A bank, a payment provider or a liquidity provider.", field="kind", value=kind)
    if not name.strip():
        raise InvalidInput("An account needs a name.", field="name")
    code = Currency.of(currency).code
    bank_account = _bank_account(bank_account_id, entity, kind, code, actor)
    if ExternalAccount.objects.filter(entity=entity, name=name.strip()).exists():
        raise Conflict("The entity has an account of this name.", code="name_taken", field="name")
    account = ExternalAccount.objects.create(
        entity=entity,
        kind=kind,
        name=name.strip(),
        currency=code,
        bank_account=bank_account,
        watched_from=watched_from,
    )
    ledger = get_account(
        entity_id=entity.pk,
        kind=_LEDGER_KINDS[kind],
        currency=code,
        name=f"{name.strip()}, {code}",
        owner_type="" if is_main else OWNER,
        owner_id=0 if is_main else account.pk,
    )
    if ExternalAccount.objects.filter(ledger_account=ledger).exists():
        raise Conflict("Another account is the main one already.", code="main_account_taken", field="is_main")
    account.ledger_account = ledger
    account.save(update_fields=["ledger_account"])
    audit.record(
        actor=actor,
        action=MANAGE,
        target=account,
        changes={"kind": kind, "currency": code, "ledger_account": ledger.pk, "is_main": is_main},
    )
    return account


@transaction.atomic
def close_external_account(*, account_id: int, closed_on: date, actor: Actor, reason: str) -> ExternalAccount:
    """Says that an account is no longer compared after a day. Refused while the ledger holds money there."""
    authorise(actor, MANAGE)
    _require_reason(reason)
    account = get_visible(ExternalAccount.objects.select_for_update(of=("self",)), actor, pk=account_id)
    if account.closed_on is not None:
        return account
    if closed_on < account.watched_from:
        raise InvalidInput("The last day comes after the first.", field="closed_on", value=str(closed_on))
    held = _ledger_balance(account, closed_on)
    if held:
        raise Conflict(
            f"The ledger holds {held:f} {account.currency} there.", code="account_not_empty", field="closed_on"
        )
    account.closed_on = closed_on
    account.save(update_fields=["closed_on"])
    audit.record(actor=actor, action="funding.close_external_account", target=account, reason=reason.strip())
    return account


@transaction.atomic
def enter_balance(
    *,
    account_id: int,
    business_day: date,
    amount: Decimal,
    actor: Actor,
    note: str = "",
    source: str = BalanceStatement.Source.MANUAL,
) -> BalanceStatement:
    """Writes down what a statement says. The same balance again changes nothing; another one is the next revision."""
    authorise(actor, ENTER)
    account = get_visible(ExternalAccount.objects.all(), actor, pk=account_id)
    ExternalAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
    _check_day(account, business_day)
    _check_amount(amount, account.currency)
    last = BalanceStatement.objects.filter(account=account, business_day=business_day).order_by("-revision").first()
    if last is not None and last.amount == amount:
        return last
    statement = BalanceStatement.objects.create(
        account=account,
        business_day=business_day,
        revision=last.revision + 1 if last else 1,
        amount=amount,
        source=source,
        note=note.strip(),
        entered_by=actor.label,
    )
    audit.record(
        actor=actor,
        action=ENTER,
        target=statement,
        changes={"balance": f"{amount:f}", "before": f"{last.amount:f}" if last else None, "source": str(source)},
        entity_id=account.entity_id,
    )
    difference = amount - _ledger_balance(account, business_day)
    if difference:
        outbox.publish(
            topic=BALANCE_DIFFERS,
            payload={"statement_id": statement.pk, "account_id": account.pk, "difference": f"{difference:f}"},
        )
    return statement


def import_balances(*, data: bytes, entity_id: int, actor: Actor) -> list[BalanceStatement]:
    """Enters the balances of a CSV file (`account,business_day,balance,note`) of one entity: all rows, or none.

    Raises `InvalidInput` with every faulty row in `rows` (row number, field, message). The same file again changes nothing.
    """
    authorise(actor, ENTER)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    rows = _read_rows(data)
    accounts = {account.name: account for account in ExternalAccount.objects.filter(entity=entity)}
    faults: list[dict[str, Any]] = []
    wanted = []
    seen: set[tuple[int, date]] = set()
    for number, row in rows:
        try:
            account, day, amount = _row(row, accounts)
            if (account.pk, day) in seen:
                raise InvalidInput("The account stands twice for this day.", field="business_day")
            seen.add((account.pk, day))
            wanted.append((account, day, amount, row.get("note") or ""))
        except InvalidInput as error:
            faults.append({"row": number, "field": error.details.get("field", ""), "message": error.message})
    if faults:
        raise InvalidInput(
            f"{len(faults)} of {len(rows)} rows cannot be read; nothing was entered. "
            + "; ".join(f"row {fault['row']}, {fault['field']}: {fault['message']}" for fault in faults[:5]),
            code="rows_refused",
            field="file",
            rows=faults[:MAXIMUM_ITEMS],
        )
    with transaction.atomic():
        return [
            enter_balance(
                account_id=account.pk,
                business_day=day,
                amount=amount,
                actor=actor,
                note=note[:255],
                source=BalanceStatement.Source.CSV,
            )
            for account, day, amount, note in sorted(wanted, key=lambda item: (item[0].pk, item[1]))
        ]


@transaction.atomic
def explain_difference(
    *, statement_id: int, amount: Decimal, description: str, actor: Actor, reference: str = ""
) -> DifferenceItem:
    """Names one thing that the statement has and the ledger has not yet (positive), or the other way round (negative)."""
    authorise(actor, ENTER)
    statement = _current_statement(statement_id, actor)
    if not description.strip():
        raise InvalidInput("Say what it is.", field="description")
    if not amount:
        raise InvalidInput("An item has an amount.", field="amount")
    _check_amount(amount, statement.account.currency)
    if DifferenceItem.objects.filter(statement=statement, withdrawn_at__isnull=True).count() >= MAXIMUM_ITEMS:
        raise InvalidInput(f"At most {MAXIMUM_ITEMS} items.", field="amount")
    item = DifferenceItem.objects.create(
        statement=statement,
        amount=amount,
        description=description.strip()[:255],
        reference=reference.strip()[:120],
        entered_by=actor.label,
    )
    audit.record(
        actor=actor,
        action="funding.explain_difference",
        target=item,
        changes={"amount": f"{amount:f}", "statement": statement.pk},
        entity_id=statement.account.entity_id,
    )
    return item


@transaction.atomic
def withdraw_item(*, item_id: int, actor: Actor) -> DifferenceItem:
    """Takes an explanation back. Repeating it changes nothing."""
    authorise(actor, ENTER)
    seen = get_visible(DifferenceItem.objects.all(), actor, pk=item_id)
    _current_statement(seen.statement_id, actor)
    item = DifferenceItem.objects.select_for_update().get(pk=item_id)
    if item.withdrawn_at is not None:
        return item
    item.withdrawn_at, item.withdrawn_by = clock.now(), actor.label
    item.save(update_fields=["withdrawn_at", "withdrawn_by"])
    audit.record(
        actor=actor,
        action="funding.withdraw_explanation",
        target=item,
        entity_id=item.statement.account.entity_id,
    )
    return item


@transaction.atomic
def reconcile_balance(*, statement_id: int, actor: Actor, note: str = "") -> Reconciliation:
    """Settles a day of an account: the items explain the whole difference between statement and ledger.

    Raises `Conflict` (`difference_not_explained`) with what is left. Settling it again changes nothing.
    """
    authorise(actor, RECONCILE)
    statement = _current_statement(statement_id, actor)
    found = compare([statement])[0]
    if found.is_reconciled and found.reconciliation is not None:
        return found.reconciliation
    if found.unexplained:
        raise Conflict(
            f"{found.unexplained:f} {statement.account.currency} of the difference is not explained.",
            code="difference_not_explained",
            unexplained=f"{found.unexplained:f}",
        )
    items = DifferenceItem.objects.filter(statement=statement, withdrawn_at__isnull=True)
    settled = Reconciliation.objects.create(
        statement=statement,
        ledger_balance=found.ledger_balance,
        difference=found.difference,
        items=[{"amount": f"{item.amount:f}", "what": item.description, "reference": item.reference} for item in items],
        note=note.strip(),
        reconciled_by=actor.label,
    )
    audit.record(
        actor=actor,
        action=RECONCILE,
        target=settled,
        changes={"difference": f"{found.difference:f}", "ledger": f"{found.ledger_balance:f}"},
        entity_id=statement.account.entity_id,
    )
    return settled


def compare(statements: Iterable[BalanceStatement]) -> list[Comparison]:
    """Statements beside the ledger as it stands now. Only for statements that the caller may see."""
    wanted = list(statements)
    balances: dict[tuple[int, date], Decimal] = {}
    for day in {statement.business_day for statement in wanted}:
        ledger = [statement.account.ledger_account_id for statement in wanted if statement.business_day == day]
        for account_id, balance in ledger_balances_on(
            account_ids=[account for account in ledger if account is not None], day=day
        ).items():
            balances[account_id, day] = balance
    explained: dict[int, Decimal] = {}
    for statement_id, amount in DifferenceItem.objects.filter(
        statement__in=wanted, withdrawn_at__isnull=True
    ).values_list("statement_id", "amount"):
        explained[statement_id] = explained.get(statement_id, Decimal(0)) + amount
    settled: dict[int, Reconciliation] = {}
    for reconciliation in Reconciliation.objects.filter(statement__in=wanted).order_by("pk"):
        settled[reconciliation.statement_id] = reconciliation
    return [
        Comparison(
            statement=statement,
            ledger_balance=balances.get((statement.account.ledger_account_id or 0, statement.business_day), Decimal(0)),
            explained=explained.get(statement.pk, Decimal(0)),
            reconciliation=settled.get(statement.pk),
        )
        for statement in wanted
    ]


def latest_statements(
    accounts: Iterable[ExternalAccount], *, business_day: date | None = None
) -> list[BalanceStatement]:
    """The last revision of each account's day: of *business_day*, else of its latest stated day."""
    statements = BalanceStatement.objects.filter(account__in=list(accounts)).select_related("account__entity")
    if business_day is not None:
        statements = statements.filter(business_day=business_day)
    return list(statements.order_by("account_id", "-business_day", "-revision").distinct("account_id"))


def unreconciled_accounts(*, entity_id: int, business_day: date) -> list[str]:
    """The names of the entity's accounts whose balance of a day no reconciliation settles."""
    accounts = list(
        ExternalAccount.objects.filter(entity_id=entity_id, watched_from__lte=business_day).filter(
            Q(closed_on__isnull=True) | Q(closed_on__gte=business_day)
        )
    )
    settled = {
        found.statement.account_id
        for found in compare(latest_statements(accounts, business_day=business_day))
        if found.is_reconciled
    }
    return sorted(account.name for account in accounts if account.pk not in settled)


def _current_statement(statement_id: int, actor: Actor) -> BalanceStatement:
    """The statement, if it is the last revision of its day; its account stays locked until the transaction ends."""
    statement = get_visible(BalanceStatement.objects.select_related("account"), actor, pk=statement_id)
    ExternalAccount.objects.select_for_update(no_key=True).get(pk=statement.account_id)
    last = BalanceStatement.objects.filter(
        account_id=statement.account_id, business_day=statement.business_day
    ).aggregate(last=Max("revision"))["last"]
    if statement.revision != last:
        raise Conflict("A later revision of this balance was entered.", code="revised")
    return statement


def _bank_account(
    bank_account_id: int | None, entity: LegalEntity, kind: str, currency: str, actor: Actor
) -> EntityBankAccount | None:
    if bank_account_id is None:
        return None
    account = get_visible(EntityBankAccount.objects.all(), actor, pk=bank_account_id)
    if account.entity_id != entity.pk or kind != ExternalAccount.Kind.BANK:
        raise InvalidInput("The bank account is not one of this legal entity.", field="bank_account_id")
    if account.currency != currency:
        raise InvalidInput(f"The bank account is kept in {account.currency}.", field="currency", value=currency)
    if ExternalAccount.objects.filter(bank_account=account).exists():
        raise Conflict("The bank account is watched already.", code="account_exists", field="bank_account_id")
    return account


def _ledger_balance(account: ExternalAccount, day: date) -> Decimal:
    assert account.ledger_account_id is not None
    return ledger_balances_on(account_ids=[account.ledger_account_id], day=day)[account.ledger_account_id]


def _read_rows(data: bytes) -> list[tuple[int, Mapping[str, str]]]:
    if len(data) > MAXIMUM_FILE_BYTES:
        raise InvalidInput(f"At most {MAXIMUM_FILE_BYTES} bytes.", field="file", code="file_too_large")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The file is not UTF-8 text.", field="file", code="unreadable_file") from error
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        if sorted(names) not in (sorted(CSV_COLUMNS), sorted(CSV_COLUMNS[:3])):
            raise InvalidInput(
                f"The first line names the columns {', '.join(CSV_COLUMNS)}.", field="file", code="unreadable_file"
            )
        reader.fieldnames = names
        rows: list[tuple[int, Mapping[str, str]]] = []
        for row in reader:
            if len(rows) == MAXIMUM_ROWS:
                raise InvalidInput(f"At most {MAXIMUM_ROWS} rows.", field="file", code="file_too_large")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InvalidInput(f"The file is no CSV: {error}.", field="file", code="unreadable_file") from error
    if not rows:
        raise InvalidInput("The file has no rows.", field="file", code="unreadable_file")
    return rows


def _row(row: Mapping[str, Any], accounts: Mapping[str, ExternalAccount]) -> tuple[ExternalAccount, date, Decimal]:
    if None in row or any(value is None for value in row.values()):
        raise InvalidInput("The row has another number of columns than the first line.", field="row")
    account = accounts.get(row["account"].strip())
    if account is None:
        raise InvalidInput("There is no such account.", field="account", value=row["account"])
    try:
        day = date.fromisoformat(row["business_day"].strip())
    except ValueError as error:
        raise InvalidInput("A day is written as 2026-03-02.", field="business_day") from error
    try:
        amount = Decimal(row["balance"].strip())
    except InvalidOperation as error:
        raise InvalidInput("A balance is written as 1234.56.", field="balance") from error
    _check_day(account, day)
    _check_amount(amount, account.currency, field="balance")
    return account, day, amount


def _check_day(account: ExternalAccount, day: date) -> None:
    if not is_business_day(day):
        raise InvalidInput(f"{day} is not a business day.", field="business_day", value=str(day))
    if day > clock.today_business_day():
        raise InvalidInput("The day has not begun yet.", field="business_day", value=str(day))
    if day < account.watched_from or (account.closed_on is not None and day > account.closed_on):
        raise InvalidInput("The account is not compared on this day.", field="business_day", value=str(day))


def _check_amount(amount: Decimal, currency: str, *, field: str = "amount") -> None:
    if not isinstance(amount, Decimal) or not amount.is_finite() or abs(amount) >= LARGEST_BALANCE:
        raise InvalidInput(f"{amount} is no balance.", field=field, value=str(amount))
    if has_more_digits(amount, Currency.of(currency).digits):
        raise InvalidInput(
            f"{amount} has more digits than {currency}.", field=field, value=str(amount), code="amount_too_fine"
        )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
