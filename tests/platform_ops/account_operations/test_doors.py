"""The desk, the portal and the API in front of operations: thin, guarded, and safe to press twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser

from backoffice.core.books import verify_books
from backoffice.core.models import ChangeRequest, IdempotencyRecord, User
from backoffice.core.types import Role
from platform_ops.account_checks import operations_booked_once
from platform_ops.models import AccountGroup, ServerOperation, TradingAccount
from platform_ops.types import DealKind
from tests.api.world import Caller, caller_for, make_service
from tests.factories.platform import make_operation
from tests.logins import log_in
from tests.platform_ops.account_operations.ground import Ground
from tests.trading_server import NETTING_GROUP

pytestmark = pytest.mark.django_db


def desk(ground: Ground, role: str = "operator") -> Browser:
    actor = ground.operator() if role == "operator" else ground.finance()
    return log_in(Browser(), User.objects.get(pk=actor.user_id))


def url(ground: Ground, action: str) -> str:
    return f"/desk/platform_ops/tradingaccount/{ground.account.pk}/do/{action}/"


def press(browser: Browser, where: str, data: dict[str, Any], key: str = "one") -> Any:
    return browser.post(where, data | {"idempotency_key": key, "confirmed": "yes"})


def test_the_desk_moves_money_once_however_often_the_button_is_pressed(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    browser, data = desk(ground), {"operation": "balance_in", "amount": "250", "reason": "Deposit"}
    asked = browser.post(url(ground, "money"), data)
    assert "+250.00 USD" in asked.content.decode()
    assert not ServerOperation.objects.exists()
    for _ in range(2):
        assert press(browser, url(ground, "money"), data).status_code == 302
    (operation,) = ServerOperation.objects.all()
    assert (operation.state, len(ground.money_deals(operation.reference))) == ("done", 1)
    page = browser.get(f"/desk/platform_ops/serveroperation/{operation.pk}/change/")
    assert operation.reference in page.content.decode()
    assert browser.get("/desk/platform_ops/serveroperation/").status_code == 200


def test_above_the_limit_the_desk_proposes_and_sends_nothing(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    data = {"operation": "credit_in", "amount": "5000", "reason": "Promised"}
    assert "Another person must agree" in desk(ground).post(url(ground, "money"), data).content.decode()
    for _ in range(2):
        press(desk(ground), url(ground, "money"), data)
    assert (ChangeRequest.objects.count(), ServerOperation.objects.count()) == (1, 0)


def test_a_new_password_is_on_the_answering_page_alone(ground: Ground) -> None:
    browser = desk(ground)
    answer = press(browser, url(ground, "password"), {"which": "main", "reason": "Forgotten"})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Main password" in answer.content.decode()
    again = press(browser, url(ground, "password"), {"which": "main", "reason": "Forgotten"})
    assert again.status_code == 302


def test_the_desk_opens_an_account_and_shows_both_passwords_once(ground: Ground) -> None:
    data = {
        "client_reference": ground.client.reference, "offer": ground.offer.pk, "is_demo": "live", "leverage": "100",
        "reason": "By phone",
    }  # fmt: skip
    answer = press(desk(ground), "/desk/platform_ops/tradingaccount/do/open/", data)
    text = answer.content.decode()
    assert "Main password" in text and "Investor password" in text
    assert TradingAccount.objects.filter(client=ground.client).count() == 3


def test_the_portal_opens_a_demo_account_and_only_for_its_trader(ground: Ground) -> None:
    group = AccountGroup.objects.get(server=ground.server, name=NETTING_GROUP)
    AccountGroup.objects.filter(pk=group.pk).update(is_demo=True)
    ground.offer.demo_group = group
    ground.offer.save()
    browser = log_in(Browser(), ground.client.user, second_factor=False)
    assert "Open a demo account" in browser.get("/portal/accounts/").content.decode()
    data = {"action": "demo", "key": "k1", "demo-offer": ground.offer.pk, "demo-leverage": "100"}
    answer = browser.post("/portal/accounts/", data)
    assert "Main password" in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert browser.post("/portal/accounts/", data).status_code == 302
    assert TradingAccount.objects.filter(client=ground.client, is_demo=True).count() == 1
    stranger = TradingAccount.objects.create(server=ground.server, login="31", currency="USD")
    refused = browser.post(
        "/portal/accounts/",
        {"action": "password", "key": "k2", "password-account": stranger.pk, "password-which": "main"},
    )
    assert refused.status_code == 400
    assert ServerOperation.objects.count() == 1


def test_the_books_tell_when_the_server_booked_twice(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    press(desk(ground), url(ground, "money"), {"operation": "balance_in", "amount": "250", "reason": "Deposit"})
    operation = ServerOperation.objects.get()
    ground.sync()
    assert operations_booked_once().count == 0
    make_operation(ground.account, amount="250", comment=f"{operation.reference} again", kind=DealKind.BALANCE)
    (row,) = operations_booked_once().rows
    assert (row["reference"], row["problem"]) == (operation.reference, "booked more than once")
    assert not verify_books()["ok"]
    assert Decimal(str(row["amount"])) == Decimal(250)


def test_who_may_not_does_not_get_in(ground: Ground) -> None:
    dealer = log_in(Browser(), User.objects.get(pk=ground.dealer().user_id))
    for action in ("money", "group", "leverage", "access", "password"):
        assert dealer.get(url(ground, action)).status_code == 403
    assert Role.DEALING.value in User.objects.get(pk=ground.dealer().user_id).roles


def system_of(ground: Ground, *roles: str) -> Caller:
    """A key of the broker's own system."""
    return caller_for(make_service(*(roles or (Role.PLATFORM_OPERATIONS,)), entities=(ground.entity,)))


