"""Foreign balances at the day's rate, by hand: cost, value, target minus booked, yen, and a rate that is missing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from backoffice.core.models import AuditRecord, LegalEntity
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, MissingRate, NotFound
from funding import checks
from funding.ledger.models import JournalEntry, LedgerAccount, Posting
from funding.ledger.selectors import balance_of, trial_balance, trial_balance_totals
from funding.ledger.services import entries
from funding.ledger.services.periods import close_day
from funding.models import RevaluationLine, RevaluationRun
from funding.services.revaluation import is_revalued, revalue_books
from platform_ops.services.rates import continue_reference_rates
from tests.factories.platform import MONDAY, SYSTEM, make_entity, staff
from tests.funding.ledger_help import balances, day, open_account, post

pytestmark = pytest.mark.django_db

D = Decimal


def rates(**by_currency: list[str]) -> None:
    """Units per euro on Monday, Tuesday, …"""
    table: dict[date, dict[str, Decimal]] = {}
    for currency, quoted in by_currency.items():
        for offset, rate in enumerate(quoted):
            table.setdefault(day(offset), {})[currency] = D(rate)
    continue_reference_rates(per_euro=table, source="House", actor=SYSTEM)


def gain(entity: LegalEntity) -> Decimal:
    """What stands on the account of exchange gains; a loss is negative."""
    account = LedgerAccount.objects.filter(entity=entity, kind="unrealised_fx").first()
    return balance_of(account) if account else D(0)


def revalue(entity: LegalEntity, offset: int) -> RevaluationRun:
    return revalue_books(entity_id=entity.pk, business_day=day(offset), actor=SYSTEM)


def figures(run: RevaluationRun) -> list[tuple[str, Decimal, Decimal, Decimal, Decimal]]:
    return [
        (str(line.position), line.balance, line.target, line.booked_before, line.amount)
        for line in RevaluationLine.objects.filter(run=run).select_related("position__account")
    ]


def test_a_dollar_balance_gains_what_the_dollar_gains() -> None:
    # given: 1,000 USD come on Monday at 1.25 (800 EUR); on Tuesday a euro costs 1.20 (833.33 EUR)
    entity = make_entity()
    rates(USD=["1.25", "1.20", "1.28"])
    bank, capital = open_account(entity, "bank"), open_account(entity, "capital")
    post(entity, (bank, "D", "1000"), (capital, "C", "1000"))

    # when
    monday, tuesday = revalue(entity, 0), revalue(entity, 1)

    # then: nothing on Monday; 33.33 on Tuesday, in euro only
    assert figures(monday) == [(bank.name, D(1000), D(0), D(0), D(0))]
    assert monday.entry is None
    assert figures(tuesday) == [(bank.name, D(1000), D("33.33"), D(0), D("33.33"))]
    assert {(p.account.kind, p.side, p.amount, p.currency) for p in Posting.objects.filter(entry=tuesday.entry)} == {
        ("fx_revaluation", "D", D("33.33"), "EUR"),
        ("unrealised_fx", "C", D("33.33"), "EUR"),
    }
    line = RevaluationLine.objects.get(run=tuesday)
    assert (line.cost, round(line.value, 6), line.rate_day) == (D(800), D("833.333333"), day(1))
    assert line.rate_source == "reference"
    # and on Wednesday 781.25: the gain of Tuesday goes, a loss of 18.75 stands
    assert figures(revalue(entity, 2)) == [(bank.name, D(1000), D("-18.75"), D("33.33"), D("-52.08"))]
    assert gain(entity) == D("-18.75")
    assert balance_of(bank) == D(1000)
    assert all(total.agrees for total in trial_balance_totals(trial_balance(actor=SYSTEM)))


def test_a_second_run_books_zero_and_is_the_same_run() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    first = revalue(entity, 1)
    before, entries_before, audits = balances(), JournalEntry.objects.count(), AuditRecord.objects.count()

    again = revalue(entity, 1)

    assert again == first
    assert (balances(), JournalEntry.objects.count(), AuditRecord.objects.count()) == (before, entries_before, audits)


def test_debts_lose_when_the_currency_gains_and_a_matched_book_is_even() -> None:
    # given: 1,000 USD at the bank, all of it owed to a client
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=7)
    post(entity, (bank, "D", "1000"), (wallet, "C", "1000"))

    run = revalue(entity, 1)

    assert {(name, amount) for name, _, _, _, amount in figures(run)} == {
        (bank.name, D("33.33")),
        ("client_wallet, USD", D("-33.33")),
    }
    assert gain(entity) == 0
    assert Posting.objects.filter(entry=run.entry).count() == 2


def test_movements_keep_the_rate_of_their_day() -> None:
    # given: +1000 on Monday at 1.25, -400 on Tuesday at 1.20, Wednesday at 1.28
    entity = make_entity()
    rates(USD=["1.25", "1.20", "1.28"])
    bank, capital = open_account(entity, "bank"), open_account(entity, "capital")
    post(entity, (bank, "D", "1000"), (capital, "C", "1000"))
    post(entity, (bank, "C", "400"), (capital, "D", "400"), business_day=day(1))

    run = revalue(entity, 2)

    # 600/1.28 − (1000/1.25 − 400/1.20) = 468.75 − (800 − 333.333…) = 2.08333…
    assert figures(run) == [(bank.name, D(600), D("2.08"), D(0), D("2.08"))]


def test_yen_have_no_decimals_and_a_yen_entity_books_whole_yen() -> None:
    # given: 1,000,000 JPY for a euro entity, and 1,000.50 EUR for a yen entity
    euro, yen = make_entity(), make_entity(base_currency="JPY")
    rates(JPY=["160", "162.5"])
    post(
        euro,
        (open_account(euro, "bank", currency="JPY"), "D", "1000000"),
        (open_account(euro, "capital", currency="JPY"), "C", "1000000"),
    )
    post(
        yen,
        (open_account(yen, "psp", currency="EUR"), "D", "1000.50"),
        (open_account(yen, "capital", currency="EUR"), "C", "1000.50"),
    )

    in_euro, in_yen = revalue(euro, 1), revalue(yen, 1)

    # 1,000,000/162.5 − 1,000,000/160 = 6153.846… − 6250 = −96.1538…
    assert [row[2] for row in figures(in_euro)] == [D("-96.15")]
    # 1000.50 × 162.5 − 1000.50 × 160 = 2501.25
    assert [row[2] for row in figures(in_yen)] == [D("2501")]
    assert in_yen.base_currency == "JPY"


def test_a_cross_between_two_currencies_that_are_not_the_euro() -> None:
    # given: 1,000 GBP for a dollar entity: 1.25/0.80 = 1.5625, then 1.20/0.75 = 1.60 dollars for a pound
    entity = make_entity(base_currency="USD")
    rates(USD=["1.25", "1.20"], GBP=["0.80", "0.75"])
    post(
        entity,
        (open_account(entity, "bank", currency="GBP"), "D", "1000"),
        (open_account(entity, "capital", currency="GBP"), "C", "1000"),
    )

    assert figures(revalue(entity, 1))[0][2] == D("37.50")


def test_half_a_cent_goes_away_from_zero_both_ways() -> None:
    # given: 1 USD at 1.25 (0.80), then at 1.00 and 0.20 cents apart: 0.805 is not a cent
    entity = make_entity()
    rates(USD=["2", "1.9801980198019801980198"])
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "1"), (wallet, "C", "1"))

    run = revalue(entity, 1)

    # value 0.505, cost 0.50: +0.01 for the asset, −0.01 for the debt
    assert sorted(row[4] for row in figures(run)) == [D("-0.01"), D("0.01")]
    assert gain(entity) == 0


def test_a_missing_rate_is_named_and_nothing_is_booked() -> None:
    entity = make_entity()
    rates(USD=["1.25"])
    post(
        entity,
        (open_account(entity, "bank", currency="GBP"), "D", "5"),
        (open_account(entity, "capital", currency="GBP"), "C", "5"),
    )
    before = balances()

    with pytest.raises(MissingRate) as refusal:
        revalue(entity, 0)

    assert refusal.value.details["pair"] == "GBP/EUR"
    assert refusal.value.details["on"] == MONDAY.isoformat()
    assert balances() == before
    assert not RevaluationRun.objects.exists()
    assert is_revalued(entity_id=entity.pk, business_day=MONDAY) == (False, refusal.value.message)


def test_a_corrected_rate_books_the_difference_and_later_days_follow() -> None:
    # given: Tuesday and Wednesday are revalued
    entity = make_entity()
    rates(USD=["1.25", "1.20", "1.28"])
    bank = open_account(entity, "bank")
    post(entity, (bank, "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    revalue(entity, 1)
    revalue(entity, 2)
    assert gain(entity) == D("-18.75")

    # when: the rate of Tuesday was 1.10, not 1.20
    continue_reference_rates(per_euro={day(1): {"USD": D("1.10")}}, source="House", actor=SYSTEM)
    assert is_revalued(entity_id=entity.pk, business_day=day(1))[0] is False
    corrected = revalue(entity, 1)

    # then: Tuesday stands at 909.09 − 800, and Wednesday where it stood
    assert figures(corrected) == [(bank.name, D(1000), D("109.09"), D("33.33"), D("75.76"))]
    assert gain(entity) == D("-18.75")
    last = RevaluationRun.objects.filter(entity=entity, business_day=day(2)).latest("pk")
    assert figures(last) == [(bank.name, D(1000), D("-18.75"), D("57.01"), D("-75.76"))]
    assert checks.revaluations_follow_from_their_figures().ok


def test_a_corrected_rate_of_the_day_of_a_movement_changes_its_cost() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.25"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    revalue(entity, 1)

    continue_reference_rates(per_euro={day(0): {"USD": D("1.00")}}, source="House", actor=SYSTEM)
    run = revalue(entity, 1)

    assert figures(run)[0][4] == D("-200")
    assert gain(entity) == D("-200")


def test_in_closed_books_it_is_an_adjustment_of_the_first_open_day() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    close_day(entity_id=entity.pk, business_day=day(1), actor=SYSTEM)

    run = revalue(entity, 1)

    assert run.entry is not None
    assert (run.entry.business_day, run.entry.refers_to_day) == (day(2), day(1))
    assert figures(revalue(entity, 1))[0][4] == D("33.33")  # the same run


def test_base_currency_income_and_equity_are_not_revalued() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(
        entity,
        (open_account(entity, "bank", currency="EUR"), "D", "50"),
        (open_account(entity, "capital", currency="EUR"), "C", "50"),
    )
    post(entity, (open_account(entity, "bank_charges"), "D", "7"), (open_account(entity, "fee_income"), "C", "7"))

    run = revalue(entity, 1)

    assert figures(run) == []
    assert run.entry is None


def test_entities_are_revalued_apart() -> None:
    ours, theirs = make_entity(), make_entity()
    rates(USD=["1.25", "1.20"])
    for entity in (ours, theirs):
        post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))

    revalue(ours, 1)

    assert (gain(ours), gain(theirs)) == (D("33.33"), D(0))


@pytest.mark.parametrize(
    ("role", "wanted"), [(Role.AUDITOR, Denied), (Role.DEALING, Denied), (Role.FINANCE, None)], ids=str
)
def test_only_keepers_of_the_entitys_books_revalue(role: Role, wanted: type[Exception] | None) -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    if wanted is None:
        run = revalue_books(entity_id=entity.pk, business_day=day(1), actor=staff(role, entities=[entity]))
        assert AuditRecord.objects.get(action="funding.revalue").changes["gain"] == "33.33"
        assert run.entry is not None
        with pytest.raises(NotFound):
            revalue_books(entity_id=entity.pk, business_day=day(1), actor=staff(role, entities=[make_entity()]))
        return
    with pytest.raises(wanted):
        revalue_books(entity_id=entity.pk, business_day=day(1), actor=staff(role, entities=[entity]))
    assert not RevaluationRun.objects.exists()


def test_days_that_are_none_are_refused() -> None:
    entity = make_entity()
    for wrong in (date(2026, 3, 7), date(2999, 1, 1)):
        with pytest.raises(InvalidInput):
            revalue_books(entity_id=entity.pk, business_day=wrong, actor=SYSTEM)


def test_its_entry_is_not_reversed_by_hand() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    run = revalue(entity, 1)

    with pytest.raises(Conflict) as refusal:
        entries.reverse_entry(entry_id=run.entry_id, actor=SYSTEM, reason="no")

    assert "revalue" in refusal.value.message
    assert gain(entity) == D("33.33")


def test_a_tampered_line_and_a_tampered_balance_are_found() -> None:
    entity = make_entity()
    rates(USD=["1.25", "1.20"])
    post(entity, (open_account(entity, "bank"), "D", "1000"), (open_account(entity, "capital"), "C", "1000"))
    revalue(entity, 1)
    close_day(entity_id=entity.pk, business_day=day(1), actor=SYSTEM)
    assert checks.revaluations_follow_from_their_figures().ok
    assert checks.revalued_balances_equal_the_ledger().ok

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute("UPDATE funding_revaluationline SET amount = amount + 1, target = target + 1, balance = 999")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")

    assert {row["problem"] for row in checks.revaluations_follow_from_their_figures().rows} >= {
        "line and posting differ",
        "the target is not value less cost",
        "the value is not balance times rate",
    }
    assert checks.revalued_balances_equal_the_ledger().count == 1
