"""The ledger's and funding's pages of the desk."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.actors import actor_of_user
from backoffice.core.models import LegalEntity, User
from backoffice.core.types import Role
from funding.admin import client_money_card
from funding.ledger.admin import PANEL_ROWS
from funding.ledger.models import JournalEntry
from funding.ledger.selectors import balance_of
from funding.ledger.services.holds import place_hold
from funding.services.trading_results import post_trading_results
from tests.factories.platform import MONDAY, SYSTEM, make_account, make_operation, make_server, make_trade
from tests.funding.ledger_help import day, open_account, post
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def entity() -> LegalEntity:
    """The entity of the accountant."""
    return make_entity("ours")


@pytest.fixture
def accountant(client: Browser, entity: LegalEntity) -> User:
    """Finance, logged in."""
    user = make_user("finance@house.test", Role.FINANCE, entities=(entity,))
    log_in(client, user)
    return user


def text_of(response: object) -> str:
    """The whole text of an answer."""
    if getattr(response, "streaming", False):
        return b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return response.content.decode()  # type: ignore[attr-defined]


def key_of(page: str) -> str:
    """The idempotency key of a form."""
    found = re.search(r'name="idempotency_key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def act(client: Browser, address: str, form: dict[str, str]):  # type: ignore[no-untyped-def]
    """Fills a form in and confirms it; the answers of both."""
    filled = form | {"idempotency_key": key_of(text_of(client.get(address)))}
    return client.post(address, filled), client.post(address, filled | {"confirmed": "yes"})


def booked(entity: LegalEntity) -> JournalEntry:
    """An entry over 1,234.50 dollars."""
    return post(
        entity, (open_account(entity, "bank"), "D", "1234.50"), (open_account(entity, "suspense"), "C", "1234.50")
    )


def test_lists_and_pages_show_balances_postings_holds_and_results(
    client: Browser, accountant: User, entity: LegalEntity
) -> None:
    entry = booked(entity)
    wallet = open_account(entity, "client_wallet", owner=7)
    post(entity, (open_account(entity, "bank"), "D", "100"), (wallet, "C", "100"))
    place_hold(account_id=wallet.pk, amount=Decimal(40), reason="Withdrawal 9", idempotency_key="h")
    account = make_account(make_server(entity), login="880001")
    make_trade(account, profit="-77.70")
    post_trading_results(business_day=MONDAY, server_id=account.server_id, actor=SYSTEM)

    accounts = text_of(client.get(reverse("admin:ledger_ledgeraccount_changelist")))
    assert "1,334.50" in accounts
    assert "client 7" in accounts
    of_wallet = text_of(client.get(reverse("admin:ledger_ledgeraccount_change", args=[wallet.pk])))
    assert "40.00" in of_wallet
    assert "Freeze the account" in of_wallet
    journal = text_of(client.get(reverse("admin:ledger_journalentry_changelist")))
    assert "Trading results of 2026-03-02" in journal
    page = text_of(client.get(reverse("admin:ledger_journalentry_change", args=[entry.pk])))
    assert page.count("1,234.50") == 2
    assert "Reverse the entry" in page
    assert "Withdrawal 9" in text_of(client.get(reverse("admin:ledger_hold_changelist")))
    results = text_of(client.get(reverse("admin:funding_tradingresultline_changelist")))
    assert "880001" in results
    assert "77.70" in results
    derived = JournalEntry.objects.get(source_type="trading_results")
    assert "Reverse the entry" not in text_of(
        client.get(reverse("admin:ledger_journalentry_change", args=[derived.pk]))
    )


def test_a_long_entry_shows_a_bounded_number_of_postings(
    client: Browser, accountant: User, entity: LegalEntity
) -> None:
    wallets = [open_account(entity, "client_wallet", owner=number) for number in range(1, PANEL_ROWS + 10)]
    entry = post(
        entity, (open_account(entity, "bank"), "D", str(len(wallets))), *((wallet, "C", "1") for wallet in wallets)
    )

    page = text_of(client.get(reverse("admin:ledger_journalentry_change", args=[entry.pk])))

    assert f"The first {PANEL_ROWS} of more." in page


def test_an_entry_is_reversed_after_a_confirmation_with_a_reason(
    client: Browser, accountant: User, entity: LegalEntity
) -> None:
    entry = booked(entity)
    address = reverse("admin:ledger_journalentry_reverse", args=[entry.pk])

    described, done = act(client, address, {"reason": "Wrong client"})

    assert "Credit Bank" in text_of(described)
    assert done.status_code == 302
    reversal = JournalEntry.objects.get(reverses=entry)
    assert (reversal.reason, reversal.actor) == ("Wrong client", "finance@house.test")
    assert balance_of(open_account(entity, "bank")) == 0


def test_a_reversal_without_a_reason_or_by_an_auditor_books_nothing(client: Browser, entity: LegalEntity) -> None:
    entry = booked(entity)
    address = reverse("admin:ledger_journalentry_reverse", args=[entry.pk])
    log_in(client, make_user("finance@house.test", Role.FINANCE, entities=(entity,)))
    described, done = act(client, address, {"reason": ""})
    assert (described.status_code, done.status_code) == (400, 400)

    log_in(client, make_user("auditor@house.test", Role.AUDITOR, entities=(entity,)))
    assert client.get(address).status_code == 403
    assert client.post(address, {"reason": "x", "confirmed": "yes"}).status_code == 403

    assert JournalEntry.objects.count() == 1


def test_the_trial_balance_is_filtered_summed_and_exported(
    client: Browser, accountant: User, entity: LegalEntity
) -> None:
    booked(entity)
    post(
        entity,
        (open_account(entity, "bank"), "D", "1"),
        (open_account(entity, "suspense"), "C", "1"),
        business_day=day(1),
    )
    other = make_entity("theirs")
    post(other, (open_account(other, "bank"), "D", "99999"), (open_account(other, "suspense"), "C", "99999"))
    address = reverse("admin:funding_trial_balance")

    page = text_of(client.get(address))
    assert "1,235.50 = 1,235.50" in page
    assert "USD: debits equal credits" in page
    assert "99,999" not in page
    assert other.name not in page
    as_of = text_of(client.get(address, {"as_of": MONDAY.isoformat(), "entity": entity.pk, "currency": "USD"}))
    assert "1,234.50 = 1,234.50" in as_of
    assert "Nothing is booked" in text_of(client.get(address, {"as_of": "2020-01-01"}))

    lines = text_of(client.get(address, {"export": "csv"})).splitlines()
    assert len(lines) == 3
    assert "Bank" in lines[1]
    assert client.get(address, {"export": "xlsx"}).status_code == 200


def test_a_deposit_is_booked_from_the_desk_once(client: Browser, accountant: User, entity: LegalEntity) -> None:
    account = make_account(make_server(entity, code="live1"), login="880002")
    form = {
        "login": "880002",
        "server": "live1",
        "amount": "250.00",
        "currency": "usd",
        "method": "bank",
        "reference": "WIRE 7",
    }
    address = reverse("admin:funding_receive_deposit")

    described, done = act(client, address, form)

    assert "250.00 USD" in text_of(described)
    entry = JournalEntry.objects.get()
    assert done.url == reverse("admin:ledger_journalentry_change", args=[entry.pk])
    assert (entry.kind, entry.source_id) == ("deposit", account.pk)
    refused, _ = act(client, reverse("admin:funding_pay_withdrawal"), form | {"login": "999"})
    assert "No such trading account" in text_of(refused)
    assert JournalEntry.objects.count() == 1


def test_an_account_is_frozen_and_released_from_its_page(
    client: Browser, accountant: User, entity: LegalEntity
) -> None:
    wallet = open_account(entity, "client_wallet", owner=7)
    for slug, frozen in (("freeze", True), ("release", False)):
        act(client, reverse(f"admin:ledger_ledgeraccount_{slug}", args=[wallet.pk]), {"reason": "Investigation"})
        wallet.refresh_from_db()
        assert wallet.is_frozen is frozen


def test_the_card_says_what_is_owed_and_what_is_on_its_way(accountant: User, entity: LegalEntity) -> None:
    actor = actor_of_user(accountant)
    assert client_money_card(actor) is None
    account = make_account(make_server(entity))
    make_operation(account, amount="100")
    make_trade(account, profit="20")
    post_trading_results(business_day=MONDAY, server_id=account.server_id, actor=SYSTEM)

    card = client_money_card(actor)

    assert card is not None
    assert list(card.rows) == [("USD", "120.00 USD", "100.00 USD")]
