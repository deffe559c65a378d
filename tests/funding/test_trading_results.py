"""Posting trading results: target minus booked, per account, day and component."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from backoffice.core.books import check_names, verify_books
from backoffice.core.models import AuditRecord, LegalEntity, OutboxEvent
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from funding.ledger.models import AccountBalance, JournalEntry, LedgerAccount, Posting
from funding.ledger.services.entries import reverse_entry
from funding.ledger.services.periods import close_day
from funding.models import TradingResultLine
from funding.services.deposits import receive_deposit
from funding.services.trading_results import post_trading_results
from platform_ops.models import BalanceOperation, BusinessDay, Deal, StatementImport, TradingAccount
from platform_ops.types import DealEntry, DealKind
from tests.factories.platform import (
    MONDAY,
    SYSTEM,
    correct_trade,
    make_account,
    make_batch,
    make_deal,
    make_operation,
    make_server,
    make_trade,
    noon,
    put_in_book,
    staff,
)
from tests.funding.ledger_help import day

pytestmark = pytest.mark.django_db

FUNDING_CHECKS = ["funding.result_lines_equal_postings", "funding.account_balances_equal_operations"]


def run(account: TradingAccount, business_day: object = MONDAY) -> dict:  # type: ignore[type-arg]
    """Posts the results of the account's server through a day."""
    return post_trading_results(business_day=business_day, server_id=account.server_id, actor=SYSTEM)  # type: ignore[arg-type]


def balance(entity: LegalEntity, kind: str, *, owner: TradingAccount | None = None, currency: str = "USD") -> Decimal:
    """The balance of a ledger account; zero while it does not exist."""
    found = AccountBalance.objects.filter(
        account__entity=entity,
        account__kind=kind,
        account__currency=currency,
        account__owner_id=owner.pk if owner else 0,
    ).first()
    return found.balance if found else Decimal(0)


def lines_of(account: TradingAccount) -> list[tuple[str, str, Decimal]]:
    """(component, book, amount) of the account's lines, in order."""
    return list(
        TradingResultLine.objects.filter(account=account)
        .order_by("business_day", "component", "seq")
        .values_list("component", "book", "amount")
    )


def assert_books_are_right() -> None:
    """All proofs of ledger and funding hold."""
    names = [name for name in check_names() if name.startswith(("ledger.", "funding."))]
    assert [check for check in verify_books(names)["checks"] if not check["ok"]] == []


def test_a_closed_trade_moves_between_the_client_and_the_house() -> None:
    account = make_account()
    entity = account.server.entity
    make_trade(account, profit="-120.50", swap="-1.25", commission="-7.00", fee="-0.30")

    figures = run(account)

    assert balance(entity, "client_liability", owner=account) == Decimal("-129.05")
    assert balance(entity, "house_book_b") == Decimal("120.50")
    assert balance(entity, "swap_income") == Decimal("1.25")
    assert balance(entity, "commission_income") == Decimal("7.00")
    assert balance(entity, "fee_income") == Decimal("0.30")
    assert figures == {
        "lines": 4,
        "accounts": 1,
        "entries": 1,
        "adjusted_days": [],
        "booked": {"USD": {"commission": "-7", "fee": "-0.3", "profit": "-120.5", "swap": "-1.25"}},
    }
    entry = JournalEntry.objects.get()
    assert (entry.kind, entry.business_day, entry.source_id) == ("trading_result", MONDAY, account.server_id)
    assert_books_are_right()


def test_the_opening_deals_commission_counts_on_the_day_of_the_opening() -> None:
    account = make_account()
    make_deal(account, commission=Decimal("-3.50"), at=noon(day(0)))
    make_trade(account, day=day(1), profit="10", commission="-3.50")

    run(account, day(0))
    assert lines_of(account) == [("commission", "", Decimal("-3.5"))]
    run(account, day(1))

    assert lines_of(account) == [
        ("commission", "", Decimal("-3.5")),
        ("commission", "", Decimal("-3.5")),
        ("profit", "B", Decimal(10)),
    ]
    assert balance(account.server.entity, "client_liability", owner=account) == 3
    assert_books_are_right()


