"""Somebody with the database's own password changes old rows: the proofs name the first bad one."""

from __future__ import annotations

import pytest
from django.db import Error, connection

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord
from backoffice.core.services.audit import seal_audit, verify_audit
from funding.ledger.models import Posting
from ib.models import CommissionLine
from tests.faults.harness import work_until_idle
from tests.faults.world import FaultWorld, assert_books_hold

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture
def world() -> FaultWorld:
    made = FaultWorld()
    made.feed(made.deals())
    work_until_idle()
    while seal_audit() is not None:
        pass
    assert_books_hold()
    assert verify_audit() == []
    return made


def as_superuser(statement: str, *parameters: object) -> int:
    """Past every trigger, as a superuser can; how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = 'replica'")
        try:
            cursor.execute(statement, parameters)
            return cursor.rowcount
        finally:
            cursor.execute("SET session_replication_role = 'origin'")


def broken() -> dict[str, list[dict]]:
    """The rows that the proofs name, by check."""
    return {check["name"]: check["rows"] for check in verify_books()["checks"] if not check["ok"]}


def test_an_altered_line_is_named(world: FaultWorld) -> None:
    line = CommissionLine.objects.filter(partner_id=world.direct.pk).order_by("trade_id").first()
    assert line is not None
    assert as_superuser(
        "UPDATE ib_commissionline SET amount = amount + 0.01, target = target + 0.01 WHERE partner_id = %s AND trade_id = %s",
        line.partner_id,
        line.trade_id,
    )
    named = broken()["ib.lines_explained"]
    assert [(row["partner_id"], row["trade_id"]) for row in named] == [(line.partner_id, line.trade_id)]


def test_two_lines_that_exchange_their_partners_amounts_are_seen(world: FaultWorld) -> None:
    assert as_superuser("UPDATE ib_commissionline SET amount = 9 - amount, target = 9 - target") == 16
    assert broken().keys() >= {"ib.lines_equal_batches", "ib.lines_equal_accruals", "ib.lines_explained"}


def test_an_altered_posting_is_named_by_its_account_and_entry(world: FaultWorld) -> None:
    posting = Posting.objects.filter(account__kind="partner_accrued").order_by("pk").first()
    assert posting is not None
    assert as_superuser("UPDATE ledger_posting SET amount = amount + 1 WHERE id = %s", posting.pk) == 1
    found = broken()
    assert [row["entry_id"] for row in found["ledger.entries_balance"]] == [posting.entry_id]
    assert [row["account_id"] for row in found["ledger.balances_equal_postings"]] == [posting.account_id]


def test_a_deleted_line_is_missed(world: FaultWorld) -> None:
    line = CommissionLine.objects.order_by("trade_id").first()
    assert line is not None
    assert as_superuser(
        "DELETE FROM ib_commissionline WHERE partner_id = %s AND trade_id = %s", line.partner_id, line.trade_id
    )
    assert [row["settlement_batch_id"] for row in broken()["ib.lines_equal_batches"]] == [line.batch_id]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE core_auditrecord SET reason = 'nothing to see' WHERE id = %s", "record_altered"),
        ("UPDATE core_auditrecord SET actor = 'somebody else' WHERE id = %s", "record_altered"),
        ("DELETE FROM core_auditrecord WHERE id = %s", "record_missing"),
    ],
)
def test_the_first_bad_audit_record_is_named(world: FaultWorld, change: str, problem: str) -> None:
    ids = sorted(AuditRecord.objects.values_list("pk", flat=True))
    for each in (ids[len(ids) // 2], ids[-1]):
        assert as_superuser(change, each) == 1
    first = verify_audit()[0]
    assert (first["problem"], first["record"]) == (problem, ids[len(ids) // 2])


def test_without_going_past_the_triggers_nothing_of_this_can_be_changed(world: FaultWorld) -> None:
    for table in ("ib_commissionline", "ledger_posting", "ledger_journalentry", "core_auditrecord", "core_auditseal"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(Error), connection.cursor() as cursor:
                cursor.execute(statement)
    assert_books_hold()
