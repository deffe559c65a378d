"""The database itself refuses to break the books, whatever SQL it is given."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from backoffice.core.models import LegalEntity
from funding.ledger.chart import KIND_RULES, AccountKind
from funding.ledger.models import AccountBalance, ClosedDay, Hold, JournalEntry, LedgerAccount, Posting
from funding.ledger.selectors import balance_of
from tests.factories.platform import MONDAY, make_entity
from tests.funding.ledger_help import balances, day, open_account, post

pytestmark = pytest.mark.django_db


def sql(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    """Runs a statement in a savepoint, so that the test can go on after a refusal."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters or [])
        return cursor.fetchall() if cursor.description else []


def insert_entry(
    entity: LegalEntity, key: str, *, business_day: object = MONDAY, made_in: str = "pg_current_xact_id()"
) -> int:
    """Inserts an entry by SQL and returns its id."""
    return sql(
        "INSERT INTO ledger_journalentry (public_id, entity_id, kind, business_day, description, idempotency_key,"
        f" input_hash, reason, actor, source_type, created_at, made_in) VALUES (gen_random_uuid(), %s, 'transfer', %s,"
        f" 'raw', %s, '', '', 'raw', '', now(), {made_in}) RETURNING id",
        [entity.pk, business_day, key],
    )[0][0]


POSTINGS = "INSERT INTO ledger_posting (entry_id, account_id, side, amount, currency) VALUES "


