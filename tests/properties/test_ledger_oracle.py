"""Random sequences of bookings against a naive oracle in Python: same decisions, same balances."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backoffice.core.books import verify_books
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, DomainError, InsufficientFunds
from funding.ledger.models import AccountBalance, Hold, JournalEntry
from funding.ledger.selectors import trial_balance, trial_balance_totals
from funding.ledger.services import entries, holds
from tests.factories.platform import SYSTEM, make_entity
from tests.funding.ledger_help import draft, open_account

CURRENCIES = ("USD", "JPY", "BHD", "BTC")
KINDS = ("bank", "client_wallet", "partner_wallet", "fee_income", "suspense")
FLOORED = ("client_wallet", "partner_wallet")
DEBIT_NORMAL = ("bank", "suspense")
LEDGER_CHECKS = ["ledger.entries_balance", "ledger.balances_equal_postings", "ledger.holds_consistent"]

steps = st.one_of(
    st.tuples(
        st.just("post"),
        st.sampled_from(CURRENCIES),
        st.sampled_from(KINDS),
        st.sampled_from(KINDS),
        st.integers(1, 50),
    ),
    st.tuples(st.just("reverse"), st.integers(0, 9)),
    st.tuples(st.just("hold"), st.sampled_from(CURRENCIES), st.sampled_from(FLOORED), st.integers(1, 50)),
    st.tuples(st.just("void"), st.integers(0, 9)),
    st.tuples(st.just("pay"), st.integers(0, 9), st.integers(1, 50)),
    st.tuples(st.just("repeat"), st.integers(0, 9)),
)


class Oracle:
    """The books as a child would keep them: a dictionary of balances, one of what is held."""

    def __init__(self) -> None:
        self.balances = {(currency, kind): Decimal(0) for currency in CURRENCIES for kind in KINDS}
        self.held = {key: Decimal(0) for key in self.balances}
        self.moves: list[tuple[str, str, str, Decimal]] = []
        self.reversed: set[int] = set()
        self.holds: list[tuple[str, str, Decimal]] = []
        self.ended: dict[int, str] = {}

    def move(self, currency: str, debit: str, credit: str, amount: Decimal, free: Decimal = Decimal(0)) -> bool:
        """Debits one kind and credits another; whether that was allowed. *free* was held on the debited one until now."""
        after = dict(self.balances)
        after[currency, debit] += amount if debit in DEBIT_NORMAL else -amount
        after[currency, credit] += -amount if credit in DEBIT_NORMAL else amount
        held = dict(self.held)
        held[currency, debit] -= free
        if any(after[currency, kind] < held[currency, kind] for kind in FLOORED):
            return False
        self.balances, self.held = after, held
        return True


def unit(currency: str) -> Decimal:
    """The smallest amount of a currency."""
    return Decimal(1).scaleb(-Currency.of(currency).digits)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=25))
def test_the_ledger_decides_and_counts_like_the_oracle(sequence: list[tuple]) -> None:  # type: ignore[type-arg]
    with transaction.atomic():
        play(sequence)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        transaction.set_rollback(True)


def play(sequence: list[tuple]) -> None:  # type: ignore[type-arg]
    """Does every step in the ledger and in the oracle, and compares after each."""
    entity = make_entity()
    accounts = {
        (currency, kind): open_account(entity, kind, currency=currency, owner=1 if kind in FLOORED else 0)
        for currency in CURRENCIES
        for kind in KINDS
    }
    oracle = Oracle()
    made: list[JournalEntry] = []
    drafts = []
    placed: list[Hold] = []
    for step in sequence:
        if step[0] == "post":
            _, currency, debit, credit, units = step
            if debit == credit:
                continue
            amount = units * unit(currency)
            request = draft(
                entity,
                (accounts[currency, debit], "D", str(amount)),
                (accounts[currency, credit], "C", str(amount)),
            )
            if attempt(lambda: entries.post_entry(draft=request, actor=SYSTEM), made):  # noqa: B023 - called at once
                drafts.append(request)
                oracle.moves.append((currency, debit, credit, amount))
                assert oracle.move(currency, debit, credit, amount)
            else:
                assert not oracle.move(currency, debit, credit, amount)
        elif step[0] == "reverse" and step[1] < len(made):
            currency, debit, credit, amount = oracle.moves[step[1]]
            allowed = step[1] not in oracle.reversed and oracle.move(currency, credit, debit, amount)
            undo = made[step[1]]
            assert attempt(lambda: entries.reverse_entry(entry_id=undo.pk, actor=SYSTEM, reason="oracle")) is allowed  # noqa: B023
            oracle.reversed |= {step[1]} if allowed else set()
        elif step[0] == "repeat" and step[1] < len(made):
            assert entries.post_entry(draft=drafts[step[1]], actor=SYSTEM).pk == made[step[1]].pk
        elif step[0] == "hold":
            _, currency, kind, units = step
            amount = units * unit(currency)
            allowed = oracle.balances[currency, kind] - oracle.held[currency, kind] >= amount
            key = f"oracle {len(oracle.holds)} {len(placed)} {entity.pk} {step}"
            done = attempt(
                lambda: holds.place_hold(
                    account_id=accounts[currency, kind].pk,  # noqa: B023
                    amount=amount,  # noqa: B023
                    reason="oracle",
                    idempotency_key=key,  # noqa: B023
                ),
                placed,
            )
            if done and len(placed) > len(oracle.holds) and placed[-1].pk not in {hold.pk for hold in placed[:-1]}:
                oracle.holds.append((currency, kind, amount))
                oracle.held[currency, kind] += amount
            assert done is allowed
        elif step[0] in ("void", "pay") and step[1] < len(placed):
            end_hold(step, oracle, placed, accounts, entity)
        compare(oracle, accounts)
    assert verify_books(LEDGER_CHECKS)["ok"]
    assert all(total.agrees for total in trial_balance_totals(trial_balance(actor=SYSTEM, entity_id=entity.pk)))


def end_hold(step, oracle, placed, accounts, entity) -> None:  # type: ignore[no-untyped-def]
    """Voids a hold, or pays part of it out of the wallet into fees."""
    index = step[1]
    currency, kind, amount = oracle.holds[index]
    pending = index not in oracle.ended
    if step[0] == "void":
        allowed = pending or oracle.ended[index] == "void"
        assert attempt(lambda: holds.void_hold(hold_id=placed[index].pk)) is allowed
        if pending:
            oracle.held[currency, kind] -= amount
            oracle.ended[index] = "void"
        return
    paid = step[2] * unit(currency)
    request = draft(
        entity, (accounts[currency, kind], "D", str(paid)), (accounts[currency, "fee_income"], "C", str(paid))
    )
    done = attempt(lambda: holds.post_hold(hold_id=placed[index].pk, draft=request, actor=SYSTEM))
    assert done is (pending and paid <= amount)
    if done:
        assert oracle.move(currency, kind, "fee_income", paid, free=amount)
        oracle.ended[index] = "pay"


def attempt(action, into: list | None = None) -> bool:  # type: ignore[no-untyped-def,type-arg]
    """Whether the action was done; a refusal must be a proper one and leaves the transaction usable."""
    try:
        result = action()
    except (InsufficientFunds, Conflict):
        return False
    except DomainError as error:
        assert error.code == "invalid_input", error
        return False
    if into is not None:
        into.append(result)
    return True


def compare(oracle: Oracle, accounts: dict) -> None:  # type: ignore[type-arg]
    """Every balance and hold is what the oracle says."""
    found = AccountBalance.objects.in_bulk([account.pk for account in accounts.values()])
    assert {key: (found[account.pk].balance, found[account.pk].held) for key, account in accounts.items()} == {
        key: (oracle.balances[key], oracle.held[key]) for key in accounts
    }