@pytest.mark.parametrize(
    ("kind", "amount", "component", "contra", "contra_balance"),
    [
        (DealKind.BALANCE, "100", "deposit", "suspense", "100"),
        (DealKind.BALANCE, "-40", "deposit", "suspense", "-40"),
        (DealKind.BONUS, "50", "bonus", "bonus_expense", "50"),
        (DealKind.CHARGE, "-2", "fee", "fee_income", "2"),
        (DealKind.TAX, "-2", "fee", "fee_income", "2"),
        (DealKind.CORRECTION, "5", "correction", "compensation_expense", "5"),
        (DealKind.SO_COMPENSATION, "5", "correction", "compensation_expense", "5"),
        (DealKind.COMMISSION, "-5", "commission", "commission_income", "5"),
        (DealKind.COMMISSION_DAILY, "-5", "commission", "commission_income", "5"),
        (DealKind.AGENT, "5", "agent", "commission_expense", "5"),
        (DealKind.INTEREST, "1.5", "interest", "swap_income", "-1.5"),
        (DealKind.DIVIDEND, "1.5", "dividend", "house_book_b", "-1.5"),
    ],
)
def test_every_kind_of_balance_operation_has_its_place(
    kind: DealKind, amount: str, component: str, contra: str, contra_balance: str
) -> None:
    account = make_account()
    entity = account.server.entity
    make_operation(account, kind=kind, amount=amount)

    run(account)

    assert [(found, value) for found, _, value in lines_of(account)] == [(component, Decimal(amount))]
    assert balance(entity, "client_liability", owner=account) == Decimal(amount)
    owner = account if contra == "suspense" else None
    assert balance(entity, contra, owner=owner) == Decimal(contra_balance)
    assert_books_are_right()


@pytest.mark.parametrize("kind", [DealKind.CREDIT, DealKind.SO_CREDIT_COMPENSATION])
def test_credit_is_kept_apart_from_the_balance(kind: DealKind) -> None:
    account = make_account()
    entity = account.server.entity
    make_operation(account, kind=kind, amount="200")

    run(account)

    assert balance(entity, "client_credit", owner=account) == 200
    assert balance(entity, "bonus_expense") == 200
    assert not LedgerAccount.objects.filter(kind="client_liability").exists()
    assert_books_are_right()


def test_openings_stand_against_equity_and_go_when_history_arrives() -> None:
    account = make_account()
    entity = account.server.entity
    statement = StatementImport.objects.create(
        server=account.server, account=account, file_name="a", sha256="0" * 64, size_bytes=1, state="stored"
    )
    openings = [
        make_opening(account, statement, kind, amount)
        for kind, amount in ((DealKind.BALANCE, "1000"), (DealKind.CREDIT, "50"))
    ]
    run(account)
    assert balance(entity, "opening_equity") == -1050
    assert balance(entity, "client_liability", owner=account) == 1000
    assert balance(entity, "client_credit", owner=account) == 50
    assert_books_are_right()

    batch = make_batch(account.server)
    for opening in openings:
        opening.is_cancelled, opening.batch = True, batch
        opening.save()
    make_operation(account, amount="1000", batch=batch)
    run(account)

    assert balance(entity, "opening_equity") == 0
    assert balance(entity, "client_liability", owner=account) == 1000
    assert balance(entity, "client_credit", owner=account) == 0
    assert_books_are_right()


def make_opening(account: TradingAccount, statement: StatementImport, kind: DealKind, amount: str) -> BalanceOperation:
    """An opening: an operation without a deal."""
    return BalanceOperation.objects.create(
        server=account.server,
        account=account,
        statement=statement,
        batch=make_batch(account.server),
        kind=kind,
        is_opening=True,
        at=noon(MONDAY),
        amount=Decimal(amount),
        currency=account.currency,
        business_day=MONDAY,
    )


def test_a_second_run_books_zero() -> None:
    account = make_account()
    make_trade(account, profit="10", commission="-1")
    make_operation(account, amount="100")
    run(account)
    counts = (TradingResultLine.objects.count(), JournalEntry.objects.count(), Posting.objects.count())

    figures = run(account)

    assert figures == {"lines": 0, "accounts": 0, "entries": 0, "adjusted_days": [], "booked": {}}
    assert (TradingResultLine.objects.count(), JournalEntry.objects.count(), Posting.objects.count()) == counts


def test_a_corrected_trade_books_the_exact_difference_and_back_again() -> None:
    account = make_account()
    trade = make_trade(account, profit="10.00", swap="-0.50")
    run(account)

    correct_trade(trade, profit="7.25")
    run(account)
    correct_trade(trade, profit="10.00")
    run(account)

    assert lines_of(account) == [
        ("profit", "B", Decimal("10")),
        ("profit", "B", Decimal("-2.75")),
        ("profit", "B", Decimal("2.75")),
        ("swap", "", Decimal("-0.5")),
    ]
    assert balance(account.server.entity, "client_liability", owner=account) == Decimal("9.50")
    assert_books_are_right()