def check_deferred() -> None:
    """Runs now what the database would check at commit."""
    sql("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def state_of(refusal: pytest.ExceptionInfo[DatabaseError]) -> str:
    """The SQLSTATE of a refusal."""
    return str(refusal.value.__cause__.pgcode)  # type: ignore[union-attr]


def test_an_entry_that_does_not_balance_is_refused() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    before = balances()

    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        entry = insert_entry(entity, "unbalanced")
        sql(
            POSTINGS + "(%s, %s, 'D', 10, 'USD'), (%s, %s, 'C', 9.99999999, 'USD')",
            [entry, bank.pk, entry, suspense.pk],
        )

    assert state_of(refusal) == "23L01"
    assert balances() == before
    assert not JournalEntry.objects.exists()


def test_currencies_do_not_balance_each_other() -> None:
    entity = make_entity()
    dollars = open_account(entity, "bank")
    euros = open_account(entity, "bank", currency="EUR")

    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        entry = insert_entry(entity, "mixed")
        sql(POSTINGS + "(%s, %s, 'D', 10, 'USD'), (%s, %s, 'C', 10, 'EUR')", [entry, dollars.pk, entry, euros.pk])

    assert state_of(refusal) == "23L01"


def test_an_entry_without_postings_cannot_be_committed() -> None:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        insert_entry(make_entity(), "empty")
        check_deferred()

    assert state_of(refusal) == "23L02"


def test_a_posting_cannot_be_slipped_in_after_the_check() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")

    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        entry = insert_entry(entity, "two steps")
        sql(POSTINGS + "(%s, %s, 'D', 10, 'USD'), (%s, %s, 'C', 10, 'USD')", [entry, bank.pk, entry, suspense.pk])
        check_deferred()
        fees = open_account(entity, "fee_income")
        sql(POSTINGS + "(%s, %s, 'C', 1, 'USD')", [entry, fees.pk])

    assert state_of(refusal) == "23L01"


@pytest.mark.django_db(transaction=True)
def test_postings_belong_to_the_transaction_of_their_entry() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    fees, rounding = open_account(entity, "fee_income"), open_account(entity, "rounding")
    entry = post(entity, (bank, "D", "10"), (suspense, "C", "10"))
    before = balances()

    with pytest.raises(IntegrityError) as late:
        sql(POSTINGS + "(%s, %s, 'C', 1, 'USD'), (%s, %s, 'D', 1, 'USD')", [entry.pk, fees.pk, entry.pk, rounding.pk])
    with pytest.raises(IntegrityError) as forged:
        insert_entry(entity, "forged", made_in="'999999999'::xid8")

    assert (state_of(late), state_of(forged)) == ("23L03", "23L03")
    assert balances() == before


@pytest.mark.parametrize("table", ["ledger_journalentry", "ledger_posting", "ledger_closedday"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_booked_never_changes(table: str, verb: str) -> None:
    entity = make_entity()
    post(entity, (open_account(entity, "bank"), "D", "10"), (open_account(entity, "suspense"), "C", "10"))
    check_deferred()

    with pytest.raises(DatabaseError) as refusal:
        sql(verb.format(table))

    assert state_of(refusal) == "BO001"
    assert (JournalEntry.objects.count(), Posting.objects.count()) == (1, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_accountbalance SET balance = balance + 1",
        "DELETE FROM ledger_accountbalance",
        "TRUNCATE ledger_accountbalance",
        "INSERT INTO ledger_accountbalance SELECT * FROM ledger_accountbalance",
    ],
)
def test_balances_cannot_be_written(statement: str) -> None:
    open_account(make_entity(), "bank")
    check_deferred()
    before = balances()

    with pytest.raises(IntegrityError) as refusal:
        sql(statement)

    assert state_of(refusal) == "23L10"
    assert balances() == before


@pytest.mark.parametrize(
    "change",
    ["kind = 'psp'", "currency = 'EUR'", "owner_id = 7", "is_debit_normal = false", "account_class = 'equity'"],
)
def test_an_account_cannot_become_another(change: str) -> None:
    account = open_account(make_entity(), "bank")

    with pytest.raises(IntegrityError) as refusal:
        sql(f"UPDATE ledger_ledgeraccount SET {change} WHERE id = %s", [account.pk])

    assert state_of(refusal) == "23L04"
    sql("UPDATE ledger_ledgeraccount SET name = 'Other name' WHERE id = %s", [account.pk])
    account.refresh_from_db()
    assert (account.name, account.kind) == ("Other name", "bank")


@pytest.mark.parametrize(
    ("kind", "account_class", "debit_normal"),
    [("bank", "liability", True), ("bank", "asset", False), ("gold", "asset", True)],
)
def test_an_account_follows_the_chart(kind: str, account_class: str, debit_normal: bool) -> None:
    entity = make_entity()

    with pytest.raises(IntegrityError) as refusal:
        sql(
            "INSERT INTO ledger_ledgeraccount (entity_id, kind, account_class, currency, owner_type, owner_id, name,"
            " is_debit_normal, is_frozen, created_at) VALUES (%s, %s, %s, 'USD', '', 0, 'x', %s, false, now())",
            [entity.pk, kind, account_class, debit_normal],
        )

    assert "ledger_account_follows_chart" in str(refusal.value)


def test_currency_and_entity_of_a_posting_are_those_of_its_account_and_entry() -> None:
    entity, other = make_entity(), make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    foreign = open_account(other, "suspense")

    with pytest.raises(IntegrityError) as currency, transaction.atomic():
        entry = insert_entry(entity, "euros")
        sql(POSTINGS + "(%s, %s, 'D', 10, 'EUR'), (%s, %s, 'C', 10, 'EUR')", [entry, bank.pk, entry, suspense.pk])
    with pytest.raises(IntegrityError) as entity_refused, transaction.atomic():
        entry = insert_entry(entity, "foreign")
        sql(POSTINGS + "(%s, %s, 'D', 10, 'USD'), (%s, %s, 'C', 10, 'USD')", [entry, bank.pk, entry, foreign.pk])

    assert (state_of(currency), state_of(entity_refused)) == ("23L05", "23L06")


@pytest.mark.parametrize("amount", ["0", "-1", "'NaN'"])
def test_amounts_are_positive_numbers(amount: str) -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")

    with pytest.raises(IntegrityError, match="ledger_posting_amount_positive"), transaction.atomic():
        entry = insert_entry(entity, "odd")
        sql(
            POSTINGS + f"(%s, %s, 'D', {amount}, 'USD'), (%s, %s, 'C', {amount}, 'USD')",
            [entry, bank.pk, entry, suspense.pk],
        )


def test_a_floor_holds_and_a_frozen_account_takes_no_debit() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    out = POSTINGS + "(%s, %s, 'C', {0}, 'USD'), (%s, %s, 'D', {0}, 'USD')"

    with pytest.raises(IntegrityError, match="ledger_balance_floor"), transaction.atomic():
        entry = insert_entry(entity, "overdrawn")
        sql(out.format("10.00000001"), [entry, bank.pk, entry, wallet.pk])
    sql("UPDATE ledger_ledgeraccount SET is_frozen = true WHERE id = %s", [wallet.pk])
    with pytest.raises(IntegrityError) as frozen, transaction.atomic():
        entry = insert_entry(entity, "frozen")
        sql(out.format("1"), [entry, bank.pk, entry, wallet.pk])

    assert state_of(frozen) == "23L08"
    assert balance_of(wallet) == 10


def test_closed_books_take_no_entry_of_their_days() -> None:
    entity, other = make_entity(), make_entity()
    ClosedDay.objects.create(entity=entity, business_day=day(1), closed_by="test")

    for offset in (0, 1):
        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            insert_entry(entity, f"late {offset}", business_day=day(offset))
        assert state_of(refusal) == "23L07"

    with transaction.atomic():
        insert_entry(entity, "next day", business_day=day(2))
        insert_entry(other, "other books", business_day=day(0))
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE ledger_hold SET amount = 1, state = 'voided'", "23L04"),
        ("UPDATE ledger_hold SET state = 'pending'", "23L09"),
        ("UPDATE ledger_hold SET reason = 'other'", "23L09"),
        ("DELETE FROM ledger_hold", "23L04"),
        ("TRUNCATE ledger_hold CASCADE", "23L04"),
    ],
)
def test_a_hold_cannot_be_rewritten(statement: str, code: str) -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    hold = Hold.objects.create(account=wallet, amount=Decimal(4), idempotency_key="h", input_hash=b"", reason="r")
    check_deferred()
    before = balances()

    with pytest.raises(IntegrityError) as refusal:
        sql(statement)

    assert state_of(refusal) == code
    assert balances() == before
    hold.refresh_from_db()
    assert (hold.state, hold.amount) == ("pending", 4)


