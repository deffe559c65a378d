"""Manual journals: proposed by one person, approved by another, booked once, numbered without gap, reversed the same way."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import ChangeRequest, DocumentNumber, LegalEntity
from backoffice.core.organisation.checks import document_numbers_have_no_gap
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, DomainError, IdempotencyMismatch, InvalidInput, NotFound
from funding import checks
from funding.journal_rules import JournalLine
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services import entries
from funding.ledger.services.periods import close_day
from funding.models import ManualJournal
from funding.services import journal_files
from funding.services import manual_journals as journals
from tests.factories.platform import MONDAY, SYSTEM, make_entity
from tests.funding.finance_world import approve, person
from tests.funding.ledger_help import balances, day, open_account, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_friday")]

D = Decimal


@pytest.fixture
def _friday() -> Any:
    with time_machine.travel("2026-03-06 12:00:00+00:00", tick=True):
        yield


def line(account: LedgerAccount, side: str, amount: str, currency: str = "") -> JournalLine:
    return JournalLine(account.pk, side, D(amount), currency or account.currency)


def charge(entity: LegalEntity, actor: Actor, *, amount: str = "12.34", **fields: Any) -> ChangeRequest:
    """A bank charge, proposed."""
    values: dict[str, Any] = {
        "entity_id": entity.pk,
        "business_day": MONDAY,
        "description": "Bank charges of February",
        "reason": "statement of the bank",
        "lines": [
            line(open_account(entity, "bank_charges"), "D", amount),
            line(open_account(entity, "bank"), "C", amount),
        ],
        "actor": actor,
        "idempotency_key": "k1",
    }
    return journals.propose_journal(**{**values, **fields})


def test_a_journal_is_booked_only_when_another_person_approves() -> None:
    # given
    entity = make_entity(code="ours")
    maker, checker = person(entity), person(entity)
    before = balances()

    # when: proposed
    change = charge(entity, maker)

    # then: nothing is booked, nobody may approve their own
    assert change.state == "submitted"
    assert not JournalEntry.objects.exists()
    assert all(balance == (D(0), D(0)) for balance in balances().values())
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=maker, reason="me too")
    assert before == {}

    # when: approved
    approve(change, checker)

    # then
    journal = ManualJournal.objects.get()
    assert (journal.reference, journal.made_by, journal.approved_by) == (
        "OURS-JV-2026-00001",
        maker.label,
        checker.label,
    )
    assert journal.entry.kind == JournalEntry.Kind.MANUAL
    assert journal.entry.business_day == MONDAY
    assert [b for b, _ in balances().values()] == [D("12.34"), D("-12.34")]
    change.refresh_from_db()
    assert change.state == "verified"
    assert checks.manual_journals_are_whole().ok
    assert document_numbers_have_no_gap().ok


def test_the_preview_shows_balances_before_and_after() -> None:
    entity = make_entity()
    post(entity, (open_account(entity, "bank"), "D", "100"), (open_account(entity, "capital"), "C", "100"))

    change = charge(entity, person(entity))

    assert change.impact_rows == [
        {
            "Account": "Bank, USD",
            "Side": "Credit",
            "Amount": "12.34 USD",
            "Balance before": "100.00 USD",
            "Balance after": "87.66 USD",
        },
        {
            "Account": "Bank and provider charges, USD",
            "Side": "Debit",
            "Amount": "12.34 USD",
            "Balance before": "0.00 USD",
            "Balance after": "12.34 USD",
        },
    ]
    assert change.after["lines"] == ["Debit Bank and provider charges, USD: 12.34 USD", "Credit Bank, USD: 12.34 USD"]


def test_the_same_key_proposes_once_and_stands_for_one_journal() -> None:
    entity = make_entity()
    maker = person(entity)

    first, again = charge(entity, maker), charge(entity, maker)

    assert first.pk == again.pk
    with pytest.raises(IdempotencyMismatch):
        charge(entity, maker, amount="12.35")
    assert charge(entity, maker, idempotency_key="k2").pk != first.pk
    assert ChangeRequest.objects.count() == 2


def test_approving_twice_books_once() -> None:
    entity = make_entity()
    checker = person(entity)
    change = charge(entity, person(entity))

    approve(change, checker)
    approve(change, checker)

    assert (ManualJournal.objects.count(), JournalEntry.objects.count(), DocumentNumber.objects.count()) == (1, 1, 1)


def test_two_currencies_balance_each_by_itself() -> None:
    entity = make_entity()
    dollars, euros = open_account(entity, "fx_position"), open_account(entity, "fx_position", currency="EUR")
    bank_usd, bank_eur = open_account(entity, "bank"), open_account(entity, "bank", currency="EUR")
    change = charge(
        entity,
        person(entity),
        lines=[
            line(bank_usd, "D", "108"),
            line(dollars, "C", "108"),
            line(euros, "D", "100"),
            line(bank_eur, "C", "100"),
        ],
    )

    approve(change, person(entity))

    assert balances()[bank_usd.pk][0] == D(108)
    assert balances()[bank_eur.pk][0] == D(-100)


LINES_REFUSED: list[tuple[str, Callable[[LegalEntity], list[JournalLine]], str, str]] = [
    (
        "out of balance",
        lambda e: [line(open_account(e, "bank"), "D", "1"), line(open_account(e, "capital"), "C", "2")],
        "entry_does_not_balance",
        "lines",
    ),
    (
        "balanced only across currencies",
        lambda e: [
            line(open_account(e, "bank"), "D", "1"),
            line(open_account(e, "capital", currency="EUR"), "C", "1"),
        ],
        "entry_does_not_balance",
        "lines",
    ),
    ("one line", lambda e: [line(open_account(e, "bank"), "D", "1")], "wrong_number_of_lines", "lines"),
    ("none", lambda e: [], "wrong_number_of_lines", "lines"),
    (
        "cancelling out",
        lambda e: [line(open_account(e, "bank"), "D", "1"), line(open_account(e, "bank"), "C", "1")],
        "empty_entry",
        "lines",
    ),
    (
        "zero",
        lambda e: [line(open_account(e, "bank"), "D", "0"), line(open_account(e, "capital"), "C", "0")],
        "invalid_input",
        "amount",
    ),
    (
        "negative",
        lambda e: [line(open_account(e, "bank"), "D", "-1"), line(open_account(e, "capital"), "C", "-1")],
        "invalid_input",
        "amount",
    ),
    (
        "not a number",
        lambda e: [line(open_account(e, "bank"), "D", "NaN"), line(open_account(e, "capital"), "C", "NaN")],
        "invalid_input",
        "amount",
    ),
    (
        "a tenth of a cent",
        lambda e: [line(open_account(e, "bank"), "D", "0.001"), line(open_account(e, "capital"), "C", "0.001")],
        "amount_too_fine",
        "amount",
    ),
    (
        "half a yen",
        lambda e: [
            line(open_account(e, "bank", currency="JPY"), "D", "0.5"),
            line(open_account(e, "capital", currency="JPY"), "C", "0.5"),
        ],
        "amount_too_fine",
        "amount",
    ),
    (
        "another currency than the account's",
        lambda e: [line(open_account(e, "bank"), "D", "1", "EUR"), line(open_account(e, "capital"), "C", "1", "EUR")],
        "currency_mismatch",
        "currency",
    ),
    (
        "another entity's account",
        lambda e: [line(open_account(make_entity(), "bank"), "D", "1"), line(open_account(e, "capital"), "C", "1")],
        "no_such_account",
        "account",
    ),
    (
        "a side that is none",
        lambda e: [line(open_account(e, "bank"), "X", "1"), line(open_account(e, "capital"), "C", "1")],
        "invalid_input",
        "side",
    ),
]


@pytest.mark.parametrize(("name", "make", "code", "field"), LINES_REFUSED, ids=[case[0] for case in LINES_REFUSED])
def test_lines_that_cannot_be_booked_are_refused_by_row_and_field(
    name: str, make: Callable[[LegalEntity], list[JournalLine]], code: str, field: str
) -> None:
    entity = make_entity()

    with pytest.raises(InvalidInput) as refusal:
        charge(entity, person(entity), lines=make(entity))

    assert refusal.value.details["field"] == field
    assert refusal.value.code == code or code == "invalid_input"
    assert not ChangeRequest.objects.exists()
    assert not JournalEntry.objects.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "client_liability",
        "client_credit",
        "partner_accrued",
        "partner_payable",
        "partner_wallet",
        "fx_revaluation",
        "unrealised_fx",
    ],
)
def test_what_follows_from_elsewhere_is_never_booked_by_hand(kind: str) -> None:
    entity = make_entity()
    account = open_account(entity, kind, owner=5)

    with pytest.raises(Denied) as refusal:
        charge(
            entity,
            person(entity, Role.FINANCE, Role.ADMINISTRATOR),
            lines=[line(account, "C", "1"), line(open_account(entity, "bank"), "D", "1")],
        )

    assert refusal.value.code == "not_by_hand"
    assert not ChangeRequest.objects.exists()


def test_client_money_takes_the_special_capability_of_both_people() -> None:
    entity = make_entity()
    wallet, bank = open_account(entity, "client_wallet", owner=5), open_account(entity, "bank")
    lines = [line(bank, "D", "5"), line(wallet, "C", "5")]
    administrator = person(entity, Role.ADMINISTRATOR)
    with pytest.raises(Denied):
        charge(entity, person(entity), lines=lines)

    change = charge(entity, administrator, lines=lines)
    with pytest.raises(DomainError):
        approve(change, person(entity, Role.FINANCE))
    assert not JournalEntry.objects.exists()

    other = charge(entity, administrator, lines=lines, idempotency_key="k2")
    approve(other, person(entity, Role.ADMINISTRATOR))

    assert balances()[wallet.pk][0] == D(5)


def test_a_wallet_never_goes_below_zero_by_a_journal() -> None:
    entity = make_entity()
    wallet, bank = open_account(entity, "client_wallet", owner=5), open_account(entity, "bank")
    change = charge(entity, person(entity, Role.ADMINISTRATOR), lines=[line(bank, "C", "5"), line(wallet, "D", "5")])

    with pytest.raises(DomainError) as refusal:
        approve(change, person(entity, Role.ADMINISTRATOR))

    assert refusal.value.code == "insufficient_funds"
    assert not ManualJournal.objects.exists()
    assert not DocumentNumber.objects.exists()
    change.refresh_from_db()
    assert change.state == "failed"


def test_a_closed_day_is_refused_when_proposing_and_when_approving() -> None:
    entity = make_entity()
    change = charge(entity, person(entity))
    close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)

    with pytest.raises(Conflict) as when_proposing:
        charge(entity, person(entity), idempotency_key="k2")
    with pytest.raises(Conflict) as when_approving:
        approve(change, person(entity))

    assert (when_proposing.value.code, when_approving.value.code) == ("day_closed", "day_closed")
    assert not JournalEntry.objects.exists()
    assert not DocumentNumber.objects.exists()


@pytest.mark.parametrize("wrong", ["2026-03-07", "2026-03-09", "2026-04-01"])
def test_days_that_are_none_or_not_yet_are_refused(wrong: str) -> None:
    from datetime import date

    entity = make_entity()
    with pytest.raises(InvalidInput) as refusal:
        charge(entity, person(entity), business_day=date.fromisoformat(wrong))
    assert refusal.value.details["field"] == "business_day"


def test_people_of_other_entities_and_roles_propose_and_approve_nothing() -> None:
    entity, other = make_entity(), make_entity()
    for actor, error in (
        (person(entity, Role.AUDITOR), Denied),
        (person(entity, Role.DEALING), Denied),
        (person(other), NotFound),
    ):
        with pytest.raises(error):
            charge(entity, actor)
    change = charge(entity, person(entity))
    for actor in (person(entity, Role.AUDITOR), person(other)):
        with pytest.raises((Denied, NotFound)):
            approve(change, actor)
    assert not JournalEntry.objects.exists()


def test_a_journal_is_not_booked_around_its_approval() -> None:
    entity = make_entity()
    change = charge(entity, person(entity))

    for request in (None, change):
        with pytest.raises(Denied), transaction.atomic():
            journals.book_journal(payload=change.payload, request=request, actor=person(entity))

    assert not JournalEntry.objects.exists()


def test_a_reversal_takes_two_people_too_and_a_number_of_its_own() -> None:
    # given
    entity = make_entity(code="ours")
    maker, checker = person(entity), person(entity)
    approve(charge(entity, maker), checker)
    journal = ManualJournal.objects.get()

    # then: not by the one-person reversal of entries
    with pytest.raises(Conflict) as refusal:
        entries.reverse_entry(entry_id=journal.entry_id, actor=checker, reason="wrong")
    assert "another person" in refusal.value.message

    # when
    change = journals.propose_reversal(
        journal_id=journal.pk, business_day=day(1), reason="booked twice", actor=maker, idempotency_key="r1"
    )
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=maker, reason="me")
    approve(change, checker)

    # then
    journal.refresh_from_db()
    assert journal.reversal is not None
    assert journal.reversal.reference == "OURS-JV-2026-00002"
    assert journal.reversal.entry.reverses_id == journal.entry_id
    assert all(balance == D(0) for balance, _ in balances().values())
    assert checks.manual_journals_are_whole().ok
    with pytest.raises(Conflict):
        journals.propose_reversal(
            journal_id=journal.pk, business_day=day(1), reason="again", actor=maker, idempotency_key="r2"
        )
    with pytest.raises(Conflict):
        journals.propose_reversal(
            journal_id=journal.reversal.pk, business_day=day(1), reason="again", actor=maker, idempotency_key="r3"
        )


def test_a_booked_journal_never_changes_and_its_loss_is_found() -> None:
    entity = make_entity()
    approve(charge(entity, person(entity)), person(entity))
    for sql in ("UPDATE funding_manualjournal SET approved_by = 'me'", "DELETE FROM funding_manualjournal"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute("UPDATE funding_manualjournal SET reference = 'X', approved_by = 'nobody'")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")

    assert {row["problem"] for row in checks.manual_journals_are_whole().rows} == {
        "no such number was issued to it",
        "not what its change request approved",
    }


# --- files --------------------------------------------------------------------------------------------------------------


def read(entity: LegalEntity, text: str) -> list[JournalLine]:
    return journal_files.lines_of_file(data=text.encode(), entity_id=entity.pk, actor=person(entity))


def test_a_file_names_accounts_by_number_kind_or_name() -> None:
    entity = make_entity()
    bank, charges, capital = (open_account(entity, kind) for kind in ("bank", "bank_charges", "capital"))

    lines = read(
        entity,
        f'account,debit,credit,currency\r\n#{bank.pk},,12.34,USD\nbank_charges,10,,USD\n"Own funds, USD",2.34,,\n',
    )

    assert lines == [line(bank, "C", "12.34"), line(charges, "D", "10"), line(capital, "D", "2.34")]


def test_every_faulty_row_of_a_file_is_named() -> None:
    entity = make_entity()
    open_account(entity, "bank")
    open_account(entity, "bank", currency="EUR")
    hidden = open_account(make_entity(), "bank_charges")

    with pytest.raises(InvalidInput) as refusal:
        read(
            entity,
            "account,debit,credit,currency\n"
            "bank,1,1,USD\n"
            "bank,,,USD\n"
            "bank,1e,,USD\n"
            "bank,-5,,USD\n"
            "bank,5,,\n"
            "bank,5,,XXQ\n"
            f"#{hidden.pk},5,,USD\n"
            "no such,5,,USD\n"
            "bank,NaN,,USD\n",
        )

    assert [(row["row"], row["field"]) for row in refusal.value.details["rows"]] == [
        (2, "debit"),
        (3, "debit"),
        (4, "debit"),
        (5, "debit"),
        (6, "account"),
        (7, "currency"),
        (8, "account"),
        (9, "account"),
        (10, "debit"),
    ]
    assert hidden.name not in refusal.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"account,debit\n1,2\n",
        b"\xff\xfe\x00",
        b"account,debit,credit,currency\n",
        b'account,debit,credit,currency\n"bank,1,,USD\n',
        b"account,debit,credit,currency\nbank,1\n",
        b"account,debit,credit,currency\n" + b"bank,1,,USD\n" * 501,
    ],
)
def test_a_file_that_is_no_journal_is_refused_whole(data: bytes) -> None:
    entity = make_entity()
    with pytest.raises(InvalidInput) as refusal:
        journal_files.lines_of_file(data=data, entity_id=entity.pk, actor=person(entity))
    assert refusal.value.details["field"] == "file"
