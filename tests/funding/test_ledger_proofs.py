"""The proofs name the exact rows when somebody gets past the triggers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, transaction

from backoffice.core.books import check_names, verify_books
from funding.ledger.services.holds import place_hold
from funding.services.trading_results import post_trading_results
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_entity, make_trade
from tests.funding.ledger_help import open_account, post

pytestmark = pytest.mark.django_db


def tamper(statement: str, parameters: list[object]) -> None:
    """Changes rows like somebody who owns the database, past every trigger."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute(statement, parameters)
        cursor.execute("SET LOCAL session_replication_role = 'origin'")


def broken() -> dict[str, list[dict[str, object]]]:
    """The failed checks of ledger and funding, with their rows."""
    names = [name for name in check_names() if name.startswith(("ledger.", "funding."))]
    return {check["name"]: check["rows"] for check in verify_books(names)["checks"] if not check["ok"]}


def test_right_books_pass_every_proof() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    place_hold(account_id=wallet.pk, amount=Decimal(4), reason="r", idempotency_key="h")

    assert broken() == {}


def test_an_altered_posting_is_named_with_its_entry_and_its_account() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    entry = post(entity, (bank, "D", "10"), (suspense, "C", "10"))

    tamper("UPDATE ledger_posting SET amount = 11 WHERE account_id = %s", [bank.pk])

    found = broken()
    assert set(found) == {"ledger.entries_balance", "ledger.balances_equal_postings"}
    assert [(row["entry_id"], row["debits"], row["credits"]) for row in found["ledger.entries_balance"]] == [
        (entry.pk, "11.00000000", "10.00000000")
    ]
    assert [row["account_id"] for row in found["ledger.balances_equal_postings"]] == [bank.pk]


def test_deleted_postings_are_named() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    entry = post(entity, (bank, "D", "10"), (suspense, "C", "10"))

    tamper("DELETE FROM ledger_posting WHERE entry_id = %s", [entry.pk])

    found = broken()
    assert [row["entry_id"] for row in found["ledger.entries_balance"]] == [entry.pk]
    assert {row["account_id"] for row in found["ledger.balances_equal_postings"]} == {bank.pk, suspense.pk}


def test_an_altered_hold_is_named() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "10"), (wallet, "C", "10"))
    hold = place_hold(account_id=wallet.pk, amount=Decimal(4), reason="r", idempotency_key="h")

    tamper("UPDATE ledger_hold SET state = 'voided' WHERE id = %s", [hold.pk])

    found = broken()
    assert [(row["account_id"], row["held"], row["pending_holds"]) for row in found["ledger.holds_consistent"]] == [
        (wallet.pk, "4.00000000", "0")
    ]


def test_an_altered_result_line_is_named() -> None:
    account = make_account()
    make_trade(account, profit="10")
    post_trading_results(business_day=MONDAY, server_id=account.server_id, actor=SYSTEM)

    tamper("UPDATE funding_tradingresultline SET amount = 9 WHERE account_id = %s", [account.pk])

    found = broken()
    assert set(found) == {"funding.result_lines_equal_postings"}
    assert [
        (row["kind"], row["trading_account_id"], row["lines"], row["postings"])
        for row in found["funding.result_lines_equal_postings"]
    ] == [
        ("client_liability", account.pk, "9.00000000", "10.00000000"),
        ("house_book_b", 0, "-9.00000000", "-10.00000000"),
    ]