def test_a_hold_ends_once_and_cannot_begin_ended() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    hold = Hold.objects.create(account=wallet, amount=Decimal(4), idempotency_key="h", input_hash=b"", reason="r")
    assert AccountBalance.objects.get(pk=wallet.pk).held == 4

    sql("UPDATE ledger_hold SET state = 'voided', finished_at = now() WHERE id = %s", [hold.pk])

    assert AccountBalance.objects.get(pk=wallet.pk).held == 0
    with pytest.raises(IntegrityError) as again:
        sql("UPDATE ledger_hold SET state = 'expired' WHERE id = %s", [hold.pk])
    with pytest.raises(IntegrityError) as begun, transaction.atomic():
        Hold.objects.create(
            account=wallet, amount=Decimal(1), idempotency_key="i", input_hash=b"", reason="r", state="voided"
        )
    with pytest.raises(IntegrityError, match="ledger_balance_floor"), transaction.atomic():
        Hold.objects.create(account=wallet, amount=Decimal(11), idempotency_key="j", input_hash=b"", reason="r")
    assert (state_of(again), state_of(begun)) == ("23L09", "23L09")
    assert AccountBalance.objects.get(pk=wallet.pk).held == 0


def test_a_temporary_table_cannot_stand_in_for_the_books() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")

    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        ClosedDay.objects.create(entity=entity, business_day=day(4), closed_by="test")
        sql("CREATE TEMPORARY TABLE ledger_closedday (entity_id bigint, business_day date) ON COMMIT DROP")
        entry = insert_entry(entity, "shadow")
        sql(POSTINGS + "(%s, %s, 'D', 1, 'USD'), (%s, %s, 'C', 1, 'USD')", [entry, bank.pk, entry, suspense.pk])

    assert state_of(refusal) == "23L07"


def test_the_floors_of_the_database_are_those_of_the_chart() -> None:
    floors = {kind: sql("SELECT ledger_floor_of(%s)", [kind.value])[0][0] for kind in AccountKind}

    assert floors == {kind: KIND_RULES[kind].floor for kind in AccountKind}


def test_every_account_has_its_balance_from_the_first_moment() -> None:
    entity = make_entity()
    made = [open_account(entity, kind.value, owner=1) for kind in AccountKind]

    found = AccountBalance.objects.in_bulk([account.pk for account in made])

    assert len(found) == len(AccountKind)
    assert {row.balance for row in found.values()} == {Decimal(0)}
    assert LedgerAccount.objects.filter(balance__isnull=True).count() == 0


def test_postings_are_checked_once_per_statement_and_never_one_by_one() -> None:
    row_level = sql(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger_posting'::regclass AND NOT tgisinternal AND tgtype & 1 = 1"
    )

    assert row_level == []