def test_a_new_password_is_answered_once_over_http_and_kept_nowhere(ground: Ground) -> None:
    system = system_of(ground)
    body = {"account": str(ground.account.public_id), "which": "investor", "reason": "Forgotten"}
    made = system.post("account-operations/new-password/", body)
    password, operation = made.json()["password"], made.json()["operation"]
    assert (made.status_code, operation["state"], made.headers["Cache-Control"]) == (200, "done", "no-store")
    assert len(password) >= 8
    assert not IdempotencyRecord.objects.filter(scope__startswith="api:").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(row_to_json(o)::text, '') FROM platform_ops_serveroperation o")
        assert password not in cursor.fetchone()[0]
    kept = [system.post("account-operations/new-password/", body, key="again").json() for _ in range(2)]
    assert kept[0] == kept[1] and kept[0]["password"] != password
    assert password not in str(list(IdempotencyRecord.objects.values())) and ServerOperation.objects.count() == 2


def test_a_system_moves_money_in_bulk_proposes_looks_up_and_gives_up(ground: Ground) -> None:
    # given
    make_operation(ground.account, amount="100")
    system, account = system_of(ground), str(ground.account.public_id)
    other = TradingAccount.objects.exclude(pk=ground.account.pk).get()
    bulk = {
        "server": ground.server.code, "operation": "credit", "reason": "Campaign",
        "lines": [{"login": ground.account.login, "amount": "20"}, {"login": other.login, "amount": "5000"}],
    }  # fmt: skip

    # when a bulk comes twice under one key, and a larger amount than one may move alone is proposed
    first, second = (system.post("account-operations/move-money-in-bulk/", bulk, key="bulk") for _ in range(2))
    proposal = {"account": account, "operation": "credit", "amount": "7000", "reason": "Promised"}
    proposed = system.post("account-operations/propose-money/", proposal, key="p")

    # then each line is asked for once, nothing is sent yet, and the large ones wait for a person
    found = first.json()
    assert (first.status_code, first.content) == (200, second.content), first.content
    assert (found["done"], found["waiting"], found["proposed"], found["refused"]) == (0, 1, 1, 0)
    operation = ServerOperation.objects.get()
    assert {line["login"]: line["reference"] for line in found["references"]}[
        ground.account.login
    ] == operation.reference
    assert (operation.state, operation.is_bulk, ground.money_deals(operation.reference)) == ("requested", True, [])
    assert (proposed.status_code, proposed.json()["state"], ChangeRequest.objects.count()) == (201, "submitted", 2)
    twice = bulk | {"lines": [bulk["lines"][0]] * 2}
    refused = system.post("account-operations/move-money-in-bulk/", twice, key="twice").json()
    assert (refused["field"], refused["row"], ServerOperation.objects.count()) == ("lines", 2, 1)

    # and looking it up sends it; what was not sent is given up
    looked = system.post(f"account-operations/{operation.public_id}/look-up/", {}, key="l")
    assert (looked.status_code, looked.json()["state"], len(ground.money_deals(operation.reference))) == (
        200,
        "done",
        1,
    )
    asked = system.post(
        "account-operations/move-money/",
        {"account": account, "operation": "credit", "amount": "1", "reason": "x"},
        key="m",
    ).json()
    auditor = caller_for(make_service(Role.AUDITOR, entities=(ground.entity,), email="auditor@service.test"))
    assert auditor.post(f"account-operations/{asked['id']}/cancel/", {"reason": "No"}, key="c").status_code == 403
    given_up = system.post(f"account-operations/{asked['id']}/cancel/", {"reason": "Typed wrongly"}, key="c")
    assert (given_up.status_code, given_up.json()["state"]) == (200, "cancelled")
    late = system.post(f"account-operations/{operation.public_id}/cancel/", {"reason": "Too late"}, key="d")
    assert late.status_code == 409