def test_a_cancelled_trade_is_taken_back() -> None:
    account = make_account()
    trade = make_trade(account, profit="10.00", commission="-1")
    run(account)

    correct_trade(trade, is_cancelled=True)
    run(account)

    assert balance(account.server.entity, "client_liability", owner=account) == 0
    assert balance(account.server.entity, "house_book_b") == 0
    assert_books_are_right()


def test_a_trade_that_moves_to_another_day_leaves_the_first() -> None:
    account = make_account()
    trade = make_trade(account, profit="10.00")
    run(account)

    correct_trade(trade, at=noon(day(1)))
    run(account, day(1))

    assert list(
        TradingResultLine.objects.filter(account=account).order_by("id").values_list("business_day", "amount")
    ) == [(day(0), Decimal(10)), (day(0), Decimal(-10)), (day(1), Decimal(10))]
    assert_books_are_right()


def test_a_correction_of_a_closed_day_is_an_adjustment_in_the_open_one() -> None:
    account = make_account()
    entity = account.server.entity
    trade = make_trade(account, profit="10.00")
    run(account)
    close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)
    correct_trade(trade, profit="4.00")
    make_trade(account, day=day(1), profit="1")

    figures = run(account, day(1))

    assert figures["adjusted_days"] == [MONDAY.isoformat()]
    assert list(JournalEntry.objects.order_by("id").values_list("kind", "business_day", "refers_to_day")) == [
        ("trading_result", day(0), None),
        ("adjustment", day(1), day(0)),
        ("trading_result", day(1), None),
    ]
    assert balance(entity, "client_liability", owner=account) == 5
    assert_books_are_right()


def test_missed_days_are_caught_up_and_later_days_wait() -> None:
    account = make_account()
    for offset in (0, 1, 3):
        make_trade(account, day=day(offset), profit="1")

    run(account, day(1))

    assert set(TradingResultLine.objects.values_list("business_day", flat=True)) == {day(0), day(1)}
    assert_books_are_right()


def test_a_held_day_waits_for_its_release() -> None:
    account = make_account()
    make_trade(account, day=day(0), profit="1")
    make_trade(account, day=day(1), profit="2")
    held = BusinessDay.objects.create(
        server=account.server, entity=account.server.entity, day=day(0), is_held=True, hold_reason="Prices"
    )

    run(account, day(1))
    assert set(TradingResultLine.objects.values_list("business_day", flat=True)) == {day(1)}
    assert_books_are_right()
    held.is_held = False
    held.save()
    run(account, day(1))

    assert balance(account.server.entity, "client_liability", owner=account) == 3
    assert_books_are_right()


def test_the_house_book_is_the_one_at_the_time_of_the_close() -> None:
    account = make_account()
    entity = account.server.entity
    moved_at = datetime(2026, 3, 2, 15, tzinfo=UTC)
    put_in_book(account, "A", end=moved_at)
    put_in_book(account, "B", start=moved_at)
    make_trade(account, profit="-10", at=datetime(2026, 3, 2, 14, tzinfo=UTC))
    make_trade(account, profit="-7", at=datetime(2026, 3, 2, 16, tzinfo=UTC))
    make_operation(account, kind=DealKind.DIVIDEND, amount="-1")

    run(account)

    assert (balance(entity, "house_book_a"), balance(entity, "house_book_b")) == (11, 7)
    assert_books_are_right()


def test_a_book_decided_later_moves_the_result_from_one_house_book_to_the_other() -> None:
    account = make_account()
    entity = account.server.entity
    make_trade(account, profit="-10")
    run(account)
    put_in_book(account, "A")

    run(account)

    assert (balance(entity, "house_book_a"), balance(entity, "house_book_b")) == (10, 0)
    assert balance(entity, "client_liability", owner=account) == -10
    assert JournalEntry.objects.count() == 2
    assert_books_are_right()


def test_results_that_cancel_out_leave_lines_and_no_entry() -> None:
    account = make_account()
    make_operation(account, kind=DealKind.INTEREST, amount="5")
    make_trade(account, swap="-5")

    figures = run(account)

    assert (figures["lines"], figures["entries"]) == (2, 0)
    assert set(TradingResultLine.objects.values_list("entry", flat=True)) == {None}
    assert run(account)["lines"] == 0
    assert_books_are_right()


def test_each_currency_has_its_entry_and_each_server_its_run() -> None:
    dollars = make_account()
    yen = make_account(dollars.server, currency="JPY")
    elsewhere = make_account(make_server(dollars.server.entity))
    make_trade(dollars, profit="1.25")
    make_trade(yen, profit="-300")
    make_trade(elsewhere, profit="9")

    figures = run(dollars)

    assert figures["booked"] == {"JPY": {"profit": "-300"}, "USD": {"profit": "1.25"}}
    assert figures["entries"] == 2
    assert not TradingResultLine.objects.filter(account=elsewhere).exists()


def test_amounts_finer_than_their_currency_stop_the_day_and_are_named() -> None:
    account = make_account(login="777", currency="JPY")
    make_trade(account, profit="10.5")
    make_trade(make_account(account.server), profit="1")

    with pytest.raises(InvalidInput) as refusal:
        run(account)

    assert refusal.value.code == "amount_too_fine"
    assert refusal.value.details["rows"] == [
        {"account": "777", "day": "2026-03-02", "component": "profit", "amount": "10.5"}
    ]
    assert not TradingResultLine.objects.exists()
    assert not JournalEntry.objects.exists()


def test_only_those_in_charge_post_and_only_for_their_entities() -> None:
    account = make_account()
    make_trade(account, profit="1")

    for actor, error in (
        (staff(Role.AUDITOR, entities=[account.server.entity]), Denied),
        (staff(Role.FINANCE), NotFound),
    ):
        with pytest.raises(error):
            post_trading_results(business_day=MONDAY, server_id=account.server_id, actor=actor)

    assert not TradingResultLine.objects.exists()
    assert not JournalEntry.objects.exists()


def test_a_run_leaves_an_audit_record_and_an_event() -> None:
    account = make_account()
    make_trade(account, profit="1")

    run(account)

    record = AuditRecord.objects.get(action="funding.post_results")
    assert record.entity_id == account.server.entity_id
    assert record.changes["booked"] == {"USD": {"profit": "1"}}
    event = OutboxEvent.objects.get(topic="funding.trading_results_posted")
    assert event.payload["server_id"] == account.server_id
    assert event.payload["lines"] == 1


def test_a_result_entry_is_corrected_at_the_server_and_never_reversed_by_hand() -> None:
    account = make_account()
    make_trade(account, profit="1")
    run(account)

    with pytest.raises(Conflict) as refusal:
        reverse_entry(entry_id=JournalEntry.objects.get().pk, actor=SYSTEM, reason="Wrong")

    assert refusal.value.code == "derived_entry"
    assert JournalEntry.objects.count() == 1


def test_suspense_returns_to_zero_when_the_server_shows_the_deposit() -> None:
    account = make_account()
    entity = account.server.entity
    receive_deposit(
        account_id=account.pk,
        amount=Decimal(100),
        currency="USD",
        method="bank",
        reference="WIRE 1",
        actor=SYSTEM,
        idempotency_key="deposit:1",
        business_day=MONDAY,
    )
    assert balance(entity, "suspense", owner=account) == -100
    make_operation(account, amount="100")

    run(account)

    assert balance(entity, "suspense", owner=account) == 0
    assert balance(entity, "bank") == 100
    assert balance(entity, "client_liability", owner=account) == 100
    assert_books_are_right()


def test_rows_that_no_run_has_seen_are_no_break() -> None:
    account = make_account()
    trade = make_trade(account, profit="10")
    run(account)
    correct_trade(trade, profit="9")

    assert verify_books(FUNDING_CHECKS)["ok"]


def test_the_proof_names_the_account_whose_books_differ() -> None:
    account = make_account(login="4711")
    make_trade(account, profit="10")
    run(account)
    make_deal(
        account,
        batch=Deal.objects.get(account=account).batch,
        kind=DealKind.SELL,
        entry=DealEntry.OUT,
        profit=Decimal("2.50"),
    )

    report = verify_books(FUNDING_CHECKS)

    broken = {check["name"]: check["rows"] for check in report["checks"] if not check["ok"]}
    assert list(broken) == ["funding.account_balances_equal_operations"]
    assert broken["funding.account_balances_equal_operations"] == [
        {
            "trading_account_id": account.pk,
            "login": "4711",
            "currency": "USD",
            "kind": "client_liability",
            "operations": "12.50000000",
            "ledger": "10.00000000",
        }
    ]
